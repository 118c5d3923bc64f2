"""Fixtures of all tests: the installed models and a PostgreSQL server."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:  # what needs the service is imported late: unit tests also run on Windows
    from tests.support.databases import PostgresServer

_REPOSITORY = Path(__file__).parents[1]

if find_spec("fcntl") is None:  # on Windows, where the service does not run
    collect_ignore = [
        *("unit/database", "unit/processes", "unit/sandbox", "unit/scripts", "unit/web/submit"),
        *("unit/test_api_docs.py", "unit/test_security_docs.py"),
    ]

# A shell ignores SIGINT for what it runs with `nohup` or `&`; the programs that tests interrupt inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


hypothesis.settings.register_profile("any machine", deadline=None)  # a busy machine is slow, not wrong
hypothesis.settings.load_profile("any machine")

# What is collected stays until the end. Searching it for garbage again and again takes long.
gc.disable()


def pytest_collection_finish() -> None:
    """Search for garbage again, but not among the collected tests and the modules that they import."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of test processes: two more than cores, since tests often wait for processes."""
    return (os.cpu_count() or 1) + 2


@pytest.fixture(scope="session")
def model_settings() -> Settings:
    """Settings of a store in which Deezer's 2-stem model is installed, pulled at first use."""
    folder = os.environ.get("SPLEETER_MODELS_DIR") or _REPOSITORY / ".cache" / "models"
    settings = Settings(models_dir=Path(folder))
    find_model("2stems", ModelStore(settings.models_dir))
    return settings


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[PostgresServer]:
    """The PostgreSQL server that all processes of this run share."""
    from tests.support.databases import shared_server

    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # one of xdist's processes, which have a folder each
        folder = folder.parent
    with shared_server(folder / "postgres") as server:
        yield server


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of an empty database."""
    with postgres.database("template0") as name:
        yield postgres.url_of(name)


@pytest.fixture(scope="session")
def shared_database_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of a migrated database that a process's tests share: creating one takes longer than most tests."""
    with postgres.database(postgres.template) as name:
        yield postgres.url_of(name)


@pytest.fixture(scope="module")
def module_database_url(shared_database_url: str) -> Iterator[str]:
    """URL of the shared database, empty, for a service that all tests of a module use."""
    from tests.support.databases import empty

    yield shared_database_url
    empty(shared_database_url)


@pytest.fixture
def database_url(shared_database_url: str) -> Iterator[str]:
    """URL of the shared database, empty."""
    from tests.support.databases import empty

    yield shared_database_url
    empty(shared_database_url)
