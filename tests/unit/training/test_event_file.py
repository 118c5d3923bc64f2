"""TensorBoard's event files have valid checksums and contain the numbers that were added."""

import struct
from pathlib import Path

from spleeter_microservice.models.tensorflow.protobuf import read_fields
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c
from spleeter_microservice.training.event_file import EventFile
from tests.support.training_events import events, numbers


def test_numbers_can_be_read_back(tmp_path: Path) -> None:
    with EventFile(tmp_path / "logs") as log:
        log.add(1, {"loss": 0.5, "loss/vocals": 0.25})
        log.add(300, {"loss": 2.0})
    assert numbers(tmp_path / "logs") == {"loss": [(1, 0.5), (300, 2.0)], "loss/vocals": [(1, 0.25)]}


def test_an_event_file_starts_with_the_version_of_the_format(tmp_path: Path) -> None:
    with EventFile(tmp_path):
        pass
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("events.out.tfevents.")
    (first,) = events(path)
    assert dict(read_fields(first))[3] == b"brain.Event:2"


def test_records_have_the_checksums_of_tensorflow(tmp_path: Path) -> None:
    with EventFile(tmp_path) as log:
        log.add(1, {"loss": 0.5})
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    (length, crc) = struct.unpack("<QI", data[:12])
    assert crc == masked_crc32c(data[:8])
    assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc32c(data[12 : 12 + length])
