"""Songs arrive in parts (tus 1.0), and are then separated like any other."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from spleeter_microservice.access.shares import Share
from spleeter_microservice.audit.record import Action
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    InfectedError,
    StorageFullError,
    StorageUnavailableError,
    UploadLockedError,
)
from spleeter_microservice.jobs import uploads as module
from spleeter_microservice.jobs.chores import regularly
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.objects import UPLOADS_PREFIX
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from spleeter_microservice.web.uploads import receive
from tests.support.audit import audited, make_unwritable
from tests.support.raw_http import connected, request
from tests.support.waiting import eventually
from tests.support.web_service import served, shares, song

pytestmark = pytest.mark.asyncio

VERSION = {"Tus-Resumable": "1.0.0"}
PART = VERSION | {"Content-Type": "application/offset+octet-stream"}
SONG = song(seed=3)


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


async def create(
    client: httpx.AsyncClient, length: int = len(SONG), headers: Mapping[str, str] | None = None
) -> str:
    answer = await client.post(
        "/v1/uploads", headers=VERSION | {"Upload-Length": str(length), **(headers or {})}
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


async def send(
    client: httpx.AsyncClient,
    url: str,
    data: bytes,
    offset: int = 0,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    return await client.patch(
        url, content=data, headers=PART | {"Upload-Offset": str(offset), **(headers or {})}
    )


async def offset(client: httpx.AsyncClient, url: str) -> int:
    answer = await client.head(url, headers=VERSION)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


async def uploaded(
    client: httpx.AsyncClient, data: bytes = SONG, headers: Mapping[str, str] | None = None
) -> str:
    url = await create(client, len(data), headers)
    assert (await send(client, url, data)).status_code == 204
    return url


async def separate(client: httpx.AsyncClient, upload: str, **headers: str) -> httpx.Response:
    return await client.post("/v1/separations", json={"upload": upload}, headers=headers)


def actions(services: Services) -> list[str]:
    return [entry["action"] for entry in audited(services.database.url)]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[], list[Path]]:
    """Return the files of the parts of all uploads."""
    return lambda: [path for path in (tmp_path / "objects" / UPLOADS_PREFIX).rglob("*") if path.is_file()]


async def test_parts_become_the_song_of_a_separation(
    ann: httpx.AsyncClient, services: Services, stored: Callable[[], list[Path]]
) -> None:
    url = await create(ann, headers=metadata(filename="a/Über uns.wav", filetype="audio/wav"))
    first = await send(ann, url, SONG[:3000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "3000")
    early = await separate(ann, url)
    assert (early.status_code, early.json()["errors"][0]["field"]) == (422, "upload")
    state = await ann.head(url, headers=VERSION)
    assert {name: state.headers[name] for name in ("Upload-Length", "Upload-Offset", "Cache-Control")} == {
        "Upload-Length": str(len(SONG)),
        "Upload-Offset": "3000",
        "Cache-Control": "no-store",
    }
    assert state.headers["Upload-Metadata"].startswith("filename ")
    assert state.headers["Tus-Resumable"] == "1.0.0"
    expires = parsedate_to_datetime(state.headers["Upload-Expires"])
    assert timedelta(hours=23) < expires - parsedate_to_datetime(state.headers["Date"]) < timedelta(hours=25)
    assert (await send(ann, url, SONG[3000:], 3000)).status_code == 204
    assert len(stored()) == 2
    created = await separate(ann, f"https://anything.example{url}", **{"Idempotency-Key": "k"})
    assert (created.status_code, created.json()["input"]["name"]) == (202, "Über uns.wav")
    assert created.json()["input"]["sha256"] == hashlib.sha256(SONG).hexdigest()
    assert (stored(), (await ann.head(url, headers=VERSION)).status_code) == ([], 404)
    again = await separate(ann, url, **{"Idempotency-Key": "k"})
    assert (again.headers["Idempotent-Replayed"], again.json()["id"]) == ("true", created.json()["id"])
    other = await ann.post(
        "/v1/separations", json={"upload": url, "mwf": True}, headers={"Idempotency-Key": "k"}
    )
    assert other.json()["type"] == "/problems/idempotency-conflict"
    assert (await separate(ann, url)).json()["type"] == "/problems/unknown-upload"
    assert (await services.repository.usage("ann"))[Share.PENDING_UPLOADS] == 0
    assert Action.UPLOAD_CREATED in actions(services)


async def test_the_service_says_what_it_supports(ann: httpx.AsyncClient, services: Services) -> None:
    answer = await ann.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(services.config.max_file_bytes)
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert set(answer.headers["Tus-Extension"].split(",")) > {"creation", "expiration", "concatenation"}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412, "unsupported-tus-version"),
        ({"Upload-Length": "-1"}, 422, "invalid-fields"),
        ({"Upload-Length": ""}, 422, "invalid-fields"),
        ({"Upload-Length": "9" * 30}, 413, "too-large"),
        ({"Upload-Metadata": "filename !"}, 400, "malformed-request"),
        ({"Upload-Metadata": "a YQ==,a YQ=="}, 400, "malformed-request"),
        ({"Upload-Metadata": "a" * 9000}, 422, "invalid-fields"),
        (metadata(filename="virus.exe"), 415, "unsupported-type"),
        ({"Upload-Concat": "all"}, 400, "malformed-request"),
        ({"Upload-Concat": "final;/v1/uploads/1"}, 400, "malformed-request"),
        ({"Upload-Concat": f"final;{'0' * 8}-0000-0000-0000-{'0' * 12}"}, 422, "invalid-fields"),
        ({"Upload-Checksum": "md5 YQ=="}, 400, "malformed-request"),
        ({"Upload-Checksum": "sha1 YQ=="}, 400, "malformed-request"),
    ],
)
async def test_an_upload_that_makes_no_sense_is_not_created(
    ann: httpx.AsyncClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    monkeypatch.setitem(vars(services.config), "allowed_extensions", frozenset({"wav"}))
    answer = await ann.post("/v1/uploads", headers=VERSION | {"Upload-Length": "10"} | headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers.get("Tus-Version") == ("1.0.0" if status == 412 else None)
    assert (await services.repository.usage("ann"))[Share.PENDING_UPLOADS] == 0


SHA1 = base64.b64encode(hashlib.sha1(SONG).digest()).decode()


@pytest.mark.parametrize(
    ("headers", "data", "status", "kept"),
    [
        ({"Upload-Offset": "1"}, SONG, 409, 0),
        ({"Content-Type": "audio/wav"}, SONG, 415, 0),
        ({"Upload-Checksum": f"sha1 {SHA1}"}, SONG, 204, len(SONG)),
        ({"Upload-Checksum": f"sha1 {SHA1}"}, SONG[:-1] + b"x", 460, 0),
        ({"Upload-Checksum": "sha256 " + base64.b64encode(bytes(32)).decode()}, SONG, 460, 0),
        ({}, SONG + b"x", 413, 0),
        ({}, b"", 204, 0),
        ({}, SONG[:7], 204, 7),
    ],
)
async def test_a_part_is_kept_only_if_it_fits(
    ann: httpx.AsyncClient,
    stored: Callable[[], list[Path]],
    headers: dict[str, str],
    data: bytes,
    status: int,
    kept: int,
) -> None:
    url = await create(ann)
    answer = await send(ann, url, data, headers=headers)
    assert answer.status_code == status
    assert await offset(ann, url) == sum(path.stat().st_size for path in stored()) == kept


async def test_the_method_may_be_overridden_and_creation_may_have_a_part(ann: httpx.AsyncClient) -> None:
    created = await ann.post(
        "/v1/uploads", content=SONG[:5], headers=PART | {"Upload-Length": str(len(SONG))}
    )
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "5")
    url = created.headers["Location"]
    patched = await ann.post(
        url, content=SONG[5:], headers=PART | {"Upload-Offset": "5", "X-HTTP-Method-Override": "PATCH"}
    )
    assert (patched.status_code, patched.headers["Upload-Offset"]) == (204, str(len(SONG)))
    assert (await ann.post(url, headers=VERSION | {"X-HTTP-Method-Override": "DELETE"})).status_code == 204
    assert (await ann.get(url, headers=VERSION)).status_code == 405


async def test_parts_that_arrive_side_by_side_are_one_song(
    ann: httpx.AsyncClient, stored: Callable[[], list[Path]]
) -> None:
    halves = [await uploaded(ann, half, {"Upload-Concat": "partial"}) for half in (SONG[:4000], SONG[4000:])]
    unfinished = await create(ann, 10, {"Upload-Concat": "partial"})
    for bad in (unfinished, await uploaded(ann)):
        answer = await ann.post(
            "/v1/uploads", headers=VERSION | {"Upload-Concat": f"final;{halves[0]} {bad}"}
        )
        assert answer.status_code == 422
    headers = {"Upload-Concat": f"final;{' '.join(halves)}"} | metadata(filename="both.wav")
    url = (await ann.post("/v1/uploads", headers=VERSION | headers)).headers["Location"]
    state = await ann.head(url, headers=VERSION)
    assert state.headers["Upload-Offset"] == state.headers["Upload-Length"] == str(len(SONG))
    assert state.headers["Upload-Concat"] == headers["Upload-Concat"]
    assert (await send(ann, url, b"", len(SONG))).status_code == 403
    created = (await separate(ann, url)).json()
    assert (created["input"]["name"], created["input"]["sha256"]) == (
        "both.wav",
        hashlib.sha256(SONG).hexdigest(),
    )
    assert {path.parent.name for path in stored()}.isdisjoint(half.rpartition("/")[2] for half in halves)
    whole = await uploaded(ann, headers={"Upload-Concat": "partial"})
    headers = VERSION | {"Upload-Concat": f"final;{whole}"}
    lost = (await ann.post("/v1/uploads", headers=headers)).headers["Location"]
    assert (await ann.delete(whole, headers=VERSION)).status_code == 204
    assert (await separate(ann, lost)).json()["type"] == "/problems/unknown-upload"


async def test_other_tenants_and_strangers_see_nothing(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    url = await uploaded(ann)
    statuses = [
        (await bob.head(url, headers=VERSION)).status_code,
        (await send(bob, url, b"")).status_code,
        (await bob.delete(url, headers=VERSION)).status_code,
        (await separate(bob, url)).status_code,
        (await stranger.head(url, headers=VERSION)).status_code,
        (await stranger.options("/v1/uploads")).status_code,
    ]
    assert statuses == [404, 404, 404, 404, 401, 401]
    assert await offset(ann, url) == len(SONG)


async def test_a_broken_connection_keeps_what_arrived_and_the_lock_only_until_then(
    ann: httpx.AsyncClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEASE", 1.5)  # which is renewed meanwhile
    monkeypatch.setattr(module, "_LOCK_TRIES", 4)
    monkeypatch.setattr(receive, "STORED_AT_ONCE", 1000)
    url = await create(ann)
    key = {"X-API-KEY": ann.headers["X-API-KEY"]}
    headers = PART | key | {"Upload-Offset": "0", "Content-Length": str(len(SONG))}
    async with connected(address) as connection:
        await connection.send(request(f"PATCH {url}", **headers) + SONG[:2500])

        async def arrived() -> bool:
            return await offset(ann, url) >= 1000

        await eventually(arrived)
        assert (await send(ann, url, SONG[1000:], 1000)).status_code == 423
        assert (await ann.delete(url, headers=VERSION)).status_code == 423
    monkeypatch.undo()

    async def kept() -> bool:
        return await offset(ann, url) == 2500

    await eventually(kept)
    assert (await send(ann, url, SONG[2500:], 2500)).status_code == 204
    assert (await separate(ann, url)).status_code == 202


@pytest.mark.parametrize(
    ("place", "method", "error", "status"),
    [
        ("storage", "put_file", StorageFullError("No."), 507),
        ("storage", "put_file", StorageUnavailableError("No."), 503),
        ("objects", "note", DatabaseUnavailableError("No."), 503),
    ],
)
async def test_a_store_or_database_that_fails_loses_nothing(
    ann: httpx.AsyncClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    method: str,
    error: Exception,
    status: int,
) -> None:
    url = await create(ann)
    await send(ann, url, SONG[:100])

    async def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(getattr(services, place), method, fail)
        answer = await send(ann, url, SONG[100:], 100)
        assert (answer.status_code, "Retry-After" in answer.headers) == (status, True)
    assert (await services.repository.usage("ann"))[Share.STORED_BYTES] in (100, len(SONG))
    assert (await send(ann, url, SONG[100:200], 100)).status_code == 204
    assert (await services.repository.usage("ann"))[Share.STORED_BYTES] == 200
    assert (await send(ann, url, SONG[200:], 200)).status_code == 204
    assert (await separate(ann, url)).json()["input"]["sha256"] == hashlib.sha256(SONG).hexdigest()


async def test_a_holder_that_lost_its_lock_adds_nothing(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path, stored: Callable[[], list[Path]]
) -> None:
    url = await create(ann)
    upload = await services.uploads.get("ann", _id(url))
    part = tmp_path / "part"
    part.write_bytes(b"stale")
    async with services.uploads.locked("ann", upload.id) as stale:
        pass
    await send(ann, url, SONG[:10])
    with pytest.raises(UploadLockedError):
        await services.uploads.add(stale, part, 5, services.shares.bounds[Share.STORED_BYTES])
    assert [path.read_bytes() for path in stored()] == [SONG[:10]]


async def test_the_lock_of_a_killed_process_ends(ann: httpx.AsyncClient, services: Services) -> None:
    url = await create(ann)
    async with services.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_uploads SET fence = 1, locked_until = now() + interval '0.3 s'"
        )
    assert (await send(ann, url, SONG)).status_code == 204


async def test_shares_bound_what_a_tenant_uploads(
    ann: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await create(ann)
    few = shares(max_queued=2, max_stored_gb=1e-7)
    monkeypatch.setattr(services.shares, "bounds", few.bounds)
    assert (await send(ann, url, SONG[:100])).status_code == 204
    answer = await send(ann, url, SONG[100:], 100)
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/stored-too-much")
    monkeypatch.setattr(
        services.shares, "bounds", few.bounds | {Share.STORED_BYTES: shares().bounds[Share.STORED_BYTES]}
    )
    await create(ann)
    third = await ann.post("/v1/uploads", headers=VERSION | {"Upload-Length": "1"})
    assert (third.status_code, third.json()["type"]) == (429, "/problems/uploads-pending")
    monkeypatch.setattr(module, "MOST_PARTS", 1)
    assert (await send(ann, url, SONG[100:], 100)).status_code == 413


async def test_what_is_deleted_infected_or_abandoned_is_erased(
    ann: httpx.AsyncClient,
    services: Services,
    stored: Callable[[], list[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deleted, infected, abandoned = [await uploaded(ann) for _ in range(3)]
    assert (await ann.delete(deleted, headers=VERSION)).status_code == 204
    assert len(stored()) == 2

    class Scanner:
        async def scan(self, chunks: Any) -> None:
            raise InfectedError("It is.", "Eicar")

    monkeypatch.setitem(vars(services), "scanner", Scanner())
    assert (await separate(ann, infected)).json()["type"] == "/problems/infected-file"
    assert [path.parent.name for path in stored()] == [str(_id(abandoned))]
    assert await services.uploads.sweep(services.audit) == 0
    sweeper = ObjectSweeper(services.database, services.objects, age=timedelta(0))
    assert await sweeper.sweep() == 0
    # as workers of an older version ask
    rows = await services.database.rows("list_old_prefixes", before=datetime.now(UTC) + timedelta(hours=23))
    assert rows == []
    await expire(services.database)
    assert (await ann.head(abandoned, headers=VERSION)).status_code == 404
    sweeping = asyncio.create_task(regularly(0.01, partial(services.uploads.sweep, services.audit)))

    async def swept() -> bool:
        return not stored()

    await eventually(swept)
    sweeping.cancel()
    recorded = actions(services)
    assert [recorded.count(action) for action in (Action.UPLOAD_ERASED, Action.UPLOAD_EXPIRED)] == [1, 1]


async def test_a_client_that_stops_sending_is_cut_off_and_what_it_sent_stays(
    ann: httpx.AsyncClient, services: Services
) -> None:
    """A proxy serves the service under a path."""
    config = replace(services.config, body_timeout=0.3, root_path="/stems")
    async with served(create_app(replace(services, config=config))) as address:
        headers = VERSION | {"Upload-Length": str(len(SONG))}
        url = (await ann.post(f"{address}/v1/uploads", headers=headers)).headers["Location"]
        assert url.startswith("/stems/v1/uploads/")
        key = {"X-API-KEY": ann.headers["X-API-KEY"]}
        headers = PART | key | {"Upload-Offset": "0", "Content-Length": str(len(SONG))}
        async with connected(address) as connection:
            await connection.send(request(f"PATCH {url}", **headers) + SONG[:700])
            assert (await connection.answer())[0] == 408
    assert await offset(ann, url.removeprefix("/stems")) == 700


async def test_an_upload_that_cannot_be_recorded_is_not_begun(
    ann: httpx.AsyncClient, services: Services
) -> None:
    make_unwritable(services.database.url)
    answer = await ann.post("/v1/uploads", headers=VERSION | {"Upload-Length": "1"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/audit-unwritable")
    assert (await services.repository.usage("ann"))[Share.PENDING_UPLOADS] == 0


async def test_parts_without_an_upload_are_swept(
    ann: httpx.AsyncClient, services: Services, stored: Callable[[], list[Path]]
) -> None:
    await uploaded(ann)
    async with services.database.transaction() as transaction:
        await transaction.connection.execute("DELETE FROM spleeter_uploads")
    assert await ObjectSweeper(services.database, services.objects, age=timedelta(0)).sweep() == 1
    assert stored() == []


async def test_an_erasure_that_fails_is_done_later(
    ann: httpx.AsyncClient,
    services: Services,
    stored: Callable[[], list[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = await uploaded(ann)

    async def fail(*_: object, **__: object) -> None:
        raise StorageUnavailableError("No.")

    with monkeypatch.context() as failing:
        failing.setattr(services.storage, "delete_prefix", fail)
        assert (await ann.delete(url, headers=VERSION)).status_code == 503
        with pytest.raises(StorageUnavailableError):
            await services.uploads.sweep(services.audit)
    assert (await ann.head(url, headers=VERSION)).status_code == 404
    assert await services.uploads.sweep(services.audit) == 1
    assert (stored(), actions(services).count(Action.UPLOAD_EXPIRED)) == ([], 0)


async def expire(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_uploads SET expires_at = now() - interval '1 s'"
        )


def _id(url: str) -> UUID:
    return UUID(url.rpartition("/")[2])
