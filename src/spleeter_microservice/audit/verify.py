"""Verification of an audit log: detects changed, inserted, removed, moved and missing records.

In the database, the head reveals a missing end, and its seal reveals a log that was rewritten without the
key. An export has neither. A log that was rewritten with the key, or put back to an earlier state together
with its head, is only revealed by a ``ChainHead`` that was kept elsewhere: the anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from spleeter_microservice.audit.log import is_sealed
from spleeter_microservice.audit.record import BEGINNING, MAXIMUM_LINE, Action, ChainHead, head_of, read
from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.errors import AuditBrokenError, ConfigurationError

Kind = Literal["unreadable", "missing", "moved", "unlinked", "truncated", "rewritten", "unsealed"]


@dataclass(frozen=True)
class Problem:
    """A place where a log differs from what was written.

    Attributes:
        kind: ``unreadable`` for a line that is not a record or was edited, ``missing`` for a gap before a
            record, ``moved`` for a record out of order, ``unlinked`` for a record that does not follow the
            one before it, ``truncated`` for a missing end, ``rewritten`` for a record that differs from a
            known one, ``unsealed`` for a head that no key vouches for, now or in the past.
        place: row of the table, or file and line.
        message: description for people.
    """

    kind: Kind
    place: str
    message: str


@dataclass
class Verification:
    """A verification of an audit log, and its result.

    Attributes:
        head: head of the last valid record; before any was read, that of the last one before the log.
        anchor: a head that was kept elsewhere; the log must contain it.
        records: number of valid records.
        problems: problems found, in the order of the log.
        end_known: whether the log's end was compared with its head or an anchor; if not, later records may
            be missing.
        seal_known: whether the seal of the head was checked.
    """

    head: ChainHead = BEGINNING
    anchor: ChainHead | None = None
    records: int = field(default=0, init=False)
    problems: list[Problem] = field(default_factory=list, init=False)
    end_known: bool = field(default=False, init=False)
    seal_known: bool = field(default=False, init=False)
    _place: str = field(default="the log", init=False)

    def require_whole(self) -> None:
        """Raise an error if the log has problems.

        Raises:
            AuditBrokenError: if it has; the message names the first problem.
        """
        if self.problems:
            first = self.problems[0]
            raise AuditBrokenError(
                f"{first.place}: {first.message} (problems: {len(self.problems)}). "
                "Leave the log unchanged and compare it with a copy from elsewhere."
            )

    async def table(self, database: Database, keys: Sequence[bytes] = ()) -> Self:
        """Verify the log in a database, its head and, if keys are given, the seal of the head.

        Raises:
            DatabaseUnavailableError: if the database is unavailable.
        """
        async with database.transaction() as transaction:
            await transaction.do("freeze")  # a record that is added now must not look like a wrong head
            row = await transaction.first("get_audit_head")
            async for stored in transaction.stream("list_audit", after=self.head.sequence):
                self._check_line(f"row {stored['sequence']}", stored["record"].encode())
        self._check_head(row, keys)
        return self._finish()

    def files(self, paths: Sequence[Path]) -> Self:
        """Verify one exported file, or several consecutive ones, oldest first.

        Raises:
            ConfigurationError: if a file cannot be read.
        """
        for path in paths:
            for number, line in enumerate(_lines(path), 1):
                self._check_line(f"{path}, line {number}", line.removesuffix(b"\n"))
        return self._finish()

    def _finish(self) -> Self:
        if self.anchor is not None and self.anchor.sequence > self.head.sequence:
            self._compare_end(self.anchor, "the anchor")
        self.end_known |= self.anchor == self.head
        return self

    def _check_head(self, row: Row | None, keys: Sequence[bytes]) -> None:
        self._place = "the head"
        if row is None:
            self._found("truncated", "it is missing")
            return
        self._compare_end(ChainHead(row["sequence"], row["hash"]), "the head")
        self.end_known = True
        self.seal_known = bool(keys)
        if keys and row["sequence"] and not is_sealed(row, keys):
            self._found("unsealed", "its seal was made with another key, or the log was changed")

    def _check_line(self, place: str, line: bytes) -> None:
        self._place = place
        record = read(line)
        if record is None:
            self._found("unreadable", "this is not a record, or it was edited")
            return
        self._check_place(record)
        self.records += 1
        self.head = head_of(record)
        if record.get("action") == Action.AUDIT_UNSEALED:
            self._found("unsealed", "no key vouches for the records before this one")
        self._check_anchor()

    def _check_place(self, record: dict[str, Any]) -> None:
        sequence, head = record["sequence"], self.head
        if sequence > head.sequence + 1:
            self._found("missing", f"records {head.sequence + 1} to {sequence - 1} are missing before it")
        elif sequence <= head.sequence:
            self._found("moved", f"record {sequence} is out of order, after record {head.sequence}")
        elif record["previous"] != head.hash:
            self._found("unlinked", f"record {sequence} does not follow the record before it")

    def _check_anchor(self) -> None:
        anchor, head = self.anchor, self.head
        if anchor is not None and anchor.sequence == head.sequence and anchor != head:
            self._found("rewritten", f"record {head.sequence} differs from the anchor")

    def _compare_end(self, known: ChainHead, whose: str) -> None:
        head = self.head
        if known.sequence > head.sequence:
            self._found("truncated", f"record {known.sequence}, named by {whose}, is missing")
        elif known != head:
            self._found("rewritten", f"record {head.sequence} differs from {whose}")

    def _found(self, kind: Kind, message: str) -> None:
        self.problems.append(Problem(kind, self._place, message))


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines with their newlines, split after the longest length that a record can have."""
    try:
        with path.open("rb") as file:
            while line := file.readline(MAXIMUM_LINE):
                yield line
    except OSError as error:
        raise ConfigurationError(
            f"The audit log {path} cannot be read: {error.strerror or error}. Check the path."
        ) from error
