r"""The audit log: JSON lines that are only appended, each linked to the one before by its hash.

::

    {"action":"job.created", … ,"hash":"9f2c…","previous":"41aa…","sequence":7, …}\n

Several processes may append to one file. To do so they lock ``{path}.head``, which also holds the
number and hash of the newest record. After a file is renamed in order to be archived, the next record begins
a new file and follows the last one of the renamed file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from spleeter_microservice.audit.record import (
    BEGINNING,
    MAXIMUM_LINE,
    Action,
    AuditEvent,
    ChainHead,
    compose,
    read,
)
from spleeter_microservice.errors import AuditUnwritableError

_HEAD_BYTES = 128  # a fixed length, so that a shorter head overwrites all of a longer one


class AuditLog:
    """An audit log that can be appended to.

    Args:
        path: path of the log; it and ``{path}.head`` are created when needed, readable by the owner only.
        flush: whether to write each record to the disk before continuing, so that it survives a power cut.
        now: function that returns the time, with a time zone.
    """

    def __init__(
        self, path: Path, *, flush: bool = True, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = path
        self._flush = flush
        self._now = now

    async def record(self, event: AuditEvent) -> ChainHead:
        """Append a record without blocking the event loop; see ``append``."""
        return await asyncio.to_thread(self.append, event)

    def append(self, event: AuditEvent) -> ChainHead:
        """Append a record, entirely or not at all, and return the log's new head.

        Raises:
            AuditUnwritableError: if the record cannot be written. The action to be recorded should then
                not take place.
        """
        try:
            with _opened(head_path(self.path)) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # dropped even if the process is killed
                # Opened under the lock: a file that is renamed now must not get a record after its successor.
                with _opened(self.path, os.O_APPEND) as log:
                    return self._append(log, lock, event)
        except OSError as error:
            raise AuditUnwritableError(
                f"The audit log {self.path} cannot be written: {error.strerror or error}. "
                "Free space on the disk, or choose a writable folder with SPLEETER_DATA_DIR."
            ) from error

    def _append(self, log: int, lock: int, event: AuditEvent) -> ChainHead:
        torn = _drop_torn_line(log)
        stored = parse_head(os.pread(lock, _HEAD_BYTES, 0)) or BEGINNING
        head = max(stored, _last_head(log), key=lambda head: head.sequence)
        if torn:
            head = self._write(log, head, AuditEvent(Action.AUDIT_RECOVERED, details={"dropped_bytes": torn}))
        head = self._write(log, head, event)
        os.pwrite(lock, format_head(head), 0)
        return head

    def _write(self, log: int, head: ChainHead, event: AuditEvent) -> ChainHead:
        line, new = compose(event, head, self._now())
        size = os.fstat(log).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(log, line[written:])
            if self._flush:
                os.fsync(log)
        except BaseException:
            os.ftruncate(log, size)
            raise
        return new


def head_path(path: Path) -> Path:
    """Return the path of the file that stores a log's head and serves as its lock."""
    return path.with_name(f"{path.name}.head")


def format_head(head: ChainHead) -> bytes:
    """Encode a head for the file beside its log."""
    return json.dumps({"sequence": head.sequence, "hash": head.hash}).encode().ljust(_HEAD_BYTES)


def parse_head(text: bytes) -> ChainHead | None:
    """Decode a head; return None if the text does not hold one."""
    try:
        head = json.loads(text)
        return ChainHead(int(head["sequence"]), str(head["hash"]))
    except (ValueError, KeyError, TypeError):
        return None


def _last_head(log: int) -> ChainHead:
    size = os.fstat(log).st_size
    tail = os.pread(log, MAXIMUM_LINE, max(0, size - MAXIMUM_LINE))
    record = read(tail.removesuffix(b"\n").rpartition(b"\n")[2])
    return BEGINNING if record is None else ChainHead(record["sequence"], record["hash"])


def _drop_torn_line(log: int) -> int:
    """Remove an incomplete last line, which a power cut can leave, and return its size in bytes."""
    size = os.fstat(log).st_size
    begin = max(0, size - MAXIMUM_LINE)
    tail = os.pread(log, MAXIMUM_LINE, begin)
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(log, size - torn)
    return torn


@contextlib.contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
