"""A real Prometheus fires each alert about the real service when it should, and none while all is well."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import psycopg
import pytest
import pytest_asyncio
import yaml

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.job import Job, JobOptions
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.databases import PostgresServer
from tests.support.job_samples import new_job
from tests.support.service import Service, free_port, running
from tests.support.waiting import eventually, still

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
ALERTS = {rule["alert"] for rule in yaml.safe_load(RULES)["groups"][0]["rules"]}
SLOW_SECONDS = 31.0  # longer than the separations that SpleeterSlowSeparation ignores


def hastened(rules: str) -> str:
    """Return the rules with seconds in place of minutes, and without a wait before they fire."""
    rules = re.sub(r"for: \d+m", "for: 0s", rules).replace("[15m]", "[60s]")
    return re.sub(r"\[\d+m\]", "[6s]", rules)


class Prometheus:
    """A server that scrapes some ports of this machine and evaluates the alerts.

    Args:
        folder: a new folder for its files.
        targets: the ports to scrape.
    """

    def __init__(self, folder: Path, *targets: int) -> None:
        self._folder = folder
        self._targets = [f"127.0.0.1:{port}" for port in targets]
        self._process: subprocess.Popen[bytes] | None = None
        self._address = f"127.0.0.1:{free_port()}"
        self._client = httpx.Client(base_url=f"http://{self._address}", trust_env=False)

    def __enter__(self) -> Self:
        program = shutil.which("prometheus") or pytest.fail("Prometheus is not installed: make components")
        self._folder.mkdir()
        (self._folder / "alerts.yml").write_text(hastened(RULES))
        self.scrape_every(0.5)
        switches = {
            "web.listen-address": self._address,
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
        }
        command = [program, *(f"--{name}={value}" for name, value in switches.items())]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._client.close()

    def scrape_every(self, seconds: float) -> None:
        """Change the interval between scrapes, which is also the time that each may take."""
        configuration = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
        times = dict.fromkeys(("scrape_interval", "scrape_timeout"), f"{round(1000 * seconds)}ms")
        configuration["global"] = times | {"evaluation_interval": "500ms"}
        configuration["scrape_configs"][0]["static_configs"] = [{"targets": self._targets}]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    async def firing(self) -> dict[str, set[str]]:
        """Return what the alerts that fire now say, by their names; asked five times a second at most."""
        await asyncio.sleep(0.2)
        try:
            alerts = self._client.get("/api/v1/alerts").json()["data"]["alerts"]
        except httpx.TransportError:
            return {"": {"Prometheus is starting."}}
        found: dict[str, set[str]] = {}
        for alert in alerts:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], set()).add(alert["annotations"]["summary"])
        return found


@dataclass
class Fleet:
    """An API whose scanner is away, a worker, and Prometheus; jobs are created in the database."""

    api: Service
    worker: Service
    alerts: Prometheus
    postgres: PostgresServer
    url: str
    repository: JobRepository
    objects: Path

    async def create(self, seconds: float = 1.0, *, song: bool = True) -> Job:
        """Create a job, with its song or without."""
        new = new_job(tenant="default", audio_seconds=seconds, options=JobOptions(stems=2))
        if song:
            path = self.objects / new.input_key
            path.parent.mkdir(parents=True)
            encode_kind(path, noise(round(seconds * RATE)), "s16.wav")
        return (await self.repository.create(new)).job

    async def ended(self, job: Job) -> str:
        """Wait for the end of a job, and return its state."""
        return str(self.api.wait_for(str(job.id))["state"])

    async def kill_until(self, name: str) -> bool:
        """Kill the inference process, which the next attempt starts again; return whether an alert fires."""
        for child in self.worker.pids("inference_child"):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return name in await self.alerts.firing()

    async def fires(self, name: str) -> None:
        """Wait until an alert fires."""
        await eventually(lambda: self._fires(name))

    async def says(self, summary: str) -> bool:
        """Return whether an alert that fires says this."""
        return any(summary in summaries for summaries in (await self.alerts.firing()).values())

    async def _fires(self, name: str) -> bool:
        return name in await self.alerts.firing()

    async def is_quiet(self) -> bool:
        return not await self.alerts.firing()

    def end_connections(self) -> None:
        """Close the database to everybody, as if it were away."""
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            name = self.url.rpartition("/")[2].partition("?")[0]
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    def raise_floor(self) -> None:
        """Start the API again with a floor above the free space."""
        self.api.stop(signal.SIGKILL)
        self.api.start(SPLEETER_MIN_FREE_MB="1000000000")

    async def quiet(self) -> None:
        """Wait until no alert fires."""
        await eventually(self.is_quiet)


@pytest_asyncio.fixture
async def fleet(postgres: PostgresServer, tmp_path: Path, model_settings: Settings) -> AsyncIterator[Fleet]:
    objects, metrics = tmp_path / "objects", free_port()
    models = model_settings.models_dir
    with postgres.database(postgres.template) as name:
        url = postgres.url_of(name)
        shared = {"SPLEETER_DATABASE_URL": url, "SPLEETER_STORAGE_URL": str(objects)}
        away = {"SPLEETER_ANTIVIRUS": "required", "SPLEETER_CLAMD_URL": f"tcp://127.0.0.1:{free_port()}"}
        scraped = {"SPLEETER_METRICS_PORT": str(metrics)}
        with (
            running(tmp_path / "api", models, "api", shared | away, ready=False) as api,
            running(tmp_path / "worker", models, "worker", shared | scraped, ready=False) as worker,
            Prometheus(tmp_path / "prometheus", api.port, metrics) as alerts,
        ):
            async with Database(url, timeout=60) as database:
                repository = JobRepository(database)
                worker.wait_for_log("self-check passed")
                yield Fleet(api, worker, alerts, postgres, url, repository, objects)


async def crawl(pid: int) -> None:
    """Run a stopped process briefly every few seconds: it gets nowhere, but does not count as stalled."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(4)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.05)


async def test_every_alert_fires_when_it_should_and_not_before(fleet: Fleet) -> None:
    alerts, checked = fleet.alerts, {"SpleeterRestarts"}

    async def fires(name: str) -> None:
        await fleet.fires(name)
        checked.add(name)

    for _ in range(3):  # short clips are slow for their length, which is no reason for an alert
        assert await fleet.ended(await fleet.create()) == "succeeded"
    await fleet.ended(await fleet.create(song=False))  # the first failure of all makes the counter exist
    await fleet.quiet()
    await still(fleet.is_quiet, seconds=2)

    (child,) = fleet.worker.pids("inference_child")  # it crawls while other things go wrong
    slow = await fleet.create(40.0)
    await eventually(lambda: fleet.api.job(str(slow.id))["state"] == "running")
    crawling, begun = asyncio.create_task(crawl(child)), time.monotonic()

    waiting = await fleet.create()  # while no worker is free
    with psycopg.connect(fleet.url) as connection:
        connection.execute(
            "UPDATE spleeter_jobs SET created_at = now() - interval '20 min' WHERE state = 'queued'"
        )
    await fires("SpleeterQueueTooOld")

    for _ in range(3):
        answer = fleet.api.client.post("/v1/separations", files={"file": ("song.wav", b"RIFF")})
        assert answer.status_code == 503
        time.sleep(0.5)
    await fires("SpleeterScannerFails")
    await fires("SpleeterErrors")

    with psycopg.connect(fleet.url) as connection:
        connection.execute("LOCK TABLE spleeter_jobs IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(asyncio.to_thread(fleet.api.job, str(slow.id)))
        await asyncio.sleep(1.2)
        connection.rollback()
        await asking
    await fires("SpleeterSlowAnswers")

    await asyncio.sleep(max(0.0, SLOW_SECONDS - (time.monotonic() - begun)))
    assert fleet.api.client.delete(f"/v1/separations/{waiting.id}").is_success
    crawling.cancel()
    os.kill(child, signal.SIGCONT)
    await fires("SpleeterSlowSeparation")
    assert await fleet.ended(slow) == "succeeded"

    for _ in range(3):
        await fleet.ended(await fleet.create(song=False))
    await fires("SpleeterJobsFail")

    for _ in range(8):
        await fleet.create()
    await eventually(lambda: fleet.kill_until("SpleeterRestarts"))

    fleet.raise_floor()
    await fires("SpleeterDiskFull")

    fleet.worker.stop(signal.SIGKILL)
    await fires("SpleeterDown")  # one process of the fleet
    await fleet.create()
    await fires("SpleeterNoReadyWorker")

    alerts.scrape_every(4.0)  # the API tries to reach the database for three seconds
    fleet.end_connections()
    await fires("SpleeterDatabaseAway")

    fleet.api.stop(signal.SIGKILL)
    await eventually(lambda: fleet.says("Prometheus cannot reach any API of spleeter-microservice."))
    assert checked == ALERTS
