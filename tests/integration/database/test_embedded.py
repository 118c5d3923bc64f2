"""The embedded PostgreSQL has one owner, no network port, and survives crashes."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spleeter_microservice.database import cluster
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.unprivileged_user import Account
from spleeter_microservice.errors import DatabaseInUseError, DatabaseStartError
from tests.support.waiting import wait_until

_REPOSITORY = Path(__file__).parents[3]
OWN = """
import signal, sys
from pathlib import Path
from spleeter_microservice.database import cluster
from spleeter_microservice.database.embedded import EmbeddedPostgres
cluster.ARCHIVE = Path(sys.argv[1]).with_name("archive.tar.gz")
with EmbeddedPostgres(Path(sys.argv[1]), outlives_owner="tied" not in sys.argv) as server:
    print(server.url, flush=True)
    if len(sys.argv) > 2:
        signal.pause()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database was started and stopped once; every test leaves it stopped."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    with EmbeddedPostgres(folder) as server:
        execute(server.url, "CREATE TABLE kept (n integer)")
    return folder


@contextmanager
def owner(
    folder: Path, account: Account | None = None, deed: str = "stay"
) -> Iterator[subprocess.Popen[str]]:
    """Run a process that owns the database, until it is killed."""
    command = [sys.executable, "-c", OWN, str(folder), deed]
    switches: dict[str, Any] = {}
    if account:
        command, switches = account.command(command, _REPOSITORY, Path(sys.executable).resolve())
    process = subprocess.Popen(
        command,
        cwd=_REPOSITORY,
        env={
            "PYTHONPATH": str(_REPOSITORY / "src"),
            "PATH": os.environ["PATH"],
            "TMPDIR": tempfile.gettempdir(),  # a setting of the server depends on it
        },
        stdout=subprocess.PIPE,
        text=True,
        **switches,
    )
    try:
        assert process.stdout
        assert process.stdout.readline().startswith("postgresql://")
        yield process
    finally:
        process.kill()
        process.communicate()


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row
        return row[0]


def main_process(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may be there to reap what our children leave.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_its_url_works_until_it_stops(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SELECT current_database()") == "spleeter"
        pid = main_process(folder)
    assert not lives(pid)
    assert not (folder / "cluster" / "postmaster.pid").exists()


def test_it_listens_on_no_port_but_on_a_socket_outside_its_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Mounted directories cannot always hold sockets; and a command may look with another TMPDIR."""
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SHOW listen_addresses") == ""
        sockets = Path(str(value(server.url, "SHOW unix_socket_directories")))
        assert not sockets.is_relative_to(folder)
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert (folder / "cluster").stat().st_mode & 0o777 == 0o700
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        assert EmbeddedPostgres(folder).url == server.url
    assert list(folder.rglob(".s.PGSQL*")) == []
    assert not sockets.exists()


def test_it_runs_neither_as_root_nor_with_the_services_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLEETER_API_KEY", "a-secret")
    with EmbeddedPostgres(folder):
        process = Path(f"/proc/{main_process(folder)}")
        assert process.stat().st_uid != 0
        if os.geteuid() == 0:
            assert b"a-secret" not in (process / "environ").read_bytes()


def test_a_second_owner_is_refused_without_disturbing_the_first(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        pid = main_process(folder)
        with pytest.raises(DatabaseInUseError, match=f"PID {os.getpid()}.*SPLEETER_DATA_DIR"):
            EmbeddedPostgres(folder).start()
        again = subprocess.run(
            [sys.executable, "-c", OWN, str(folder)],
            env=os.environ | {"PYTHONPATH": str(_REPOSITORY / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "DatabaseInUseError" in again.stderr
        assert main_process(folder) == pid
        assert value(server.url, "SELECT 1") == 1


def test_the_next_owner_adopts_the_server_of_a_killed_one(folder: Path) -> None:
    with owner(folder) as process:
        process.kill()
        process.wait()
        pid = main_process(folder)
        assert lives(pid)
        with EmbeddedPostgres(folder) as server, psycopg.connect(server.url) as client:
            assert main_process(folder) == pid
            client.execute("INSERT INTO kept VALUES (1)")
        assert not lives(pid)


def test_the_server_that_does_not_outlive_its_owner_stops_once_its_clients_have_left(folder: Path) -> None:
    with owner(folder, deed="tied") as process, psycopg.connect(EmbeddedPostgres(folder).url) as client:
        pid = main_process(folder)
        process.kill()
        process.wait()
        wait_until(lambda: not EmbeddedPostgres(folder).answers())
        client.execute("INSERT INTO kept VALUES (2)")
        client.commit()
        client.close()
        wait_until(lambda: not lives(pid))


def test_the_server_of_a_killed_owner_is_restarted_if_its_settings_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owner(folder) as process, tempfile.TemporaryDirectory() as other:  # a socket's path must be short
        process.kill()
        process.wait()
        pid = main_process(folder)
        monkeypatch.setattr(tempfile, "tempdir", other)
        with EmbeddedPostgres(folder) as server:
            assert main_process(folder) != pid
            assert Path(str(value(server.url, "SHOW unix_socket_directories"))).parent == Path(other)
            assert value(server.url, "SELECT 1") == 1


def test_no_committed_row_is_lost_when_all_processes_are_killed(folder: Path) -> None:
    with owner(folder) as process:
        url = EmbeddedPostgres(folder).url
        execute(url, "INSERT INTO kept VALUES (77)")
        process.kill()
        os.kill(main_process(folder), signal.SIGKILL)
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SELECT count(*) FROM kept WHERE n = 77") == 1


def test_a_stale_pid_that_now_belongs_to_another_process_is_ignored(folder: Path) -> None:
    (folder / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'cluster'}\n0\n5432\n\n\n")
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SELECT 1") == 1


def test_it_can_be_started_again_after_a_crash(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        assert not server.ensure_running()
        os.kill(main_process(folder), signal.SIGQUIT)
        wait_until(lambda: not server.answers())
        assert server.ensure_running()
        with psycopg.connect(server.url) as client:
            os.kill(client.info.backend_pid, signal.SIGKILL)
        wait_until(lambda: not server.lives())  # it leaves its restart to its owner
        assert server.ensure_running()
        assert value(server.url, "SELECT 1") == 1
        method = "syncfs" if sys.platform == "linux" else "fsync"
        assert value(server.url, "SHOW recovery_init_sync_method") == method


def test_an_interrupted_initdb_leaves_no_partial_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, str(folder)],
        env=os.environ | {"PYTHONPATH": str(_REPOSITORY / "src")},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: list(folder.glob("new-*/cluster/base")))
    process.kill()
    process.wait()
    assert not (folder / "cluster").exists()
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SELECT 1") == 1
    assert not list(folder.glob("new-*"))


def test_a_directory_with_a_long_unusual_name_works(tmp_path: Path) -> None:
    folder = tmp_path / ('it\'s "long", ' + "x" * 100)
    with EmbeddedPostgres(folder) as server:
        assert value(server.url, "SELECT 1") == 1
        sockets = server._sockets()
        assert len(str(sockets)) < 100
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


def test_a_directory_with_a_short_unusual_name_works() -> None:
    odd = tempfile.TemporaryDirectory(prefix='it\'s 1% "odd", ')
    with odd as name, EmbeddedPostgres(Path(name) / "pg") as server:
        assert value(server.url, "SELECT 1") == 1


def test_data_of_another_postgresql_version_are_refused_untouched(tmp_path: Path) -> None:
    cluster = tmp_path / "cluster"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(DatabaseStartError, match="PostgreSQL 12"):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


def test_the_error_says_why_it_does_not_start(folder: Path) -> None:
    control = folder / "cluster" / "global" / "pg_control"
    control.rename(control.with_name("hidden"))
    try:
        with pytest.raises(DatabaseStartError, match="pg_control"):
            EmbeddedPostgres(folder, timeout=2.0).start()
    finally:
        control.with_name("hidden").rename(control)


NAMELESS = 1000680000
"""A user id as OpenShift assigns them, in group 0."""


@pytest.mark.parametrize(
    ("nameless", "archived"),
    [(False, False), (True, False), (True, True)],
    ids=["named", "nameless", "nameless with the archive"],
)
def test_it_runs_as_any_unprivileged_user(
    nameless: bool, archived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no user namespace can be made, if the image's archive is there."""
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if nameless and os.geteuid() == 0:
        account = Account("nameless", NAMELESS, 0)
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, account.uid, account.gid)
        if archived:
            monkeypatch.setattr(cluster, "ARCHIVE", Path(name) / "archive.tar.gz")
            cluster.main()
        begin = time.time()
        with owner(Path(name) / "pg", account if os.geteuid() == 0 else None) as process:
            assert Path(f"/proc/{main_process(Path(name) / 'pg')}").stat().st_uid == account.uid
            made = (Path(name) / "pg" / "cluster" / "PG_VERSION").stat()
            assert made.st_uid == account.uid
            assert archived == (made.st_mtime < begin)
            process.send_signal(signal.SIGINT)
            process.wait()


def test_it_starts_where_no_other_user_may_enter() -> None:
    with tempfile.TemporaryDirectory() as name:
        assert Path(name).stat().st_mode & 0o777 == 0o700
        with EmbeddedPostgres(Path(name) / "pg") as server:
            assert value(server.url, "SELECT 1") == 1
        assert Path(name).stat().st_mode & 0o777 == 0o700
