"""Whichever disk is full, no process ends, what can go on goes on, and all heals once there is space."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.service import Service, running
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

MEGABYTES = {"metrics": 1, "spool": 4, "work": 8, "objects": 8, "postgres": 180, "logs": 2}
INODES = 3000
LIMIT = 20 << 20  # bytes of a file, where no disk may be mounted; PostgreSQL's files are smaller


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SmallDisk]]:
    folder = tmp_path_factory.mktemp("full")
    with ExitStack() as stack:
        disks = {
            name: stack.enter_context(small_disk(folder / name, size, INODES))
            for name, size in MEGABYTES.items()
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


def fill(disk: SmallDisk) -> None:
    disk.fill(0 if disk.mounted else LIMIT)


@contextmanager
def full(
    service: Service, disks: dict[str, SmallDisk], *fills: Callable[[SmallDisk], None]
) -> Iterator[None]:
    """Fill disks, and free them at the end."""
    assert service.process
    try:
        # While disks are being filled, the supervisor must not release the database's reserve, which would be
        # filled as well.
        service.process.send_signal(signal.SIGSTOP)
        try:
            for disk in disks.values():
                for fill in fills:
                    fill(disk)
        finally:
            service.process.send_signal(signal.SIGCONT)
        if "postgres" in disks:
            reserve = service.folder / "postgres" / "reserve"
            wait_until(lambda: not list(reserve.iterdir()))
        yield
    finally:
        for disk in disks.values():
            disk.free()


def healed(service: Service, song: Path) -> dict[str, Any]:
    """Submit a song until it is accepted, and return its job."""
    files = {"file": (song.name, song.read_bytes())}

    def accepted() -> dict[str, Any] | None:
        answer = service.client.post("/v1/separations", files=files)
        return answer.json() if answer.is_success else None

    return wait_until(accepted)


def processes(service: Service) -> dict[str, list[int]]:
    names = ("api", "worker", "inference_child", "probe_child", "postgres")
    return {name: service.pids(name) for name in names}


def require_refusal(service: Service, disk: SmallDisk) -> None:
    body = bytes(1 if disk.mounted else LIMIT + 1)
    answer = service.client.post("/v1/separations", files={"file": ("song.wav", body)})
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def test_a_full_disk_stops_new_work_only(service: Service, disks: dict[str, SmallDisk], kept: Path) -> None:
    client, before, job = service.client, processes(service), service.submit(kept)
    logged = len(service.log.read_text())  # another test may have killed a process
    for name, disk in disks.items():
        for way in (fill, SmallDisk.use_up_inodes)[: 1 + disk.mounted]:
            stem = job["stems"][0]
            with full(service, {name: disk}, way):
                require_refusal(service, disk)
                for _ in range(20):  # each is recorded in the database
                    assert len(client.get(stem["url"]).content) == stem["size"]
                assert client.delete(job["url"]).status_code == 204
                assert client.get(job["url"]).status_code == 404
                assert (
                    f'spleeter_disk_short{{folder="{name}"}} {disk.mounted:.1f}'
                    in client.get("/metrics").text
                )
            job = healed(service, kept)
    assert processes(service) == before
    assert "process exited" not in service.log.read_text()[logged:]


def test_a_job_waits_for_space_and_ends_well(
    service: Service, disks: dict[str, SmallDisk], kept: Path, tmp_path: Path
) -> None:
    (worker,) = service.pids("worker")
    reasons = {"work": "No space is left in", "objects": "The object store"}
    for seed, name in enumerate(reasons.keys() & disks.keys(), start=2):
        os.kill(worker, signal.SIGSTOP)
        job = service.submit(song(tmp_path, seed))["id"]
        with full(service, {name: disks[name]}, fill):
            os.kill(worker, signal.SIGCONT)
            service.wait_for_log(f"waiting to go on with a job: {reasons[name]} {disks[name].folder}")
        assert service.wait_for(job)["state"] == "succeeded"


def test_what_is_killed_while_all_disks_are_full_comes_back(
    service: Service, disks: dict[str, SmallDisk], kept: Path
) -> None:
    stem = service.submit(kept)["stems"][0]
    main_process = (service.folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
    killed = [*service.pids("api"), *service.pids("worker")]
    with full(service, disks, fill, SmallDisk.use_up_inodes):
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        os.kill(int(main_process), signal.SIGQUIT)
        if disks["spool"].mounted:
            service.wait_until_ready(503)
            parts = service.client.get("/health/ready").json()["parts"]
            assert {name for name, part in parts.items() if part["state"] == "unavailable"} >= {"disk"}
        wait_until(
            lambda: service.readiness() and len(service.client.get(stem["url"]).content) == stem["size"]
        )
    healed(service, kept)
    service.wait_until_ready()
    assert not {*killed} & {*service.pids("api"), *service.pids("worker")}
