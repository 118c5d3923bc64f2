"""The whole service as real processes, over HTTP: started, killed in parts and as a whole, stopped."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spleeter_microservice.settings import Settings
from tests.audio_files import RATE, encode_kind, noise
from tests.service import Service, gone, running

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def models(model_settings: Settings) -> Path:
    return model_settings.models_dir


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("serve"), models) as service:
        yield service


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return song(tmp_path_factory.mktemp("songs"), 4.0, 1)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A song that takes some seconds, and like which there is no other."""
    return song(tmp_path, 60.0, time.time_ns() % 2**32)


def song(folder: Path, seconds: float, seed: int) -> Path:
    return encode_kind(folder / "song.s16.wav", noise(round(seconds * RATE), seed=seed), "s16.wav")


def begun(service: Service, job: str) -> None:
    service.wait_for(job, "running")
    time.sleep(0.3)


def kill(service: Service, part: str) -> int:
    (pid, *_) = service.pids(part)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_song_is_separated_over_http(service: Service, clip: Path) -> None:
    job = service.wait_for(service.submit(clip)["id"])
    assert (job["state"], job["model"], job["model_quality"]) == ("succeeded", "2stems", "official")
    assert [stem["name"] for stem in job["stems"]] == ["vocals", "accompaniment"]
    assert job["details"]["weights_sha256"].startswith("7747f9fd")


def test_metrics_of_all_processes_are_told_together(service: Service, clip: Path) -> None:
    service.wait_for(service.submit(clip)["id"])
    metrics = service.client.get("/metrics").text
    assert "spleeter_files_processed_total{" in metrics  # the worker's
    assert "spleeter_requests_total{" in metrics  # the API's


def test_a_killed_worker_s_job_is_put_back_at_once_and_done_by_the_next(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    kill(service, "worker")
    service.wait_for(job, "queued", within=15)
    assert service.wait_for(job, within=90)["state"] == "succeeded"


def test_a_job_survives_the_death_of_the_process_that_separates_it(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    kill(service, "inference_child")
    assert service.wait_for(job, within=90)["state"] == "succeeded"


def test_a_killed_api_is_started_again_and_the_job_goes_on(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    pid = kill(service, "api")
    assert service.wait_for(job, within=90)["state"] == "succeeded"
    assert pid not in service.pids("api")
    assert 'spleeter_worker_restarts_total{reason="api_killed"}' in service.client.get("/metrics").text


def test_a_database_that_ends_at_once_is_started_again_and_loses_nothing(
    service: Service, long: Path
) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    pid = (service.folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGQUIT)
    deadline = time.monotonic() + 90
    while service.client.get(f"/v1/separations/{job}").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.wait_for(job, within=90)["state"] == "succeeded"
    service.wait_until_ready()


def test_deleting_a_running_job_frees_its_slot_within_a_second_and_leaves_nothing(
    service: Service, long: Path, clip: Path
) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    (child,) = service.pids("inference_child")
    assert service.client.delete(f"/v1/separations/{job}").status_code == 204
    deadline = time.monotonic() + 10
    while child in service.pids("inference_child"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert service.client.get(f"/v1/separations/{job}").status_code == 404
    while list((service.folder / "objects").rglob(f"*{job}*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_when_serve_is_killed_all_stop_and_the_next_takes_over(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    service.start()
    service.wait_until_ready()
    assert service.wait_for(job, within=90)["state"] == "succeeded"


def test_sigterm_puts_a_job_back_and_leaves_no_process(
    service: Service, tmp_path: Path, models: Path
) -> None:
    with running(tmp_path / "data", models, environ={"SPLEETER_GRACE_S": "0.5"}) as own:
        job = own.submit(song(tmp_path, 200.0, 7))["id"]
        begun(own, job)
        assert own.stop() == 0
        assert gone(own.folder)
        own.start()
        own.wait_until_ready()
        assert own.wait_for(job, within=120)["state"] == "succeeded"
