"""Event files for TensorBoard, written without TensorFlow or TensorBoard.

Format: records of https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h,
each an ``Event`` of ``tensorflow/core/util/event.proto``.
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from spleeter_microservice.models.tensorflow.protobuf import bytes_field, fixed_field, integer_field
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c

_VERSION = b"brain.Event:2"


class EventFile(AbstractContextManager["EventFile"]):
    """A new event file; TensorBoard joins the files of one folder into one run.

    Args:
        folder: folder of the run, which is created if missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{platform.node() or 'host'}.{os.getpid()}"
        self._file = (folder / name).open("ab")
        self._write(bytes_field(3, _VERSION))

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of one step, by curve name."""
        values = (
            bytes_field(1, bytes_field(1, name.encode()) + fixed_field(2, "f", number))
            for name, number in numbers.items()
        )
        self._write(integer_field(2, step) + bytes_field(5, b"".join(values)))

    def _write(self, event: bytes) -> None:
        record = fixed_field(1, "d", time.time()) + event
        length = struct.pack("<Q", len(record))
        self._file.write(length + struct.pack("<I", masked_crc32c(length)))
        self._file.write(record + struct.pack("<I", masked_crc32c(record)))
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()
