"""Only public addresses are allowed, however others are spelled, embedded or hidden."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.errors import ForbiddenAddressError, UnreachableError
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy, is_public

POLICY = UrlPolicy()
PRIVATE = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16
224.0.0.0/4 240.0.0.0/4
"""
PUBLIC = """
8.8.8.8 93.184.216.34 1.1.1.1 172.15.0.1 172.32.0.1 2606:4700::1111 2a00:1450::5 ::ffff:8.8.8.8
64:ff9b::8.8.8.8
"""
NOT_PUBLIC = """
0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.168.1.1 198.18.0.1
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 192.88.99.1 :: ::1
::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1
64:ff9b::169.254.169.254 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
fe80::1%2 fec0::1 ff02::1
"""
FORBIDDEN_URLS = r"""
song.mp3 //example.com/a http: http:// http:///etc/passwd https:example.com file:///etc/passwd
ftp://example.com/ gopher://example.com/ data:audio/wav;base64,AA== unix:///run/x http+unix://x
javascript:alert(1) http://user@example.com/ http://user:pass@example.com/ http://@example.com/
http://:@example.com/ http://example.com@169.254.169.254/ http://8.8.8.8@127.0.0.1/
http://example.com:22/ http://example.com:8080/ http://example.com:0/ http://example.com:99999/
http://example.com:-1/ http://example.com:port/ http://example.com\@127.0.0.1/
http://%31%32%37.0.0.1/ http://ex%00ample.com/ http://[::1 http://[::1]x/ http://.../
http://.example.com/ http://example..com/ http://example.com../ http://127.1/ http://0/
http://127.0.0.1./ http://0x7f.0.0.1/ http://example.0x/ http://1.2.3.4.5/ http://256.1.1.1/
http://[::ffff:7f00:1]/ http://[fe80::1%25lo]/ http://１２７.０.０.１/ http://①②⑦.⓪.⓪.①/
http://127。0。0。1/ http://[v1.x]/ http://xn--a/
"""  # noqa: RUF001  (digits that look like others)
private_addresses = st.sampled_from([ip_network(network) for network in PRIVATE.split()]).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(IPv4Address)
)


def resolving(*addresses: str) -> UrlPolicy:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return UrlPolicy(resolver=resolver)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    if "%" not in address:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(ForbiddenAddressError, match="public address"):
            POLICY.check(f"http://{host}/")


@given(private_addresses)
def test_a_private_address_stays_private_in_every_embedding(address: IPv4Address) -> None:
    number = int(address)
    assert not is_public(address)
    for prefix, shift in (
        ("::", 0),
        ("::ffff:0:0", 0),
        ("::ffff:0:0:0", 0),
        ("64:ff9b::", 0),
        ("2002::", 80),
        ("2001::", 0),
        ("2001::", 64),
    ):
        assert not is_public(IPv6Address(int(IPv6Address(prefix)) | number << shift))


@given(st.ip_addresses(v=6))
def test_outside_of_the_unicast_range_nothing_is_public_but_embedded_public_ipv4(
    address: IPv6Address,
) -> None:
    embedding = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
    if is_public(address):
        assert address in IPv6Network("2000::/3") or any(address in network for network in embedding)


@given(address=st.ip_addresses(v=4) | private_addresses, data=st.data())
def test_addresses_in_unusual_spellings_are_refused(address: IPv4Address, data: st.DataObject) -> None:
    spellings: dict[str, Callable[[int], str]] = {
        "d": str,
        "x": hex,
        "o": lambda part: f"0{part:o}",
        "X": lambda part: f"0X{part:X}",
    }
    spell = data.draw(st.lists(st.sampled_from("dxoX"), min_size=4, max_size=4))
    parts = list(address.packed)
    keep = data.draw(st.integers(0, 3))
    parts = [*parts[:keep], int.from_bytes(bytes(parts[keep:]), "big")]
    host = ".".join(spellings[how](part) for how, part in zip(spell, parts, strict=False))
    if host != str(address):
        for dot in ("", "."):
            with pytest.raises(ForbiddenAddressError):
                POLICY.check(f"http://{host}{dot}/")


@pytest.mark.parametrize(
    "url",
    [
        *FORBIDDEN_URLS.split(),
        "",
        "HTTP\n://example.com",
        "http://exa mple.com/",
        "http://example.com/\r\nHost: x",
        "http://" + "a" * 5000,
    ],
)
def test_only_plainly_public_web_addresses_are_accepted(url: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"is not allowed: .*\. Use a public http"):
        POLICY.check(url)


@given(st.text(max_size=60) | st.text(max_size=60).map("http://{}".format))
def test_any_text_is_either_accepted_or_refused(text: str) -> None:
    try:
        url = POLICY.check(text)
    except ForbiddenAddressError:
        return
    assert url.scheme in ("http", "https")
    assert not url.userinfo


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://example.com", "https://example.com"),
        ("http://EXAMPLE.com./a?b=c#d", "http://example.com/a?b=c"),
        ("HTTPS://example.com:443/", "https://example.com/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://8.8.8.8/", "http://8.8.8.8/"),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
        ("https://a_b.example/~user/%20?sig=a%2Fb%3D", "https://a_b.example/~user/%20?sig=a%2Fb%3D"),
    ],
)
def test_public_urls_are_normalised(url: str, read: str) -> None:
    assert str(POLICY.check(url)) == read


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST"])
async def test_names_of_this_machine_are_refused_by_their_addresses(host: str) -> None:
    url = POLICY.check(f"http://{host}/")
    with pytest.raises((ForbiddenAddressError, UnreachableError)):
        await POLICY.find(url)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("10.0.0.1", "8.8.8.8"),
        ("8.8.8.8", "::1"),
        ("::ffff:10.0.0.1",),
        ("fe80::1%2",),
    ],
)
async def test_a_name_with_one_address_that_is_not_public_is_refused(addresses: tuple[str, ...]) -> None:
    policy = resolving(*addresses)
    with pytest.raises(ForbiddenAddressError) as caught:
        await policy.find(policy.check("http://example.com/"))
    for address in addresses:
        assert address not in str(caught.value)


@pytest.mark.asyncio
async def test_the_resolved_addresses_are_returned() -> None:
    found = await resolving("8.8.8.8", "2606:4700::1111").find(httpx.URL("http://example.com/"))
    assert found == [IPv4Address("8.8.8.8"), IPv6Address("2606:4700::1111")]


@pytest.mark.asyncio
async def test_unresolvable_names_are_distinguished_from_forbidden_ones() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    async def slow(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    policies = [resolving(), resolving("no address"), UrlPolicy(resolver=unknown)]
    for policy in [*policies, UrlPolicy(resolver=slow, timeout=0.05)]:
        with pytest.raises(UnreachableError, match=r"example\.com"):
            await policy.find(policy.check("http://example.com/"))
    with pytest.raises(UnreachableError):
        await POLICY.find(POLICY.check(f"http://{'a' * 64}.example/"))


@pytest.mark.asyncio
async def test_the_operator_s_networks_are_reached_only_if_allowed() -> None:
    policy = UrlPolicy(inner=(InnerTarget(IPv4Network("10.0.0.0/24")), InnerTarget(IPv6Network("fd00::/64"))))
    for allowed in ("http://10.0.0.7/", "http://[fd00::1]/", "http://8.8.8.8/"):
        await policy.find(policy.check(allowed))
    for forbidden in ("http://10.0.1.7/", "http://[fd01::1]/", "http://127.0.0.1/"):
        with pytest.raises(ForbiddenAddressError):
            policy.check(forbidden)


@pytest.mark.asyncio
async def test_the_operator_s_hosts_are_reached_only_under_their_names_and_at_their_ports() -> None:
    inner = (InnerTarget("hooks.internal"), InnerTarget("files.internal", 8080))
    policy = replace(resolving("10.0.0.1"), inner=inner)
    for allowed in ("http://HOOKS.internal./", "https://hooks.internal/", "http://files.internal:8080/"):
        assert await policy.find(policy.check(allowed)) == [IPv4Address("10.0.0.1")]
    for forbidden in (
        "http://hooks.internal:8080/",
        "http://files.internal/",
        "http://files.internal:8081/",
        "http://other.internal/",
        "http://hooks.internal.example/",
        "http://10.0.0.1/",
        "http://8.8.8.8:8080/",
    ):
        with pytest.raises(ForbiddenAddressError):
            await policy.find(policy.check(forbidden))
    with pytest.raises(ForbiddenAddressError, match="port 8080 is not allowed"):
        policy.check("http://other.internal:8080/")  # told to callers at once
    rebound = replace(policy, resolver=resolving("10.0.0.1", "169.254.169.254").resolver)
    with pytest.raises(ForbiddenAddressError):
        await rebound.find(rebound.check("http://hooks.internal/"))
