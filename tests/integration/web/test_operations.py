"""Operators see health and metrics, also during outages."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.access.keys import ApiKeys, parse_configured
from spleeter_microservice.antivirus.clamd import Clamd, Timeouts
from spleeter_microservice.database.connection import Database, PatientConnection
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.jobs.disk_space import DiskSpace
from spleeter_microservice.web import health
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.memory_access import MemoryKeyStore
from tests.support.small_disk import descendants
from tests.support.waiting import eventually
from tests.support.web_service import Player, WorkerRegistry, build_services, served, song

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every request run new checks."""
    monkeypatch.setattr(health, "_CACHED_SECONDS", 0.0)


def part(answer: httpx.Response, name: str) -> str:
    state = answer.json()["parts"][name]["state"]
    assert isinstance(state, str)
    return state


async def test_a_process_that_responds_is_alive(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_readiness_reports_each_part(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "parts": {
            "database": {"state": "ok", "count": None},
            "storage": {"state": "ok", "count": None},
            "disk": {"state": "ok", "count": None},
            "antivirus": {"state": "off", "count": None},
            "workers": {"state": "ok", "count": 1},
        },
        "warnings": [],
    }


async def test_the_health_warns_of_a_guessable_key_without_showing_it(
    database: Database, tmp_path: Path
) -> None:
    keys = ApiKeys(MemoryKeyStore(), parse_configured("supersecret"))
    services = build_services(database, tmp_path, keys=keys)
    async with served(create_app(services)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/health")
    assert "Key 1 in SPLEETER_API_KEY has only 11 characters" in answer.json()["warnings"][0]
    assert "supersecret" not in answer.text


async def test_songs_are_refused_below_the_floor_of_free_space(database: Database, tmp_path: Path) -> None:
    services = build_services(database, tmp_path, space=DiskSpace({"spool": tmp_path}, floor=1 << 60))
    key, _ = await services.keys.create("ann")
    async with (
        served(create_app(services)) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}) as client,
    ):
        for path in ("/v1/separations", "/separate"):
            answer = await client.post(path, files={"file": ("a.wav", song())})
            assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
            assert int(answer.headers["Retry-After"]) > 0
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["parts"]["disk"]["state"]) == (503, "unavailable")
        serving = await client.get("/health/serving")
        assert (serving.status_code, serving.json()) == (200, ready.json() | {"status": "serving"})
        metrics = (await client.get("/metrics")).text
    assert 'spleeter_disk_short{folder="spool"} 1.0' in metrics
    assert value(metrics, 'spleeter_uploads_rejected_total{reason="disk-full"}') >= 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_the_service_is_not_ready_without_a_checked_worker(
    stranger: httpx.AsyncClient, fleet: WorkerRegistry
) -> None:
    fleet.live = 0
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, part(answer, "workers")) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert (await stranger.get("/health/live")).status_code == 200
    fleet.live = 2
    assert (await stranger.get("/health/ready")).json()["parts"]["workers"]["count"] == 2


async def test_an_outage_of_the_object_store_and_its_end_are_reported(
    stranger: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, part(answer, "storage")) == (503, "unavailable")
    assert str(tmp_path) not in answer.text
    (tmp_path / "elsewhere").rename(tmp_path / "objects")
    assert (await stranger.get("/health/ready")).status_code == 200


async def test_an_unavailable_scanner_is_reported(database: Database, tmp_path: Path) -> None:
    absent = Clamd.from_url(f"unix://{tmp_path}/nobody.sock", Timeouts(1, 1, 1))
    services = build_services(database, tmp_path, scanner=absent)
    async with served(create_app(services)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/health/ready")
    assert (answer.status_code, part(answer, "antivirus")) == (503, "unavailable")
    assert "nobody" not in answer.text


async def test_a_hanging_part_does_not_hang_the_response(
    stranger: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "_TIMEOUT", 0.2)
    monkeypatch.setattr(services.storage, "check", hang)
    answer = await stranger.get("/health/ready")
    assert (answer.status_code, part(answer, "storage")) == (503, "unavailable")


async def test_concurrent_requests_share_one_check(
    stranger: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = [], asyncio.Event()

    async def check() -> None:
        asked.append(1)
        await answered.wait()

    monkeypatch.setattr(health, "_CACHED_SECONDS", 60.0)
    monkeypatch.setattr(services.storage, "check", check)
    asking = [asyncio.create_task(stranger.get("/health/ready")) for _ in range(20)]
    await eventually(lambda: asked)
    answered.set()
    answers = await asyncio.gather(*asking)
    assert {answer.status_code for answer in answers} == {200}
    assert len(asked) == 1


def value(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_the_metrics_count_queued_and_running_jobs(
    stranger: httpx.AsyncClient, ann: httpx.AsyncClient, player: Player
) -> None:
    for number in range(3):
        await ann.post("/v1/separations", files={"file": ("a.wav", song(2, seed=number))})
    await player.claim()
    answer = await stranger.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert value(answer.text, "spleeter_queue_depth") == 2
    assert value(answer.text, "spleeter_current_jobs") == 1
    assert value(answer.text, "spleeter_queue_audio_seconds") == pytest.approx(4)
    assert value(answer.text, "spleeter_queue_oldest_seconds") > 0
    created = 'spleeter_requests_total{method="POST",route="/v1/separations",status="202"}'
    assert value(answer.text, created) >= 3


class Outage:
    """A PostgreSQL that can be away, and services that use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = EmbeddedPostgres(folder)
        self.start()
        migrate(self.url)

    @property
    def url(self) -> str:
        return self._server.url

    def begin(self, kind: str) -> None:
        """Stop the server, or let it accept connections and answer nothing."""
        if kind == "stopped":
            self.stop()
        else:
            self._signal(signal.SIGSTOP)

    def end(self, kind: str) -> None:
        if kind == "stopped":
            self.start()
        else:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        main = int((self._server.cluster / "postmaster.pid").read_text().split()[0])
        for pid in (main, *descendants(main)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def start(self) -> None:
        self._server = EmbeddedPostgres(self._folder)
        self._server.start()

    def stop(self) -> None:
        self._signal(signal.SIGCONT)  # in case a test failed in between
        self._server.stop()


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    server = Outage(tmp_path_factory.mktemp("outage"))
    yield server
    server.stop()


@pytest_asyncio.fixture
async def unsteady(outage: Outage, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Database]]:
    async with Database(outage.url, timeout=60) as database:
        services = build_services(database, tmp_path)
        key, _ = await services.keys.create("ann")
        async with (
            served(create_app(services)) as url,
            httpx.AsyncClient(base_url=url, timeout=None, headers={"X-API-KEY": key}) as client,
        ):
            yield client, database


@pytest.mark.parametrize("kind", ["stopped", "frozen"])
async def test_a_database_outage_is_reported_everywhere_and_recovered_from(
    outage: Outage,
    unsteady: tuple[httpx.AsyncClient, Database],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    client, database = unsteady
    upload: dict[str, Any] = {"files": {"file": ("a.wav", song())}}
    path = (await client.post("/v1/separations", **upload)).headers["location"]
    monkeypatch.setattr(PatientConnection, "patience", 0.5)
    monkeypatch.setattr(database.pool, "timeout", 0.5)
    monkeypatch.setattr(health, "_TIMEOUT", 0.5)
    outage.begin(kind)
    for answer in (
        await client.get(path),
        await client.get("/v1/separations"),
        await client.post("/v1/separations", **upload),
        await client.delete(path),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
        assert answer.headers["retry-after"] == "5"
        assert outage.url.partition("?")[2] not in answer.text
    assert part(await client.get("/health/ready"), "database") == "unavailable"
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/serving")).status_code == 503
    metrics = await client.get("/metrics")
    assert metrics.status_code == 200
    assert "spleeter_queue_depth NaN" in metrics.text
    outage.end(kind)
    monkeypatch.undo()

    async def ready() -> bool:
        return (await client.get("/health/ready")).status_code == 200

    await eventually(ready)
    assert (await client.get(path)).json()["state"] == "queued"
    assert (await client.post("/v1/separations", **upload)).status_code == 202
