"""Real processes check their settings before anything else, and never show a secret."""

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg

from spleeter_microservice.settings import variables
from tests.support.http_servers import Handler, serving, status
from tests.support.service import Service, free_port, mentioning, running

CANARY = "canary-0123456789-abcdefghij"
TOKENS = {
    "SPLEETER_JWT_ISSUER": "i",
    "SPLEETER_JWT_AUDIENCE": "a",
    "SPLEETER_JWT_JWKS_URL": "https://h/k",
}
ENCODED = base64.b64encode(CANARY.encode()).decode()
SECRET = [variable.name for variable in variables() if variable.secret]
"""Every setting that is declared to hold a secret; new ones get the canary itself, unless they are below."""
FORMS = {
    "SPLEETER_WEBHOOK_SECRET": f"whsec_{ENCODED}",
    "SPLEETER_STORAGE_URL": "",  # has no place for a secret, nor has the next
    "SPLEETER_CLAMD_URL": "",
    "SPLEETER_JWT_JWKS_URL": f"https://127.0.0.1:9/keys?code={CANARY}",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{CANARY}@127.0.0.1:9",
}
WRONG = {
    "SPLEETER_API_KEY": "seven77",
    "SPLEETER_DATABASE_URL": f"postgresql+asyncpg://u:{CANARY}%PW@h/db",
    "SPLEETER_STORAGE_URL": f"ftp://u:{CANARY}@h",
    "SPLEETER_WEBHOOK_SECRET": CANARY,
    "SPLEETER_PORT": "99999",
    "SPLEETER_CLAMD_URL": f"tcp://{CANARY}@h",
    "SPLEETER_RETENTION_HOURS": "200",
}
PROGRAM = [sys.executable, "-m", "spleeter_microservice"]
GUNICORN = [
    "-c",
    "python:spleeter_microservice.bootstrap.gunicorn",
    "spleeter_microservice.bootstrap.asgi:create()",
]
COMMANDS = [
    *([*PROGRAM, *command.split()] for command in ("serve", "api", "worker", "keys list", "audit verify")),
    *([*PROGRAM, *command.split()] for command in ("models list", "separate x.wav", "tokens check x")),
    *([*PROGRAM, *command.split()] for command in ("train -p x -d y", "evaluate x")),
    [sys.executable, "-m", "gunicorn", *GUNICORN],
]


def run(command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), **settings}


def test_every_command_names_all_wrong_settings_at_once_and_starts_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for command in COMMANDS:
        done = run(command, **WRONG, SPLEETER_DATA_DIR=str(data), SPLEETER_API_KEYS="x")
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert sorted(line.split()[1] for line in lines) == sorted(WRONG), (command, done.stderr)
        others = set(done.stderr.splitlines()) - set(lines)
        assert {line.partition(" is not")[0] for line in others} <= {"Warning: SPLEETER_API_KEYS"}
        assert (done.returncode, done.stdout) == (2, "")
        assert CANARY not in done.stderr
    assert not data.exists()


def test_what_makes_a_start_impossible_is_one_line(tmp_path: Path) -> None:
    """A data folder that is a file, a taken port, an unusable proxy, and missing packages."""
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, proxy = str(taken.getsockname()[1]), f"rubbish://u:{CANARY}@h"
        file, data = (
            {"SPLEETER_DATA_DIR": str(tmp_path / "file")},
            {"SPLEETER_DATA_DIR": str(tmp_path / "data")},
        )
        for command, settings, name in (
            ("serve", file, "SPLEETER_DATA_DIR"),
            ("keys list", file, "SPLEETER_DATA_DIR"),
            ("serve", data | {"SPLEETER_PORT": port}, "SPLEETER_PORT"),
            ("serve", data | TOKENS | {"SPLEETER_PORT": str(free_port()), "ALL_PROXY": proxy}, "ALL_PROXY"),
        ):
            done = run([*PROGRAM, *command.split()], **settings)
            assert CANARY not in done.stderr
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
            assert name in done.stderr
    assert not (tmp_path / "data" / "postgres").exists()
    code = """
import sys
for name in "fastapi psycopg obstore structlog prometheus_client jwt uvicorn procrastinate".split():
    sys.modules[name] = None
from spleeter_microservice.cli.main import main
for command in ("serve", "api", "worker", "keys list", "audit verify", "tokens check x"):
    assert main(command.split()) == 2, command
assert main(["models", "list"]) == 0
"""
    url = "postgresql://u@127.0.0.1:9/db"
    place = {"SPLEETER_DATABASE_URL": url, "SPLEETER_DATA_DIR": str(tmp_path / "data")}
    done = run([sys.executable, "-c", code], **place, **TOKENS)
    assert done.returncode == 0, done.stderr
    assert [line.endswith("spleeter-microservice[service]'") for line in done.stderr.splitlines()] == [
        True
    ] * 6


def test_no_secret_appears_in_what_processes_print_store_show_or_answer(
    database_url: str, tmp_path: Path
) -> None:
    """Without weights, ``serve`` ends by itself: here, once it has been asked everything."""
    asked = threading.Event()

    def missing(request: Handler) -> None:
        asked.wait()
        status(404)(request)

    database = database_url.replace("@/", f":{CANARY}@/", 1)
    assert CANARY in database
    databases = {name: database for name in SECRET if "DATABASE" in name}
    common = {name: FORMS.get(name, CANARY) for name in SECRET} | {
        **databases,
        "SPLEETER_JWT_ISSUER": "https://issuer.example",
        "SPLEETER_JWT_AUDIENCE": "songs",
        "SPLEETER_ENV": "production",
        "SPLEETER_LOG_LEVEL": "debug",
    }
    with serving(missing) as mirror, ExitStack() as cleanup:
        cleanup.callback(asked.set)
        models_url = f"http://user:{CANARY}@127.0.0.1:{mirror.server_port}/models"
        settings = common | {"SPLEETER_MODELS_URL": models_url}
        service = cleanup.enter_context(
            running(tmp_path / "data", tmp_path / "models", environ=settings, ready=False)
        )
        service.client.headers["X-API-KEY"] = CANARY
        service.wait_until_ready(status=503)
        answers = [ask(service, path) for path in ("/health", "/metrics", "/", "/openapi.json", "/v1/models")]
        answers.append(ask(service, "/v1/separations", {"Authorization": f"Bearer {TOKEN}"}))
        processes = [place for pid, _ in mentioning(service.folder) for place in (f"/proc/{pid}/cmdline",)]
        shown = [Path(place).read_text() for place in processes]
        assert len(shown) >= 3
        asked.set()
        assert service.process
        assert service.process.wait() == 3, service.log.read_text()
    stored = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    log = service.log.read_text()
    assert f"Error: The download of http://127.0.0.1:{mirror.server_port}/models/" in log
    assert "Traceback" not in log
    for text in (*answers, *shown, *stored, dump(database_url)):
        assert CANARY not in text
        assert ENCODED not in text


TOKEN = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (
        b'{"alg":"RS256","kid":"k"}',
        b'{"iss":"https://issuer.example","aud":"songs"}',
        b"signature",
    )
)


def ask(service: Service, path: str, headers: Mapping[str, str] | None = None) -> str:
    answer = service.client.get(path, headers=headers)
    return f"{answer.status_code} {answer.headers} {answer.text}"


def dump(url: str) -> str:
    """Return all rows of a database."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [row for (table,) in tables for row in connection.execute(f"SELECT t::text FROM {table} t")]
    assert any("service.started" in text for (text,) in rows)
    return str(rows)
