"""Separations are submitted, read, listed and deleted over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.claims import Failure
from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.jobs.repository import Origin
from spleeter_microservice.web.services import Services
from tests.support.audit import audited
from tests.support.job_samples import PREVIEW, WARNINGS, new_job
from tests.support.waiting import eventually
from tests.support.web_service import Player, WavProber, WorkerRegistry, build_services, shares, song

pytestmark = pytest.mark.asyncio


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    plain = build_services(database, tmp_path, fleet)
    return replace(plain, config=replace(plain.config, signing_webhooks=True), shares=shares(max_queued=3))


async def submit(
    client: httpx.AsyncClient, content: bytes | None = None, *, key: str | None = None, **fields: str
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    file = {"file": ("song.wav", song() if content is None else content)}
    return await client.post("/v1/separations", files=file, data=fields, headers=headers)


def actions(services: Services) -> list[str]:
    return [record["action"] for record in audited(services.database.url)]


def objects(services: Services, tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "objects").rglob("*") if path.is_file())


async def test_a_new_separation_repeats_the_requested_options(ann: httpx.AsyncClient) -> None:
    answer = await submit(
        ann, song(3.0), stems="4", codec="mp3", bitrate="192000", offset="1", duration="1.5", mwf="true",
        quality="best", bandwidth="16kHz", only="bass,drums", dither="true",
        mixes="karaoke=instrumental+vocals@-18dB", without="drums", level="-14", level_each="on",
        metadata='{"title": "Süß"}', retention_hours="2",
        callback_url="https://example.com/hook", damaged="refuse", track="eng", keep_delay="true",
        tags="false",
        sample_rate="source", channels="source",
    )  # fmt: skip
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == body["url"] == f"/v1/separations/{body['id']}"
    assert body["options"] == {
        "preset": None, "stems": 4, "model": None, "codec": "mp3", "bitrate": "192k", "offset": 1.0,
        "duration": 1.5, "bandwidth": "16kHz", "mwf": True, "quality": "best", "only": ["drums", "bass"],
        "callback_url": "https://example.com/hook", "retention_hours": 2.0,
        "damaged": "refuse", "track": "eng", "keep_delay": True, "dither": True,
        "mixes": {"karaoke": "instrumental+vocals@-18dB"}, "without": ["drums"],
        "tags": False, "video": {},
        "bit_depth": None, "sample_rate": "source", "channels": "source",
        "level": "-14", "level_each": True,
        "destination_url": None,
    }  # fmt: skip
    assert body["input"] == {
        "name": "song.wav", "sha256": hashlib.sha256(song(3.0)).hexdigest(), "seconds": 1.5,
    }  # fmt: skip
    assert (body["state"], body["progress"], body["metadata"]) == ("queued", 0, {"title": "Süß"})
    assert body["queue"] == {"position": 1, "audio_seconds_ahead": 0.0, "estimated_seconds": None}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert (body["stems"], body["archive_url"], body["measurements"], body["error"]) == ([], None, None, None)
    assert UUID(body["id"]).version == 7
    sent = {name: value for name, value in body["options"].items() if value is not None}
    again = await ann.post("/v1/separations", json={"separation": body["id"], **sent})
    assert (again.status_code, again.json()["options"]) == (202, body["options"])
    assert again.json()["input"] == body["input"]


async def test_a_kept_song_is_separated_again_by_its_owner(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, player: Player
) -> None:
    failed = (await submit(ann)).json()
    await player.fail(await player.claim(), Failure("time-limit", "It takes too long."))
    wanted, key = {"separation": failed["id"]}, {"Idempotency-Key": "again"}
    again = await ann.post("/v1/separations", json=wanted, headers=key)
    assert (again.status_code, again.json()["input"]) == (202, failed["input"])
    await player.separate()
    assert (await ann.delete(failed["url"])).status_code == 204
    repeated = await ann.post("/v1/separations", json=wanted, headers=key)
    assert (repeated.headers["Idempotent-Replayed"], repeated.json()["id"]) == ("true", again.json()["id"])
    reused = await ann.post("/v1/separations", json={"separation": again.json()["id"]})
    assert (reused.status_code, reused.json()["state"]) == (200, "succeeded")
    for client, other in ((ann, failed["id"]), (bob, again.json()["id"])):
        answer = await client.post("/v1/separations", json={"separation": other})
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-separation")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"separation": "first"}, "separation"),
        ({"separation": "1" * 32, "example": True}, "example"),
        ({"example": False}, "source_url"),
        ({"example": True}, "example"),  # without one
    ],
)
async def test_a_song_of_the_service_is_named_in_one_way(
    ann: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await ann.post("/v1/separations", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_the_example_is_separated_once(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    assert (await ann.get("/v1/limits")).json()["example"] is False
    folder = services.config.models / "2stems" / "files-1"
    folder.mkdir(parents=True)
    (folder / "example.mp3").write_bytes(song())
    assert (await ann.get("/v1/limits")).json()["example"] is True
    created = await ann.post("/v1/separations", json={"example": True})
    assert (created.status_code, created.json()["input"]["name"]) == (202, "example.mp3")
    await player.separate()
    again = await ann.post("/v1/separations", json={"example": True})
    assert (again.status_code, again.json()["state"]) == (200, "succeeded")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 2 * 44100 * 2 * 2),
        ({"bit_depth": "32f", "sample_rate": "96000"}, 2 * 96000 * 2 * 4),
        ({"codec": "flac", "bit_depth": "24", "sample_rate": "source", "channels": "source"}, 2 * 8000 * 3),
        ({"codec": "mp3", "sample_rate": "8000"}, 2 * 16000),
        ({"codec": "stem.mp4", "stems": "4"}, 5 * 32000),
        ({"codec": "stem.mp4", "stems": "4", "bit_depth": "24"}, 5 * 44100 * 2 * 3),
    ],
)
async def test_depth_rate_and_channels_decide_how_much_is_expected(
    ann: httpx.AsyncClient, player: Player, fields: dict[str, str], expected: int
) -> None:
    await submit(ann, song(1.0, rate=8000), **fields)
    previews = (1 if fields.get("codec") == "stem.mp4" else 2) * 2 * 12_000
    assert (await player.claim()).job.expected_bytes == expected + previews


async def test_a_codec_that_cannot_have_the_songs_rate_is_refused(ann: httpx.AsyncClient) -> None:
    answer = await submit(ann, song(1.0, rate=8000), codec="opus", sample_rate="source")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "field": "sample_rate",
            "reason": "The codec opus cannot have the sample rate 8000. It can have 48000 Hz.",
        }
    ]


async def test_a_separation_may_name_its_model(ann: httpx.AsyncClient) -> None:
    options = (await submit(ann, model="4stems-lite")).json()["options"]
    assert (options["model"], options["stems"]) == ("4stems-lite", 4)
    refused = await submit(ann, model="4stems-lite", stems="2")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "stems")
    assert (await submit(ann, model="5stems")).status_code == 503


async def test_a_film_is_expected_to_be_as_large_as_the_input_with_its_sound(
    services: Services, ann: httpx.AsyncClient, player: Player
) -> None:
    cast("WavProber", services.prober).film = "mp4"
    await submit(ann, song(1.0, rate=8000), codec="mp3", only="film", video="film=instrumental")
    job = (await player.claim()).job
    sound, previews = 32_000, 2 * 12_000
    assert job.expected_bytes == len(song(1.0, rate=8000)) + sound + previews
    assert job.options.container == "mp4"
    assert job.options.codec_of("film").media_type == "video/mp4"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "no-pictures"),
        ({"offset": "1"}, "invalid-fields"),
        ({"video": "film=piano"}, "invalid-fields"),
        ({"mixes": "film=vocals"}, "invalid-fields"),
    ],
)
async def test_a_film_that_cannot_be_made_is_refused(
    ann: httpx.AsyncClient, fields: dict[str, Any], kind: str
) -> None:
    answer = await submit(ann, **{"video": "film=instrumental"} | fields)
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{kind}")
    assert [problem["field"] for problem in answer.json()["errors"]] == ["video"]


async def test_a_song_becomes_stems(ann: httpx.AsyncClient, player: Player, services: Services) -> None:
    path = (await submit(ann)).headers["location"]
    claim = await player.claim()
    assert (await ann.get(path)).json()["state"] == "running"
    await player.claims.progress(claim, 0.25, PREVIEW)
    running = (await ann.get(path)).json()
    preview = asdict(PREVIEW) | {"segment_url": f"{path}/preview/{{stem}}/{{segment}}", "complete": False}
    assert running["preview"] == preview
    assert (running["progress"], running["queue"]) == (0.25, None)
    assert running["warnings"] == []
    await player.publish(claim, b"music of ", WARNINGS, PREVIEW)
    body = (await ann.get(path)).json()
    assert body["preview"] == preview | {"complete": True}
    assert body["warnings"] == (await ann.get("/v1/separations")).json()["items"][0]["warnings"] == WARNINGS
    assert (body["state"], body["progress"], body["archive_url"]) == ("succeeded", 1, f"{path}/archive")
    assert (body["model"], body["model_quality"], body["experimental"]) == ("2stems", "official", False)
    assert body["measurements"]["residual"] == -90.0
    assert body["measurements"]["anomalies"] == []
    assert all(stem["anomaly"] is None for stem in body["measurements"]["stems"].values())
    assert "suspect" not in str(body)
    assert body["details"]["realtime_factor"] == 60.0
    content = b"music of vocals"
    assert body["stems"][0] == {
        "name": "vocals", "url": f"{path}/stems/vocals", "peaks_url": f"{path}/peaks/vocals",
        "preview_url": f"{path}/preview/vocals", "signed_url": None, "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(), "media_type": "audio/wav",
    }  # fmt: skip
    assert [stem["name"] for stem in body["stems"]] == ["vocals", "accompaniment"]
    assert body["created_at"] < body["started_at"] < body["finished_at"] < body["expires_at"]
    assert "job.created" in actions(services)


async def test_mixes_are_listed_and_served_like_stems(ann: httpx.AsyncClient, player: Player) -> None:
    path = (await submit(ann, only="vocals", mixes="karaoke=vocals@-18dB")).headers["location"]
    await player.separate(b"music of ")
    body = (await ann.get(path)).json()
    assert [stem["name"] for stem in body["stems"]] == ["vocals"]
    assert body["mixes"] == [
        {
            "name": "karaoke", "url": f"{path}/stems/karaoke", "peaks_url": f"{path}/peaks/karaoke",
            "preview_url": None, "signed_url": None, "size": 16,
            "sha256": hashlib.sha256(b"music of karaoke").hexdigest(), "media_type": "audio/wav",
        }
    ]  # fmt: skip
    assert (await ann.get(body["mixes"][0]["url"])).content == b"music of karaoke"


async def test_a_failure_says_why(ann: httpx.AsyncClient, player: Player) -> None:
    path = (await submit(ann)).headers["location"]
    await player.fail(await player.claim(), Failure("truncated-audio", "It ends too early."))
    body = (await ann.get(path)).json()
    assert body["state"] == "failed"
    assert body["error"] == {"type": "/problems/truncated-audio", "message": "It ends too early."}


async def test_webhooks_are_shown(ann: httpx.AsyncClient, player: Player) -> None:
    path = (await submit(ann, callback_url="https://example.com/")).headers["location"]
    assert (await ann.get(path)).json()["deliveries"] == []
    await player.separate()
    (shown,) = (await ann.get(path)).json()["deliveries"]
    assert (shown["url"], shown["state"], shown["attempts"]) == ("https://example.com/", "pending", 0)


async def test_the_same_key_and_body_return_the_same_separation(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    first = await submit(ann, key="order 1", stems="4")
    again = await submit(ann, key="order 1", stems="4")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert objects(services, tmp_path) == ["input"]
    assert actions(services) == ["job.created"]


@pytest.mark.parametrize(
    "other",
    [{"stems": "2"}, {"stems": "4", "metadata": '{"a": "b"}'}, {"content": song(seed=1), "stems": "4"}],
)
async def test_the_same_key_with_another_body_is_refused(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path, other: dict[str, Any]
) -> None:
    await submit(ann, key="order-1", stems="4")
    answer = await submit(ann, key="order-1", **other)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-conflict")
    assert objects(services, tmp_path) == ["input"]


async def test_idempotency_keys_belong_to_a_tenant(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    mine, others = [await submit(client, key="order-1") for client in (ann, bob)]
    assert mine.json()["id"] != others.json()["id"]


@pytest.mark.parametrize("key", ["", "a\tb", "x" * 256, "ü".encode()])
async def test_a_malformed_idempotency_key_is_refused(ann: httpx.AsyncClient, key: str | bytes) -> None:
    header = [(b"Idempotency-Key", key.encode() if isinstance(key, str) else key)]
    answer = await ann.post("/v1/separations", files={"file": ("a.wav", song())}, headers=header)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_an_earlier_result_is_available_at_once(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, player: Player, services: Services, tmp_path: Path
) -> None:
    first = (await submit(ann)).json()
    await player.separate()
    kept = objects(services, tmp_path)
    again = await submit(ann, metadata='{"order": "2"}')
    assert (again.status_code, again.json()["state"]) == (200, "succeeded")
    assert again.json()["id"] != first["id"]
    assert [stem["sha256"] for stem in again.json()["stems"]] == [
        stem["sha256"] for stem in (await ann.get(first["url"])).json()["stems"]
    ]
    assert objects(services, tmp_path) == kept
    assert actions(services)[-1] == "job.reused"
    assert (await submit(ann, mwf="true")).json()["state"] == "queued"
    assert (await submit(bob)).json()["state"] == "queued"
    assert (await ann.delete(first["url"])).status_code == 204
    assert (await ann.get(again.headers["location"])).json()["state"] == "succeeded"


async def test_a_tenant_s_queued_separations_are_limited(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    for number in range(3):
        assert (await submit(ann, song(seed=number))).status_code == 202
    answer = await submit(ann, song(seed=3))
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/queue-full")
    assert int(answer.headers["retry-after"]) > 0
    assert len(objects(services, tmp_path)) == 3
    assert (await submit(bob)).status_code == 202


async def test_the_queue_position_is_reported(ann: httpx.AsyncClient, player: Player) -> None:
    for number in range(3):
        body = (await submit(ann, song(2, seed=number))).json()
        assert body["queue"]["position"] == number + 1
        assert body["queue"]["audio_seconds_ahead"] == pytest.approx(2 * number)
    await player.separate()
    queue = (await ann.get(body["url"])).json()["queue"]
    assert queue["position"] == 2
    assert queue["estimated_seconds"] is not None


async def test_separations_are_listed_newest_first_in_pages(ann: httpx.AsyncClient, player: Player) -> None:
    paths = [(await submit(ann, song(seed=number))).headers["location"] for number in range(3)]
    await player.separate()
    first = (await ann.get("/v1/separations", params={"limit": 2})).json()
    assert [item["url"] for item in first["items"]] == [paths[2], paths[1]]
    rest = (await ann.get("/v1/separations", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [item["url"] for item in rest["items"]] == [paths[0]]
    assert rest["next_cursor"] is None
    assert "queue" not in first["items"][0]
    done = (await ann.get("/v1/separations", params={"state": "succeeded"})).json()["items"]
    assert [len(item["stems"]) for item in done] == [2]


NAMES = ("Track 10.wav", "Étude.wav", "track 2.wav", "100 %.wav")
SORTED = {
    "name": [3, 1, 2, 0],
    "-name": [0, 2, 1, 3],
    "created_at": [0, 1, 2, 3],
    "-created_at": [3, 2, 1, 0],
    "seconds": [0, 1, 2, 3],
    "-seconds": [3, 2, 1, 0],
    "expires_at": [0, 1, 2, 3],  # the first has ended; the others, which are kept longer, by age
    "-expires_at": [3, 2, 1, 0],
}


async def test_separations_are_searched_sorted_counted_and_skipped(
    ann: httpx.AsyncClient, player: Player
) -> None:
    for number, name in enumerate(NAMES):
        files = {"file": (name, song(1 + number / 8, seed=number))}
        assert (await ann.post("/v1/separations", files=files)).status_code == 202
        if not number:
            await player.separate()

    async def listed(**query: Any) -> list[int]:
        """Return the songs on all pages, each of which is asked for by the cursor of the one before."""
        found: list[int] = []
        while True:
            body = (await ann.get("/v1/separations", params=query)).json()
            found += [NAMES.index(item["input"]["name"]) for item in body["items"]]
            if body["next_cursor"] is None:
                return found
            query = {**query, "offset": 0, "cursor": body["next_cursor"]}

    for sort, order in SORTED.items():
        assert await listed(sort=sort, limit=1) == order
        assert await listed(sort=sort, offset=3) == order[3:]
    assert await listed(search="ETU") == [1]
    assert await listed(search="é") == [1]
    assert await listed(search="%") == [3]
    assert await listed(search="track", sort="name", limit=1) == [2, 0]
    assert await listed(state=["queued", "running"], sort="name") == [3, 1, 2]
    for query, total in (({}, 4), ({"search": "track"}, 2), ({"state": "succeeded", "search": "é"}, 0)):
        counted: dict[str, Any] = {"limit": 1, "count": True, **query}
        assert (await ann.get("/v1/separations", params=counted)).json()["total"] == total
    by_name = (await ann.get("/v1/separations", params={"limit": 1, "sort": "name"})).json()["next_cursor"]
    for sort in ("name", "-name", "seconds", "created_at"):
        answer = await ann.get("/v1/separations", params={"sort": sort, "cursor": by_name})
        assert answer.status_code == (200 if sort == "name" else 422)


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("limit=0", "invalid-fields"),
        ("limit=101", "invalid-fields"),
        ("limit=x", "invalid-fields"),
        ("state=done", "invalid-fields"),
        ("state=queued" + 7 * "&state=queued", "invalid-fields"),
        ("offset=-1", "invalid-fields"),
        ("sort=size", "invalid-fields"),
        ("search=%00", "invalid-fields"),
        ("search=" + "x" * 256, "invalid-fields"),
        ("cursor=x", "invalid-cursor"),
        ("cursor=%00", "invalid-cursor"),
        ("cursor=" + "x" * 1001, "invalid-fields"),
        ("sort=name&cursor=" + cursor_of(f"name {UUID(int=1)} a\0b"), "invalid-cursor"),
        ("sort=seconds&cursor=" + cursor_of(f"seconds {UUID(int=1)} long"), "invalid-cursor"),
        ("sort=expires_at&cursor=" + cursor_of(f"expires_at {UUID(int=1)} soon"), "invalid-cursor"),
        ("sort=name&cursor=" + cursor_of("name 1"), "invalid-cursor"),
        ("sort=name&cursor=%C3%A9", "invalid-cursor"),
    ],
)
async def test_an_impossible_page_is_refused(ann: httpx.AsyncClient, query: str, kind: str) -> None:
    answer = await ann.get(f"/v1/separations?{query}")
    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{kind}")
    if kind == "invalid-fields":
        assert answer.json()["errors"][0]["field"].split(".")[0] == query.partition("=")[0]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("id_", "status"), [(str(UUID(int=1)), 404), ("x", 422), ("%00", 422), ("..%2f..", 404)]
)
async def test_unknown_separations_are_not_found(
    ann: httpx.AsyncClient, method: str, id_: str, status: int
) -> None:
    answer = await ann.request(method, f"/v1/separations/{id_}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_deleting_erases_everything(
    ann: httpx.AsyncClient, player: Player, services: Services, tmp_path: Path
) -> None:
    path = (await submit(ann)).headers["location"]
    await player.separate()
    assert len(objects(services, tmp_path)) == 3
    answer = await ann.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert objects(services, tmp_path) == []
    assert (await ann.get(path)).status_code == (await ann.delete(path)).status_code == 404
    assert actions(services) == ["job.created", "job.erased"]
    assert (await submit(ann)).json()["state"] == "queued"


async def test_all_separations_until_a_time_are_deleted(
    ann: httpx.AsyncClient, services: Services, player: Player, tmp_path: Path
) -> None:
    await submit(ann, song(seed=0))
    await player.separate()
    last = (await submit(ann, song(seed=1))).json()
    newer = (await submit(ann, song(seed=2))).json()
    for path in ("/v1/separations", "/v1/separations/"):  # without an id, nothing is deleted
        assert (await ann.delete(path, follow_redirects=True)).status_code >= 400
    answer = await ann.delete("/v1/separations", params={"until": last["id"]})
    assert (answer.status_code, answer.content) == (202, b"")
    assert await services.retention.sweep() == 2
    listed = (await ann.get("/v1/separations")).json()["items"]
    assert [item["id"] for item in listed] == [newer["id"]]
    assert objects(services, tmp_path) == ["input"]
    assert actions(services)[-3:] == ["job.erased", "job.cancelled", "job.erased"]
    assert (await services.repository.load()).queued == 1


async def test_deleting_a_queued_separation_removes_it_from_the_queue(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    path = (await submit(ann)).headers["location"]
    assert (await ann.delete(path)).status_code == 204
    assert (await services.repository.load()).queued == 0
    assert objects(services, tmp_path) == []
    assert actions(services) == ["job.created", "job.cancelled", "job.erased"]


async def test_deleting_a_running_separation_stops_and_erases_it(
    ann: httpx.AsyncClient, player: Player, services: Services, tmp_path: Path
) -> None:
    path = (await submit(ann)).headers["location"]
    claim = await player.claim()
    deleting = asyncio.create_task(ann.delete(path))

    async def stopped() -> bool:
        return not await player.claims.progress(claim, 0.5)

    await eventually(stopped)
    await player.claims.release(claim)
    assert (await deleting).status_code == 204
    assert objects(services, tmp_path) == []


async def test_the_models_are_listed(ann: httpx.AsyncClient) -> None:
    models = (await ann.get("/v1/models")).json()["models"]
    assert [(model["name"], model["installed"]) for model in models] == [
        ("2stems", True), ("4stems-lite", True), ("5stems", False),
    ]  # fmt: skip
    assert models[1]["quality"] == "approximate"
    assert models[0]["stems"] == ["vocals", "accompaniment"]


async def test_a_model_that_no_worker_has_creates_no_job(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    answer = await submit(ann, stems="5")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/model-not-installed")
    assert "/models." not in answer.text
    assert objects(services, tmp_path) == []


async def test_a_destination_is_shown_unsigned_and_needs_a_worker_that_delivers(
    ann: httpx.AsyncClient, player: Player, services: Services
) -> None:
    options = JobOptions(destination_url={"vocals": "https://a.example/v.wav?Signature=secret"})
    first = new_job(options=options)
    for number, job in enumerate([first, new_job(options=options, content_hash=first.content_hash)]):
        assert (await services.repository.create(job)).origin is Origin.NEW, number
        running = (await ann.get(f"/v1/separations/{job.id}")).json()
        assert (running["delivered"], running["delivery_error"]) == (None, None)
        await player.separate()  # as a worker of an older version
        body = (await ann.get(f"/v1/separations/{job.id}")).json()
        assert body["options"]["destination_url"] == {"vocals": "https://a.example/v.wav"}
        assert (body["state"], body["delivered"]) == ("succeeded", False)
        assert "delivers nothing" in body["delivery_error"]
