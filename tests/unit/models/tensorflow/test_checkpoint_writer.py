"""Checkpoints are read back as they were written, and replaced atomically."""

from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    data_sha256,
    find_prefix,
    read_checkpoint,
    read_index,
)
from spleeter_microservice.models.tensorflow.checkpoint_writer import remove_checkpoint, write_checkpoint
from tests.support import tensorflow_files
from tests.support.random_models import TINY, random_arrays


def test_a_written_checkpoint_is_read_back(tmp_path: Path) -> None:
    arrays = random_arrays(TINY)
    step = np.array(12345678901, np.int64)
    write_checkpoint(tmp_path, "model-7", {**arrays, "global_step": step})
    found = read_checkpoint(tmp_path, TINY)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    entry = read_index(tmp_path / "model-7.index")["global_step"]
    assert (entry.dtype, entry.shape, entry.size) == (9, (), 8)


def test_the_data_are_those_that_tensorflow_would_write(tmp_path: Path) -> None:
    arrays = random_arrays(TINY)
    (tmp_path / "ours").mkdir()
    write_checkpoint(tmp_path / "ours", "model", arrays)
    tensorflow_files.write_checkpoint(tmp_path / "theirs" / "model", arrays)
    assert data_sha256(tmp_path / "ours") == data_sha256(tmp_path / "theirs")


def test_the_newest_checkpoint_is_the_current_one(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_checkpoint(tmp_path, f"model-{seed}", random_arrays(TINY, seed))
    assert find_prefix(tmp_path).name == "model-2"
    remove_checkpoint(tmp_path, "model-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint",
        "model-2.data-00000-of-00001",
        "model-2.index",
    ]


def test_a_failed_write_leaves_the_current_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "model-1", random_arrays(TINY))
    with pytest.raises(KeyError, match="float64"):
        write_checkpoint(tmp_path, "model-2", {"conv2d/bias": np.zeros(2)})
    assert find_prefix(tmp_path).name == "model-1"
    assert not list(tmp_path.glob(".*.part"))
