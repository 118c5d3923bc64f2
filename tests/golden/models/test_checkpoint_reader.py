"""Checkpoints of TensorFlow are read to the last byte."""

import hashlib

import pytest

from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.models.installer import read_installed_weights
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    data_sha256,
    official_sha256,
    read_checkpoint,
)
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration
from spleeter_microservice.settings import Settings
from tests.support.golden import DATA


@pytest.mark.parametrize("name", ["tiny-4stems", "tiny-5stems"])
def test_a_checkpoint_that_tensorflow_wrote_is_read_with_every_checksum_right(name: str) -> None:
    folder = DATA / "checkpoints" / name
    architecture = UNetArchitecture.from_configuration(read_configuration(folder / "config.json"))
    arrays = read_checkpoint(folder, architecture)
    assert {tensor: array.shape for tensor, array in arrays.items()} == architecture.variables()
    assert official_sha256(arrays) == data_sha256(folder)
    assert (
        data_sha256(folder) == hashlib.sha256((folder / "model.data-00000-of-00001").read_bytes()).hexdigest()
    )


def test_the_installed_2_stem_weights_are_deezers_own_file_byte_for_byte(model_settings: Settings) -> None:
    store = ModelStore(model_settings.models_dir, mirror=model_settings.models_url)
    arrays = read_installed_weights(store.find("2stems")).arrays
    assert official_sha256(arrays) == CATALOGUE.resolve("2stems").entry.sha256
