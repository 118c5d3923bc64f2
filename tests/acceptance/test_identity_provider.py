"""The service with a real OpenID provider: programs' and users' tokens, and a change of keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import openid_provider
from tests.support.documents import blocks
from tests.support.openid_provider import AUDIENCE, OpenIdProvider
from tests.support.service import Service
from tests.support.service import running as running_service


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    with openid_provider.running() as provider:
        yield provider


@pytest.fixture(scope="module")
def settings(provider: OpenIdProvider) -> dict[str, str]:
    return {
        "SPLEETER_JWT_ISSUER": provider.discover("issuer"),
        "SPLEETER_JWT_JWKS_URL": provider.discover("jwks_uri"),
        "SPLEETER_JWT_AUDIENCE": AUDIENCE,
    }


@pytest.fixture(scope="module")
def service(
    settings: dict[str, str], module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    environ = settings | {"SPLEETER_DATABASE_URL": module_database_url, "SPLEETER_ENV": "production"}
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, folder, "api", environ, ready=False) as service:
        service.wait_until_ready(503)  # no worker runs
        yield service


def call(service: Service, token: str, method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{service.url}/v1/separations", headers=headers, trust_env=False)


def test_programs_and_users_are_served_before_and_after_the_provider_changes_its_keys(
    provider: OpenIdProvider, service: Service
) -> None:
    old = [provider.client_token(), provider.user_token("ann")]
    assert [call(service, token).status_code for token in old] == [200, 200]
    provider.rotate()
    new = [provider.client_token(), provider.user_token("ben")]
    assert [call(service, token).status_code for token in new + old] == [200] * 4


def shell(section: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the commands of a section of docs/identity.md."""
    (command,) = (block.text for block in blocks("docs/identity.md", "sh") if block.section == section)
    return subprocess.run(["bash", "-euc", command], env=environ, capture_output=True, text=True, check=False)


def test_the_page_s_command_finds_the_settings(settings: dict[str, str]) -> None:
    environ = {**os.environ, "ISSUER": settings["SPLEETER_JWT_ISSUER"]}
    printed = shell("What you set", environ)
    printed.check_returncode()
    found = dict(line.split("=", 1) for line in printed.stdout.splitlines())
    assert found == {name: settings[name] for name in found}
    assert len(found) == 2


def test_a_token_s_scopes_decide_what_it_may_do(provider: OpenIdProvider, service: Service) -> None:
    reading = provider.user_token("ann", "read")
    assert call(service, reading).status_code == 200
    assert call(service, reading, "POST").status_code == 403


def test_a_changed_token_is_refused_and_the_log_says_why(provider: OpenIdProvider, service: Service) -> None:
    token = provider.client_token()
    answer = call(service, token[:-8] + "AAAAAAAA")
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    service.wait_for_log("signature is wrong")
    assert not any(part in service.log.read_text() for part in token.split("."))


def test_the_command_accepts_what_the_service_accepts(
    provider: OpenIdProvider, settings: dict[str, str]
) -> None:
    for token, tenant in ((provider.client_token(), "sub:studio"), (provider.user_token("ann"), "sub:ann")):
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = shell("Check a token", {**os.environ, **settings, "PATH": path, "TOKEN": token})
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"Accepted: tenant {tenant}, scopes read separate."
