"""Files in which processes share their metrics, written so that no full disk ends a process.

prometheus_client maps these files into memory before their blocks exist. On a full disk, the kernel then
ends a process that counts something (SIGBUS). Calls that write fail instead, and can be repeated.
"""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from spleeter_microservice.files import replace_atomically

_LENGTH = struct.Struct("i")
_VALUE = struct.Struct("dd")


class MetricFile:
    """The values of one process and one kind of metric, in the place and the format of ``MmapedDict``.

    They are kept in memory, too. If the file cannot be written, it stays as it was, and the next change
    writes it as a whole.

    Args:
        filename: path of the file; values in it, of an earlier process with the same id, are kept.
    """

    def __init__(self, filename: str) -> None:
        self._path = Path(filename)
        self._file: io.FileIO | None = None
        self._data = bytearray(_LENGTH.pack(8).ljust(8, b"\0"))
        self._positions: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError):
            for key, *value, _ in MmapedDict.read_all_values_from_file(filename):  # type: ignore[no-untyped-call]
                self.write_value(key, *value)

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a value and its time; those of a new key are zero."""
        value, timestamp = _VALUE.unpack_from(self._data, self._position(key))
        return value, timestamp

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Change a value."""
        start = self._position(key)
        part = slice(start, start + _VALUE.size)
        self._data[part] = _VALUE.pack(value, timestamp)
        self._write(part)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
        self._file = None

    def _position(self, key: str) -> int:
        """Return the position of a value, which is added if it is new."""
        if key not in self._positions:
            text, start = key.encode(), len(self._data)
            text += b" " * (8 - (len(text) + _LENGTH.size) % 8)
            self._data += _LENGTH.pack(len(key.encode())) + text + _VALUE.pack(0.0, 0.0)
            self._data[: _LENGTH.size] = _LENGTH.pack(len(self._data))
            self._positions[key] = len(self._data) - _VALUE.size
            # The length goes last: readers trust it.
            self._write(slice(start, len(self._data)), slice(0, _LENGTH.size))
        return self._positions[key]

    def _write(self, *parts: slice) -> None:
        try:
            if self._file is None:
                with replace_atomically(self._path) as new:
                    new.write_bytes(self._data)
                self._file = self._path.open("r+b", buffering=0)
                return
            for part in parts:
                self._file.seek(part.start)
                if self._file.write(self._data[part]) < part.stop - part.start:
                    self.close()
                    return
        except OSError:
            self.close()
