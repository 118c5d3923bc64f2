"""Training configurations: all of Spleeter's keys are used, and an error names any other key."""

import json
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.training.configuration import (
    Augmentation,
    TrainingConfiguration,
    read_training_configuration,
)
from tests.support.training_songs import values, write_configuration

# Every key that official Spleeter 2.4.2 reads, with values that are not the defaults.
EVERYTHING: dict[str, Any] = {
    "train_csv": "lists/train.csv",
    "validation_csv": "lists/validation.csv",
    "model_dir": "my_model",
    "mix_name": "mixture",
    "instrument_list": ["vocals", "drums", "bass", "other"],
    "sample_rate": 22050,
    "frame_length": 2048,
    "frame_step": 512,
    "T": 256,
    "F": 512,
    "n_channels": 2,
    "n_chunks_per_song": 40,
    "chunk_duration": 15,
    "separation_exponent": 2,
    "mask_extension": "average",
    "learning_rate": 2e-4,
    "batch_size": 4,
    "training_cache": "cache/training",
    "validation_cache": "cache/validation",
    "train_max_steps": 200000,
    "throttle_secs": 1800,
    "random_seed": 3,
    "save_checkpoints_steps": 500,
    "save_summary_steps": 5,
    "loss_type": "weighted_L1_mask",
    "optimizer": "SGD",
    "MWF": False,
    "stft_backend": "auto",
    "model": {
        "type": "unet.softmax_unet",
        "params": {"conv_activation": "ELU", "deconv_activation": "LeakyReLU", "conv_n_filters": [2] * 6},
    },
}


def read(tmp_path: Path, content: dict[str, Any]) -> TrainingConfiguration:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(content))
    return read_training_configuration(path)


def test_every_key_of_spleeter_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, EVERYTHING)
    same = set(EVERYTHING) & set(TrainingConfiguration.__dataclass_fields__)
    assert len(same) == 17
    for key in same:
        assert getattr(found, key) == EVERYTHING[key], key
    architecture = found.architecture
    assert architecture.stems == ("vocals", "drums", "bass", "other")
    assert (architecture.segment_frames, architecture.bins) == (256, 512)
    assert (architecture.sample_rate, architecture.n_fft, architecture.hop_length) == (
        22050,
        2048,
        512,
    )
    assert (architecture.kind, architecture.mask_extension) == ("softmax_unet", "average")
    assert (architecture.conv_activation, architecture.deconv_activation) == ("ELU", "LeakyReLU")
    assert found.values == EVERYTHING


def test_missing_keys_have_the_defaults_of_spleeter(tmp_path: Path) -> None:
    needed = ("instrument_list", "sample_rate", "frame_length", "frame_step", "T", "F", "model")
    found = read(tmp_path, {key: EVERYTHING[key] for key in needed} | {"train_max_steps": 7})
    assert (found.n_chunks_per_song, found.chunk_duration, found.batch_size) == (2, 20.0, 8)
    assert (found.mix_name, found.loss_type, found.optimizer) == ("mix", "L1_mask", "Adam")
    assert (found.random_seed, found.training_cache, found.train_csv) == (0, None, None)
    assert found.augmentation == Augmentation()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batchsize": 3}, r"'batchsize' \(did you mean 'batch_size'\?\)"),
        ({"zebra": 1}, r"unknown keys: 'zebra'\."),
        ({"model": {"type": "unet.unet", "parms": {}}}, r"'model.parms' \(did you mean 'model.params'\?\)"),
        (
            {"model": {"type": "unet.unet", "params": {"conv_filters": [1] * 6}}},
            r"'model.params.conv_filters' \(did you mean 'model.params.conv_n_filters'\?\)",
        ),
        ({"learning_rate": -1}, "Invalid learning_rate -1. Choose more than 0"),
        ({"learning_rate": "fast"}, "Invalid learning_rate 'fast'"),
        ({"learning_rate": 1e38}, r"Invalid learning_rate 1e\+38. Choose more than 0, at most 1e\+30"),
        (
            {"random_pitch_shift": [0, 1e9]},
            "Invalid random_pitch_shift .*Choose two numbers from -24 to 24 in ascending order",
        ),
        ({"batch_size": 0}, "Invalid batch_size 0. Choose 1 to 1,000,000,000"),
        ({"batch_size": 2.5}, "Invalid batch_size 2.5"),
        ({"batch_size": True}, "Invalid batch_size True"),
        ({"loss_type": "L2"}, "Invalid loss_type 'L2'. Choose one of L1_mask, weighted_L1_mask"),
        ({"optimizer": "adam"}, "Invalid optimizer 'adam'. Choose one of Adam, Adadelta, SGD"),
        ({"random_seed": -1}, "Invalid random_seed -1"),
        ({"mix_name": ""}, "Invalid mix_name ''"),
        ({"train_csv": ["a.csv"]}, "Invalid train_csv .*Choose a text"),
        ({"random_data_augmentation": 1}, "Invalid random_data_augmentation 1. Choose True or False"),
        ({"random_time_stretch": [1.1, 0.9]}, "Invalid random_time_stretch"),
        (
            {"random_pitch_shift": 2},
            "Invalid random_pitch_shift .*Choose two numbers from -24 to 24 in ascending order",
        ),
        ({"random_volume": [0, "loud"]}, "Invalid random_volume"),
        ({"n_channels": 1}, "n_channels must be 2"),
        ({"separation_exponent": 1}, "separation_exponent must be 2"),
        ({"model": {"type": "blstm.blstm"}}, "model.type must be one of"),
        ({"T": 100}, "T and F must be positive multiples of 64"),
        ({"chunk_duration": 0.05}, "chunk_duration of 0.05 s, but a segment of T frames is 0.10 s long"),
        ({"train_max_steps": None}, "lacks the key 'train_max_steps'"),
        ({"sample_rate": None}, "lacks the key 'sample_rate'"),
    ],
)
def test_unsupported_keys_and_values_are_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write_configuration(tmp_path / "config.json", **changes)
    with pytest.raises(ConfigurationError, match=words):
        read_training_configuration(path)


def test_augmentation_uses_the_ranges_of_spleeter_unless_others_are_set(tmp_path: Path) -> None:
    usual = read(tmp_path, values(random_data_augmentation=True)).augmentation
    assert usual == Augmentation((0.9, 1.1), (-1.0, 1.0), None)
    own = read(tmp_path, values(random_data_augmentation=True, random_pitch_shift=[-2, 2])).augmentation
    assert own == Augmentation((0.9, 1.1), (-2.0, 2.0), None)
    alone = read(tmp_path, values(random_volume=[-6, 3])).augmentation
    assert alone == Augmentation(None, None, (-6.0, 3.0))


def test_a_validation_chunk_is_at_least_one_segment_long(tmp_path: Path) -> None:
    assert read(tmp_path, values()).validation_duration() == 12.0
    longer = read(tmp_path, values(T=16384, chunk_duration=30))
    assert longer.validation_duration() == pytest.approx((16383 * 64 + 256) / 44100)
