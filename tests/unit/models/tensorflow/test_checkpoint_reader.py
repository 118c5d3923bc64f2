"""TensorFlow checkpoints are read exactly, or refused with the tensor and the reason."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    TensorEntry,
    data_sha256,
    find_prefix,
    official_sha256,
    read_checkpoint,
    read_index,
)
from tests.support.random_models import TINY, random_arrays
from tests.support.tensorflow_files import HEADER, block, entry, sealed, table, write_checkpoint

Arrays = dict[str, NDArray[np.float32]]

AnyArray = NDArray[np.generic]
STEP: dict[str, AnyArray] = {"global_step": np.zeros((), np.int64)}
OTHERS: dict[str, AnyArray] = {
    "beta1_power": np.ones((), np.float32),
    "conv2d/kernel/Adam": np.zeros((3, 3), np.float32),
    "conv2d/kernel/Adam_1": np.zeros((3, 3), np.float32),
}


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return random_arrays(TINY)


def index(prefix: Path) -> Path:
    return prefix.with_name("model.index")


def data(prefix: Path) -> Path:
    return prefix.with_name("model.data-00000-of-00001")


def test_weights_are_read_as_written_and_variables_of_the_training_are_ignored(
    tmp_path: Path, arrays: Arrays
) -> None:
    prefix = write_checkpoint(tmp_path / "model", {**arrays, **STEP, **OTHERS})
    read = read_checkpoint(prefix, TINY)
    assert read.keys() == arrays.keys()
    for name, array in read.items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == np.float32


def test_an_index_has_the_position_of_each_tensor(tmp_path: Path) -> None:
    content = np.arange(6, dtype=np.float32).reshape(2, 3)
    prefix = write_checkpoint(tmp_path / "model", {"a": np.zeros(2, np.float32), "b": content, **STEP})
    entries = read_index(index(prefix))
    assert list(entries) == ["a", "b", "global_step"]
    crc = entries["b"].crc32c
    assert entries["b"] == TensorEntry(1, (2, 3), "data-00000-of-00001", 8, 24, crc)
    assert (entries["global_step"].dtype, entries["global_step"].shape) == (9, ())


def test_the_hash_is_that_of_the_data_file_and_of_the_arrays_in_deezers_layout(
    tmp_path: Path, arrays: Arrays
) -> None:
    prefix = write_checkpoint(tmp_path / "model", {**arrays, **STEP})
    expected = hashlib.sha256(data(prefix).read_bytes()).hexdigest()
    assert data_sha256(tmp_path) == official_sha256(arrays) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2d/kernel": None}, "the tensor conv2d/kernel is missing"),
        (
            {"conv2d_1/bias": np.zeros(7, np.float32)},
            "the tensor conv2d_1/bias has the shape (7,), expected (3,)",
        ),
        (
            {"conv2d/bias": np.zeros(2, np.int64)},
            "the tensor conv2d/bias has the type int64, expected float32",
        ),
        ({"conv2d_21/bias": np.zeros(2, np.float32)}, "1 tensors are left over, among them conv2d_21/bias"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, arrays: Arrays, change: dict[str, AnyArray | None], message: str
) -> None:
    changed = {name: array for name, array in (arrays | change).items() if array is not None}
    write_checkpoint(tmp_path / "model", changed)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        read_checkpoint(tmp_path, TINY)


def test_a_flipped_bit_is_reported_with_its_tensor(tmp_path: Path, arrays: Arrays) -> None:
    prefix = write_checkpoint(tmp_path / "model", arrays)
    content = bytearray(data(prefix).read_bytes())
    content[read_index(index(prefix))["conv2d_3/kernel"].offset + 5] ^= 1
    data(prefix).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"conv2d_3/kernel .* is damaged: its CRC-32C is .* expected"):
        read_checkpoint(prefix, TINY)


def test_a_truncated_or_missing_data_file_is_named(tmp_path: Path, arrays: Arrays) -> None:
    prefix = write_checkpoint(tmp_path / "model", arrays)
    data(prefix).write_bytes(data(prefix).read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model.data-00000-of-00001 is truncated: the tensor .* has"):
        read_checkpoint(prefix, TINY)
    data(prefix).unlink()
    with pytest.raises(CheckpointError, match=r"model.data-00000-of-00001: No such file"):
        read_checkpoint(prefix, TINY)
    with pytest.raises(CheckpointError, match=r"model.data-00000-of-00001: No such file"):
        data_sha256(prefix)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (entry((2,), 0, 9, 0), "has 9 bytes, expected 8"),
        (entry((2,), 0, 8, 0, more=b"\x3a\x00"), "is stored in slices"),
        (entry((2,), 2**63 + 5, 8, 0), "is truncated"),
        (entry((2,), 0, 8, 0, dtype=42), "has the type 42"),
        (entry((2**64 - 1,), 0, 8, 0), "has the shape"),
    ],
)
def test_an_impossible_entry_is_refused(
    tmp_path: Path, arrays: Arrays, described: bytes, message: str
) -> None:
    prefix = write_checkpoint(tmp_path / "model", arrays)
    right = {
        name: entry(e.shape, e.offset, e.size, e.crc32c) for name, e in read_index(index(prefix)).items()
    }
    entries = sorted((name.encode(), value) for name, value in (right | {"conv2d/bias": described}).items())
    index(prefix).write_bytes(table(block([(b"", HEADER), *entries])))
    with pytest.raises(CheckpointError, match=rf"conv2d/bias.*{message}|{message}.*conv2d/bias"):
        read_checkpoint(prefix, TINY)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([(b"a", entry((1,), 0, 4, 0))], "has no header"),
        ([(b"", b"\x08\x01\x10\x01")], "big-endian"),
        ([(b"", b"\x08\x00")], r"number of data files \(0\)"),
        ([(b"", HEADER), (b"a", b"\x18\x01")], "is in data file 1 of 1"),
        ([(b"", HEADER), (b"a", b"\x12\x04\x12\x02\x0a\x00")], "should be an integer"),
        ([(b"", HEADER), (b"a", b"\x12\x7f")], "truncated"),
    ],
)
def test_an_impossible_index_is_refused_by_name(
    tmp_path: Path, entries: list[tuple[bytes, bytes]], message: str
) -> None:
    (tmp_path / "model.index").write_bytes(table(block(entries)))
    with pytest.raises(CheckpointError, match=rf"model\.index cannot be read: .*{message}"):
        read_index(tmp_path / "model.index")


def test_an_index_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "model.index").open("wb") as file:
        file.truncate(1 << 40)  # takes no space on the disk
    with pytest.raises(CheckpointError, match="more than"):
        read_index(tmp_path / "model.index")


@given(content=st.binary(max_size=200), message=st.binary(max_size=60))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_checkpoint_or_a_checkpoint_error(
    tmp_path: Path, content: bytes, message: bytes
) -> None:
    for crafted in (
        content,
        table(sealed(content)),
        table(block([(b"", message)])),
        table(block([(b"", HEADER), (b"conv2d/bias", message)])),
    ):
        (tmp_path / "model.index").write_bytes(crafted)
        (tmp_path / "model.data-00000-of-00001").write_bytes(content)
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path, TINY)


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_no_flipped_bit_of_an_index_goes_unnoticed_or_crashes(
    tmp_path: Path, arrays: Arrays, position: int, bit: int
) -> None:
    prefix = write_checkpoint(tmp_path / "model", arrays)
    content = bytearray(index(prefix).read_bytes())
    # Beyond the footer's two handles and before the magic number lies padding without meaning.
    position %= len(content) - 48
    content[position] ^= 1 << bit
    index(prefix).write_bytes(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(prefix, TINY)


@pytest.mark.parametrize(
    "text",
    [
        'model_checkpoint_path: "model"\nall_model_checkpoint_paths: "other"\n',
        'model_checkpoint_path: "/home/somebody/training/model"\n',
        'model_checkpoint_path: "../elsewhere/model"\n',
    ],
)
def test_the_file_checkpoint_chooses_among_several(tmp_path: Path, text: str) -> None:
    for name in ("model", "other"):
        write_checkpoint(tmp_path / name, STEP)
    (tmp_path / "checkpoint").write_text(text)
    assert find_prefix(tmp_path) == tmp_path / "model"


@pytest.mark.parametrize(
    "text", [None, "", 'model_checkpoint_path: ".."', b"\xff", 'model_checkpoint_path: "gone"']
)
def test_the_only_checkpoint_of_a_folder_needs_no_name(tmp_path: Path, text: str | bytes | None) -> None:
    write_checkpoint(tmp_path / "model", STEP)
    (tmp_path / "._model.index").write_bytes(b"what macOS leaves in archives")
    (tmp_path / "checkpoint").unlink()
    if text is not None:
        (tmp_path / "checkpoint").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert find_prefix(tmp_path) == tmp_path / "model"
    assert find_prefix(tmp_path / "model.index") == tmp_path / "model"


def test_a_directory_with_no_or_two_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds 0 checkpoints"):
        find_prefix(tmp_path)
    with pytest.raises(CheckpointError, match=r"missing/model.index is missing"):
        find_prefix(tmp_path / "missing" / "model")
    for name in ("model", "other"):
        write_checkpoint(tmp_path / name, STEP)
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(CheckpointError, match="holds 2 checkpoints"):
        find_prefix(tmp_path)
