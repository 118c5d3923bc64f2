"""The links of an Ogg file: streams one after the other, as web radio records and ``cat`` joins them."""

from __future__ import annotations

import re
from itertools import islice, pairwise

from spleeter_microservice.audio.parts import MAX_CHUNKS, Part, SeekableFile, Structure, read_at, search

_MAX_PAGE = 65_307  # bytes
# A page that begins a stream, and perhaps ends it, too.
FIRST_PAGE = re.compile(rb"OggS\x00[\x02\x06]")


def examine(file: SeekableFile, start: int, size: int) -> Structure:
    """Return the findings about an Ogg file that begins at a position."""
    starts: list[int] = []
    beside = start  # where the first page of another stream of the same link would be
    for position in islice(search(file, FIRST_PAGE, start, size), MAX_CHUNKS):
        if position != beside:
            starts.append(position)
        beside = position + _page_size(read_at(file, position, 27 + 255))
    edges = [start, *starts, size]
    parts = tuple(Part(begin, end) for begin, end in pairwise(edges))
    return Structure(cut_off=_is_cut(file, start, size), parts=parts)


def _page_size(head: bytes) -> int:
    """Return the size of a page; the header ends with the number of segments and their sizes."""
    segments = head[26] if len(head) > 26 else 0
    return 27 + segments + sum(head[27 : 27 + segments])


def _is_cut(file: SeekableFile, start: int, size: int) -> bool:
    """Return whether the last page is not whole."""
    tail = read_at(file, max(start, size - 2 * _MAX_PAGE), 2 * _MAX_PAGE)
    page = tail[max(0, tail.rfind(b"OggS\x00")) :]
    return len(page) < _page_size(page)
