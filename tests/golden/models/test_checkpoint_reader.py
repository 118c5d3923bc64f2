"""Real checkpoints of TensorFlow, Deezer's and small ones, are read to the last byte."""

import hashlib

import numpy as np
import pytest

from spleeter_microservice.models.catalogue import OFFICIAL
from spleeter_microservice.models.provide import open_store
from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    data_sha256,
    official_sha256,
    read_checkpoint,
    read_index,
)
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration
from spleeter_microservice.settings import Settings
from tests.support.shared import shared

FLOAT32 = 1


@pytest.mark.parametrize("name", ["2stems", "4stems", "5stems"])
def test_the_index_of_deezers_release_has_the_variables_of_the_architecture(name: str) -> None:
    entry = OFFICIAL.entries[name]
    entries = read_index(shared("reference", "official-index", name, "model.index"))
    size = 0
    for found in entries.values():  # each tensor begins where the one before it ends
        assert found.offset == size
        size += found.size
    assert size == entry.size
    assert entries.pop("global_step").size == 8
    assert {tensor: found.shape for tensor, found in entries.items()} == entry.architecture.variables()
    assert {found.dtype for found in entries.values()} == {FLOAT32}


@pytest.mark.parametrize("name", ["tiny-4stems", "tiny-5stems"])
def test_a_checkpoint_that_tensorflow_wrote_is_read_with_every_checksum_right(name: str) -> None:
    folder = shared("reference", "checkpoints", name)
    architecture = UNetArchitecture.from_configuration(read_configuration(folder / "config.json"))
    arrays = read_checkpoint(folder, architecture)
    assert {tensor: array.shape for tensor, array in arrays.items()} == architecture.variables()
    assert official_sha256(arrays) == data_sha256(folder)
    assert (
        data_sha256(folder) == hashlib.sha256((folder / "model.data-00000-of-00001").read_bytes()).hexdigest()
    )


def test_the_installed_2_stem_weights_are_deezers_own_file_byte_for_byte(model_settings: Settings) -> None:
    store = open_store(model_settings.models_dir, model_settings.models_url)
    arrays = store.installer.weights(store.find("2stems")).arrays
    tensors = {name: array.tobytes() for name, array in arrays.items()}
    tensors["global_step"] = np.int64(0).tobytes()
    entries = read_index(shared("reference", "official-index", "2stems", "model.index"))
    offset = 0
    digest = hashlib.sha256()
    for name, content in sorted(tensors.items()):
        assert (entries[name].offset, entries[name].size) == (offset, len(content))
        assert masked_crc32c(content) == entries[name].crc32c, name
        digest.update(content)
        offset += len(content)
    assert digest.hexdigest() == OFFICIAL.entries["2stems"].sha256
