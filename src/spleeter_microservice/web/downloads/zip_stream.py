"""ZIP archives of uncompressed files, written while they are sent, with a size known in advance.

Headers are complete before the first byte, so that the archive needs no data descriptors, which some
programs cannot read after uncompressed files. The format is PKWARE's APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_LIMIT_32 = 0xFFFF_FFFF
_UTF8 = 0x0800  # flag: names are in UTF-8
_VERSION, _VERSION_64 = 20, 45  # version of the format needed to read the archive
_UNIX = 3 << 8
_REGULAR_FILE = 0o100644 << 16
_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64 = struct.Struct("<4sIQI")


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Attributes:
        name: path in the archive, with slashes.
        size: size in bytes.
        crc32: CRC-32 of the content.
        content: function that opens the content.
    """

    name: str
    size: int
    crc32: int
    content: Callable[[], AsyncIterable[bytes]]


class ZipStream:
    """An archive as a stream.

    Args:
        members: files, with unique names.
        modified: modification time of all files.
    """

    def __init__(self, members: Sequence[Member], modified: datetime) -> None:
        self._members = members
        self._time = _dos_time(modified)
        self._headers = [self._local_header(member) for member in members]
        starts = [0]
        for member, header in zip(members, self._headers, strict=True):
            starts.append(starts[-1] + len(header) + member.size)
        directory = b"".join(map(self._central_header, members, starts))
        self._end = directory + _end(len(members), len(directory), starts[-1])
        self.size = starts[-1] + len(self._end)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for member, header in zip(self._members, self._headers, strict=True):
            yield header
            async for block in member.content():
                yield block
        yield self._end

    def _local_header(self, member: Member) -> bytes:
        name = member.name.encode()
        large = member.size >= _LIMIT_32
        extra = _extra_64(member.size, member.size) if large else b""
        size = _LIMIT_32 if large else member.size
        version = _VERSION_64 if large else _VERSION
        fixed = _LOCAL.pack(
            b"PK\x03\x04", version, _UTF8, 0, *self._time, member.crc32, size, size, len(name), len(extra)
        )
        return fixed + name + extra

    def _central_header(self, member: Member, start: int) -> bytes:
        name = member.name.encode()
        long_sizes = [member.size, member.size] if member.size >= _LIMIT_32 else []
        long_start = [start] if start >= _LIMIT_32 else []
        extra = _extra_64(*long_sizes, *long_start) if long_sizes or long_start else b""
        size = _LIMIT_32 if long_sizes else member.size
        version = _VERSION_64 if extra else _VERSION
        fixed = _CENTRAL.pack(
            b"PK\x01\x02", _UNIX | version, version, _UTF8, 0, *self._time, member.crc32, size, size,
            len(name), len(extra), 0, 0, 0, _REGULAR_FILE, min(start, _LIMIT_32),
        )  # fmt: skip
        return fixed + name + extra


def _extra_64(*values: int) -> bytes:
    return struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)


def _end(count: int, size: int, start: int) -> bytes:
    """Return the end record of a central directory of ``count`` entries and ``size`` bytes at ``start``."""
    large = b""
    if start + size >= _LIMIT_32:
        versions = (_UNIX | _VERSION_64, _VERSION_64)
        large = _END_64.pack(b"PK\x06\x06", _END_64.size - 12, *versions, 0, 0, count, count, size, start)
        large += _LOCATOR_64.pack(b"PK\x06\x07", 0, start + size, 1)
    return large + _END.pack(b"PK\x05\x06", 0, 0, count, count, size, min(start, _LIMIT_32), 0)


def _dos_time(moment: datetime) -> tuple[int, int]:
    """Return time and date in FAT's form: two-second steps from 1980 to 2107."""
    moment = min(max(moment, _EARLIEST), _LATEST)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, (moment.year - 1980) << 9 | moment.month << 5 | moment.day
