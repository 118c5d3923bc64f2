"""Verification of an audit log: detects changed, inserted, removed, moved and missing records.

The log alone reveals everything but a missing end, which the head stored beside the log reveals
(``log.head_path``). An attacker who can write both files can rewrite the log from some record on, with valid
hashes. To detect that, keep a ``ChainHead`` where the attacker cannot write, and pass it as the anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spleeter_microservice.audit.log import head_path, parse_head
from spleeter_microservice.audit.record import BEGINNING, MAXIMUM_LINE, ChainHead, read
from spleeter_microservice.errors import AuditBrokenError, ConfigurationError

Kind = Literal["unreadable", "torn", "missing", "moved", "unlinked", "truncated", "rewritten"]


@dataclass(frozen=True)
class Problem:
    """A place where a log differs from what was written.

    Attributes:
        kind: ``unreadable`` for a line that is not a record or was edited, ``torn`` for a last line
            without its newline, ``missing`` for a gap before a record, ``moved`` for a record out of
            order, ``unlinked`` for a record that does not follow the one before it, ``truncated`` for a
            missing end, ``rewritten`` for a record that differs from a known one.
        path: file with the problem.
        line: line in that file, counted from 1.
        message: description for people.
    """

    kind: Kind
    path: Path
    line: int
    message: str


@dataclass
class Report:
    """The result of a verification.

    Attributes:
        records: number of valid records.
        head: head of the last of them.
        problems: problems found, in the order of the log.
        end_known: whether the log's end was compared with its stored head or an anchor; if not, later
            records may be missing.
    """

    records: int = 0
    head: ChainHead = BEGINNING
    problems: list[Problem] = field(default_factory=list)
    end_known: bool = False

    def require_whole(self) -> None:
        """Raise an error if the log has problems.

        Raises:
            AuditBrokenError: if it has; the message names the first problem.
        """
        if self.problems:
            first = self.problems[0]
            raise AuditBrokenError(
                f"{first.path}, line {first.line}: {first.message} ({len(self.problems)} problems). "
                "Keep the file unchanged and compare it with a copy from elsewhere."
            )


def verify(paths: Sequence[Path], *, anchor: ChainHead | None = None, after: ChainHead = BEGINNING) -> Report:
    """Verify a log that consists of one file or of several consecutive ones.

    Args:
        paths: the files, oldest first; the last is compared with the head stored beside it, if any.
        anchor: a head that was kept elsewhere; the log must contain it.
        after: head of the file before the first of these, if that one is archived elsewhere.

    Raises:
        ConfigurationError: if a file cannot be read.
    """
    verification = _Verification(after, anchor)
    for path in paths:
        verification.file(path)
    return verification.finish(paths[-1])


class _Verification:
    """The state of a verification between two lines."""

    def __init__(self, after: ChainHead, anchor: ChainHead | None) -> None:
        self._report = Report(head=after)
        self._anchor = anchor
        self._line = 0
        self._path = Path()

    def file(self, path: Path) -> None:
        self._path, self._line = path, 0
        for line in _lines(path):
            self._line += 1
            self._check_line(line)

    def finish(self, path: Path) -> Report:
        stored = _stored_head(path)
        if stored is not None:
            self._report.end_known = True
            self._compare_end(stored, "the head stored beside the log")
        if self._anchor is not None and self._anchor.sequence > self._report.head.sequence:
            self._compare_end(self._anchor, "the anchor")
        self._report.end_known |= self._anchor == self._report.head
        return self._report

    def _check_line(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self._found("torn", "the last line is incomplete: it was cut off, perhaps by a power cut")
            return
        record = read(line.removesuffix(b"\n"))
        if record is None:
            self._found("unreadable", "this line is not a record, or it was edited")
            return
        self._check_place(record)
        self._report.records += 1
        self._report.head = ChainHead(record["sequence"], record["hash"])
        self._check_anchor()

    def _check_place(self, record: dict[str, Any]) -> None:
        sequence, head = record["sequence"], self._report.head
        if sequence > head.sequence + 1:
            self._found("missing", f"records {head.sequence + 1} to {sequence - 1} are missing before it")
        elif sequence <= head.sequence:
            self._found("moved", f"record {sequence} is out of order, after record {head.sequence}")
        elif record["previous"] != head.hash:
            self._found("unlinked", f"record {sequence} does not follow the record before it")

    def _check_anchor(self) -> None:
        anchor, head = self._anchor, self._report.head
        if anchor is not None and anchor.sequence == head.sequence and anchor != head:
            self._found("rewritten", f"record {head.sequence} differs from the anchor")

    def _compare_end(self, known: ChainHead, whose: str) -> None:
        head = self._report.head
        if known.sequence > head.sequence:
            self._found("truncated", f"record {known.sequence}, named by {whose}, is missing")
        elif known.sequence == head.sequence and known != head:
            self._found("rewritten", f"record {head.sequence} differs from {whose}")

    def _found(self, kind: Kind, message: str) -> None:
        self._report.problems.append(Problem(kind, self._path, self._line, message))


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


def _stored_head(path: Path) -> ChainHead | None:
    try:
        return parse_head(head_path(path).read_bytes())
    except OSError:
        return None
