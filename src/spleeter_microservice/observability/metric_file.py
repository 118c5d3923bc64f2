"""Files in which processes share their metrics, written so that no full disk ends a process.

prometheus_client maps these files into memory before their blocks exist. On a full disk, the kernel then
ends a process that counts something (SIGBUS). Calls that write fail instead, and can be repeated.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

from spleeter_microservice.files import replace_atomically

_EMPTY = (8).to_bytes(4, sys.byteorder) + bytes(4)  # the length of nothing but itself


class _Bytes(bytearray):
    """Bytes in memory, and in a file that is written as a whole once it can be written again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.read_bytes() if path.exists() else _EMPTY)
        self._path = path
        self._file: io.FileIO | None = None

    def __setitem__(self, part: Any, value: Any) -> None:
        super().__setitem__(part, value)
        try:
            if self._file is None:
                with replace_atomically(self._path) as new:
                    new.write_bytes(self)
                self._file = self._path.open("r+b", buffering=0)
                return
            if os.pwrite(self._file.fileno(), value, part.start) == len(value):
                return
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None


class MetricFile(MmapedDict):
    """The values of one process and one kind of metric.

    Args:
        filename: path of the file; values in it, of an earlier process with the same id, are kept.
    """

    def __init__(self, filename: str) -> None:
        self._f = self._m = _Bytes(Path(filename))  # type: ignore[assignment]
        self._used, self._capacity = int.from_bytes(self._m[:4], sys.byteorder), sys.maxsize
        self._positions = {key: position for key, _, _, position in self._read_all_values()}  # type: ignore[no-untyped-call]
