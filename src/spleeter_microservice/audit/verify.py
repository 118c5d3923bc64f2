"""Checks an audit log: was a record changed, removed, moved, or cut off?

Found, without anything but the log: a record of which one byte was changed, a record taken out
or put in, records that changed places, a beginning that is missing. Found with the note beside
the log (``audit.head_path``): a missing end. Not found without an outside anchor: a log that
somebody who may write both files has written anew from some record on, with right hashes.
Against that, keep a ``ChainHead`` where that somebody cannot write, and check with it later.
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
    """One place where a log is not what was written.

    Attributes:
        kind: ``unreadable`` for a line that is no record or was edited, ``torn`` for a last
            line without an end, ``missing`` where records were, ``moved`` for one out of its
            order, ``unlinked`` for one that does not follow the one before, ``truncated`` when
            the end is gone, ``rewritten`` when another log is known to have been here.
        path, line: where, lines counted from 1.
        message: for people.
    """

    kind: Kind
    path: Path
    line: int
    message: str


@dataclass
class Report:
    """What a check found.

    Attributes:
        records: that could be read.
        head: of the last of them.
        problems: in the order of the log.
        end_known: whether the log's end could be compared with a note or an anchor; if not,
            whether later records are missing cannot be told.
    """

    records: int = 0
    head: ChainHead = BEGINNING
    problems: list[Problem] = field(default_factory=list)
    end_known: bool = False

    def require_whole(self) -> None:
        """Go on only if the log is what was written.

        Raises:
            AuditBrokenError: naming the first problem.
        """
        if self.problems:
            first = self.problems[0]
            raise AuditBrokenError(
                f"{first.path}, line {first.line}: {first.message} ({len(self.problems)} problems). "
                "Keep the file as it is and compare it with a copy from elsewhere."
            )


def verify(paths: Sequence[Path], *, anchor: ChainHead | None = None, after: ChainHead = BEGINNING) -> Report:
    """Check a log, in one file or in several that followed each other.

    Args:
        paths: oldest first; the last is compared with the note beside it, if there is one.
        anchor: a head noted earlier and elsewhere; the log must contain it.
        after: head of the files before the first of these, if they are kept elsewhere.

    Raises:
        ConfigurationError: when a file cannot be read.
    """
    check = _Check(after, anchor)
    for path in paths:
        check.file(path)
    return check.finish(paths[-1])


class _Check:
    """The state of one check on its way through the lines."""

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
        noted = _noted(path)
        if noted is not None:
            self._report.end_known = True
            self._compare_end(noted, "the note beside the log")
        if self._anchor is not None and self._anchor.sequence > self._report.head.sequence:
            self._compare_end(self._anchor, "the anchor")
        self._report.end_known |= self._anchor == self._report.head
        return self._report

    def _check_line(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self._found("torn", "the last line has no end: it was cut off, or a power cut broke it off")
            return
        record = read(line.removesuffix(b"\n"))
        if record is None:
            self._found("unreadable", "this is no record, or it was edited")
            return
        self._check_place(record)
        self._report.records += 1
        self._report.head = ChainHead(record["sequence"], record["hash"])
        self._check_anchor()

    def _check_place(self, record: dict[str, Any]) -> None:
        sequence, head = record["sequence"], self._report.head
        if sequence > head.sequence + 1:
            self._found("missing", f"records {head.sequence + 1} to {sequence - 1} should be before this one")
        elif sequence <= head.sequence:
            self._found("moved", f"record {sequence} is out of its order, after record {head.sequence}")
        elif record["previous"] != head.hash:
            self._found("unlinked", f"record {sequence} does not follow the record before it")

    def _check_anchor(self) -> None:
        anchor, head = self._anchor, self._report.head
        if anchor is not None and anchor.sequence == head.sequence and anchor != head:
            self._found("rewritten", f"record {head.sequence} is not the one that the anchor knows")

    def _compare_end(self, known: ChainHead, whose: str) -> None:
        head = self._report.head
        if known.sequence > head.sequence:
            self._found("truncated", f"{whose} knows record {known.sequence}, which is not there")
        elif known.sequence == head.sequence and known != head:
            self._found("rewritten", f"record {head.sequence} is not the one that {whose} knows")

    def _found(self, kind: Kind, message: str) -> None:
        self._report.problems.append(Problem(kind, self._path, self._line, message))


def _lines(path: Path) -> Iterator[bytes]:
    """Give the lines with their ends; no longer pieces than a record can be."""
    try:
        with path.open("rb") as file:
            while line := file.readline(MAXIMUM_LINE):
                yield line
    except OSError as error:
        raise ConfigurationError(
            f"The audit log {path} cannot be read: {error.strerror or error}. Check the path."
        ) from error


def _noted(path: Path) -> ChainHead | None:
    try:
        return parse_head(head_path(path).read_bytes())
    except OSError:
        return None
