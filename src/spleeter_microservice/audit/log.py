r"""The audit log: JSON lines that are only appended, each bound to the one before by its hash.

::

    {"action":"job.created", … ,"hash":"9f2c…","previous":"41aa…","sequence":7, …}\n

Several processes may append to one file: each holds a lock on ``{path}.head`` meanwhile, in
which the newest record's number and hash are noted as well. When a file is renamed to be kept
elsewhere, the next record begins a new file and follows the renamed one's last.
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

_HEAD_BYTES = 128  # always as many, so that none of an older one stay


class AuditLog:
    """Appends to an audit log.

    Args:
        path: of the log; it and ``{path}.head`` are made when first needed, for the owner only.
        flush: bring each record to the disk before going on, so that not even a power cut
            loses it.
        now: gives the time, with a time zone.
    """

    def __init__(
        self, path: Path, *, flush: bool = True, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = path
        self._flush = flush
        self._now = now

    async def record(self, event: AuditEvent) -> ChainHead:
        """Append from asynchronous code; as ``append``."""
        return await asyncio.to_thread(self.append, event)

    def append(self, event: AuditEvent) -> ChainHead:
        """Append a record, whole or not at all, and give the log's new head.

        Raises:
            AuditUnwritableError: when the disk refuses it. What was to be recorded should then
                not happen.
        """
        try:
            with _opened(head_path(self.path)) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # released when closed, however the process ends
                # Opened under the lock: a file renamed meanwhile gets no record after its successor's.
                with _opened(self.path, os.O_APPEND) as log:
                    return self._append(log, lock, event)
        except OSError as error:
            raise AuditUnwritableError(
                f"The audit log {self.path} cannot be written: {error.strerror or error}. "
                "Free space, or give it a folder that may be written to."
            ) from error

    def _append(self, log: int, lock: int, event: AuditEvent) -> ChainHead:
        torn = _drop_torn_line(log)
        noted = parse_head(os.pread(lock, _HEAD_BYTES, 0)) or BEGINNING
        head = max(noted, _last_head(log), key=lambda head: head.sequence)
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
    """Give the path of the file that notes a log's head and is its lock."""
    return path.with_name(f"{path.name}.head")


def format_head(head: ChainHead) -> bytes:
    """Write a head as it is noted beside its log."""
    return json.dumps({"sequence": head.sequence, "hash": head.hash}).encode().ljust(_HEAD_BYTES)


def parse_head(text: bytes) -> ChainHead | None:
    """Read what is noted; ``None`` when nothing usable is."""
    try:
        noted = json.loads(text)
        return ChainHead(int(noted["sequence"]), str(noted["hash"]))
    except (ValueError, KeyError, TypeError):
        return None


def _last_head(log: int) -> ChainHead:
    size = os.fstat(log).st_size
    tail = os.pread(log, MAXIMUM_LINE, max(0, size - MAXIMUM_LINE))
    record = read(tail.removesuffix(b"\n").rpartition(b"\n")[2])
    return BEGINNING if record is None else ChainHead(record["sequence"], record["hash"])


def _drop_torn_line(log: int) -> int:
    """Remove a last line without an end, which a power cut can leave; give its number of bytes."""
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
