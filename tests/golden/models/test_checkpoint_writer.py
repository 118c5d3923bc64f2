"""Checkpoints are written as TensorFlow wrote those in ``tests/golden/data``."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.models.tensorflow.checkpoint_reader import data_sha256, read_checkpoint, read_index
from spleeter_microservice.models.tensorflow.checkpoint_writer import write_checkpoint
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from tests.support.golden import DATA


@pytest.mark.parametrize("name", ["tiny-4stems", "tiny-5stems"])
def test_every_tensor_lies_where_tensorflow_puts_it(tmp_path: Path, name: str) -> None:
    theirs = DATA / "checkpoints" / name
    architecture = UNetArchitecture.from_configuration(json.loads((theirs / "config.json").read_text()))
    expected = read_index(theirs / "model.index")
    arrays: dict[str, NDArray[np.generic]] = {**read_checkpoint(theirs, architecture)}
    assert expected.keys() - arrays.keys() <= {"global_step"}
    if "global_step" in expected:
        arrays["global_step"] = np.zeros((), np.int64)
    write_checkpoint(tmp_path, "model", arrays)
    assert read_index(tmp_path / "model.index") == expected
    assert data_sha256(tmp_path) == data_sha256(theirs)
