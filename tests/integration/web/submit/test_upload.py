"""Uploads are accepted or refused by their content, and never left behind."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    DiskFullError,
    InferenceCrashedError,
    InferenceUnavailableError,
    InvalidSamplesError,
    JobMemoryLimitError,
    JobTimeLimitError,
    StorageUnavailableError,
)
from spleeter_microservice.sandbox.prober import AudioFacts, Prober
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from spleeter_microservice.web.submit import spool
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.audit import audited
from tests.support.raw_http import connected, request
from tests.support.waiting import eventually
from tests.support.web_service import WavProber, WorkerRegistry, build_services, served, song

pytestmark = pytest.mark.asyncio

LIMIT = 100_000  # bytes of a file


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    plain = build_services(database, tmp_path, fleet)
    return replace(plain, config=replace(plain.config, max_file_bytes=LIMIT, max_duration=10.0))


@pytest.fixture
def leftovers(tmp_path: Path) -> Callable[[], list[Path]]:
    """Return a function that lists the files in the spool and in the object store."""

    def found() -> list[Path]:
        return [
            path
            for folder in ("spool", "objects")
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        ]

    return found


async def send(
    client: httpx.AsyncClient, content: bytes, name: str = "song.wav", **fields: str
) -> httpx.Response:
    return await client.post("/v1/separations", files={"file": (name, content)}, data=fields)


def rejected(reason: str) -> float:
    return REGISTRY.get_sample_value("spleeter_uploads_rejected_total", {"reason": reason}) or 0


@pytest.mark.parametrize(
    ("content", "name", "status", "kind"),
    [
        (b"", "song.wav", 422, "empty-file"),
        (b"%PDF-1.7 and so on", "song.wav", 415, "not-audio"),
        (b"no sound in this film", "film.mp4", 415, "no-sound"),
        (b"encrypted by its owner", "song.m4a", 422, "encrypted-audio"),
        (song()[:20], "song.wav", 422, "truncated-audio"),
        (song(0), "song.wav", 422, "no-samples"),
        (bytes(LIMIT + 1), "song.wav", 413, "too-large"),
        (song(11, rate=1000), "song.wav", 422, "too-long"),
    ],
)  # fmt: skip
async def test_a_file_that_is_not_a_song_is_refused(
    ann: httpx.AsyncClient, leftovers: Callable[[], list[Path]], services: Services, content: bytes,
    name: str, status: int, kind: str,
) -> None:  # fmt: skip
    before = rejected(kind)
    answer = await send(ann, content, name)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}")
    assert str(services.config.spool) not in answer.text
    assert leftovers() == []
    assert rejected(kind) == before + 1
    entry = audited(services.database.url)[-1]
    assert (entry["action"], entry["tenant"], entry["details"]["problem"]) == ("upload.refused", "ann", kind)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("song.WAV", "song.WAV"),
        ("/etc/song.wav", "song.wav"),
        ("C:\\music\\song.wav", "song.wav"),
        ("..\\..\\song.wav", "song.wav"),
        ("Größe 🎵.wav", "Größe 🎵.wav"),
    ],
)
async def test_a_name_is_kept_without_directories(ann: httpx.AsyncClient, name: str, kept: str) -> None:
    assert (await send(ann, song(), name)).json()["input"]["name"] == kept


@pytest.mark.parametrize("name", ["song.mp3", "song.exe", "song", "voice.qta", ".wav.zip"])
async def test_the_content_of_a_file_decides_and_not_its_name(ann: httpx.AsyncClient, name: str) -> None:
    assert (await send(ann, song(), name)).status_code == 202


async def test_an_operator_may_limit_the_types_of_files(ann: httpx.AsyncClient, services: Services) -> None:
    strict = replace(services, config=replace(services.config, allowed_extensions=frozenset({"flac"})))
    async with served(create_app(strict)) as url:
        for name in ("song.wav", "blob"):  # refused by its name, and by its content
            answer = await ann.post(f"{url}/v1/separations", files={"file": (name, song())})
            assert answer.json()["type"] == "/problems/unsupported-type"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"duration": "9"}, 9.0),
        ({"offset": "6"}, 6.0),
        ({"offset": "6", "duration": "100"}, 6.0),
        ({"offset": "1"}, None),
        ({"duration": "10.5"}, None),
    ],
)
async def test_a_selected_part_may_be_as_long_as_the_limit(
    ann: httpx.AsyncClient, options: dict[str, str], seconds: float | None
) -> None:
    answer = await send(ann, song(12, rate=1000), **options)
    assert answer.status_code == (202 if seconds else 422)
    if seconds:
        assert answer.json()["input"]["seconds"] == seconds


async def test_an_offset_beyond_the_end_is_refused(ann: httpx.AsyncClient) -> None:
    answer = await send(ann, song(1), offset="1")
    assert (answer.json()["type"], answer.json()["errors"]) == (
        "/problems/no-samples", [{"field": "offset", "reason": "The song is only 1 s long."}]
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"stems": "3"}},
        {"data": {"surprise": "1"}},
        {"data": {"only": "piano"}},
        {"data": {"bitrate": "1k", "codec": "mp3"}},
    ],
)
async def test_an_invalid_field_leaves_no_file(
    ann: httpx.AsyncClient, leftovers: Callable[[], list[Path]], body: dict[str, Any]
) -> None:
    answer = await ann.post("/v1/separations", files={"file": ("a.wav", song())}, **body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-fields")
    assert answer.json()["errors"][0]["field"] in body["data"]
    assert leftovers() == []


async def test_fields_may_come_before_or_after_the_file(ann: httpx.AsyncClient) -> None:
    field = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + song() + b"\r\n"
    body = field % (b"stems", b"4") + file + field % (b"mwf", b"true") + b"--x--\r\n"
    answer = await ann.post(
        "/v1/separations", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 202, answer.text
    assert (answer.json()["options"]["stems"], answer.json()["options"]["mwf"]) == (4, True)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/mixed; boundary=x", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=x", 400),
        ("application/json", 400),
    ],
)
async def test_other_kinds_of_body_are_refused(
    ann: httpx.AsyncClient, leftovers: Callable[[], list[Path]], content_type: str, status: int
) -> None:
    answer = await ann.post("/v1/separations", content=b"music", headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert leftovers() == []


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InferenceUnavailableError("/srv"), 503, "inspection-unavailable"),
        (InferenceCrashedError("/srv"), 422, "process-died"),
        (JobTimeLimitError("/srv"), 422, "time-limit"),
        (JobMemoryLimitError("/srv"), 422, "memory-limit"),
        (InvalidSamplesError("/srv"), 422, "invalid-samples"),
        (RuntimeError("/srv"), 500, "internal-error"),
    ],
)
async def test_errors_of_the_prober_are_reported(
    ann: httpx.AsyncClient, services: Services, leftovers: Callable[[], list[Path]],
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, kind: str,
) -> None:  # fmt: skip
    async def probe(path: Path, options: SeparationOptions, tenant: str) -> AudioFacts:
        raise error

    monkeypatch.setattr(services.prober, "probe", probe)
    answer = await send(ann, song())
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}")
    assert "/srv" not in answer.text
    assert leftovers() == []


async def test_an_unavailable_object_store_is_not_blamed_on_the_song(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path, leftovers: Callable[[], list[Path]]
) -> None:
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    answer = await send(ann, song())
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
    assert (answer.headers["retry-after"], str(tmp_path) in answer.text) == ("5", False)
    (tmp_path / "elsewhere").rename(tmp_path / "objects")
    assert leftovers() == []
    assert (await send(ann, song())).status_code == 202


async def test_a_database_outage_leaves_the_song_to_the_sweeper(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    leftovers: Callable[[], list[Path]],
) -> None:  # fmt: skip
    """The job may have been created nevertheless, and must then have its song."""

    async def create(*_: object, **__: object) -> None:
        raise DatabaseUnavailableError("10.0.0.5")

    monkeypatch.setattr(services.repository, "create", create)
    answer = await send(ann, song())
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable")
    assert [path.name for path in leftovers()] == ["input"]


async def test_an_unneeded_upload_that_cannot_be_erased_does_no_harm(
    ann: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def delete_prefix(*_: object) -> None:
        raise StorageUnavailableError("away")

    headers = {"Idempotency-Key": "1"}
    await ann.post("/v1/separations", files={"file": ("a.wav", song())}, headers=headers)
    monkeypatch.setattr(services.storage, "delete_prefix", delete_prefix)
    answer = await ann.post("/v1/separations", files={"file": ("a.wav", song())}, headers=headers)
    assert answer.status_code == 202


async def test_a_full_disk_is_reported(
    ann: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, leftovers: Callable[[], list[Path]]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(self: object, block: object) -> None:
        raise DiskFullError("/srv is full")

    monkeypatch.setattr(spool.SpooledFile, "_write", full)
    answer = await send(ann, song())
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
    assert leftovers() == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == before


async def test_a_client_that_disconnects_leaves_no_file(
    address: str, services: Services, leftovers: Callable[[], list[Path]]
) -> None:
    key, _ = await services.keys.create("ann")
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + song()
    head = request(
        "POST /v1/separations",
        X_API_KEY=key,
        Content_Type="multipart/form-data; boundary=x",
        Content_Length=50_000,
    )
    async with connected(address) as connection:
        await connection.send(head + part)
        await eventually(leftovers)
    await eventually(lambda: not leftovers())
    assert (await services.repository.load()).queued == 0


async def test_a_key_is_required_before_the_song_is_read(
    address: str, leftovers: Callable[[], list[Path]]
) -> None:
    head = request(
        "POST /v1/separations", Content_Type="multipart/form-data; boundary=x", Content_Length=90_000
    )
    async with connected(address) as connection:
        await connection.send(head)
        status, headers, _ = await connection.answer()
    assert (status, headers["connection"]) == (401, "close")
    assert leftovers() == []


async def test_a_file_one_byte_too_large_is_refused_at_the_limit(
    address: str, services: Services, leftovers: Callable[[], list[Path]]
) -> None:
    """Its length need not be announced, and its end not be sent."""
    key, _ = await services.keys.create("ann")
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + bytes(LIMIT + 1)
    head = request(
        "POST /v1/separations",
        X_API_KEY=key, Content_Type="multipart/form-data; boundary=x", Transfer_Encoding="chunked",
    )  # fmt: skip
    async with connected(address) as connection:
        await connection.send(head + b"%x\r\n" % len(part) + part + b"\r\n")
        status, _, body = await connection.answer()
    assert (status, b"/problems/too-large" in body) == (413, True)
    assert leftovers() == []


async def test_memory_does_not_grow_with_the_file(database: Database, tmp_path: Path) -> None:
    """64 MiB pass through; the limit leaves room for the rest of the process."""

    class Anything(WavProber):
        async def probe(
            self, path: Path, options: SeparationOptions | None = None, tenant: str = ""
        ) -> AudioFacts:
            return AudioFacts("wav", "pcm", 1.0, 44100, 2)

    services = build_services(database, tmp_path, prober=Anything())
    key, _ = await services.keys.create("ann")
    size = 64 << 20

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(size >> 16):
            yield bytes(1 << 16)
        yield b"\r\n--x--\r\n"

    headers = {"X-API-KEY": key, "Content-Type": "multipart/form-data; boundary=x"}
    async with served(create_app(services)) as url, httpx.AsyncClient(base_url=url, timeout=None) as client:
        before = _peak()
        answer = await client.post("/v1/separations", content=body(), headers=headers)
    assert answer.status_code == 202, answer.text
    assert _peak() - before < 40 << 20
    assert [path.stat().st_size for path in (tmp_path / "objects").rglob("input")] == [size]
    assert [*(tmp_path / "spool").iterdir()] == []


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


async def test_songs_of_every_format_pass_the_real_prober(database: Database, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    async with Prober(tmp_path / "spool") as prober:
        services = build_services(database, tmp_path, prober=prober)
        key, _ = await services.keys.create("ann")
        async with (
            served(create_app(services)) as url,
            httpx.AsyncClient(base_url=url, timeout=None) as client,
        ):
            client.headers["X-API-KEY"] = key
            for kind in ("mp3", "flac", "m4a", "ogg", "opus", "s16.wav"):
                path = encode_kind(tmp_path / f"song.{kind}", noise(RATE, seed=len(kind)), kind)
                answer = await send(client, path.read_bytes(), "wrongly named.mp3")
                assert answer.status_code == 202, (kind, answer.text)
                assert answer.json()["input"]["seconds"] == pytest.approx(1, abs=0.1)
            for content, status in ((path.read_bytes()[:30], 422), (b"<html>" * 100, 415), (b"", 422)):
                answer = await send(client, content)
                assert answer.status_code in (415, status), answer.text
                assert str(tmp_path) not in answer.text
    assert [*(tmp_path / "spool").iterdir()] == []
