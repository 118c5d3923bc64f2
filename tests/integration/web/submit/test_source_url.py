"""The service fetches songs from URLs if the operator allows it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from spleeter_microservice.antivirus.scan import ScannerPlugin
from spleeter_microservice.database.connection import Database
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.sandbox.prober import AudioFacts
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.audit import audited
from tests.support.http_servers import Answer, Handler, content, redirect, serving, stall, status
from tests.support.logs import logged
from tests.support.raw_http import connected, request
from tests.support.waiting import eventually
from tests.support.web_service import ALL, WavProber, WorkerRegistry, build_services, served, song

pytestmark = pytest.mark.asyncio

LIMIT = 20_000  # bytes


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    policy = UrlPolicy(ports=frozenset(range(1, 65536)), inner=(InnerTarget(ip_network("127.0.0.1")),))
    plain = build_services(database, tmp_path, fleet, outgoing=Outgoing(policy), url_policy=policy)
    return replace(plain, config=replace(plain.config, max_file_bytes=LIMIT))


def files(folder: Path) -> list[str]:
    return [
        path.name for name in ("spool", "objects") for path in (folder / name).rglob("*") if path.is_file()
    ]


async def ask(client: httpx.AsyncClient, url: str, **options: Any) -> httpx.Response:
    return await client.post("/v1/separations", json={"source_url": url} | options)


async def test_a_song_is_fetched_and_separated_as_if_sent(ann: httpx.AsyncClient, services: Services) -> None:
    with serving(content(song())) as server:
        answer = await ask(ann, f"{server.url}/music/song.wav?signature=1", stems=4)
    assert answer.status_code == 202, answer.text
    assert answer.json()["input"]["name"] == "song.wav"
    assert answer.json()["options"]["stems"] == 4
    entries = audited(services.database.url)
    assert [entry["action"] for entry in entries] == ["source.fetched", "job.created"]
    assert "signature" not in entries[0]["details"]["url"]


@pytest.mark.parametrize("step", ["fetch", "scan", "probe"])
async def test_work_stops_when_its_client_leaves(services: Services, tmp_path: Path, step: str) -> None:
    entered, left = Event(), Event()

    async def hang(*_: object) -> AudioFacts:
        entered.set()
        try:
            return await asyncio.Future()
        finally:
            left.set()

    prober = WavProber()
    prober.probe = hang  # type: ignore[assignment]
    scanner = ScannerPlugin(hang) if step == "scan" else None  # type: ignore[arg-type]
    services = replace(services, prober=prober, scanner=scanner)
    key, _ = await services.keys.create("ann", ALL)
    server = serving(stall(song(), left) if step == "fetch" else content(song()))
    with server as origin, logged("info") as log:
        async with (
            served(create_app(services)) as url,
            httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}, timeout=None) as client,
        ):
            asking = asyncio.create_task(ask(client, f"{origin.url}/a.wav"))
            await eventually(lambda: files(tmp_path) and (step == "fetch" or entered.is_set()))
            asking.cancel()
            await eventually(lambda: not files(tmp_path))
            assert left.is_set() == (step != "fetch")
            left.set()
            await eventually(lambda: '"status": 499' in log.getvalue())


async def test_the_name_comes_from_the_final_url(ann: httpx.AsyncClient) -> None:
    with serving(redirect("/songs/S%C3%BC%C3%9F.wav"), content(song())) as server:
        answer = await ask(ann, f"{server.url}/download")
    assert answer.json()["input"]["name"] == "Süß.wav"


async def test_the_name_is_what_the_server_calls_the_file(ann: httpx.AsyncClient) -> None:
    def attachment(request: Handler) -> None:
        request.send_response(200)
        request.send_header(
            "Content-Disposition", "attachment; filename=\"S.wav\"; filename*=UTF-8''S%C3%BC%C3%9F.wav"
        )
        request.end_headers()
        request.wfile.write(song())

    with serving(attachment, content(song(seed=1))) as server:
        names = [(await ask(ann, f"{server.url}/get.php?id={id_}")).json()["input"]["name"] for id_ in "12"]
    assert names == ["Süß.wav", "get.php"]


async def test_the_same_key_and_url_return_the_same_separation(ann: httpx.AsyncClient) -> None:
    with serving(content(song()), content(song(seed=1))) as server:
        body = {"source_url": f"{server.url}/song.wav"}
        first, again = [
            await ann.post("/v1/separations", json=body, headers={"Idempotency-Key": "1"}) for _ in range(2)
        ]
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("answers", "path", "code", "kind"),
    [
        ([status(404)], "/song.wav", 422, "unreachable-source"),
        ([status(500)], "/song.wav", 422, "unreachable-source"),
        ([content(bytes(LIMIT + 1))], "/song.wav", 413, "too-large"),
        ([content(song(), break_at=100)], "/song.wav", 422, "unreachable-source"),
        ([content(b"<html>" * 20)], "/song.wav", 415, "not-audio"),
        ([content(b"")], "/song.wav", 422, "empty-file"),
        ([redirect("http://10.0.0.1/song.wav")], "/song.wav", 422, "forbidden-address"),
        ([redirect("/song.wav")], "/song.wav", 422, "unreachable-source"),
    ],
)
async def test_what_cannot_be_fetched_is_refused(
    ann: httpx.AsyncClient, tmp_path: Path, answers: list[Answer], path: str, code: int, kind: str
) -> None:
    with serving(*answers) as server:
        answer = await ask(ann, f"{server.url}{path}")
    assert (answer.status_code, answer.json()["type"]) == (code, f"/problems/{kind}")
    assert "127.0.0.1" not in answer.text
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/a.wav",
        "http://169.254.169.254/a.wav",
        "ftp://a.example/a.wav",
        "file:///etc/passwd",
        "x",
    ],
)
async def test_forbidden_urls_are_refused(ann: httpx.AsyncClient, url: str) -> None:
    answer = await ask(ann, url)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/forbidden-address")


async def test_a_file_together_with_a_url_is_refused(ann: httpx.AsyncClient) -> None:
    answer = await ann.post(
        "/v1/separations", files={"file": ("a.wav", song())}, data={"source_url": "http://a.example/a.wav"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "source_url")


async def test_nothing_is_fetched_unless_the_operator_allows_it(
    ann: httpx.AsyncClient, services: Services
) -> None:
    object.__setattr__(services, "outgoing", None)
    with serving(content(song())) as server:
        answer = await ask(ann, f"{server.url}/song.wav")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "source_url")
        assert server.requests == []


async def test_a_stop_tells_the_clients_of_uploads_and_fetches_and_logs_a_line_each(
    services: Services, tmp_path: Path
) -> None:
    key, _ = await services.keys.create("ann", ALL)
    with logged("info") as log, serving(stall(song(), released := Event())) as server:
        async with AsyncExitStack() as stack:
            async with served(create_app(services)) as url:
                fetch = json.dumps({"source_url": f"{server.url}/a.wav"}).encode()
                upload = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
                clients = []
                for kind, length, body in (
                    ("application/json", len(fetch), fetch),
                    ("multipart/form-data; boundary=x", 1000, upload),
                ):
                    clients.append(await stack.enter_async_context(connected(url)))
                    head = request(
                        "POST /v1/separations", X_API_KEY=key, Content_Type=kind, Content_Length=length
                    )
                    await clients[-1].send(head + body)
                await eventually(lambda: len(files(tmp_path)) == 2)
            for client in clients:
                status, headers, body = await client.answer()
                assert (status, headers["retry-after"]) == (503, "5")
                assert b"/problems/stopping" in body
        released.set()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [503, 503]
    assert not any("exception" in line for line in lines)
    assert not files(tmp_path)
