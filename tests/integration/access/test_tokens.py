"""Bearer tokens are accepted only if the issuer signed them, for this service, and they are valid now."""

import asyncio
import hashlib
import hmac
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.access.jwks import Jwks, KeySetCachePolicy, parse_keys
from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.access.token_rules import TokenRules
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.errors import ConfigurationError, InvalidTokenError, TokenKeysUnavailableError
from tests.support.http_servers import Answer, Handler, Server, content, redirect, serving, stall, status
from tests.support.issuer import AUDIENCE, ISSUER, KeySet, Signer, encoded, usual
from tests.support.service import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio

RSA = Signer.rsa("rsa-1")
EC = Signer.ec("ec-1")
STRANGER = Signer.rsa("rsa-1")
RULES = TokenRules((ISSUER,), (AUDIENCE,))
NO_HEADERS: list[object] = [[], 1, {}, {"alg": "RS256", "kid": 1}, {"alg": ["RS256"]}]


class Clock:
    """A clock, in seconds, that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def published(*signers: Signer) -> Answer:
    return content(KeySet([signer.jwk() for signer in signers]).document())


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def jwks(url: str, now: Callable[[], float] = time.monotonic, **policy: float) -> Jwks:
    """Return keys that are waited for, however busy the machine is."""
    return Jwks(url, KeySetCachePolicy(timeout=60, **policy), now=now)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(published(RSA, EC)) as running:
        yield running


@pytest.fixture
def verifier(server: Server) -> TokenVerifier:
    return TokenVerifier(RULES, jwks(f"{server.url}/jwks.json"))


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as caught:
        await verifier.verify(token)
    message = str(caught.value)
    assert len(token) < 16 or token not in message
    return message


@pytest.mark.parametrize("signer", [RSA, EC], ids=["RS256", "ES256"])
async def test_a_token_of_the_issuer_authenticates_its_subject(
    verifier: TokenVerifier, signer: Signer
) -> None:
    expected = Principal("sub:someone", frozenset({Scope.READ, Scope.SEPARATE}), "token:someone")
    assert await verifier.verify(signer.token()) == expected
    assert await verifier.verify(signer.token({"typ": "at+jwt"})) == expected
    assert await verifier.verify(signer.token(aud=["other", AUDIENCE])) == expected


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"iss": None}, "lacks"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other"]}, "another audience"),
        ({"aud": AUDIENCE + "x"}, "another audience"),
        ({"aud": None}, "lacks"),
        ({"exp": 1}, "expired"),
        pytest.param({"exp": int(time.time()) - 60}, "expired", id="expired a minute ago"),
        ({"exp": None}, "lacks"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": float("inf")}, "cannot be read"),
        ({"nbf": 2**40}, "not valid yet"),
        ({"nbf": [1]}, "cannot be read"),
        ({"iat": 2**40}, "not valid yet"),
        ({"sub": None}, "lacks"),
        ({"sub": ""}, "1 to 256 printable"),
        ({"sub": "two\nlines"}, "1 to 256 printable"),
        ({"sub": "s" * 300}, "1 to 256 printable"),
        ({"sub": "../../other"}, "does not name a tenant"),
        ({"token_use": "id"}, "not an access token"),
        ({"typ": "Refresh"}, "not an access token"),
        ({"aud": None, "client_id": AUDIENCE}, "lacks"),
        ({"aud": ["spleeter", 1]}, "another audience"),
    ],
    ids=str,
)
async def test_tokens_for_others_or_other_times_are_refused(
    verifier: TokenVerifier, claims: dict[str, Any], why: str
) -> None:
    assert why in await refusal(verifier, RSA.token(**claims))


async def test_clocks_may_differ_a_little(verifier: TokenVerifier) -> None:
    await verifier.verify(RSA.token(exp=int(time.time()) - 10))
    await verifier.verify(RSA.token(nbf=int(time.time()) + 10, iat=int(time.time()) + 10))


async def test_a_token_without_signature_is_refused(verifier: TokenVerifier) -> None:
    for algorithm in ("none", "None", "NONE", "", None):
        token = f"{encoded({'alg': algorithm, 'kid': RSA.kid, 'typ': 'JWT'})}.{encoded(usual())}."
        assert "must be signed" in await refusal(verifier, token)


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
async def test_the_public_key_is_not_accepted_as_a_shared_secret(verifier: TokenVerifier, name: str) -> None:
    jwk = json.dumps(RSA.jwk()).encode()
    for secret in (RSA.pem, RSA.pem.strip(), jwk):
        signed = f"{encoded({'alg': name, 'kid': RSA.kid})}.{encoded(usual())}"
        signature = hmac.digest(secret, signed.encode(), getattr(hashlib, f"sha{name[2:]}"))
        assert "must be signed" in await refusal(verifier, f"{signed}.{encoded(signature)}")


async def test_a_key_serves_only_its_own_algorithm(verifier: TokenVerifier) -> None:
    for signer, other in ((RSA, EC), (EC, RSA)):
        assert "not signed with a key" in await refusal(verifier, signer.token({"kid": other.kid}))
    _, payload, signature = RSA.token().split(".")
    changed = encoded({"alg": "ES256", "kid": EC.kid, "typ": "JWT"})
    assert "wrong" in await refusal(verifier, f"{changed}.{payload}.{signature}")
    for algorithm in ("RS384", "RS512", "PS256", "ES384", "EdDSA"):
        changed = encoded({"alg": algorithm, "kid": RSA.kid})
        assert "not signed with a key" in await refusal(verifier, f"{changed}.{payload}.{signature}")
    changed = encoded({"alg": "rs256", "kid": RSA.kid})
    assert "must be signed" in await refusal(verifier, f"{changed}.{payload}.{signature}")


@pytest.mark.parametrize("name", ["RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512", "ES256K"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
async def test_every_asymmetric_algorithm_that_fits_the_key_is_accepted(name: str, named: bool) -> None:
    signer = Signer.ec("a", name) if name.startswith("ES") else Signer("a", name, RSA.private)
    await check_algorithm(signer, named=named)


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
async def test_edwards_curves_are_accepted_under_both_names(name: str) -> None:
    for private in (ed25519.Ed25519PrivateKey.generate(), ed448.Ed448PrivateKey.generate()):
        fitting = name if name == "EdDSA" or isinstance(private, ed25519.Ed25519PrivateKey) else "Ed448"
        await check_algorithm(Signer("a", fitting, private), named=False)


async def check_algorithm(signer: Signer, *, named: bool) -> None:
    keys = parse_keys(KeySet([EC.jwk(), signer.jwk(**{} if named else {"alg": None})]).document())

    class Published(Jwks):
        async def find(self, key_id: str | None, algorithm: str) -> Any:
            return keys.get((key_id, algorithm))

    verifier = TokenVerifier(RULES, Published(""))
    assert (await verifier.verify(signer.token())).key_id == "token:someone"
    assert "signature is wrong" in await refusal(verifier, f"{signer.token()[:-8]}AAAAAAAA")
    assert "not signed with a key" in await refusal(verifier, signer.token({"alg": "ES256"}))
    if named and isinstance(signer.private, rsa.RSAPrivateKey):
        assert "not signed with a key" in await refusal(verifier, signer.token({"alg": "RS256"}))


async def test_another_key_s_signature_under_a_known_id_is_refused(verifier: TokenVerifier) -> None:
    assert "signature is wrong" in await refusal(verifier, STRANGER.token())


async def test_changed_claims_are_refused(verifier: TokenVerifier) -> None:
    header, _, signature = RSA.token().split(".")
    assert "signature is wrong" in await refusal(
        verifier, f"{header}.{encoded(usual(sub='admin'))}.{signature}"
    )


async def test_keys_inside_a_token_are_ignored(verifier: TokenVerifier) -> None:
    with serving(published(STRANGER)) as evil:
        for field in ("jku", "x5u"):
            token = STRANGER.token({field: f"{evil.url}/jwks.json"})
            assert "signature is wrong" in await refusal(verifier, token)
        assert "signature is wrong" in await refusal(verifier, STRANGER.token({"jwk": STRANGER.jwk()}))
        assert evil.requests == []


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"typ": "logout+jwt"}, "not an access token"),
        ({"typ": "dpop+jwt"}, "not an access token"),
        ({"typ": ["JWT"]}, "not a"),
        ({"crit": ["exp"]}, "not a"),
        ({"crit": ["b64"], "b64": True}, "extensions"),
        ({"crit": []}, "not a"),
        ({"b64": True}, "extensions"),
    ],
    ids=str,
)
async def test_tokens_for_other_purposes_are_refused(
    verifier: TokenVerifier, header: dict[str, Any], why: str
) -> None:
    assert why in await refusal(verifier, RSA.token(header))


@pytest.mark.parametrize(
    "token",
    ["", "x", "..", "a.b.c", "x" * 20_000, "schlüssel.a.b", encoded(b"[" * 5000) + ".e30.e30"]
    + [f"{encoded(header)}.e30.e30" for header in NO_HEADERS]
    + [f"{encoded({'alg': 'RS256', 'typ': 1})}.e30.e30", f"{encoded({'alg': 'RS256'})}.e30.e30"],
    ids=lambda token: token[:20],
)
async def test_text_that_is_not_a_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    await refusal(verifier, token)


@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]),
        st.sampled_from(["RS256", "ES256", "rsa-1", "ec-1", "JWT", None, 1, [], True, {}]),
    ),
    payload=st.binary(max_size=50),
    signature=st.binary(max_size=300),
)
async def test_random_tokens_are_refused(header: dict[str, Any], payload: bytes, signature: bytes) -> None:
    class Fixed(Jwks):
        async def find(self, key_id: str | None, algorithm: str) -> Any:
            return (RSA if algorithm == "RS256" else EC).private.public_key()

    await refusal(
        TokenVerifier(RULES, Fixed("")), f"{encoded(header)}.{encoded(payload)}.{encoded(signature)}"
    )


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "read"}, {Scope.READ}),
        ({"scope": "openid  separate email"}, {Scope.SEPARATE}),
        ({"scope": None, "scp": ["read", "admin", 7]}, {Scope.READ}),
        ({"scope": None, "scp": "read separate"}, {Scope.READ, Scope.SEPARATE}),
        ({"scope": None, "permissions": ["separate"]}, {Scope.SEPARATE}),
        ({"scope": "read", "permissions": ["separate"]}, {Scope.READ, Scope.SEPARATE}),
        ({"scope": None}, set()),
        ({"scope": {"read": True}}, set()),
        ({"scope": "READ readadmin"}, set()),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_scopes_are_read_wherever_issuers_put_them(
    verifier: TokenVerifier, claims: dict[str, Any], scopes: set[Scope]
) -> None:
    assert (await verifier.verify(RSA.token(**claims))).scopes == scopes


async def test_the_tenant_claim_and_the_scope_prefix_are_configurable(server: Server) -> None:
    rules = TokenRules((ISSUER,), (AUDIENCE,), tenant_claim="org", scope_prefix="spleeter:")
    verifier = TokenVerifier(rules, jwks(server.url))
    principal = await verifier.verify(RSA.token(org="band", scope="read spleeter:separate"))
    assert principal == Principal("band", frozenset({Scope.SEPARATE}), "token:someone")
    for wrong in (None, "", 5, ["band"], "..", "two\nlines", "x" * 257):
        assert "does not name a tenant" in await refusal(verifier, RSA.token(org=wrong))


async def test_a_user_called_default_is_not_the_default_tenant(verifier: TokenVerifier) -> None:
    assert (await verifier.verify(RSA.token(sub="default"))).tenant == "sub:default"


async def test_keys_are_fetched_once_for_many_tokens() -> None:
    with serving(published(RSA, EC)) as server:
        verifier = TokenVerifier(RULES, jwks(server.url))
        await asyncio.gather(*(verifier.verify(signer.token()) for signer in [RSA, EC] * 20))
        assert len(server.requests) == 1


async def test_a_new_key_is_fetched_and_a_removed_one_forgotten() -> None:
    clock, new = Clock(), Signer.ec("ec-2")
    with serving(published(RSA), published(RSA, new), published(new)) as server:
        verifier = TokenVerifier(RULES, jwks(server.url, now=clock, maximum_age=600, pause=30))
        await verifier.verify(RSA.token())
        await verifier.verify(new.token())
        await verifier.verify(RSA.token())
        clock.time += 601
        await verifier.verify(new.token())
        assert "not signed with a key of the issuer" in await refusal(verifier, RSA.token())
        assert len(server.requests) == 4


async def test_a_flood_of_unknown_keys_reaches_the_issuer_once_per_pause() -> None:
    clock = Clock()
    with serving(published(RSA)) as server:
        verifier = TokenVerifier(RULES, jwks(server.url, now=clock, pause=30))
        for _ in range(3):
            tokens = [RSA.token({"kid": f"made-up-{number}"}) for number in range(50)]
            await asyncio.gather(*(refusal(verifier, token) for token in tokens))
            await verifier.verify(RSA.token())
            clock.time += 31
        assert len(server.requests) == 1 + 3


async def test_without_an_id_only_an_unambiguous_key_is_used() -> None:
    with serving(published(RSA, EC)) as one, serving(published(RSA, Signer.rsa("rsa-2"))) as two:
        anonymous = Signer("", "RS256", RSA.private).token({"kid": None})
        await TokenVerifier(RULES, jwks(one.url)).verify(anonymous)
        assert "not signed with a key" in await refusal(TokenVerifier(RULES, jwks(two.url)), anonymous)


async def test_a_published_key_without_an_id_fits_any_id() -> None:
    with serving(content(KeySet([RSA.jwk(kid=None), EC.jwk()]).document())) as server:
        verifier = TokenVerifier(RULES, jwks(server.url))
        await verifier.verify(RSA.token())
        assert "signature is wrong" in await refusal(verifier, Signer.rsa("rsa-2").token())


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("a.b.c.d.e", "encrypted"),
        ("ya29.opaque", "not a JSON Web Token"),
        (RSA.token(groups="g" * 13_000), "longer than 16384"),
    ],
    ids=["encrypted", "opaque", "long"],
)
async def test_what_is_not_a_signed_token_is_told_apart(
    verifier: TokenVerifier, token: str, why: str
) -> None:
    assert why in await refusal(verifier, token)


async def test_cached_keys_outlast_an_outage_of_the_issuer_but_not_for_ever() -> None:
    clock = Clock()
    with serving(published(RSA), status(500)) as server:
        keys = jwks(server.url, now=clock, maximum_age=600, pause=30, stale=3600)
        verifier = TokenVerifier(RULES, keys)
        await verifier.verify(RSA.token())
        clock.time += 3500
        await verifier.verify(RSA.token())
        assert len(server.requests) == 2
        clock.time += 200
        with pytest.raises(TokenKeysUnavailableError, match="answered 500") as caught:
            await verifier.verify(RSA.token())
        assert caught.value.retry_after == 30


async def test_an_issuer_that_was_never_reachable_is_asked_once_per_pause_until_it_answers() -> None:
    clock = Clock()
    with serving(status(503), published(RSA)) as server:
        verifier = TokenVerifier(RULES, jwks(server.url, now=clock))
        for _ in range(20):
            with pytest.raises(TokenKeysUnavailableError, match="answered 503"):
                await verifier.verify(RSA.token())
        assert len(server.requests) == 1
        clock.time += 31
        await verifier.verify(RSA.token())


async def test_an_issuer_that_hangs_times_out() -> None:
    released = threading.Event()
    with serving(stall(b"x" * 100, released)) as server:
        verifier = TokenVerifier(RULES, Jwks(server.url, KeySetCachePolicy(timeout=0.3)))
        with pytest.raises(TokenKeysUnavailableError, match=r"no answer within 0\.3 s"):
            await verifier.verify(RSA.token())
        released.set()


async def test_a_cancelled_caller_does_not_cancel_the_fetch_for_the_others() -> None:
    released = threading.Event()
    with serving(stall(KeySet([RSA.jwk()]).document(), released)) as server:
        verifier = TokenVerifier(RULES, jwks(server.url))
        first = asyncio.create_task(verifier.verify(RSA.token()))
        await eventually(lambda: server.requests)
        first.cancel()
        released.set()
        assert (await verifier.verify(RSA.token())).key_id == "token:someone"
        assert len(server.requests) == 1


def compressed(request: Handler) -> None:
    request.send_response(200)
    request.send_header("Content-Encoding", "gzip")
    request.send_header("Content-Length", "4")
    request.end_headers()
    request.wfile.write(b"\x1f\x8b\x08\x00")


@pytest.mark.parametrize(
    "answer",
    [
        content(b""),
        content(b"<html>"),
        content(b"[]"),
        content(b'{"keys": {}}'),
        content(b'{"keys": []}'),
        content(b"[" * 100_000),
        content(b" " * 300_000),
        content(b"\xff\xfe"),
        compressed,
        redirect("/elsewhere"),
        status(404),
    ],
)
async def test_an_invalid_key_set_makes_the_keys_unavailable(answer: Answer) -> None:
    with serving(answer, published(RSA)) as server:
        with pytest.raises(TokenKeysUnavailableError):
            await TokenVerifier(RULES, jwks(server.url)).verify(RSA.token())
        assert len(server.requests) == 1


async def test_an_unreachable_server_is_named_without_the_query() -> None:
    with serving(status(200)) as server:
        url = server.url
    with pytest.raises(TokenKeysUnavailableError, match=url) as caught:
        await TokenVerifier(RULES, jwks(f"{url}/?code=sesame")).verify(RSA.token())
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": encoded(b"s" * 32), "kid": "rsa-1", "alg": "HS256"},
        RSA.jwk(use="enc"),
        RSA.jwk(key_ops=["encrypt"]),
        RSA.jwk(alg="RSA-OAEP"),
        RSA.private_jwk(),
        EC.private_jwk(),
        RSA.jwk(n="!"),
        RSA.jwk(n=None),
        RSA.jwk(kid=1),
        EC.jwk(crv="P-384"),
        EC.jwk(x=encoded(b"x" * 32)),
        Signer.rsa("short", 1024).jwk(),
        "rsa-1",
        None,
    ],
    ids=[
        "symmetric",
        "for encryption",
        "operation encrypt",
        "another algorithm",
        "private RSA",
        "private EC",
        "modulus unreadable",
        "modulus missing",
        "id not text",
        "another curve",
        "point not on the curve",
        "short RSA",
        "not an object",
        "null",
    ],
)
async def test_unsuitable_keys_are_ignored(entry: Any) -> None:
    with pytest.raises(ValueError, match="no public key"):
        parse_keys(KeySet([entry]).document())
    assert len(parse_keys(KeySet([entry, EC.jwk(kid="good")]).document())) == 1


async def test_keys_are_fetched_through_a_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    command = ["microsocks", "-i", "127.0.0.1", "-p", str(port)]
    with serving(published(RSA)) as server, subprocess.Popen(command, stderr=subprocess.PIPE) as proxy:
        try:
            await eventually(lambda: listens(port))
            monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{port}")
            await TokenVerifier(RULES, jwks(server.url)).verify(RSA.token())
        finally:
            proxy.terminate()
        assert proxy.stderr
        assert f"connected to 127.0.0.1:{server.server_port}" in proxy.stderr.read().decode()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("proxy", ["socks4://h:1", "rubbish://u:sesame@h", "http://u:sesame@h:x"])
async def test_an_unusable_proxy_is_reported_at_the_start_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="ALL_PROXY") as caught:
        Jwks(f"{ISSUER}/keys")
    assert "sesame" not in str(caught.value)
