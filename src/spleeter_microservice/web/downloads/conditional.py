"""Conditional and range requests (RFC 9110): a whole file, a part of it, or none if unchanged."""

from __future__ import annotations

import re

_SINGLE_RANGE = re.compile(r"bytes=[ \t]*(\d*)-(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_LONGEST_POSITION = 18  # digits; no file is larger, and longer numbers are slow to parse


def requested_part(range_header: str | None, if_range: str | None, etag: str, size: int) -> range | None:
    """Return the positions of the bytes that a request asks for.

    Multiple ranges, other units and malformed ranges are ignored, as RFC 9110 permits.

    Args:
        range_header: ``Range`` header of the request.
        if_range: ``If-Range`` header of the request.
        etag: strong ETag of the file.
        size: size of the file in bytes.

    Returns:
        None for the whole file; an empty range for one that lies beyond the end.
    """
    match = _SINGLE_RANGE.fullmatch(range_header or "")
    if match is None or if_range not in (None, etag):
        return None
    return _part(match[1], match[2], size)


def _part(first: str, last: str, size: int) -> range | None:
    if max(len(first), len(last)) > _LONGEST_POSITION or not first + last:
        return None
    if not first:
        return range(max(0, size - int(last)), size)
    start = int(first)
    if last and int(last) < start:
        return None
    stop = min(int(last) + 1, size) if last else size
    return range(min(start, stop), stop)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Return whether the client has the file already, according to its ``If-None-Match``."""
    # No quotation mark can be within a tag, so a tag with its marks is found only where it is listed.
    return if_none_match is not None and (if_none_match.strip() == "*" or etag in if_none_match)
