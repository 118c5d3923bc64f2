"""Songs come from buckets and stems go there, and to pre-signed addresses, on a real S3 server."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest
import pytest_asyncio
from botocore.config import Config  # type: ignore[import-untyped]

from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.storage.bucket_urls import BucketGrant
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.storage.store import open_storage
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from spleeter_microservice.worker import delivery
from tests.support.audit import audited
from tests.support.http_servers import Handler, serving, status
from tests.support.logs import logged
from tests.support.random_models import write_configured
from tests.support.s3_server import BUCKET, S3Server
from tests.support.separate_command import Command
from tests.support.tiny_fleet import ended, install, working
from tests.support.web_service import ALL, build_services, served, song

pytestmark = pytest.mark.asyncio

POLICY = UrlPolicy(ports=frozenset(range(1, 65536)), inner=(InnerTarget(ip_network("127.0.0.1")),))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest_asyncio.fixture
async def services(server: S3Server, database: Database, tmp_path: Path) -> AsyncIterator[Services]:
    """The API and a worker that separates, on buckets; Ann may name one folder, Bob another."""
    plain = build_services(
        database,
        tmp_path,
        objects=(objects := JobObjects(database, open_storage(f"s3://{BUCKET}/service"))),
        storage=objects.storage,
        retention=Retention(database, objects.erase),
        outgoing=Outgoing(POLICY),
        url_policy=POLICY,
        buckets=Buckets(
            [BucketGrant.parse(f"s3://{BUCKET}/of/{{tenant}}"), BucketGrant.parse("bob=s3://gone")]
        ),
        workers=WorkerRegistry(database),
        signed_urls=SignedUrls([b"a key of this test, and of no other one"]),
    )
    services = replace(plain, config=replace(plain.config, destination_urls=True))
    async with working(services, install(tmp_path), tmp_path / "work"):
        yield services


@pytest_asyncio.fixture
async def clients(services: Services) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    keys = {name: (await services.keys.create(name, ALL))[0] for name in ("ann", "bob")}
    async with served(create_app(services)) as url:
        made = {
            name: httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}, timeout=None)
            for name, key in keys.items()
        }
        yield made
        for client in made.values():
            await client.aclose()


async def separate(client: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    answer = await client.post("/v1/separations", json=options)
    assert answer.status_code == 202, answer.text
    return await ended(client, answer)


async def fetch(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url, headers=headers)


def presigned(server: S3Server, version: str, key: str, **more: str) -> str:
    environment = server.environment
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        config=Config(signature_version=version),
        region_name=environment["AWS_REGION"],
    )
    url: str = client.generate_presigned_url(
        "put_object", {"Bucket": BUCKET, "Key": key, **more}, ExpiresIn=300
    )
    return url


async def test_a_song_goes_from_a_bucket_to_a_bucket_and_is_kept_for_download(
    clients: dict[str, httpx.AsyncClient], server: S3Server, services: Services
) -> None:
    server.administrator.put_object(Bucket=BUCKET, Key="of/ann/in/My söng.wav", Body=song(0.5))
    source, folder = f"s3://{BUCKET}/of/ann/in/My söng.wav", f"s3://{BUCKET}/of/ann/out/"
    mixes = {"karaoke": "accompaniment+vocals@-18dB"}
    job = await separate(clients["ann"], source_url=source, destination_url=folder, mixes=mixes)
    assert (job["state"], job["delivered"], job["delivery_error"]) == ("succeeded", True, None)
    assert job["input"]["name"] == "My söng.wav"
    assert job["options"]["destination_url"] == folder
    assert [stem["name"] for stem in job["stems"] + job["mixes"]] == ["vocals", "accompaniment", "karaoke"]
    for stem in job["stems"] + job["mixes"]:
        kept = server.administrator.get_object(Bucket=BUCKET, Key=f"of/ann/out/{stem['name']}.wav")
        assert kept["ContentType"] == stem["media_type"] == "audio/wav"
        content = kept["Body"].read()
        assert content == (await clients["ann"].get(stem["url"])).content
        part = await fetch(stem["signed_url"], Range="bytes=0-99")
        assert (part.status_code, part.content) == (206, content[:100])
        assert urlsplit(stem["signed_url"]).netloc == urlsplit(server.url).netloc
        assert f"My%20s%C3%B6ng%20-%20{stem['name']}.wav" in part.headers["content-disposition"]
    answer = await clients["ann"].get(f"{job['stems'][0]['url']}?redirect=1")
    assert (await fetch(answer.headers["location"])).headers["content-type"] == "audio/wav"
    head = await clients["ann"].head(f"{job['stems'][0]['url']}?redirect=1")
    async with httpx.AsyncClient() as client:
        assert (await client.head(head.headers["location"])).status_code == 200
    entries = audited(services.database.url)
    assert [entry["details"].get("redirected") for entry in entries][-1] is True
    (created,) = [entry for entry in entries if entry["action"] == "job.created"]
    assert created["details"]["destination"] == folder
    await clients["ann"].delete(job["url"])
    assert (await fetch(answer.headers["location"])).status_code == 404
    again = await separate(clients["ann"], source_url=source, destination_url=folder)
    assert again["delivered"], "an earlier result is not delivered without a worker"


async def test_tenants_name_only_their_own_folders(
    clients: dict[str, httpx.AsyncClient], server: S3Server
) -> None:
    server.administrator.put_object(Bucket=BUCKET, Key="of/ann/in.wav", Body=song())
    cases = [
        ({"source_url": f"s3://{BUCKET}/of/ann/in.wav"}, "forbidden-address"),
        ({"source_url": f"s3://{BUCKET}/of/bob/../ann/in.wav"}, "forbidden-address"),
        ({"source_url": f"s3://{BUCKET}/service/readiness"}, "forbidden-address"),
        ({"source_url": f"s3://{BUCKET}/of/bob/none.wav"}, "unreachable-bucket"),
        ({"source_url": "s3://gone/in.wav"}, "unreachable-bucket"),
        ({"source_url": "gs://other/in.wav"}, "forbidden-address"),
    ]
    assert (await clients["ann"].get("/v1/limits")).json()["buckets"] == [f"s3://{BUCKET}/of/ann"]
    assert (await clients["bob"].get("/v1/limits")).json()["buckets"] == [
        f"s3://{BUCKET}/of/bob",
        "s3://gone",
    ]
    for body, kind in cases:
        answer = await clients["bob"].post("/v1/separations", json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{kind}"), answer.text
        assert "127.0.0.1" not in answer.text


async def test_stems_are_sent_to_addresses_that_boto3_signs(
    clients: dict[str, httpx.AsyncClient], server: S3Server, services: Services
) -> None:
    server.administrator.put_object(Bucket=BUCKET, Key="of/ann/in.wav", Body=song(0.5, seed=1))
    source = f"s3://{BUCKET}/of/ann/in.wav"
    addresses = {
        "vocals": presigned(server, "s3", "signed/v.wav", ContentType="audio/x-wav"),
        "accompaniment": presigned(server, "s3v4", "signed/a.wav", ContentType="audio/wav"),
    }
    plain = {
        name: presigned(server, "s3" if name == "vocals" else "s3v4", f"plain/{name}") for name in addresses
    }
    with logged("debug") as log:
        job = await separate(clients["ann"], source_url=source, destination_url=addresses)
        again = await separate(clients["ann"], source_url=source, destination_url=plain)
        broken = plain["accompaniment"][:-1] + "x"
        failed = await separate(clients["ann"], source_url=source, destination_url=broken, only=["vocals"])
    assert (job["delivery_error"], again["delivery_error"]) == (None, None)
    assert job["delivered"]
    for stem, key in zip(job["stems"], ("signed/v.wav", "signed/a.wav"), strict=True):
        content = server.administrator.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert content == (await clients["ann"].get(stem["url"])).content
    assert (failed["state"], failed["delivered"]) == ("succeeded", False)
    assert failed["delivery_error"] == (
        "vocals was not delivered: The server responded with 403. Check that the URL has been signed for "
        "PUT, and has not expired."
    )
    assert (await clients["ann"].get(failed["stems"][0]["url"])).status_code == 200
    shown = str([job, again, failed]) + log.getvalue() + str(audited(services.database.url))
    for address in (*addresses.values(), *plain.values(), broken):
        assert address.partition("?")[0] in shown
        assert parse_qsl(urlsplit(address).query)[-1 if "X-Amz" in address else 1][1] not in shown


async def test_the_command_line_separates_from_bucket_to_bucket(server: S3Server, tmp_path: Path) -> None:
    server.administrator.put_object(Bucket=BUCKET, Key="cli/Größe 1.wav", Body=song(0.5))
    environment = os.environ | server.environment | {"SPLEETER_MODELS_DIR": str(tmp_path / "store")}
    (tmp_path / "model").mkdir()
    command = Command(write_configured(tmp_path / "model"), environment, tmp_path)
    sources = (f"s3://{BUCKET}/cli/Größe 1.wav", f"s3://{BUCKET}/cli/none.wav")
    output = f"s3://{BUCKET}/cli/out"
    done = await asyncio.to_thread(command, *sources, "-o", output, "-c", "flac")
    assert (done.returncode, done.stderr) == (
        SOME_FAILED,
        f"Error: s3://{BUCKET} has no object cli/none.wav. Check the bucket and the key.\n",
    )
    assert f"{output}/Größe 1/vocals.flac  " in done.stdout
    assert f"{sources[0]}: 0.5 s of audio" in done.stdout
    listed = server.administrator.list_objects_v2(Bucket=BUCKET, Prefix="cli/out/")["Contents"]
    keys = [item["Key"] for item in listed]
    assert len(keys) == done.stdout.count(output)
    stem = server.administrator.get_object(Bucket=BUCKET, Key=keys[0])
    assert (stem["ContentType"], stem["Body"].read(4)) == ("audio/flac", b"fLaC")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "store"]


async def test_a_delivery_is_tried_again_within_bounds(
    clients: dict[str, httpx.AsyncClient], server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_PAUSES", (0.01, 0.01))
    server.administrator.put_object(Bucket=BUCKET, Key="of/bob/in.wav", Body=song(0.5, seed=2))
    bob, source = clients["bob"], f"s3://{BUCKET}/of/bob/in.wav"
    with serving(status(503), status(200)) as unsteady, serving(status(503)) as away:
        azure = f"{unsteady.url}/v.wav?sv=2022-11-02&sr=b&sig=x"
        job = await separate(bob, source_url=source, destination_url=azure, only=["vocals"])
        assert (job["delivered"], unsteady.bodies[0] == unsteady.bodies[1]) == (True, True)
        path, headers = unsteady.requests[1]
        assert (path, headers["x-ms-blob-type"]) == ("/v.wav?sv=2022-11-02&sr=b&sig=x", "BlockBlob")
        assert "Content-Type" not in headers
        job = await separate(bob, source_url=source, destination_url=away.url, only=["vocals"])
        assert (len(away.requests), "responded with 503" in job["delivery_error"]) == (3, True)
    job = await separate(bob, source_url=source, destination_url="s3://gone/out")
    assert job["delivery_error"].startswith("vocals was not delivered: s3://gone cannot be reached")
    monkeypatch.setattr(delivery, "_SECONDS", 0.2)
    left = threading.Event()

    def wait(_: Handler) -> None:
        left.wait(60)

    with serving(wait) as slow:
        job = await separate(bob, source_url=source, destination_url=slow.url, only=["vocals"])
        assert "too slow" in job["delivery_error"]
        left.set()
