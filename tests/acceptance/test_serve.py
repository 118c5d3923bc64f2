"""The whole service as real processes, over HTTP, while processes are killed, restarted and stopped."""

import os
import shutil
import signal
import socket
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, noise, read
from tests.support.descriptors import idle_connections, lowered
from tests.support.films import check_deu, check_step, dubbed
from tests.support.raw_http import request
from tests.support.service import KEY, Service, running, wait_until_gone
from tests.support.tagged_songs import SONG, png, put, seen
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(model_settings: Settings) -> Path:
    return model_settings.models_dir


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("serve"), models) as service:
        yield service


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return song(tmp_path_factory.mktemp("songs"), 4, 1)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A unique song that takes a few seconds to separate."""
    return song(tmp_path, 40, time.time_ns() % 2**32)


def song(folder: Path, seconds: int, seed: int) -> Path:
    """Write a WAV file that repeats one second of noise."""
    tile = (noise(RATE, seed=seed) * 32767).astype("<i2").tobytes()
    path = folder / "song.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(seconds):
            file.writeframesraw(tile)
    return path


@contextmanager
def uploading(service: Service, beginning: bytes) -> Iterator[Callable[[bytes], bytes]]:
    """Send part of a body; yield a function that sends the rest and returns the response's beginning."""
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        length = len(beginning) + 100
        connection.sendall(
            request(
                "POST /v1/separations",
                X_API_KEY=KEY,
                Content_Type="application/json",
                Content_Length=length,
                Expect="100-continue",
            )
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")  # the application waits for the body
        connection.sendall(beginning)

        def finish(end: bytes) -> bytes:
            connection.sendall(end.ljust(100))
            return connection.recv(100)

        yield finish


def begun(service: Service, job: str) -> None:
    """Wait until the inference process reports progress."""
    wait_until(lambda: service.job(job)["progress"])


def kill(service: Service, part: str) -> int:
    (pid, *_) = service.pids(part)
    os.kill(pid, signal.SIGKILL)
    return pid


def postgres(service: Service) -> str:
    """Return the id of PostgreSQL's main process, or None if it is not running."""
    path = service.folder / "postgres" / "cluster" / "postmaster.pid"
    return path.read_text().partition("\n")[0] if path.exists() else ""


def test_a_song_is_separated_over_http(service: Service, clip: Path, tmp_path: Path) -> None:
    song = put(Path(shutil.copy(clip, tmp_path)), SONG, png())
    job = service.wait_for(service.submit(song, codec="alac")["id"])
    assert (job["state"], job["model"], job["model_quality"]) == ("succeeded", "2stems", "official")
    assert [stem["name"] for stem in job["stems"]] == ["vocals", "accompaniment"]
    assert job["details"]["weights_sha256"].startswith("7747f9fd")
    answer = service.client.get(job["stems"][0]["url"])
    assert answer.headers["content-type"] == "audio/mp4"
    assert answer.headers["content-disposition"].startswith(
        f'attachment; filename="{clip.stem} - vocals.m4a"'
    )
    stem = tmp_path / "vocals.m4a"
    stem.write_bytes(answer.content)
    assert seen(stem) == SONG | {"title": "Söng (vocals)", "cover": (png(), "image/png", 3), "others": []}


def test_a_track_comes_at_its_own_rate_with_its_delay_and_in_its_film(
    service: Service, tmp_path: Path
) -> None:
    options = {"track": "deu", "keep_delay": "true", "sample_rate": "source", "channels": "source"}
    video = '{"whole": "vocals+accompaniment"}'
    job = service.submit(dubbed(tmp_path), bit_depth="24", bandwidth="full", video=video, **options)
    ended = service.wait_for(job["id"])
    check_deu(service.client.get(stem["url"]).content for stem in ended["stems"])
    (film,) = ended["mixes"]
    assert (film["name"], film["media_type"]) == ("whole", "video/matroska")
    answer = service.client.get(film["url"])
    assert (answer.headers["content-type"], len(answer.content)) == ("video/matroska", film["size"])
    check_step(answer.content)


def test_all_stems_of_a_song_come_in_one_file(service: Service, clip: Path, tmp_path: Path) -> None:
    job = service.wait_for(service.submit(clip, stems=4, codec="stem.mp4", bit_depth="16")["id"])
    assert (job["state"], job["mixes"]) == ("succeeded", [])
    (file,) = job["stems"]
    assert (file["name"], file["media_type"]) == ("stems", "audio/mp4")
    answer = service.client.get(file["url"])
    assert f"{clip.stem} - stems.stem.mp4" in answer.headers["content-disposition"]
    path = tmp_path / "song.stem.mp4"
    path.write_bytes(answer.content)
    np.testing.assert_array_equal(read(path), read(clip))
    assert len(read(path, track="5")) == len(read(clip))
    assert service.client.get(file["peaks_url"]).json()["length"] > 100


def test_idle_connections_do_not_stop_another_clients_upload(service: Service, clip: Path) -> None:
    with lowered(service.pids("api"), 160), idle_connections(service.port, 400):
        for _ in range(3):
            with httpx.Client(base_url=service.url, headers={"X-API-KEY": KEY}, trust_env=False) as innocent:
                answer = innocent.post("/v1/separations", files={"file": ("a.wav", clip.read_bytes())})
                assert answer.status_code in (200, 202), answer.text
        assert 'spleeter_connections_closed_total{reason="no-key"}' in service.client.get("/metrics").text
    assert service.log.read_text().count("too many connections") == 1


def test_the_metrics_of_all_processes_are_combined(service: Service, clip: Path) -> None:
    service.wait_for(service.submit(clip)["id"])
    metrics = service.client.get("/metrics").text
    assert "spleeter_files_processed_total{" in metrics  # the worker's
    assert "spleeter_requests_total{" in metrics  # the API's


def test_a_killed_workers_job_is_requeued_at_once_and_run_by_the_next(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    kill(service, "worker")
    service.wait_for(job, "queued")
    assert service.wait_for(job)["state"] == "succeeded"


def test_a_job_survives_a_crash_of_its_inference_process(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    kill(service, "inference_child")
    assert service.wait_for(job)["state"] == "succeeded"


def test_a_killed_api_is_restarted_and_the_job_goes_on(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    pid = kill(service, "api")
    assert service.wait_for(job)["state"] == "succeeded"
    assert pid not in service.pids("api")
    assert 'spleeter_worker_restarts_total{reason="api_killed"}' in service.client.get("/metrics").text


def test_a_database_stopped_at_once_is_restarted_and_loses_nothing(service: Service, long: Path) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    pid = postgres(service)
    os.kill(int(pid), signal.SIGQUIT)
    wait_until(lambda: postgres(service) not in ("", pid) and service.readiness() == 200)
    assert service.wait_for(job)["state"] == "succeeded"
    service.wait_until_ready()


def test_deleting_a_running_job_ends_its_process_and_leaves_nothing(
    service: Service, long: Path, clip: Path
) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    (child,) = service.pids("inference_child")
    assert service.client.delete(f"/v1/separations/{job}").is_success
    wait_until(lambda: child not in service.pids("inference_child"))
    wait_until(lambda: service.client.get(f"/v1/separations/{job}").status_code == 404)
    wait_until(lambda: not list((service.folder / "objects").rglob(f"*{job}*")))


def test_when_serve_is_killed_its_processes_stop_and_the_next_takes_over(
    service: Service, long: Path
) -> None:
    job = service.submit(long)["id"]
    begun(service, job)
    assert service.process is not None
    service.process.kill()
    service.process.wait()
    service.start()
    service.wait_until_ready()
    assert service.wait_for(job)["state"] == "succeeded"


def test_sigterm_requeues_a_job_lets_an_upload_finish_and_leaves_no_process(
    service: Service, tmp_path: Path, models: Path
) -> None:
    with running(tmp_path / "data", models, environ={"SPLEETER_GRACE_S": "0.5"}) as own:
        job = own.submit(song(tmp_path, 300, 7))["id"]
        begun(own, job)
        with uploading(own, b'{"callback_url": "http://') as finish:
            assert own.process is not None
            own.process.send_signal(signal.SIGTERM)
            own.wait_for_log("Shutting down")
            assert finish(b'10.0.0.1/"}').startswith(b"HTTP/1.1 422 ")
        assert own.process.wait() == 0
        wait_until_gone(own.folder)
        own.start()
        own.wait_until_ready()
        assert own.job(job)["state"] in ("queued", "running")
        assert own.client.delete(f"/v1/separations/{job}").is_success


def test_two_apis_and_two_workers_share_a_database_and_a_store(
    database_url: str, tmp_path: Path, models: Path
) -> None:
    shared = {"SPLEETER_DATABASE_URL": database_url, "SPLEETER_STORAGE_URL": str(tmp_path / "objects")}
    with ExitStack() as stack:
        apis = [
            stack.enter_context(running(tmp_path / f"api{number}", models, "api", shared, ready=False))
            for number in range(2)
        ]
        for number in range(2):
            stack.enter_context(running(tmp_path / f"worker{number}", models, "worker", shared, ready=False))
        for api in apis:
            api.wait_until_ready()
        jobs = [apis[number % 2].submit(song(tmp_path, 4, number + 10))["id"] for number in range(4)]
        for number, job in enumerate(jobs):  # each asked of the API that did not take it
            done = apis[(number + 1) % 2].wait_for(job)
            assert done["state"] == "succeeded", done
