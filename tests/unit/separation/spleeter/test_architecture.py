"""A configuration in Spleeter's format defines a model, or is refused with the key that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration

CONFIGURATION: dict[str, Any] = {
    "instrument_list": ["vocals", "drums"],
    "sample_rate": 44100,
    "frame_length": 4096,
    "frame_step": 1024,
    "T": 512,
    "F": 1024,
    "n_channels": 2,
    "separation_exponent": 2,
    "mask_extension": "zeros",
    "model": {"type": "unet.softmax_unet", "params": {"conv_activation": "ELU", "deconv_activation": "ELU"}},
}


def test_a_configuration_defines_an_architecture() -> None:
    architecture = UNetArchitecture.from_configuration(CONFIGURATION)
    assert architecture.stems == ("vocals", "drums")
    assert architecture.kind == "softmax_unet"
    assert architecture.conv_activation == architecture.deconv_activation == "ELU"
    assert architecture.conv_n_filters == (16, 32, 64, 128, 256, 512)


def test_an_architecture_survives_a_round_trip_through_json() -> None:
    architecture = UNetArchitecture.from_configuration(CONFIGURATION)
    assert UNetArchitecture.from_config(architecture.to_config()) == architecture


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"instrument_list": ["vocals"]}, "instrument_list"),
        ({"instrument_list": ["vocals", "vocals"]}, "instrument_list"),
        ({"model": {"type": "blstm.blstm"}}, "model.type"),
        ({"model": {"type": "unet.unet", "params": {"conv_activation": "tanh"}}}, "activations"),
        ({"model": {"type": "unet.unet", "params": {"conv_n_filters": [1, 2]}}}, "conv_n_filters"),
        ({"F": 1000}, "T and F"),
        ({"T": 0}, "T and F"),
        ({"F": 4096}, "F must not exceed"),
        ({"frame_step": 1000}, "frame_step"),
        ({"separation_exponent": 1}, "separation_exponent"),
        ({"n_channels": 1}, "n_channels"),
        ({"mask_extension": "mirror"}, "mask_extension"),
        ({"T": "many"}, "many"),
        ({"model": 7}, "cannot be read"),
        ({"sample_rate": float("inf")}, "cannot be read"),
    ],
)
def test_an_unsupported_value_is_refused_with_its_key(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        UNetArchitecture.from_configuration(CONFIGURATION | change)


@pytest.mark.parametrize("key", ["instrument_list", "sample_rate", "T", "F", "model", "frame_length"])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        UNetArchitecture.from_configuration({k: v for k, v in CONFIGURATION.items() if k != key})


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "[" * 100_000])
def test_a_file_that_is_not_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.json"):
        read_configuration(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_configuration(tmp_path / "nowhere.json")


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIGURATION))
    assert read_configuration(path) == CONFIGURATION


def test_the_variables_are_those_of_deezers_two_stem_checkpoint() -> None:
    shapes = UNetArchitecture(("vocals", "accompaniment")).variables()
    assert len(shapes) == 2 * (7 * 2 + 6 * 2 + 12 * 4)
    assert shapes["conv2d/kernel"] == (5, 5, 2, 16)
    assert shapes["conv2d_13/kernel"] == (4, 4, 1, 2)
    assert shapes["conv2d_transpose_7/kernel"] == (5, 5, 128, 512)
    assert shapes["batch_normalization_23/gamma"] == (1,)
