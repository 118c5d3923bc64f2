"""The commands keys and audit, and errors at the start of the service."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from spleeter_microservice.access import key_format
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.errors import DatabaseTooNewError
from tests.support.audit import tamper
from tests.support.databases import PostgresServer
from tests.support.service import free_port

_REPOSITORY = Path(__file__).parents[2]


def run(
    *arguments: str, module: str = "spleeter_microservice", **environ: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=kept | {"PYTHONPATH": str(_REPOSITORY / "src")} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_is_created_listed_revoked_and_recorded(
    inside: Callable[..., subprocess.CompletedProcess[str]], database_url: str, tmp_path: Path
) -> None:
    place = {"SPLEETER_DATABASE_URL": database_url, "SPLEETER_DATA_DIR": str(tmp_path)}
    created = inside("keys", "create", "--tenant", "band", "--scopes", "read", "--name", "desk", **place)
    text = created.stdout.strip()
    assert key_format.is_generated(text), created.stderr
    listed = inside("keys", "list", **place).stdout
    assert "band" in listed
    assert text not in listed
    (key_id,) = (word for word in listed.split() if word.startswith("key_"))
    assert inside("keys", "revoke", key_id, **place).stdout == f"{key_id}: revoked.\n"
    assert inside("keys", "revoke", "key_0", **place).returncode == 64
    assert inside("keys", "create", "--scopes", "all", **place).returncode == 2
    checked = inside("audit", "verify", **place)
    assert checked.stdout.startswith("2 records, intact.")
    exported = inside("audit", "export", **place).stdout
    assert [json.loads(line)["action"] for line in exported.splitlines()] == ["key.created", "key.revoked"]
    assert inside("audit", "export", "--after", "1", **place).stdout == exported.splitlines(keepends=True)[1]
    assert text not in exported
    tamper(database_url, "UPDATE spleeter_audit SET record = replace(record, 'band', 'bend')")
    assert inside("audit", "verify", **place).returncode == 74
    copy = tmp_path / "audit.jsonl"
    copy.write_text(exported)
    assert "intact. Later records may be missing" in inside("audit", "verify", str(copy), **place).stdout


@pytest.fixture(scope="module")
def newer_database_url(postgres: PostgresServer) -> Iterator[str]:
    with postgres.database(postgres.template) as name:
        url = postgres.url_of(name)
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO spleeter_migrations (name) VALUES ('9000_future')")
        yield url


GUNICORN = (
    "-c",
    "python:spleeter_microservice.bootstrap.gunicorn",
    "spleeter_microservice.bootstrap.asgi:create()",
)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("spleeter_microservice", ("keys", "list")),
        ("spleeter_microservice", ("api",)),
        ("gunicorn", GUNICORN),
    ],
    ids=["keys", "api", "gunicorn"],
)
def test_a_newer_schema_ends_every_command_with_its_status_and_no_traceback(
    newer_database_url: str, tmp_path: Path, module: str, arguments: tuple[str, ...]
) -> None:
    place = {"SPLEETER_DATABASE_URL": newer_database_url, "SPLEETER_DATA_DIR": str(tmp_path)}
    done = run(*arguments, module=module, SPLEETER_PORT=str(free_port()), SPLEETER_API_PROCESSES="1", **place)
    assert done.returncode == DatabaseTooNewError.exit_status, done.stderr
    assert "9000_future" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_can_be_created_in_the_embedded_database(tmp_path: Path) -> None:
    place = {"SPLEETER_DATA_DIR": str(tmp_path)}
    assert key_format.is_generated(run("keys", "create", **place).stdout.strip())
    with EmbeddedPostgres(tmp_path / "postgres"):  # as serve has it
        assert "key_" in run("keys", "list", **place).stdout
        assert run("audit", "verify", **place).stdout.startswith("1 records, intact. Head: 1:")
    assert (tmp_path / "audit-key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", ["api", "worker"])
def test_the_api_or_a_worker_alone_needs_a_database(tmp_path: Path, command: str) -> None:
    done = run(command, SPLEETER_DATA_DIR=str(tmp_path), SPLEETER_PORT=str(free_port()))
    assert done.returncode != 0
    assert "SPLEETER_DATABASE_URL" in done.stdout + done.stderr


def test_production_requires_that_callers_can_authenticate(database_url: str, tmp_path: Path) -> None:
    place = {
        "SPLEETER_DATABASE_URL": database_url,
        "SPLEETER_DATA_DIR": str(tmp_path),
        "SPLEETER_ENV": "production",
        "SPLEETER_PORT": str(free_port()),
    }
    done = run("api", **place)
    assert done.returncode == 2
    assert "SPLEETER_API_KEY" in done.stderr
    assert "keys create" in done.stderr
