"""What a request asks for of a file: all of it, a part, or nothing if it has it already (RFC 9110)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_TAGS = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_LONGEST_POSITION = 18  # digits; no file is that long, and longer numbers are slow to read


@dataclass(frozen=True)
class Part:
    """Bytes of a file from ``start`` up to, but not with, ``stop``; none if they are equal."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.stop - self.start


def requested_part(range_header: str | None, if_range: str | None, etag: str, size: int) -> Part | None:
    """Give the part of a file that is asked for.

    Several ranges at once, other units and what is no range are ignored, as a server may.

    Args:
        range_header: of the request.
        if_range: of the request.
        etag: of the file, strong.
        size: of the file, in bytes.

    Returns:
        None for the whole file; an empty part when there is nothing in the range.
    """
    match = _SINGLE_RANGE.fullmatch(range_header or "")
    if match is None or if_range not in (None, etag):
        return None
    return _part(match[1], match[2], size)


def _part(first: str, last: str, size: int) -> Part | None:
    if max(len(first), len(last)) > _LONGEST_POSITION or not first + last:
        return None
    if not first:
        return Part(max(0, size - int(last)), size)
    start = int(first)
    if last and int(last) < start:
        return None
    stop = min(int(last) + 1, size) if last else size
    return Part(start, stop) if start < stop else Part(size, size)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Tell whether the client has a file already, by the ``If-None-Match`` of its request."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _TAGS.findall(if_none_match)
