"""The whole service as real processes: what it reveals, and how it handles outages."""

from __future__ import annotations

import hmac
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.access import key_format
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.audit import audited
from tests.support.http_servers import Server, content, serving, status
from tests.support.issuer import AUDIENCE, ISSUER, KeySet, Signer, encoded, usual
from tests.support.service import KEY, Service, running
from tests.support.traces import spans
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET as WEBHOOK_SECRET

pytestmark = pytest.mark.slow

SIGNER = Signer.rsa("one")
DATABASE_PASSWORD = "database-password-of-the-tests"
STORE_SECRET = "object-store-secret-of-the-tests"
MARK = b"content of a song that nobody else may see"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of these tests alone, which can be away."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("database")) as server:
        yield server


@pytest.fixture(scope="module")
def issuer() -> Iterator[Server]:
    """Publishes the keys of tokens."""
    with serving(content(KeySet([SIGNER.jwk()]).document())) as server:
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Server]:
    """Takes traces."""
    with serving(status(200)) as server:
        yield server


@pytest.fixture(scope="module")
def service(
    database: EmbeddedPostgres,
    issuer: Server,
    collector: Server,
    tmp_path_factory: pytest.TempPathFactory,
    model_settings: Settings,
) -> Iterator[Service]:
    url = re.sub(r"://([^@/]*)@", rf"://\1:{DATABASE_PASSWORD}@", database.url)
    assert DATABASE_PASSWORD in url
    environ = {
        "SPLEETER_DATABASE_URL": url,
        "SPLEETER_LOG_LEVEL": "debug",
        "SPLEETER_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "SPLEETER_SOURCE_URLS": "on",
        "SPLEETER_JWT_ISSUER": ISSUER,
        "SPLEETER_JWT_AUDIENCE": AUDIENCE,
        "SPLEETER_JWT_JWKS_URL": issuer.url,
        "AWS_SECRET_ACCESS_KEY": STORE_SECRET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    folder = tmp_path_factory.mktemp("service")
    with running(folder, model_settings.models_dir, environ=environ) as service:
        yield service


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A unique song that takes some seconds."""
    waveform = noise(90 * RATE, seed=time.time_ns() % 2**32)
    return encode_kind(tmp_path / "song.s16.wav", waveform, "s16.wav")


def bearer(service: Service, token: str) -> httpx.Response:
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        return client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})


def test_a_token_is_accepted_only_if_the_issuer_signed_it_for_this_service(service: Service) -> None:
    assert bearer(service, SIGNER.token()).status_code == 200
    unsigned = f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{encoded(usual())}."
    begun = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'one'})}.{encoded(usual())}"
    confused = f"{begun}.{encoded(hmac.digest(SIGNER.pem, begun.encode(), 'sha256'))}"
    others = (SIGNER.token(aud="other"), Signer.ec("two").token(), Signer.rsa("one").token())
    for token in (unsigned, confused, *others):
        answer = bearer(service, token)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated"), token


def test_a_trace_spans_the_processes_of_the_api_and_the_worker(
    service: Service, collector: Server, tmp_path: Path
) -> None:
    job = service.wait_for(service.submit(clip(tmp_path))["id"])

    def both() -> list[dict[str, object]] | None:
        told = [one for one in spans(collector) if one.get("spleeter.request_id") == job["request_id"]]
        return told if len(told) >= 2 else None

    api, worker = sorted(wait_until(both), key=lambda one: str(one["service"]))
    assert (api["service"], worker["service"]) == ("spleeter-api", "spleeter-worker")
    assert (worker["trace"], worker["parent"]) == (api["trace"], api["id"])


def test_logs_metrics_traces_and_responses_contain_no_secret_and_no_audio(
    service: Service, database: EmbeddedPostgres, collector: Server, tmp_path: Path
) -> None:
    guess, hook = key_format.generate(), "https://hooks.example.com/T0?sig=secret-of-the-receiver"
    token, bad = SIGNER.token(), SIGNER.token(aud="somebody else")
    song = tmp_path / "song.wav"
    wav = encode_kind(tmp_path / "noise.s16.wav", noise(RATE), "s16.wav").read_bytes()
    begin = wav.index(b"data") + 8
    song.write_bytes(wav[:begin] + MARK * 200 + wav[begin + 200 * len(MARK) :])
    job = service.wait_for(
        service.submit(song, callback_url=hook, metadata=json.dumps({"a": "private-metadata"}))["id"]
    )
    assert job["state"] == "succeeded", job["error"]
    answers = [
        service.client.get(path, headers=headers)
        for path, headers in (
            ("/v1/models", {"X-API-KEY": guess}),
            ("/v1/models", {"X-API-KEY": "", "Authorization": f"Bearer {bad}"}),
            ("/v1/models", {"Authorization": f"Bearer {token}"}),  # two that differ
            (f"/v1/separations/{job['id']}?key={KEY}", {}),
            ("/metrics", {}),
            ("/health/ready", {}),
            ("/openapi.json", {}),
        )
    ]
    source = {"source_url": f"http://127.0.0.1/{'song.wav'}?sig=secret-of-the-source"}
    answers.append(service.client.post("/v1/separations", json=source))
    answers.append(service.client.post("/v1/separations", files={"file": ("a.wav", MARK)}))
    told = {str(answer.url): answer.content for answer in answers}
    told |= {str(service.log): service.log.read_bytes(), "audit": json.dumps(audited(database.url)).encode()}
    told["traces"] = b"".join(collector.bodies)
    assert b"job ended" in told[str(service.log)]
    assert b"service.started" in told["audit"]
    assert b"service.started" in told[str(service.log)]
    secrets = {
        "key": KEY,
        "guessed key": guess,
        "token": token.rpartition(".")[2],
        "refused token": bad.rpartition(".")[2],
        "database": DATABASE_PASSWORD,
        "object store": STORE_SECRET,
        "webhooks": WEBHOOK_SECRET.removeprefix("whsec_"),
        "receiver": "secret-of-the-receiver",
        "source": "secret-of-the-source",
        "sound": MARK.decode(),
        "metadata": "private-metadata",
    }
    shown = f"/v1/separations/{job['id']}"  # the owner sees what they gave
    found = [
        (name, place)
        for place, text in told.items()
        for name, secret in secrets.items()
        if secret.encode() in text and shown not in place
    ]
    assert found == []


@pytest.mark.parametrize("part", ["inference_child", "probe_child"])
def test_decoding_processes_have_no_secret_and_no_privilege(
    service: Service, part: str, tmp_path: Path
) -> None:
    song = encode_kind(tmp_path / "song.s16.wav", noise(RATE, seed=5), "s16.wav")
    service.wait_for(service.submit(song)["id"])
    for pid in service.pids(part):
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        assert not [entry for entry in environ if entry.startswith(("SPLEETER_", "AWS_", "PG"))]
        for secret in (KEY, DATABASE_PASSWORD, STORE_SECRET, WEBHOOK_SECRET):
            assert not [entry for entry in environ if secret in entry]
        state = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert (state["NoNewPrivs"], state["Seccomp"]) == ("1", "2")
        assert int(state["CapEff"], 16) == 0
        assert os.geteuid() != 0 or int(state["CapBnd"], 16) == 0  # only root can give up the bounding set
    assert service.pids(part)
    ready = [json.loads(line) for line in service.log.read_text().splitlines() if '"in_force"' in line]
    assert any({"seccomp", "no_new_privileges"} <= set(line["in_force"]) for line in ready)


def test_a_short_database_outage_is_waited_out(
    service: Service, database: EmbeddedPostgres, long: Path
) -> None:
    job = service.submit(long)["id"]
    service.wait_for(job, "running")
    database.stop()
    try:
        answer = service.client.get(f"/v1/separations/{job}")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        service.wait_until_ready(503)
        service.wait_for_log("database unavailable")
    finally:
        database.start()
    service.wait_until_ready()
    ended = service.wait_for(job)
    assert ended["state"] == "succeeded", ended["error"]
    assert attempts(service, job) == [1]  # it continued and was not restarted


def test_a_short_object_store_outage_is_waited_out(service: Service, long: Path, tmp_path: Path) -> None:
    """This includes a job that finishes during the outage, and one that is about to start."""
    first, second = service.submit(long)["id"], service.submit(clip(tmp_path))["id"]
    wait_until(lambda: service.job(first)["progress"])
    objects, aside = service.folder / "objects", service.folder / "objects-aside"
    objects.rename(aside)
    try:
        service.wait_until_ready(503)
        answer = service.client.post(
            "/v1/separations", files={"file": ("a.wav", clip(tmp_path).read_bytes())}
        )
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        service.wait_for_log("waiting to go on with a job")
        assert not objects.exists()  # no new one was created
    finally:
        aside.rename(objects)
    service.wait_until_ready()
    for job in (first, second):
        ended = service.wait_for(job)
        assert ended["state"] == "succeeded", ended["error"]
        assert service.client.get(ended["stems"][0]["url"]).status_code == 200


def clip(folder: Path) -> Path:
    seed = time.time_ns() % 2**32
    return encode_kind(folder / f"clip{seed}.s16.wav", noise(RATE, seed=seed), "s16.wav")


def attempts(service: Service, job: str) -> list[int]:
    """Return the numbers of a job's attempts according to the log."""
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line["attempt"] for line in lines if line["event"] == "job ended" and line["job_id"] == job]
