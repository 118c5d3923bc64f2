"""What tests share: the installed models, and a real PostgreSQL."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.models.provide import find_model, open_store
from spleeter_microservice.settings import Settings
from tests.support.missing import missing

_REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def model_settings() -> Settings:
    """Settings of a store in which Deezer's 2-stem model is installed, pulled at first use."""
    folder = os.environ.get("SPLEETER_MODELS_DIR") or _REPOSITORY / ".cache" / "models"
    settings = Settings(models_dir=Path(folder))
    try:
        find_model("2stems", open_store(settings.models_dir))
    except ModelNotInstalledError as error:
        missing(f"the 2-stem weights cannot be had: {error}")
    return settings


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL, whose own database is migrated and never written to."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg")) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # tests outlive no power cut
            connection.execute("SELECT pg_reload_conf()")
        migrate(server.url)
        yield server


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Address of an empty database."""
    yield from new_database(postgres, "template1")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Address of a database of the test's own, migrated."""
    yield from new_database(postgres, "spleeter")


def new_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Make a database, give its address, and drop it in the end."""
    name = f"test_{uuid4().hex}"
    own = postgres.url.replace("/spleeter?", "/postgres?")
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield postgres.url.replace("/spleeter?", f"/{name}?")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
