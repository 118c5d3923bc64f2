"""Every object store behaves alike: a directory, memory and the buckets of three clouds."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import cast

import httpx
import obstore
import pytest
from obstore.store import S3Store

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    BucketError,
    ConfigurationError,
    InvalidObjectKeyError,
    ObjectChangedError,
    ObjectNotFoundError,
    ObjectTooLargeError,
    StorageFullError,
    StorageRefusedError,
    StorageUnavailableError,
)
from spleeter_microservice.jobs.job import Job, JobOptions
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.storage.bucket_urls import BucketGrant
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.storage.store import BLOCK_BYTES, Deadlines, Storage, open_storage
from spleeter_microservice.worker.delivery import Deliverer
from tests.support.azure_server import CONTAINER, azure_server
from tests.support.documents import blocks
from tests.support.google_front import GOOGLE_BUCKET, google_front
from tests.support.http_servers import Handler, serving, status
from tests.support.job_samples import new_job
from tests.support.s3_server import BUCKET, S3Server
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio

MEGABYTE = 1 << 20
NO_LIMIT = 1 << 40
POLICY = UrlPolicy(ports=frozenset(range(1, 65536)), inner=(InnerTarget(ip_network("127.0.0.1")),))
_prefixes = itertools.count()
_CLOUDS = {
    "s3": ("server", f"s3://{BUCKET}"),
    "az": ("azure", f"az://{CONTAINER}"),
    "gs": ("google", f"gs://{GOOGLE_BUCKET}"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def azure() -> Iterator[dict[str, str]]:
    with azure_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def google(server: S3Server) -> Iterator[dict[str, str]]:
    with google_front(server) as environment:
        yield environment


@pytest.fixture
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The URL of an empty folder in a bucket of a cloud, whose credentials are in the environment."""

    def folder(cloud: str) -> str:
        environment = request.getfixturevalue(_CLOUDS[cloud][0])
        use(monkeypatch, environment.environment if cloud == "s3" else environment)
        return f"{_CLOUDS[cloud][1]}/run-{next(_prefixes)}"

    return folder


@pytest.fixture(params=["folder", "memory", *_CLOUDS])
def storage(request: pytest.FixtureRequest, tmp_path: Path, bucket: Callable[[str], str]) -> Storage:
    if request.param in _CLOUDS:
        return open_storage(bucket(request.param))
    return open_storage("memory:" if request.param == "memory" else str(tmp_path / "objects"))


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(storage: Storage, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([block async for block in await storage.get(key, start, stop)])


async def keys(storage: Storage, prefix: str | None = None) -> list[str]:
    return sorted([found.key async for found in storage.list(prefix)])


async def put(storage: Storage, key: str, data: bytes = b"data") -> None:
    await storage.put(key, stream(data), max_bytes=NO_LIMIT)


@pytest.mark.parametrize("size", [0, 5 * MEGABYTE, 5 * MEGABYTE + 1, 13 * MEGABYTE])
async def test_an_object_is_read_as_it_was_written(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    chunks = [data[i : i + 300_000] for i in range(0, size, 300_000)]
    written = await storage.put("a/song.wav", stream(*chunks), max_bytes=size)
    assert (written.key, written.size) == ("a/song.wav", size)
    assert written.sha256 == hashlib.sha256(data).hexdigest()
    assert written.crc32 == zlib.crc32(data)
    assert await content(storage, "a/song.wav") == data


async def test_metadata_contain_size_etag_and_time(storage: Storage) -> None:
    before = datetime.now(UTC)
    written = await storage.put("a/song.flac", stream(b"12", b"345"), max_bytes=5)
    info = await storage.head("a/song.flac")
    assert (info.key, info.size) == ("a/song.flac", 5)
    assert info.etag == written.etag
    assert info.etag.startswith('"')
    assert info.etag.endswith('"')
    assert len(info.etag) > 2
    assert abs(info.modified - before) < timedelta(minutes=10)


async def test_different_content_has_a_different_etag(storage: Storage) -> None:
    await put(storage, "a", b"first")
    first = await storage.head("a")
    await put(storage, "a", b"second")
    assert (await storage.head("a")).etag != first.etag
    assert await content(storage, "a") == b"second"


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (3, 7), (9, 10), (5, None), (5, 500), (10, None), (500, 600), (7, 3)]
)
async def test_a_range_is_clipped_to_the_object(storage: Storage, start: int, stop: int | None) -> None:
    await put(storage, "a", b"0123456789")
    found = await storage.get("a", start, stop)
    assert b"".join([block async for block in found]) == b"0123456789"[start:stop]
    assert found.info.size == 10


async def test_any_range_is_exact_across_blocks(storage: Storage) -> None:
    data = bytes(range(251)) * (9 * MEGABYTE // 251)
    await put(storage, "a", data)
    chance = random.Random(1)
    for _ in range(5):
        start, length = chance.randrange(10 * MEGABYTE), chance.randrange(10 * MEGABYTE)
        blocks = [block async for block in await storage.get("a", start, start + length)]
        assert b"".join(blocks) == data[start : start + length]
        assert max(map(len, blocks), default=0) <= BLOCK_BYTES


async def test_blocks_have_the_requested_size(storage: Storage) -> None:
    await put(storage, "a", bytes(range(10)))
    stream = await storage.get("a", 1, 9, block_bytes=3)
    assert [block async for block in stream] == [b"\1\2\3", b"\4\5\6", b"\7\10"]


async def test_an_object_is_invisible_until_it_is_complete(storage: Storage) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield bytes(MEGABYTE)
            assert await keys(storage) == []
            with pytest.raises(ObjectNotFoundError):
                await storage.head("a")

    await storage.put("a", chunks(), max_bytes=NO_LIMIT)
    assert await keys(storage) == ["a"]


@pytest.mark.parametrize(
    ("megabytes", "error"),
    [(1, ValueError("gone")), (1, ConnectionResetError("gone")), (12, OSError("gone"))],
)
async def test_a_failing_stream_leaves_nothing(storage: Storage, megabytes: int, error: Exception) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield bytes(MEGABYTE)
        raise error

    with pytest.raises(type(error), match="gone"):
        await storage.put("a/b", chunks(), max_bytes=NO_LIMIT)
    assert await keys(storage) == []


@pytest.mark.parametrize("megabytes", [1, 12])
async def test_too_many_bytes_are_refused_at_the_limit(storage: Storage, megabytes: int) -> None:
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MEGABYTE)

    with pytest.raises(ObjectTooLargeError):
        await storage.put("a", chunks(), max_bytes=megabytes * MEGABYTE)
    assert taken == megabytes + 1
    assert await keys(storage) == []


async def test_a_cancelled_put_leaves_nothing(storage: Storage) -> None:
    stalling = asyncio.Event()
    task = asyncio.create_task(storage.put("a", stalled(stalling), max_bytes=NO_LIMIT))
    await stalling.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(storage) == []
    await storage.put("a", stream(b"again"), max_bytes=5)


async def test_reading_stops_if_the_object_is_replaced(storage: Storage) -> None:
    await put(storage, "a", bytes(2 * BLOCK_BYTES))
    blocks = aiter(await storage.get("a"))
    await anext(blocks)
    await put(storage, "a", b"other")
    with pytest.raises(ObjectChangedError):
        await anext(blocks)


async def test_listing_returns_the_objects_below_a_prefix_with_their_times(storage: Storage) -> None:
    for key in ("a/1/x.wav", "a/1/y.wav", "a/10/x.wav", "b/x.wav"):
        await put(storage, key)
    assert await keys(storage, "a/1") == ["a/1/x.wav", "a/1/y.wav"]
    assert await keys(storage, "c") == []
    assert len(await keys(storage)) == 4
    async for found in storage.list("b"):
        assert found.size == 4
        assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=10)


async def test_deleting_a_prefix_erases_only_the_objects_below_it(storage: Storage) -> None:
    for key in ("a/1/x.wav", "a/1/deep/y.wav", "a/10/x.wav", "a/1.json"):
        await put(storage, key)
    await storage.delete_prefix("a/1")
    assert await keys(storage) == ["a/1.json", "a/10/x.wav"]
    await storage.delete_prefix("a/1")


async def test_deleting_twice_is_not_an_error(storage: Storage) -> None:
    await put(storage, "a/b")
    await storage.delete("a/b")
    await storage.delete("a/b")
    assert await keys(storage) == []


async def test_a_missing_object_is_reported(storage: Storage, tmp_path: Path) -> None:
    for action in (storage.head("a/b"), storage.get("a/b"), storage.get_file("a/b", tmp_path / "b")):
        with pytest.raises(ObjectNotFoundError, match="no object a/b"):
            await action
    assert not (tmp_path / "b").exists()


NO_KEYS = [
    *("", "/a", "a/", "a//b", "..", "a/../b", ".", "./a", "a\\b", "a\0b", "a b", "a#1", "%2e", "é"),
    *("x" * 900, ".hidden", "-f", "a/\n", "a\n"),
]


@pytest.mark.parametrize("key", NO_KEYS)
async def test_an_invalid_key_is_refused(storage: Storage, key: str, tmp_path: Path) -> None:
    for action in (storage.head(key), storage.get(key), storage.delete(key), storage.delete_prefix(key)):
        with pytest.raises(InvalidObjectKeyError):
            await action
    with pytest.raises(InvalidObjectKeyError):
        await put(storage, key)
    with pytest.raises(InvalidObjectKeyError):
        await storage.get_file(key, tmp_path / "x")


def open_files() -> Iterator[Path]:
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # a thread has closed it
            yield descriptor.readlink()


async def test_files_can_be_stored_and_fetched(storage: Storage, tmp_path: Path) -> None:
    source, copy = tmp_path / "in.wav", tmp_path / "out.wav"
    source.write_bytes(os.urandom(6 * MEGABYTE))
    written = await storage.put_file(source, "a/in.wav", max_bytes=6 * MEGABYTE)
    assert written.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (await storage.get_file("a/in.wav", copy)).size == 6 * MEGABYTE
    assert copy.read_bytes() == source.read_bytes()
    with pytest.raises(ObjectTooLargeError):
        await storage.put_file(source, "a/again.wav", max_bytes=6 * MEGABYTE - 1)
    assert source not in open_files()


async def test_a_link_is_not_followed_into_the_store(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=name):
            await storage.put_file(tmp_path / name, "a", max_bytes=NO_LIMIT)
    assert await keys(storage) == []


async def test_a_cancelled_copy_leaves_no_file(storage: Storage, tmp_path: Path) -> None:
    await put(storage, "a", bytes(12 * MEGABYTE))
    task = asyncio.create_task(storage.get_file("a", tmp_path / "copy"))
    while not list(tmp_path.glob("*.part")):  # between any two steps of the copy
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [*tmp_path.glob("*.part"), *tmp_path.glob("copy")] == []


async def test_a_working_store_passes_its_check(storage: Storage) -> None:
    await storage.check()


@pytest.mark.parametrize(
    ("kind", "reason"), [("stopped", "Connection refused"), ("frozen", "it did not answer within")]
)
async def test_an_outage_of_the_s3_server_is_reported_and_recovered_from(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    use(monkeypatch, server.environment)
    storage = open_storage(f"s3://{BUCKET}/outage-{kind}")
    if kind == "frozen":
        storage.deadlines = Deadlines(answer=0.3, transfer=0.3)
    outage: AbstractContextManager[None] = getattr(server, kind)()
    with outage:
        for action in (
            storage.check(),
            storage.head("a"),
            storage.get("a"),
            put(storage, "a"),
            keys(storage),
        ):
            with pytest.raises(StorageUnavailableError, match=rf"s3://songs .*: {reason}"):
                await action
    storage.deadlines = Deadlines()
    await put(storage, "a")
    assert await content(storage, "a") == b"data"


async def test_a_listing_that_was_given_up_does_not_disturb_later_requests() -> None:
    released, sent = threading.Event(), threading.Event()

    def late(request: Handler) -> None:
        released.wait(60)
        request.close_connection = False
        request.send_response(200)
        request.send_header("ETag", '"1"')
        request.send_header("Content-Length", "0")
        request.end_headers()
        sent.set()

    with serving(late) as server:
        known = {"endpoint": server.url, "access_key_id": "a", "secret_access_key": "b", "region": "c"}
        storage = open_storage("s3://songs", known)
        storage.deadlines = Deadlines(answer=0.2, transfer=20)
        with pytest.raises(StorageUnavailableError, match="did not answer") as given_up:
            await keys(storage)
        released.set()
        await asyncio.to_thread(sent.wait, 10)
        del given_up
        gc.collect()
        await put(storage, "a")


async def test_the_documented_rule_discards_unfinished_uploads(server: S3Server) -> None:
    (rule,) = (json.loads(block.text) for block in blocks("docs/operations.md", "json"))
    server.administrator.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)


async def test_a_failed_upload_leaves_no_parts_in_the_bucket(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server.environment)
    storage = open_storage(f"s3://{BUCKET}/parts")
    with pytest.raises(ObjectTooLargeError):
        await storage.put("a", stream(*[bytes(MEGABYTE)] * 20), max_bytes=15 * MEGABYTE)
    sending = asyncio.create_task(storage.put("b", stalled(asyncio.Event()), max_bytes=NO_LIMIT))
    await eventually(server.unfinished_uploads)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not server.unfinished_uploads()


async def stalled(stalling: asyncio.Event) -> AsyncIterator[bytes]:
    for _ in range(12):
        yield bytes(MEGABYTE)
    stalling.set()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (507, "<Code>XMinioStorageFull</Code>"),
        (400, "<Code>XMinioAdminBucketQuotaExceeded</Code>"),
        (403, "<Code>QuotaExceeded</Code>"),  # Ceph's
        (403, "<Code>AccessDenied</Code><Message>Cannot upload files, storage cap exceeded.</Message>"),
    ],
)
async def test_a_bucket_without_space_is_full(code: int, error: str) -> None:
    with serving(status(code, f"<Error>{error}</Error>".encode())) as server:
        known = {"endpoint": server.url, "access_key_id": "a", "secret_access_key": "b", "region": "c"}
        with pytest.raises(StorageFullError):
            await put(open_storage("s3://songs", known), "a")


async def test_a_missing_bucket_is_an_unavailable_store(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server.environment)
    storage = open_storage("s3://elsewhere")
    for action in (storage.check(), put(storage, "a")):
        with pytest.raises(StorageUnavailableError, match="The bucket of s3://elsewhere does not exist"):
            await action


@pytest.mark.parametrize("cloud", _CLOUDS)
async def test_stems_go_to_buckets_of_callers_and_to_signed_addresses_of_every_cloud(
    bucket: Callable[[str], str], cloud: str, tmp_path: Path
) -> None:
    url = bucket(cloud)
    buckets = Buckets([BucketGrant.parse(url)])
    file, data = tmp_path / "Größe 1.wav", os.urandom(6 * MEGABYTE)
    file.write_bytes(data)

    async def deliver(destination: str | Mapping[str, str]) -> str | None:
        job = new_job(options=JobOptions(destination_url=destination))
        return await Deliverer(buckets, Outgoing(POLICY)).deliver(cast("Job", job), {"vocals": file})

    async def read(key: str) -> bytes:
        return b"".join([part async for part in buckets.find("ann", f"{url}/{key}").chunks(NO_LIMIT)])

    assert await deliver(f"{url}/out of/tests") is None
    assert await read("out of/tests/Größe 1.wav") == data
    with pytest.raises(BucketError, match=r"has no object .*none\.wav"):
        await read("none.wav")

    storage = open_storage(url)
    attributes = {"Content-Type": "audio/wav", "Content-Disposition": 'attachment; filename="a.wav"'}
    await storage.put_file(file, "a.wav", max_bytes=NO_LIMIT, attributes=attributes)
    (get,), (head,) = [
        await storage.sign(["a.wav"], timedelta(minutes=5), method) or [] for method in ("GET", "HEAD")
    ]
    async with httpx.AsyncClient() as client:
        part = await client.get(get, headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, data[5:10])
        assert attributes.items() <= {name.title(): value for name, value in part.headers.items()}.items()
        assert (await client.head(head)).headers["content-length"] == str(len(data))
        assert (await client.get(get.replace("a.wav", "b.wav"))).status_code == 403

    store = cast("S3Store", storage._store)  # or another that signs
    put = await obstore.sign_async(store, "PUT", "signed/v.wav", timedelta(minutes=5))
    assert await deliver({"vocals": put}) is None
    assert await read("signed/v.wav") == data
    refused = await deliver({"vocals": put.replace("v.wav", "w.wav")})
    assert refused == (
        "vocals was not delivered: The server responded with 403. Check that the URL has been signed for "
        "PUT, and has not expired."
    )


RIGHTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


async def test_a_bucket_that_cannot_be_listed_is_ready_and_its_objects_are_erased(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    prefixes = ["separations/big", "separations/lost", "separations/new"]
    use(monkeypatch, server.environment)
    everything = open_storage(f"s3://{BUCKET}/unlisted")
    use(monkeypatch, server.restricted_to(*RIGHTS))
    storage = open_storage(f"s3://{BUCKET}/unlisted")
    await storage.check()
    with pytest.raises(StorageRefusedError, match="s3:ListBucket"):
        await keys(storage)
    with pytest.raises(ObjectNotFoundError):
        await storage.get("separations/big/input")
    async with Database(database_url, timeout=60) as database:
        objects = JobObjects(database, storage)
        for prefix in prefixes:
            await objects.note("ann", prefix, {f"{prefix}/input": 1, f"{prefix}/stems/never-written.wav": 1})
            await put(storage, f"{prefix}/input", bytes(6 * MEGABYTE if prefix == prefixes[0] else 1))
        await objects.erase(prefixes[0])
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE spleeter_objects SET noted_at = now() - interval '2 hours' WHERE prefix = %s",
                [prefixes[1]],
            )
        assert await ObjectSweeper(database, objects).sweep() == 1
        assert await ObjectSweeper(database, objects).sweep() == 0
    assert await keys(everything) == ["readiness", "separations/new/input"]


async def test_a_store_that_becomes_read_only_fails_its_check_and_erases_nothing(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, server.environment)
    everything = open_storage(f"s3://{BUCKET}/read-only")
    await everything.check()
    await put(everything, "separations/a/input")
    use(monkeypatch, server.restricted_to("s3:GetObject", "s3:ListBucket"))
    storage = open_storage(f"s3://{BUCKET}/read-only")
    with pytest.raises(StorageRefusedError, match="s3:PutObject"):
        await storage.check()
    with pytest.raises(StorageRefusedError, match="s3:DeleteObject"):
        await storage.delete_prefix("separations/a", ["separations/a/input"])
    assert await content(storage, "separations/a/input") == b"data"


@pytest.mark.parametrize("lacking", RIGHTS)
async def test_a_refusal_names_the_right_that_lacks(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    rights = [right for right in RIGHTS if right != lacking]
    use(monkeypatch, server.restricted_to(*rights))
    storage = open_storage(f"s3://{BUCKET}/without-{lacking[3:]}")

    async def use_all() -> None:
        await storage.check()
        await put(storage, "a")
        await storage.delete("a")

    with pytest.raises(StorageRefusedError, match=f"need {lacking}"):
        await use_all()


async def test_a_directory_that_disappears_is_reported_and_not_created_again(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "objects"))
    await put(storage, "a")
    (tmp_path / "objects").rename(tmp_path / "away")
    for action in (storage.check(), storage.head("a"), storage.get("a"), put(storage, "a"), keys(storage)):
        with pytest.raises(StorageUnavailableError, match="does not exist"):
            await action
    assert not (tmp_path / "objects").exists()
    (tmp_path / "away").rename(tmp_path / "objects")
    assert await content(storage, "a") == b"data"


async def test_deleting_leaves_no_empty_directories(tmp_path: Path) -> None:
    storage = open_storage(f"file://{tmp_path}/objects")
    await put(storage, "a/b/c")
    await storage.delete("a/b/c")
    assert list((tmp_path / "objects").iterdir()) == []


async def test_old_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    """A process killed while it writes leaves a hidden file; that of a writer at work stays."""
    script = (
        "import asyncio, os, signal, sys\n"
        "from spleeter_microservice.storage.store import open_storage\n"
        "async def chunks():\n"
        "    for _ in range(30): yield bytes(1 << 20)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(open_storage(sys.argv[1]).put('a/b', chunks(), max_bytes=1 << 40))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    storage = open_storage(str(tmp_path))
    assert await keys(storage) == []
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b#1"]
    now = datetime.now(UTC)
    assert await storage.remove_unfinished(now - timedelta(hours=1)) == 0
    assert await storage.remove_unfinished(now + timedelta(seconds=1)) == 1
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://x", "s3:", "gopher:"])
async def test_an_unknown_kind_of_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_storage(url)


async def test_a_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailableError, match="cannot be created"):
        open_storage(str(tmp_path / "file" / "objects"))


_MEMORY = """
import asyncio, resource, sys
from pathlib import Path
from spleeter_microservice.storage.store import open_storage

async def chunks():
    for _ in range(int(sys.argv[3])): yield bytes(1 << 20)

def peak():  # MiB; unlike ru_maxrss, not that of the process before exec
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024

async def main(url, copy):
    storage = open_storage(url)
    async def small(): yield b"x"
    await storage.put("small", small(), max_bytes=9)
    before = peak()
    await storage.put("a", chunks(), max_bytes=1 << 30)
    await storage.get_file("a", copy)
    if not url.startswith("s3"):
        await storage.put_file(copy, "b", max_bytes=1 << 30)
    assert copy.stat().st_size == int(sys.argv[3]) << 20
    print(peak() - before)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


@pytest.mark.parametrize(("kind", "megabytes"), [("folder", 150), ("s3", 100)])
async def test_memory_does_not_grow_with_the_object(
    kind: str, megabytes: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = dict(os.environ)
    url = str(tmp_path / "objects")
    if kind == "s3":
        environment |= request.getfixturevalue("server").environment
        url = f"s3://{BUCKET}/large"
    command = [sys.executable, "-c", _MEMORY, url, str(tmp_path / "copy"), str(megabytes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert float(done.stdout) < 50, "MiB"
