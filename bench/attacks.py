"""Attacks on a running service, each in a process of its own: ``python -m bench.attacks NAME``.

Reads the target as JSON, prints an empty line when the attack begins, and at the end JSON again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from bench.client import FINAL
from bench.hostile import FILES, flac_of_one_value
from bench.inner_addresses import INNER_ADDRESSES, REDIRECTIONS
from bench.mutations import is_fault
from bench.processes import Process, children, process
from tests.support.damaged_forms import damaged_forms
from tests.support.raw_http import Connection, request
from tests.support.service import mentioning
from tests.support.small_disk import SmallDisk

_AFTER = 3.0  # seconds that a busy machine may be late
_CONNECT = 30.0
_HEALED = 30.0
_FETCH_SECONDS = 11.0  # until all fetches have begun
_FILE_SECONDS = 20.0  # until all hostile files are sent on a busy machine
_HEADER_SECONDS, _BODY_SECONDS = 15.0, 20.0  # that the service documents
_NO_FAULT = frozenset({*range(200, 500), 507})
_CLOSED = 0  # instead of a status
_SECRET = "the-secret-of-nobody"  # noqa: S105  (a wrong one)


@dataclass(frozen=True)
class Target:
    """What is attacked, and by whom.

    Attributes:
        port: port of the API.
        folder: folder of the service's data.
        key: API key of the attacker, who is a tenant like others.
        aside: port for the attacker's own server, which the service may call.
        seconds: seconds that an attack may take, unless it waits for a timeout of the service.
        scanner: PID of clamd, if the service uses it.
    """

    port: int
    folder: str
    key: str
    aside: int
    seconds: float
    scanner: int | None = None

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Tally:
    """Results of an attack.

    Attributes:
        tried: number of tries.
        held: number of those that ended as they should.
        ends: number of tries by how they ended.
        wrong: how the others ended.
    """

    tried: int = 0
    held: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, end: object, held: bool) -> None:
        """Add a try."""
        self.tried += 1
        self.held += held
        (self.ends if held else self.wrong)[str(end)] += 1


class Attacker:
    """The means of an attack.

    Args:
        target: what is attacked.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.tally = Tally()
        self.deadline = time.monotonic() + target.seconds

    def is_over(self) -> bool:
        """Return whether the time of the attack is over."""
        return time.monotonic() > self.deadline

    def request(self, line: str, **headers: object) -> bytes:
        """Return a request with the attacker's key; its body is to follow."""
        return request(line, X_API_KEY=self.target.key, **headers)

    @asynccontextmanager
    async def connected(self, buffer: int = 0, source: str = "127.0.0.1") -> AsyncIterator[Connection]:
        """Connect to the service, with a receive buffer of this size, from an address of this machine."""
        with socket.socket() as connecting:
            if buffer:
                connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            connecting.setblocking(False)
            connecting.bind((source, 0))
            async with asyncio.timeout(_CONNECT):
                await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", self.target.port))
            reader, writer = await asyncio.open_connection(sock=connecting, limit=1 << 17)
            try:
                yield Connection(reader, writer)
            finally:
                writer.transport.abort()

    def client(self) -> httpx.AsyncClient:
        """Return a client with the attacker's key."""
        headers = {"X-API-KEY": self.target.key}
        return httpx.AsyncClient(base_url=self.target.url, headers=headers, timeout=60, trust_env=False)

    async def flood(
        self,
        requests: Iterable[bytes],
        right: Collection[int],
        senders: int = 16,
        source: Callable[[], str] = lambda: "127.0.0.1",
    ) -> None:
        """Send requests over some connections, one after the other, until the time is over."""
        left = iter(requests)

        async def send() -> None:
            while not self.is_over():
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    async with self.connected(source=source()) as connection:
                        for data in left:
                            status, goes_on = await _ask(connection, data)
                            self.tally.add(status or "closed", status in right)
                            if not goes_on or self.is_over():
                                break
                        else:
                            return

        await asyncio.gather(*(send() for _ in range(senders)))

    async def separation(self, seconds: float) -> Mapping[str, Any]:
        """Separate a song of the attacker's own before the attack begins."""
        async with self.client() as client:
            song = flac_of_one_value(seconds, 2)
            job = (await client.post("/v1/separations", files={"file": song})).raise_for_status().json()
            while job["state"] not in FINAL:
                await asyncio.sleep(0.2)
                job = (await client.get(f"/v1/separations/{job['id']}")).json()
            assert isinstance(job, dict)
            self.deadline = time.monotonic() + self.target.seconds
            return job

    @asynccontextmanager
    async def server(
        self, answer: Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Run a server that the service may call; ``answer`` is told the head of each request."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await answer(await reader.readuntil(b"\r\n\r\n"), writer)
            writer.close()

        running = await asyncio.start_server(
            serve, "127.0.0.1", self.target.aside, backlog=1024, reuse_port=True
        )
        try:
            yield
        finally:
            running.close()


async def _ask(connection: Connection, data: bytes) -> tuple[int, bool]:
    """Send a request; return the status of the response, and whether the connection can be used again.

    If it was closed instead, the status is ``_CLOSED``.
    """
    try:
        await connection.send(data)
        status, headers, _ = await connection.answer(_CONNECT)
    except (ConnectionError, asyncio.IncompleteReadError):
        return _CLOSED, False
    return status, headers.get("connection") != "close"


async def idle_connections(attacker: Attacker) -> None:
    """1,100 connections that send nothing are closed, sooner if the service needs their place."""
    await _until_closed(attacker, 1100, lambda _: asyncio.sleep(0), _HEADER_SECONDS)


async def slow_headers(attacker: Attacker) -> None:
    """400 connections whose headers arrive at a byte a second are closed after 15 s."""

    async def trickle(connection: Connection) -> None:
        for byte in itertools.chain(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n", itertools.repeat(97)):
            await connection.send(bytes([byte]))
            await asyncio.sleep(1)

    await _until_closed(attacker, 400, trickle, _HEADER_SECONDS)


async def _until_closed(
    attacker: Attacker, count: int, deed: Callable[[Connection], Awaitable[None]], within: float
) -> None:
    async def hold() -> None:
        async with attacker.connected() as connection:
            start = time.monotonic()
            doing = asyncio.ensure_future(deed(connection))
            try:
                await connection.is_closed(within + 2 * _AFTER)
            except TimeoutError:
                pass
            finally:
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)
            took = time.monotonic() - start
            held = took < within + _AFTER
            attacker.tally.add("closed" if held else f"open after {took:.0f} s", held)

    await asyncio.gather(*(hold() for _ in range(count)))


async def slow_bodies(attacker: Attacker) -> None:
    """60 uploads at 20 bytes a second are refused, at once or after 20 s."""
    head = attacker.request(
        "POST /v1/separations", Content_Type="multipart/form-data; boundary=b", Content_Length=10**6
    )
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def upload() -> None:
        async with attacker.connected() as connection:
            await connection.send(head + part)
            answer = asyncio.create_task(connection.answer(_BODY_SECONDS + 2 * _AFTER))
            while not answer.done():
                with contextlib.suppress(ConnectionError):
                    await connection.send(bytes(10))
                await asyncio.wait([answer], timeout=0.5)
            try:
                status: object = answer.result()[0]
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
                status = type(error).__name__
            attacker.tally.add(status, status in (408, 429))

    await asyncio.gather(*(upload() for _ in range(60)))


async def slow_readers(attacker: Attacker) -> None:
    """150 downloads whose clients read nothing begin, or are too many."""
    job = await attacker.separation(30)
    await _held_open(attacker, 150, job["stems"][0]["url"], buffer=4096)


async def event_streams(attacker: Attacker) -> None:
    """300 listeners to a separation that waits hear of it, or are too many."""
    async with attacker.client() as client:
        for value in range(3, 6):  # the others wait for the first
            song = {"file": flac_of_one_value(600, value)}
            job = (await client.post("/v1/separations", files=song)).raise_for_status().json()
        await _held_open(attacker, 300, job["events_url"])


async def _held_open(attacker: Attacker, count: int, path: str, buffer: int = 0) -> None:
    async def hold() -> None:
        async with attacker.connected(buffer) as connection:
            await connection.send(attacker.request(f"GET {path}"))
            try:
                async with asyncio.timeout(_CONNECT):
                    status, headers = await connection.head()
                    problem = "" if status == 200 else json.loads(await connection.body(headers))["type"]
            except (ConnectionError, asyncio.IncompleteReadError):
                status, problem = _CLOSED, "closed"
            attacker.tally.add(f"{status} {problem}", status in (200, 429))
            if status == 200:
                await asyncio.sleep(attacker.deadline - time.monotonic())

    await asyncio.gather(*(hold() for _ in range(count)))


async def keyless_requests(attacker: Attacker) -> None:
    """A flood of requests for the schema, the page and unknown paths is answered."""
    paths = ("/openapi.json", "/", "/v1/nothing", "/.env", "/health/ready", "/metrics", "/v1/separations/x")
    methods = ("GET", "GET", "HEAD", "OPTIONS", "PUT", "BREW")
    pairs = itertools.product(paths, methods)
    requests = [request(f"{m} {path}") for path, m in pairs if m != "HEAD"]  # its answer has no body
    await attacker.flood(itertools.islice(itertools.cycle(requests), 30_000), _NO_FAULT)


async def wrong_keys(attacker: Attacker) -> None:
    """Wrong keys and tokens from the innocent's address and from thousands of others are refused."""
    await attacker.flood(_wrong_keys(), {401, 429}, senders=8)


async def wrong_keys_from_everywhere(attacker: Attacker) -> None:
    """Wrong keys from many addresses, a few from each, are refused."""
    chance = random.Random(0)  # noqa: S311  (no secret)

    def anywhere() -> str:
        return f"127.{chance.randrange(1, 255)}.{chance.randrange(255)}.{chance.randrange(1, 255)}"

    async def some() -> None:
        while not attacker.is_over():
            async with attacker.connected(source=anywhere()) as connection:
                for data in itertools.islice(_wrong_keys(), 5):
                    status, _ = await _ask(connection, data)
                    attacker.tally.add(status or "closed", status in (401, 429))

    await asyncio.gather(*(some() for _ in range(8)))


def _wrong_keys() -> Iterable[bytes]:
    for number in range(30_000):
        yield request("GET /v1/separations", X_API_KEY=f"{_SECRET}-{number}")
        token = f"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ7{number}In0.AAAA"
        yield request("GET /v1/limits", Authorization=f"Bearer {token}")
        yield request("GET /v1/models", X_API_KEY="\xff" * 300)
        yield request("GET /v1/models", Authorization="Basic AAAA")


async def fetches_that_are_left(attacker: Attacker) -> None:
    """560 fetches from a server that drips end with their clients, within a second."""
    dripping: dict[bytes, float | None] = {}
    left: dict[bytes, float] = {}

    async def drip(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split()[1]
        dripping[path] = None
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"a")
                await asyncio.wait_for(writer.drain(), 1)
                await asyncio.sleep(0.2)
        finally:
            dripping[path] = time.monotonic()

    async def fetch(number: int) -> None:
        await asyncio.sleep(number * _FETCH_SECONDS / 560)
        path = f"/{number}.wav"
        body = json.dumps({"source_url": f"http://127.0.0.1:{attacker.target.aside}{path}"}).encode()
        head = attacker.request(
            "POST /v1/separations", Content_Type="application/json", Content_Length=len(body)
        )
        async with attacker.connected() as connection:
            await connection.send(head + body)
            try:
                async with asyncio.timeout(1):
                    status, headers = await connection.head()
                    problem = json.loads(await connection.body(headers))["type"]
                attacker.tally.add(f"{status} {problem}", status in (422, 429))
            except TimeoutError:
                left[path.encode()] = time.monotonic()
            except (ConnectionError, asyncio.IncompleteReadError):
                attacker.tally.add("closed", held=False)

    async with attacker.server(drip):
        await asyncio.gather(*(fetch(number) for number in range(560)))
        await asyncio.sleep(1 + _AFTER)
        for path, at in left.items():
            ended = dripping.get(path, at)  # of some, the service did not get that far
            held = ended is not None and ended < at + 1 + _AFTER
            attacker.tally.add("ended" if held else "goes on", held)


async def greedy_tenant(attacker: Attacker) -> None:
    """A tenant uploads as much as it may, to be told at a receiver that never answers."""

    async def never(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(attacker.target.seconds)

    values = itertools.count(10)
    hook = {"callback_url": f"http://127.0.0.1:{attacker.target.aside}/"}
    async with attacker.server(never), attacker.client() as client:

        async def upload() -> None:
            while not attacker.is_over():
                value = next(values)
                song = flac_of_one_value(1200 if value % 2 else 2, value)
                answer = await client.post("/v1/separations", files={"file": song}, data=hook)
                attacker.tally.add(_named(answer), answer.status_code in (202, 429, 507))

        await asyncio.gather(*(upload() for _ in range(8)))


def _named(answer: httpx.Response) -> str:
    kind = answer.json().get("type", "") if "json" in answer.headers.get("Content-Type", "") else ""
    return f"{answer.status_code} {kind.removeprefix('/problems/')}".strip()


async def hostile_files(attacker: Attacker) -> None:
    """Files that cost their readers much are refused or become jobs that end, and none takes long."""
    made = {name: make() for name, make in FILES.items()}
    attacker.deadline = time.monotonic() + max(_FILE_SECONDS, attacker.target.seconds)
    turns = asyncio.Semaphore(6)
    async with attacker.client() as client:

        async def upload(name: str, data: bytes) -> None:
            async with turns:
                if attacker.is_over():
                    return
                answer = await client.post("/v1/separations", files={"file": (name, data)})
            held = answer.status_code in _NO_FAULT
            attacker.tally.add(_named(answer) if held else f"{name}: {_named(answer)}", held)

        await asyncio.gather(*(upload(*item) for item in made.items()))
        jobs: list[Mapping[str, Any]] = []
        while not attacker.is_over() and not (jobs and all(job["state"] in FINAL for job in jobs)):
            await asyncio.sleep(0.5)
            answer = await client.get("/v1/separations", params={"limit": "100"})
            jobs = answer.json()["items"] if answer.is_success else jobs
    for job in jobs:
        if job["state"] in FINAL and is_fault(job):
            attacker.tally.wrong[f"{job['input']['name']}: {job['error']}"] += 1


async def uploads_that_hang_up(attacker: Attacker) -> None:
    """Uploads whose clients leave in the middle, or before the answer, leave no file behind."""
    chance = random.Random(0)  # noqa: S311  (no secret)
    songs = [make() for name, make in FILES.items() if name in ("ten hours.flac", "hours.aac", "cover.flac")]
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    async def upload() -> None:
        body = part + chance.choice(songs) + b"\r\n--b--\r\n"
        whole = chance.random() < 0.5
        head = attacker.request(
            "POST /v1/separations",
            Content_Type="multipart/form-data; boundary=b",
            Content_Length=len(body),
        )
        async with attacker.connected() as connection:
            with contextlib.suppress(ConnectionError):
                await connection.send(head + (body if whole else body[: chance.randrange(len(body))]))
                await asyncio.sleep(chance.random() / 5)

    async def uploads() -> None:
        while not attacker.is_over():
            await upload()
            attacker.tally.add("left", held=True)

    await asyncio.gather(*(uploads() for _ in range(6)))
    spool = Path(attacker.target.folder, "data", "spool")
    behind = {path.name for path in spool.iterdir()}
    await asyncio.sleep(1 + _AFTER)
    for _ in behind & {path.name for path in spool.iterdir()}:
        attacker.tally.held -= 1
        attacker.tally.wrong["file left behind"] += 1


async def large_headers(attacker: Attacker) -> None:
    """Headers above 64 KiB are refused as such."""
    size = (64 << 10) + 1000
    heads = (
        request("GET /v1/models", X_A="a" * size),
        request("GET /v1/models", **{f"X_{number}": "a" * 100 for number in range(size // 100)}),
        request(f"GET /{'a' * size}"),
        request(f"GET /v1/models?{'a=b&' * (size // 4)}"),
        request("GET /v1/models", Authorization=f"Bearer {'a' * size}"),
        request("GET /v1/models", Cookie="a=b; " * (size // 5)),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (size // 6) + b"\r\n",
    )
    for head in itertools.islice(itertools.cycle(heads), 300):
        if attacker.is_over():
            return
        async with attacker.connected() as connection:
            status, _ = await _ask(connection, head)
        attacker.tally.add(status or "closed", status == 431)


async def hostile_ranges(attacker: Attacker) -> None:
    """Ranges that are long, many, reversed or endless get the file, a part of it, or 416."""
    job = await attacker.separation(3)
    stem = job["stems"][0]["url"]
    many = ",".join(f"{number}-{number + 1}" for number in range(5000))
    ranges = (
        f"bytes={many}", "bytes=" + "0-," * 9000, "bytes=-1", "bytes=5-2", f"bytes={'9' * 30_000}-",
        f"bytes=0-{'9' * 30_000}", "bytes=-0", "bytes=--1", "bytes=a-b", "lines=1-2", "bytes=0-0,-1",
        "bytes =\t 1-", "bytes=" + " " * 30_000 + "1-2", "bytes=18446744073709551616-", "\xff=\xff-\xff",
    )  # fmt: skip
    tags = ("*", '"' + "a" * 30_000 + '"', 'W/"",' * 9000, "Tue, 01 Jan 2999 00:00:00 GMT", '"\\"')
    requests = [attacker.request(f"GET {stem}", Range=one) for one in ranges]
    requests += [attacker.request(f"GET {stem}", Range="bytes=0-9", If_Range=tag) for tag in tags]
    requests += [attacker.request(f"GET {stem}", If_None_Match=tag) for tag in tags]
    await attacker.flood(requests * 20, {200, 206, 304, 416, 429}, senders=8)


async def hostile_forms(attacker: Attacker) -> None:
    """Forms that are damaged in eight ways are refused or accepted."""
    song = flac_of_one_value(2, 7)
    forms = damaged_forms(song, 500, 1)
    requests = (
        attacker.request("POST /v1/separations", Content_Type=kind, Content_Length=len(body)) + body
        for _, kind, body in forms
    )
    await attacker.flood(requests, _NO_FAULT, senders=8)


async def inner_addresses(attacker: Attacker) -> None:
    """82 addresses inside the service's network are refused, also behind redirections."""
    own = f"http://127.0.0.1:{attacker.target.aside}"

    async def redirect(head: bytes, writer: asyncio.StreamWriter) -> None:
        target = REDIRECTIONS[int(head.split()[1].strip(b"/"))]
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    urls = [*INNER_ADDRESSES, *(f"{own}/{number}" for number in range(len(REDIRECTIONS)))]
    async with attacker.server(redirect), attacker.client() as client:
        for number, url in enumerate(urls):
            answer = await client.post("/v1/separations", json={"source_url": url})
            held = _named(answer) in ("422 forbidden-address", "422 invalid-fields")
            shown = REDIRECTIONS[number - len(INNER_ADDRESSES)] if url.startswith(own) else url
            attacker.tally.add(_named(answer) if held else f"{shown}: {_named(answer)}", held)


async def kills(attacker: Attacker, part: str) -> None:
    """A process that is killed comes back."""
    folder = Path(attacker.target.folder)
    before = _processes(folder, part)
    for victim in [*before][: None if part == "probe_child" else 1]:  # that of each API process
        os.kill(victim.pid, signal.SIGKILL)
    while not (now := _processes(folder, part) - before) and not attacker.is_over():
        await asyncio.sleep(0.1)
    await asyncio.sleep(max(0, attacker.deadline - time.monotonic()))
    attacker.tally.add("came back" if now else "stayed away", bool(before and now))


def _processes(folder: Path, part: str) -> set[Process]:
    if part == "postgres":
        pids = [int(record.read_text().split()[0]) for record in folder.rglob("postmaster.pid")]
    else:
        pids = [pid for pid, words in mentioning(folder) if part in words]
    if part == "gunicorn":
        pids = [pid for pid in pids if any(child.pid in pids for child in children(pid))]
    if part == "api":
        first = _processes(folder, "gunicorn")
        pids += [child.pid for one in first for child in children(one.pid)]
    return {found for pid in pids if (found := process(pid))}


async def stopped_inference(attacker: Attacker) -> None:
    """An inference process that is stopped is replaced."""
    victims = _processes(Path(attacker.target.folder), "inference_child")
    for victim in victims:
        os.kill(victim.pid, signal.SIGSTOP)
    attacker.deadline += 40  # a step may take 30 s
    while any(victim.alive for victim in victims) and not attacker.is_over():
        await asyncio.sleep(0.2)
    for victim in victims:
        attacker.tally.add("still there" if victim.alive else "replaced", not victim.alive)


async def stopped_scanner(attacker: Attacker) -> None:
    """While the scanner answers nothing, no song is accepted; afterwards, songs are, within 30 s."""
    scanner = attacker.target.scanner
    assert scanner is not None
    os.kill(scanner, signal.SIGSTOP)
    async with attacker.client() as client:
        try:
            waiting = [asyncio.create_task(_submit(client)) for _ in range(4)]
            await asyncio.sleep(attacker.target.seconds)
        finally:
            os.kill(scanner, signal.SIGCONT)
        for answer in await asyncio.gather(*waiting):
            attacker.tally.add(_named(answer), answer.status_code in (202, 503))
        attacker.deadline = time.monotonic() + _HEALED
        while (answer := await _submit(client)).status_code != 202 and not attacker.is_over():
            await asyncio.sleep(0.2)
        attacker.tally.add(f"{answer.status_code} afterwards", answer.status_code == 202)


async def _submit(client: httpx.AsyncClient) -> httpx.Response:
    song = flac_of_one_value(2, random.randrange(1000, 30_000))  # noqa: S311  (no secret)
    return await client.post("/v1/separations", files={"file": song})


async def full_disk(attacker: Attacker) -> None:
    """While the disk is full, songs get 507, and stems and deletions go on; then all heals within 30 s."""
    disk = SmallDisk(Path(attacker.target.folder, "data"), mounted=True)
    jobs = [await attacker.separation(seconds) for seconds in (2, 3, 5)]
    tally = attacker.tally
    async with attacker.client() as client:
        for fill in (disk.fill, disk.use_up_inodes):
            with contextlib.suppress(OSError):  # something else has taken the last bytes
                fill()
            filled = time.monotonic()
            attacker.deadline = filled + attacker.target.seconds / 2
            while not attacker.is_over():
                answer = await _submit(client)
                tally.add(_named(answer), answer.status_code == 507 and "Retry-After" in answer.headers)
                stem = jobs[0]["stems"][0]
                answer = await client.get(stem["url"])
                # It was full at once, so PostgreSQL lacks space until the supervisor gives it its reserve.
                early = answer.status_code == 507 and time.monotonic() < filled + _AFTER
                tally.add(f"{answer.status_code} stem", early or len(answer.content) == stem["size"])
                await asyncio.sleep(0.2)
            answer = await client.delete(jobs.pop()["url"])
            tally.add(f"{answer.status_code} deletion", answer.status_code == 204)
            disk.free()
            attacker.deadline = time.monotonic() + _HEALED
            while (answer := await _submit(client)).status_code != 202 and not attacker.is_over():
                await asyncio.sleep(0.2)
            tally.add(f"{answer.status_code} afterwards", answer.status_code == 202)


ATTACKS: Mapping[str, Callable[[Attacker], Awaitable[None]]] = {
    "idle-connections": idle_connections,
    "slow-headers": slow_headers,
    "slow-bodies": slow_bodies,
    "slow-readers": slow_readers,
    "event-streams": event_streams,
    "keyless-requests": keyless_requests,
    "wrong-keys": wrong_keys,
    "wrong-keys-everywhere": wrong_keys_from_everywhere,
    "inner-addresses": inner_addresses,
    "fetches": fetches_that_are_left,
    "greedy-tenant": greedy_tenant,
    "hostile-files": hostile_files,
    "hang-ups": uploads_that_hang_up,
    "large-headers": large_headers,
    "hostile-ranges": hostile_ranges,
    "hostile-forms": hostile_forms,
    **{
        f"kill-{name}": partial(kills, part=part)
        for name, part in (
            ("api", "api"), ("gunicorn", "gunicorn"), ("worker", "worker"), ("inference", "inference_child"),
            ("inspector", "probe_child"), ("database", "postgres"),
        )
    },
    "stop-inference": stopped_inference,
    "stop-scanner": stopped_scanner,
    "full-disk": full_disk,
}  # fmt: skip


async def _main() -> None:
    target = Target(**json.load(sys.stdin))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacker = Attacker(target)
    print(flush=True)
    await ATTACKS[sys.argv[1]](attacker)
    print(json.dumps(vars(attacker.tally)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
