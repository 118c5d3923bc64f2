"""``tokens check`` explains tokens of every provider in docs/identity.md, with the settings of its recipe."""

import io
import re
import shlex
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.access.jwks import Jwks
from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.errors import (
    ConfigurationError,
    InvalidTokenError,
    MissingScopeError,
    TokenKeysUnavailableError,
)
from spleeter_microservice.settings import Settings
from tests.support.issuer import KeySet, Signer
from tests.support.provider_tokens import RSA, SHAPES, provider_token

PAGE = (Path(__file__).parents[3] / "docs" / "identity.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^##+ (.+)\n([^#]+(?:#[^#\n]+[^#]*)*)", PAGE, re.MULTILINE))


@pytest.fixture(autouse=True)
def _published(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(_: Jwks) -> bytes:
        return KeySet([RSA.jwk(alg=None)]).document()

    monkeypatch.setattr(Jwks, "_fetch", fetch)


def recipe(provider: str, **others: str) -> dict[str, str]:
    """Return the settings that a section of the page exports."""
    found = re.findall(r"^export (\w+)=(.*)$", SECTIONS[provider], re.MULTILINE)
    return {name: shlex.split(value)[0] for name, value in found} | others


def check(environ: dict[str, str], token: str) -> int:
    options = make_parser().parse_args(["tokens", "check", token])
    status: int = options.run(options, Settings.from_environment(environ))
    return status


@pytest.mark.parametrize("provider", SHAPES)
def test_each_recipe_accepts_the_provider_s_token_as_the_page_says(
    provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(recipe(provider), provider_token(provider)) == 0
    accepted = capsys.readouterr().out.splitlines()[-1]
    assert accepted in " ".join(SECTIONS[provider].split())


@pytest.mark.parametrize(
    ("provider", "claims"),
    [
        ("Keycloak", {"resource_access": {"other": {"roles": ["separate", "read"]}}}),
        ("Keycloak", {"realm_access": ["separate"], "resource_access": {"spleeter": ["separate"]}}),
        ("Microsoft Entra", {"roles": ["Separate"]}),
        ("Amazon Cognito", {"scope": "other/separate separate"}),
        ("Google service accounts", {"email_verified": False}),
        ("Google service accounts", {"email": None}),
        ("Google service accounts", {"email": "mixer@other.iam.gserviceaccount.com"}),
        ("GitHub Actions", {"ref": "refs/heads/other"}),
        ("GitHub Actions", {"repository": "eve/songs"}),
        ("Kubernetes service accounts", {"sub": "system:serviceaccount:other:mixer"}),
    ],
    ids=str,
)
def test_a_token_without_the_provider_s_scopes_gets_none(provider: str, claims: dict[str, Any]) -> None:
    claims = {"resource_access": None, **claims} if "realm_access" in claims else claims
    with pytest.raises(MissingScopeError, match="no scope of this service"):
        check(recipe(provider), provider_token(provider, **claims))


@pytest.mark.parametrize(
    ("provider", "claims", "problem"),
    [
        ("Amazon Cognito", {"token_use": "id", "aud": "5kq3v1u2t4s6r8p0"}, "token_use is 'id'"),
        ("Amazon Cognito", {"client_id": "another"}, "client_id is 'another', not 5kq3v1u2t4s6r8p0"),
        ("Amazon Cognito", {"token_use": None}, "aud is missing"),
        ("Keycloak", {"typ": "ID"}, "typ is 'ID'"),
        ("Keycloak", {"aud": "account"}, "aud is 'account', not spleeter"),
        ("Auth0", {"iss": "https://music.eu.auth0.com"}, "not https://music.eu.auth0.com/"),
        ("Okta", {"exp": 1}, "exp is 1, in the past"),
        ("Okta", {"cid": None}, "cid is missing"),
        ("Microsoft Entra", {"sub": None}, "sub is missing"),
        ("Microsoft Entra", {"nbf": 2**40}, "nbf is 1099511627776, in the future"),
    ],
    ids=str,
)
def test_the_claim_that_fails_is_explained_and_every_other_one_is_listed(
    provider: str, claims: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = provider_token(provider, **claims)
    with pytest.raises(InvalidTokenError) as caught:
        check(recipe(provider), token)
    printed = capsys.readouterr().out
    assert problem in printed
    assert problem in caught.value.problem
    assert problem not in str(caught.value)
    assert not any(part in printed for part in token.split("."))
    present = {name for name, value in (SHAPES[provider][1] | claims).items() if value is not None}
    for name in {"alg", "signature", *present}:
        assert re.search(rf"^{re.escape(name)} ", printed, re.MULTILINE), name


def test_the_whole_example_of_the_page_is_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = int(time.time())
    token = RSA.token(
        sub="rB1n@clients", aud="https://songs.example.com", iss="https://music.eu.auth0.com/",
        azp="rB1n", gty="client-credentials", scope="separate read", exp=now + 300, iat=now,
    )  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    with pytest.raises(InvalidTokenError) as caught:
        check(recipe("Auth0"), "-")
    example = re.search(r"```text\n(.*?)```", SECTIONS["Check a token"], re.DOTALL)
    assert example
    printed = f"{capsys.readouterr().out}Error: {caught.value}\n"
    times = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}")
    assert times.sub("T", printed) == times.sub("T", example[1])


def test_a_wrong_signature_and_rubbish_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    stranger = Signer.rsa(RSA.kid).token(SHAPES["Auth0"][0], **SHAPES["Auth0"][1])
    unknown = Signer("unknown", "RS256", RSA.private).token(**SHAPES["Auth0"][1])
    for token, row in ((stranger, "signature is wrong"), (unknown, "kid is 'unknown'"), ("a.b", "JSON Web")):
        with pytest.raises(InvalidTokenError):
            check(recipe("Auth0"), token)
        assert row in capsys.readouterr().out


def test_keys_that_cannot_be_fetched_are_reported_after_the_claims(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(TokenKeysUnavailableError):
            check(recipe("Auth0", SPLEETER_JWT_JWKS_URL=url), provider_token("Auth0"))
    assert re.search(r"^aud .* ok$", capsys.readouterr().out, re.MULTILINE)


def test_a_claim_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    check(recipe("Auth0"), provider_token("Auth0", **{"a\x1b[2J": "\x1b]0;x\x07\ud800", "exp": 2**60}))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "a?[2J" in printed


def test_every_exit_status_is_on_the_page() -> None:
    errors = (ConfigurationError, InvalidTokenError, TokenKeysUnavailableError, MissingScopeError)
    rows = re.findall(r"^\| (\d+) \|", SECTIONS["Check a token"], re.MULTILINE)
    assert [*map(int, rows)] == [0, *(error.exit_status for error in errors)]


def test_without_an_issuer_nothing_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="SPLEETER_JWT_ISSUER"):
        check({}, "a.b.c")


def test_two_issuers_and_two_subjects_never_share_a_tenant(capsys: pytest.CaptureFixture[str]) -> None:
    both = recipe("Microsoft Entra")
    for name, value in recipe("Microsoft Entra, version 1").items():
        both[name] = f"{both[name]},{value}" if name.endswith(("ISSUER", "AUDIENCE")) else both.get(name, "")
    subjects = ["a", "a:b", "a/b", "a%2Fb", "a b", "é", "e\u0301", "-a", "system:serviceaccount:x:y"]
    for provider in ("Microsoft Entra", "Microsoft Entra, version 1"):
        for subject in subjects:
            check(both, provider_token(provider, sub=subject))
    lines = re.findall(r"^Accepted: tenant (\S+), scopes", capsys.readouterr().out, re.MULTILINE)
    assert len(set(lines)) == 2 * len(subjects)
    assert all(re.fullmatch(r"iss-[0-9a-f]{16}:sub:[\w.@|+:%~-]+", tenant, re.ASCII) for tenant in lines)


@pytest.mark.parametrize("claim", ["preferred_username", "name", "upn", "scope", "aud"])
def test_a_claim_that_callers_choose_cannot_name_the_tenant(claim: str) -> None:
    with pytest.raises(ConfigurationError, match="SPLEETER_JWT_TENANT_CLAIM"):
        check(recipe("Auth0", SPLEETER_JWT_TENANT_CLAIM=claim), "a.b.c")


def test_an_unverified_address_names_no_tenant() -> None:
    settings = recipe("Google service accounts", SPLEETER_JWT_TENANT_CLAIM="email")
    assert check(settings, provider_token("Google service accounts")) == 0
    with pytest.raises(InvalidTokenError, match="'email' does not name a tenant"):
        check(settings, provider_token("Google service accounts", email_verified="false"))


@pytest.mark.parametrize(
    ("rules", "claims", "scopes"),
    [
        ("read if groups=b", {"groups": ["a", "b"]}, "read"),
        ("read if x=b, separate if y=true z=3", {"x": "b", "y": True, "z": 3}, "read separate"),
        ("read if x=a=b", {"x": "a=b"}, "read"),
        ("read if x=null", {}, ""),
        ("read if x=1", {"x": "10"}, ""),
        ("read if x=a y=b", {"x": "a"}, ""),
        ("read if urn:x:roles=a", {"urn:x:roles": {"a": {"1": "b"}}}, "read"),
        ("read if x=a", {"x": {"b": "a"}}, ""),
        ("read if x=a", {"x": [["a"], {"a": 1}]}, ""),
    ],
    ids=str,
)
def test_rules_grant_scopes_only_to_tokens_with_all_their_claims(
    rules: str, claims: dict[str, Any], scopes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = recipe("Auth0", SPLEETER_JWT_GRANTS=rules)
    token = provider_token("Auth0", permissions=None, **claims)
    if scopes:
        check(environ, token)
        assert capsys.readouterr().out.endswith(f"scopes {scopes}.\n")
    else:
        with pytest.raises(MissingScopeError):
            check(environ, token)


@pytest.mark.parametrize(
    "rules",
    ["read", "if x=1", "read if", "read if x", "read if x=", "read if =1", "admin if x=1", "read x=1"],
)
def test_a_malformed_rule_is_refused(rules: str) -> None:
    with pytest.raises(ConfigurationError, match="SPLEETER_JWT_GRANTS"):
        Settings.from_environment(recipe("Auth0", SPLEETER_JWT_GRANTS=rules))
