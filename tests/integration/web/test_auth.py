"""Keys, tokens, scopes and rate limits decide who may call what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import structlog

from spleeter_microservice.access.jwks import Jwks
from spleeter_microservice.access.keys import ApiKeys, parse_configured
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.access.token_rules import TokenRules
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.database.connection import Database
from spleeter_microservice.web.services import Services
from tests.support.audit import audited, make_unwritable
from tests.support.issuer import AUDIENCE, ISSUER, KeySet, Signer
from tests.support.memory_access import MemoryKeyStore, MemoryRateLimiter
from tests.support.web_service import ALL, Player, WorkerRegistry, build_services, song

pytestmark = pytest.mark.asyncio

CONFIGURED = "configured-key-of-the-tests"
SIGNER = Signer.ec("one")
ID = UUID(int=1)
ROUTES = [
    ("POST", "/v1/separations", Scope.SEPARATE),
    ("GET", "/v1/separations", Scope.READ),
    ("GET", f"/v1/separations/{ID}", Scope.READ),
    ("DELETE", f"/v1/separations/{ID}", Scope.SEPARATE),
    ("GET", "/v1/models", Scope.READ),
]


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    def publish(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(KeySet([SIGNER.jwk()]).document()))

    return build_services(
        database,
        tmp_path,
        fleet,
        keys=ApiKeys(MemoryKeyStore(), parse_configured(CONFIGURED)),
        tokens=TokenVerifier(TokenRules((ISSUER,), (AUDIENCE,)), issuer(publish)),
        attempts=MemoryRateLimiter(Rate(3), kind="attempts"),
    )


def issuer(answer: Callable[[httpx.Request], httpx.Response]) -> Jwks:
    transport = httpx.MockTransport(answer)
    return Jwks(f"{ISSUER}/keys", client=lambda: httpx.AsyncClient(transport=transport))


def recorded(services: Services) -> list[dict[str, Any]]:
    return audited(services.database.url)


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_nothing_is_revealed_without_a_key(
    stranger: httpx.AsyncClient, method: str, path: str, scope: Scope
) -> None:
    answer = await stranger.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_each_route_needs_its_scope_and_no_other(
    stranger: httpx.AsyncClient, services: Services, method: str, path: str, scope: Scope
) -> None:
    key, record = await services.keys.create("ann", ALL - {scope})
    answer = await stranger.request(method, path, headers={"X-API-KEY": key})
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/missing-scope")
    assert f"'{scope}'" in answer.json()["detail"] or f"{scope}" in answer.json()["detail"]
    assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    (entry,) = recorded(services)
    assert (entry["action"], entry["actor"], entry["details"]["scope"]) == (
        "access.denied", record.key_id, scope,
    )  # fmt: skip
    key, _ = await services.keys.create("ann", frozenset({scope}))
    assert (await stranger.request(method, path, headers={"X-API-KEY": key})).status_code not in (401, 403)


@pytest.mark.parametrize("key", ["wrong", "sms_wrong", "x" * 600, "ü".encode(), b"\xff\xfe", ""], ids=repr)
async def test_a_wrong_key_is_refused_and_recorded(
    stranger: httpx.AsyncClient, services: Services, key: str | bytes
) -> None:
    answer = await stranger.get(
        "/v1/models", headers=[(b"X-API-KEY", key if isinstance(key, bytes) else key.encode())]
    )
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    for entry in recorded(services):
        assert (entry["action"], entry["client"]) == ("authentication.failed", "127.0.0.1")
        assert entry["request"] == answer.headers["x-request-id"]


async def test_an_expired_or_revoked_key_is_refused(
    stranger: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = services.keys
    revoked, record = await keys.create("ann", ALL)
    await keys.revoke(record.key_id)
    expired, _ = await keys.create("ann", ALL, lifetime=timedelta(seconds=60))
    monkeypatch.setattr(keys, "now", lambda: datetime.now(UTC) + timedelta(seconds=61))
    for key, word in ((revoked, "revoked"), (expired, "expired")):
        answer = await stranger.get("/v1/models", headers={"X-API-KEY": key})
        assert answer.status_code == 401
        assert word in answer.json()["detail"]
        assert answer.json()["reason"] == word
    assert [entry["details"]["reason"] for entry in recorded(services)] == ["revoked", "expired"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-KEY": CONFIGURED},
        {"Authorization": f"Bearer {CONFIGURED}"},
        {"authorization": f"bearer {CONFIGURED}"},
    ],
)
async def test_a_key_may_be_sent_in_either_header(
    stranger: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await stranger.get("/v1/models", headers=headers)).status_code == 200


async def test_both_headers_may_carry_the_same_key_but_not_different_ones(
    stranger: httpx.AsyncClient,
) -> None:
    both = {"X-API-KEY": CONFIGURED, "Authorization": f"Bearer {CONFIGURED}"}
    assert (await stranger.get("/v1/models", headers=both)).status_code == 200
    answer = await stranger.get("/v1/models", headers=both | {"Authorization": "Bearer other"})
    assert answer.status_code == 401
    assert "differ" in answer.json()["detail"]
    twice = [("X-API-KEY", CONFIGURED), ("X-API-KEY", "other")]
    assert (await stranger.get("/v1/models", headers=twice)).status_code == 401


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Bearer", "", CONFIGURED])
async def test_other_authorization_schemes_count_as_no_key(
    stranger: httpx.AsyncClient, authorization: str
) -> None:
    answer = await stranger.get("/v1/models", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert "has no key" in answer.json()["detail"]


async def test_a_token_grants_its_scopes(stranger: httpx.AsyncClient, services: Services) -> None:
    headers = {"Authorization": f"Bearer {SIGNER.token(scope='read')}"}
    assert (await stranger.get("/v1/separations", headers=headers)).status_code == 200
    answer = await stranger.post("/v1/separations", headers=headers)
    assert answer.status_code == 403
    assert recorded(services)[0]["actor"] == "token:someone"


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "other"}, {"iss": "https://other.example"}])
async def test_an_invalid_token_is_refused(stranger: httpx.AsyncClient, claims: dict[str, Any]) -> None:
    answer = await stranger.get("/v1/models", headers={"Authorization": f"Bearer {SIGNER.token(**claims)}"})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_the_log_names_the_claim_that_failed_and_the_response_does_not(
    stranger: httpx.AsyncClient, services: Services
) -> None:
    token = SIGNER.token(aud=None)
    with structlog.testing.capture_logs() as logged:
        answer = await stranger.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    assert "lacks one of the claims exp, iss, aud, sub" in answer.json()["detail"]
    (entry,) = [entry for entry in logged if entry["event"] == "token refused"]
    assert entry["problem"] == "aud is missing"
    assert not any(part in str(logged) for part in token.split("."))
    assert recorded(services)[0]["details"]["reason"] == "aud"


async def test_an_unreachable_issuer_is_not_the_client_s_fault(
    stranger: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("10.0.0.5 is away")

    assert services.tokens
    monkeypatch.setattr(services.tokens, "_keys", issuer(refuse))
    answer = await stranger.get("/v1/models", headers={"Authorization": f"Bearer {SIGNER.token()}"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/issuer-unavailable")
    assert answer.headers["retry-after"]
    assert "10.0.0.5" not in answer.text
    assert not recorded(services)


async def test_guesses_are_limited_and_lock_no_right_key_out(
    stranger: httpx.AsyncClient, services: Services
) -> None:
    for left in (2, 1, 0):
        answer = await stranger.get("/v1/models", headers={"X-API-KEY": "guess"})
        assert (answer.status_code, answer.headers["ratelimit"]) == (401, f'"attempts";r={left};t=20')
    created, _ = await services.keys.create("ann", ALL)
    token = {"Authorization": f"Bearer {SIGNER.token()}"}
    for _ in range(2):
        answer = await stranger.get("/v1/models", headers={"X-API-KEY": "guess"})
        assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert answer.headers["ratelimit"] == f'"attempts";r=0;t={answer.headers["retry-after"]}'
        for right in ({"X-API-KEY": CONFIGURED}, {"X-API-KEY": created}, token):
            assert (await stranger.get("/v1/models", headers=right)).status_code == 200
    assert len(recorded(services)) == 3


async def test_requests_without_a_key_do_not_lock_others_out(stranger: httpx.AsyncClient) -> None:
    for _ in range(5):
        assert (await stranger.get("/v1/models")).status_code == 401
    assert (await stranger.get("/v1/models", headers={"X-API-KEY": CONFIGURED})).status_code == 200


async def test_a_tenant_that_requests_too_often_is_limited_and_no_other(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = MemoryRateLimiter(Rate(2))
    monkeypatch.setattr(services.requests, "take", limiter.take)
    monkeypatch.setattr(services.requests, "rate", limiter.rate)
    answers = [await ann.get("/v1/models") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=2;w=60'}
    wait = answers[2].headers["retry-after"]
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"requests";r=1;t=30', '"requests";r=0;t=30', f'"requests";r=0;t={wait}'
    ]  # fmt: skip
    assert int(wait) >= 29
    assert (await bob.get("/v1/models")).status_code == 200


async def test_a_tenant_cannot_learn_that_another_s_job_exists(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, player: Player
) -> None:
    path = (await ann.post("/v1/separations", files={"file": ("a.wav", song())})).headers["location"]
    unknown = f"/v1/separations/{uuid4()}"
    for method in ("GET", "DELETE"):
        seen, missing = [await bob.request(method, where) for where in (path, unknown)]
        assert seen.status_code == missing.status_code == 404
        words = [answer.json() | {"request_id": "", "instance": ""} for answer in (seen, missing)]
        words[0]["detail"] = words[0]["detail"].replace(path[-36:], unknown[-36:])
        assert words[0] == words[1]
    assert (await bob.get("/v1/separations")).json()["items"] == []
    assert (await ann.get(path)).status_code == 200


async def test_an_action_that_cannot_be_recorded_does_not_happen(
    ann: httpx.AsyncClient, services: Services
) -> None:
    path = (await ann.post("/v1/separations", files={"file": ("a.wav", song())})).headers["location"]
    make_unwritable(services.database.url)
    for answer in (
        await ann.delete(path),
        await ann.post("/v1/separations", files={"file": ("a.wav", song(seed=1))}),
        await ann.get("/v1/models", headers={"X-API-KEY": "wrong"}),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/audit-unwritable")
        assert "head" not in answer.text
    assert len((await ann.get("/v1/separations")).json()["items"]) == 1
