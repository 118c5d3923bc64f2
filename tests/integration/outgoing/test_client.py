"""Requests to callers' URLs reach only checked addresses and stay within their limits."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from ipaddress import IPv4Network

import pytest

from spleeter_microservice.errors import ForbiddenAddressError, ResponseTooLargeError, UnreachableError
from spleeter_microservice.outgoing.client import Outgoing, ResponseLimits
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.webhooks import signature
from tests.support.certificates import Authority
from tests.support.http_servers import (
    Answer,
    Handler,
    Server,
    chunked,
    content,
    redirect,
    serving,
    stall,
    status,
)
from tests.support.webhooks import SECRET, verified_id

pytestmark = pytest.mark.asyncio

BODY = bytes(range(256)) * 1000
LIMITS = ResponseLimits(maximum_bytes=len(BODY), total=5, connect=2, read=2)
ONLY_THIS = (InnerTarget(IPv4Network("127.0.0.1/32")),)
INSIDE = r"""
http://2852039166/ http://[::ffff:169.254.169.254]/ //169.254.169.254/ http://[::1]/ file:///etc/passwd
gopher://song.example/ http://user@song.example/ http://127.0.0.2/ http://song.example:22/ http://0x7f.1/
http://[ \\127.0.0.2\x
"""
METADATA = "http://169.254.169.254/latest/meta-data/"


class Names:
    """A resolver that a test controls, and that remembers what it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = answers or (["127.0.0.1"],)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def outgoing(server: Server, names: Names | None = None) -> Outgoing:
    """Allow exactly 127.0.0.1 and the server's port; no other test's server, no other loopback."""
    ports = frozenset({server.server_port, 80, 443})
    return Outgoing(UrlPolicy(ports, ONLY_THIS, names or Names()))


def address(server: Server, path: str = "/song.mp3", scheme: str = "http", host: str = "song.example") -> str:
    return f"{scheme}://{host}:{server.server_port}{path}"


async def fetch(client: Outgoing, url: str, limits: ResponseLimits = LIMITS) -> bytes:
    async with client.download(url, limits) as download:
        return b"".join([chunk async for chunk in download.chunks()])


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A proxy in the environment, which must never be asked."""
    with serving(status(502)) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield proxy
        assert proxy.requests == []


@pytest.mark.parametrize("answer", [content(BODY), chunked(BODY)], ids=["announced", "chunked"])
async def test_a_file_is_fetched_from_the_checked_address(answer: Answer) -> None:
    names = Names()
    with serving(answer) as server:
        async with outgoing(server, names).download(address(server, "/a?b=c"), LIMITS) as download:
            assert b"".join([chunk async for chunk in download.chunks()]) == BODY
        ((path, headers),) = server.requests
    assert path == "/a?b=c"
    assert headers["Host"] == f"song.example:{server.server_port}"
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Referer"} & headers.keys()
    assert names.asked == ["song.example"]


async def test_a_name_that_resolves_differently_after_the_check_has_no_effect() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"])
    with serving(content(BODY)) as server:
        client = outgoing(server, names)
        assert await fetch(client, address(server)) == BODY
        assert len(names.asked) == 1  # one look-up serves both the check and the connection
        with pytest.raises(ForbiddenAddressError, match="public address"):
            await fetch(client, address(server))
        assert len(server.requests) == 1


async def test_an_allowed_host_is_reached_but_not_from_other_names_nor_when_it_leads_elsewhere() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"])
    with serving(content(BODY)) as server:
        client = Outgoing(UrlPolicy(inner=(InnerTarget("song.example", server.server_port),), resolver=names))
        assert await fetch(client, address(server)) == BODY
        for url in (
            address(server),
            address(server, host="other.example"),
            address(server, host="127.0.0.1"),
        ):
            with pytest.raises(ForbiddenAddressError):
                await fetch(client, url)
        assert names.asked == ["song.example", "song.example"]  # not for the others' port
        assert len(server.requests) == 1


async def test_this_machine_is_not_reached_unless_allowed() -> None:
    with serving(content(BODY)) as server:
        ports = frozenset({server.server_port})
        for host in ("127.0.0.1", "localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
            with pytest.raises((ForbiddenAddressError, UnreachableError)):
                await fetch(Outgoing(UrlPolicy(ports)), address(server, host=host))
        for names in (Names(["127.0.0.1"]), Names(["::1"]), Names(["8.8.8.8", "127.0.0.1"])):
            with pytest.raises(ForbiddenAddressError):
                await fetch(Outgoing(UrlPolicy(ports, resolver=names)), address(server))
        assert server.requests == []


@pytest.mark.parametrize(
    "target",
    [METADATA, *INSIDE.split()],
)
async def test_a_redirect_is_checked_like_the_first_url(target: str) -> None:
    with serving(redirect(target), content(BODY)) as server:
        with pytest.raises((ForbiddenAddressError, UnreachableError)):
            await fetch(outgoing(server), address(server))
        assert len(server.requests) == 1


async def test_a_redirect_to_a_name_with_an_inner_address_is_refused() -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    with (
        serving(redirect("http://inside.example/"), content(BODY)) as server,
        pytest.raises(ForbiddenAddressError, match="public address"),
    ):
        await fetch(outgoing(server, names), address(server))
    assert names.asked == ["song.example", "inside.example"]


async def test_redirects_are_followed_up_to_the_limit() -> None:
    with serving(redirect("/1"), redirect("2"), redirect("/3"), content(BODY)) as server:
        assert await fetch(outgoing(server), address(server, "/a/b")) == BODY
        assert [path for path, _ in server.requests] == ["/a/b", "/1", "/2", "/3"]
    with serving(redirect("/again")) as server:
        with pytest.raises(UnreachableError, match="more than 3 times"):
            await fetch(outgoing(server), address(server))
        assert len(server.requests) == 4


async def test_no_cookie_is_carried_to_the_next_server() -> None:
    def setting_a_cookie(request: Handler) -> None:
        request.send_response(302)
        request.send_header("Set-Cookie", "session=1")
        request.send_header("Location", "/next")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with serving(setting_a_cookie, content(BODY)) as server:
        await fetch(outgoing(server), address(server))
        assert "Cookie" not in server.requests[1][1]


@pytest.mark.parametrize("answer", [content(BODY + b"x"), chunked(BODY + b"x"), content(BODY * 50)])
async def test_a_file_larger_than_allowed_is_refused(answer: Answer) -> None:
    with (
        serving(answer) as server,
        pytest.raises(ResponseTooLargeError, match=f"limit of {len(BODY)} bytes"),
    ):
        await fetch(outgoing(server), address(server))


async def test_a_false_content_length_has_no_effect() -> None:
    def lying(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "10")
        request.end_headers()
        request.wfile.write(BODY * 2)

    with serving(lying) as server:
        assert len(await fetch(outgoing(server), address(server))) == 10


async def test_a_dripping_server_is_abandoned_after_the_total_time() -> None:
    given_up = threading.Event()

    def drip(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        while not given_up.wait(0.05):
            request.wfile.write(b"x")
            request.wfile.flush()

    with serving(drip) as server:
        with pytest.raises(UnreachableError, match=r"longer than 0\.4 s"):
            await fetch(outgoing(server), address(server), ResponseLimits(1000, total=0.4, read=5))
        given_up.set()


async def test_the_reader_s_own_time_counts_too() -> None:
    with serving(content(BODY)) as server, pytest.raises(UnreachableError, match=r"longer than 0\.2 s"):
        async with outgoing(server).download(address(server), ResponseLimits(len(BODY), total=0.2)):
            await asyncio.Event().wait()


async def test_errors_of_the_reader_are_passed_on() -> None:
    with serving(content(BODY)) as server:
        for error in (TimeoutError("store"), OSError("disk"), ValueError("x")):
            with pytest.raises(type(error), match=str(error)):
                async with outgoing(server).download(address(server), LIMITS):
                    raise error


async def test_a_stalled_server_times_out() -> None:
    released = threading.Event()
    with serving(stall(BODY, released)) as server:
        with pytest.raises(UnreachableError, match="in time"):
            await fetch(outgoing(server), address(server), ResponseLimits(len(BODY), total=5, read=0.2))
        released.set()


@pytest.mark.parametrize(
    ("answer", "code"),
    [(status(404), 404), (status(500), 500), (status(204), 204), (status(304), 304), (status(206), 206)],
)
async def test_an_error_response_is_reported_with_its_status(answer: Answer, code: int) -> None:
    with serving(answer) as server:
        with pytest.raises(UnreachableError, match=f"responded with {code}") as caught:
            await fetch(outgoing(server), address(server))
        assert caught.value.status == code


async def test_bytes_that_the_client_cannot_read_are_an_error() -> None:
    def answer(request: Handler) -> None:
        request.wfile.write(
            b"HTTP/1.1 302 -\r\nLocation: /\r\nSet-Cookie: \xff=\xfe\r\nContent-Length: 0\r\n\r\n"
        )

    with serving(answer, content(BODY)) as server, pytest.raises(UnreachableError):
        await fetch(outgoing(server), address(server))


async def test_a_truncated_file_is_an_error() -> None:
    for answer in (content(BODY, break_at=1000), chunked(BODY, end=False)):
        with serving(answer) as server, pytest.raises(UnreachableError, match="closed the connection"):
            await fetch(outgoing(server), address(server))


async def test_an_unrequested_compressed_response_is_refused() -> None:
    def compressed(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with serving(compressed) as server, pytest.raises(UnreachableError, match="compressed"):
        await fetch(outgoing(server), address(server))


async def test_an_unreachable_server_is_reported() -> None:
    with serving(status(200)) as server:
        pass
    with pytest.raises(UnreachableError, match="cannot be reached"):
        await fetch(outgoing(server), address(server))


async def test_the_next_of_a_host_s_addresses_is_tried() -> None:
    with serving(content(BODY)) as server:
        networks = (InnerTarget(IPv4Network("127.0.0.0/8")),)
        policy = UrlPolicy(
            frozenset({server.server_port}), networks, Names(["127.0.0.9", "127.0.0.8", "127.0.0.1"])
        )
        assert await fetch(Outgoing(policy), address(server)) == BODY


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


async def test_tls_uses_the_name_although_the_connection_goes_to_the_address(authority: Authority) -> None:
    context, seen = authority.serving("song.example"), list[str | None]()
    context.sni_callback = lambda _, name, __: seen.append(name)
    with serving(content(BODY), tls=context) as server:
        policy = UrlPolicy(frozenset({server.server_port}), ONLY_THIS, Names())
        client = Outgoing(policy, authority.trusting())
        assert await fetch(client, address(server, scheme="https")) == BODY
        assert await fetch(client, address(server, scheme="https", host="SONG.example.")) == BODY
        assert seen == ["song.example"] * 2
        assert server.requests[0][1]["Host"] == f"song.example:{server.server_port}"


async def test_a_certificate_for_another_name_or_from_an_unknown_authority_is_refused(
    authority: Authority,
) -> None:
    with serving(content(BODY), tls=authority.serving("other.example")) as server:
        policy = UrlPolicy(frozenset({server.server_port}), ONLY_THIS, Names())
        for client in (Outgoing(policy, authority.trusting()), Outgoing(policy)):
            with pytest.raises(UnreachableError, match=r"(?i)certificate"):
                await fetch(client, address(server, scheme="https"))
            with pytest.raises(UnreachableError, match=r"(?i)certificate"):
                await client.post(address(server, scheme="https"), b"", {})
        assert server.requests == []


async def test_a_redirect_does_not_leave_tls(authority: Authority) -> None:
    with serving(redirect("http://song.example/"), tls=authority.serving("song.example")) as server:
        policy = UrlPolicy(frozenset({server.server_port, 80}), ONLY_THIS, Names())
        with pytest.raises(ForbiddenAddressError, match="from https to http"):
            await fetch(Outgoing(policy, authority.trusting()), address(server, scheme="https"))


async def test_two_names_at_one_address_do_not_share_a_connection(authority: Authority) -> None:
    context, seen = authority.serving("one.example", "two.example"), list[str | None]()
    context.sni_callback = lambda _, name, __: seen.append(name)
    with serving(content(BODY), tls=context) as server:
        policy = UrlPolicy(frozenset({server.server_port}), ONLY_THIS, Names())
        client = Outgoing(policy, authority.trusting())
        for host in ("one.example", "two.example"):
            await fetch(client, address(server, scheme="https", host=host))
    assert seen == ["one.example", "two.example"]


async def test_a_webhook_arrives_signed_and_its_response_is_returned() -> None:
    def answer(request: Handler) -> None:
        request.send_response(503)
        request.send_header("Retry-After", "120")
        request.send_header("Content-Length", "100000")
        request.end_headers()
        request.wfile.write(b"busy" * 25_000)

    body, now = b'{"state":"failed"}', int(time.time())
    with serving(answer) as server:
        headers = {"Content-Type": "application/json", **signature.headers([SECRET], "msg_1", now, body)}
        reply = await outgoing(server).post(address(server, "/hook"), body, headers)
        ((path, received),) = server.requests
        assert path == "/hook"
        assert verified_id(received, server.bodies[0]) == "msg_1"
    assert (reply.status, reply.retry_after, reply.body[:8]) == (503, 120.0, b"busybusy")
    assert len(reply.body) <= 4096


async def test_a_webhook_follows_no_redirect_and_reaches_no_inner_address() -> None:
    with serving(redirect(METADATA)) as server:
        client = outgoing(server)
        assert (await client.post(address(server), b"{}", {})).status == 302
        for url in (METADATA, "http://localhost:1/", address(server, host="[::1]")):
            with pytest.raises(ForbiddenAddressError):
                await client.post(url, b"{}", {})
        inside = Outgoing(UrlPolicy(resolver=Names(["10.0.0.1"])))
        with pytest.raises(ForbiddenAddressError):
            await inside.post("http://inside.example/", b"{}", {})


async def test_a_hanging_webhook_receiver_times_out() -> None:
    released = threading.Event()

    def silent(request: Handler) -> None:
        released.wait(60)

    with serving(silent) as server:
        with pytest.raises(UnreachableError, match=r"time|within"):
            await outgoing(server).post(address(server), b"{}", {}, total=0.3)
        released.set()


async def test_concurrent_downloads_do_not_mix() -> None:
    def echo(request: Handler) -> None:
        content(request.path.encode() * 1000)(request)

    async def paths(server: Server) -> AsyncIterator[bool]:
        client = outgoing(server)
        wanted = [f"/{number}" for number in range(30)]
        found = await asyncio.gather(*(fetch(client, address(server, path)) for path in wanted))
        for path, body in zip(wanted, found, strict=True):
            yield body == path.encode() * 1000

    with serving(echo) as server:
        assert all([same async for same in paths(server)])
