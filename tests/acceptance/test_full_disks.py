"""Whichever disk is full, no process ends, what can go on goes on, and all heals once there is space."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.service import Service, running
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

MEGABYTES = {"metrics": 1, "spool": 4, "work": 8, "objects": 8, "postgres": 180, "logs": 2}
HEALED_SECONDS = 30.0
LIMIT = 20 << 20  # bytes of a file, where no disk may be mounted; PostgreSQL's files are smaller


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SmallDisk]]:
    folder = tmp_path_factory.mktemp("full")
    with ExitStack() as stack:
        disks = {
            name: stack.enter_context(small_disk(folder / name, size)) for name, size in MEGABYTES.items()
        }
        # Where none may be mounted, a limit on files stands for the disk of uploads.
        yield {name: disk for name, disk in disks.items() if disk.mounted or name == "spool"}


@pytest.fixture(scope="module")
def service(disks: dict[str, SmallDisk], model_settings: Settings) -> Iterator[Service]:
    folder = disks["spool"].folder.parent
    (folder / "log").symlink_to(folder / "logs" / "log")
    with running(folder, model_settings.models_dir) as service:
        yield service


@pytest.fixture(scope="module")
def kept(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song that has been separated, so that its stems are there at once."""
    path = song(tmp_path_factory.mktemp("songs"), 1)
    service.wait_for(service.submit(path)["id"])
    return path


def song(folder: Path, seed: int) -> Path:
    path = folder / f"{seed}.wav"
    encode_kind(path, noise(RATE, seed=seed), "s16.wav")
    return path


@contextmanager
def full(service: Service, *disks: SmallDisk, inodes: bool = False) -> Iterator[None]:
    """Fill disks until the service has noticed; free them at the end, and wait until it is ready again."""
    try:
        for disk in disks:
            if inodes:
                disk.use_up_inodes()
            else:
                disk.fill(0 if disk.mounted else LIMIT)
        if disk.mounted:
            service.wait_until_ready(503)
        yield
    finally:
        for disk in disks:
            disk.free()
    service.wait_until_ready(within=HEALED_SECONDS)


def processes(service: Service) -> dict[str, Any]:
    return {
        name: service.pids(name) for name in ("api", "worker", "inference_child", "probe_child", "postgres")
    }


def require_refusal(service: Service, disk: SmallDisk) -> None:
    body = bytes(1 if disk.mounted else LIMIT + 1)
    answer = service.client.post("/v1/separations", files={"file": ("song.wav", body)})
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def test_a_full_disk_stops_new_work_only(service: Service, disks: dict[str, SmallDisk], kept: Path) -> None:
    client, before = service.client, processes(service)
    for name, disk in disks.items():
        for inodes in (False, True)[: 1 + disk.mounted]:
            job = service.submit(kept)
            stem = job["stems"][0]
            with full(service, disk, inodes=inodes):
                require_refusal(service, disk)
                if disk.mounted:
                    assert client.get("/health/ready").json()["parts"]["disk"]["state"] == "unavailable"
                    assert f'spleeter_disk_short{{folder="{name}"}} 1.0' in client.get("/metrics").text
                for _ in range(20):  # each is recorded in the database
                    assert len(client.get(stem["url"]).content) == stem["size"]
                assert client.delete(job["url"]).status_code == 204
                assert client.get(job["url"]).status_code == 404
    service.submit(kept)
    assert processes(service) == before
    assert "process exited" not in service.log.read_text()


def test_a_job_waits_for_space_and_ends_well(
    service: Service, disks: dict[str, SmallDisk], kept: Path, tmp_path: Path
) -> None:
    (worker,) = service.pids("worker")
    reasons = {"work": "No space is left in", "objects": "The object store"}
    for seed, name in enumerate(reasons.keys() & disks.keys(), start=2):
        os.kill(worker, signal.SIGSTOP)
        job = service.submit(song(tmp_path, seed))["id"]
        with full(service, disks[name]):
            os.kill(worker, signal.SIGCONT)
            service.wait_for_log(f"waiting to go on with a job: {reasons[name]} {disks[name].folder}")
        assert service.wait_for(job, within=HEALED_SECONDS)["state"] == "succeeded"


def test_what_is_killed_while_disks_are_full_comes_back(
    service: Service, disks: dict[str, SmallDisk], kept: Path
) -> None:
    stem = service.submit(kept)["stems"][0]
    with full(service, *disks.values()):
        (api,) = service.pids("api")
        main_process = (service.folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
        os.kill(api, signal.SIGKILL)
        os.kill(int(main_process), signal.SIGQUIT)
        wait_until(lambda: service.readiness() == 503 and api not in service.pids("api"))
        assert len(service.client.get(stem["url"]).content) == stem["size"]
