"""The configuration of a training: a JSON file in Spleeter's format, in which unknown keys are errors.

The keys, their meanings and their defaults are those of official Spleeter 2.4.2 (``spleeter/dataset.py``,
``spleeter/model/__init__.py`` and ``spleeter/__main__.py``). The keys that start with ``random_``, except
``random_seed``, control what official Spleeter has as constants in its code.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration

Loss = Literal["L1_mask", "weighted_L1_mask"]
Optimizer = Literal["Adam", "Adadelta", "SGD"]
Range = tuple[float, float]

VALIDATION_SECONDS = 12.0
"""Length of a validation chunk in seconds, as in official Spleeter; a segment of T frames may need more."""

# Ranges that ``random_data_augmentation`` enables in official Spleeter's code.
_TIME_STRETCH: Range = (0.9, 1.1)
_PITCH_SHIFT: Range = (-1.0, 1.0)

_ARCHITECTURE_KEYS = {
    *("instrument_list", "sample_rate", "frame_length", "frame_step", "T", "F", "n_channels"),
    *("separation_exponent", "mask_extension", "model"),
}
_MODEL_KEYS = ("params", "type")
_PARAMETER_KEYS = ("conv_activation", "conv_n_filters", "deconv_activation")
_INFERENCE_KEYS = frozenset(("MWF", "stft_backend"))  # without effect on a training; exported as they are


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes to each segment, (minimum, maximum), or None for no change.

    Attributes:
        time_stretch: factors of the duration.
        pitch_shift: semitones.
        volume: gain in dB.
    """

    time_stretch: Range | None = None
    pitch_shift: Range | None = None
    volume: Range | None = None


@dataclass(frozen=True)
class TrainingConfiguration:
    """The contents of a configuration file.

    Attributes:
        path: the file.
        architecture: architecture of the networks.
        values: the file's JSON object, to be exported with the model.
        train_csv, validation_csv: lists of stems; None to use the songs of a folder.
        training_cache, validation_cache: folders that keep spectrograms; None to compute them each time.
        chunk_duration: length in seconds of the ``n_chunks_per_song`` chunks of a song.
        save_checkpoints_steps, save_summary_steps: steps from one checkpoint, or logged loss, to the next.
        throttle_secs: minimum number of seconds between two validations.
    """

    path: Path
    architecture: UNetArchitecture
    values: Mapping[str, Any] = field(repr=False)
    train_max_steps: int
    model_dir: str | None = None
    train_csv: str | None = None
    validation_csv: str | None = None
    training_cache: str | None = None
    validation_cache: str | None = None
    mix_name: str = "mix"
    n_chunks_per_song: int = 2
    chunk_duration: float = 20.0
    batch_size: int = 8
    learning_rate: float = 1e-4
    optimizer: Optimizer = "Adam"
    loss_type: Loss = "L1_mask"
    save_checkpoints_steps: int = 1000
    save_summary_steps: int = 100
    throttle_secs: float = 600.0
    random_seed: int = 0
    augmentation: Augmentation = Augmentation()

    def validation_duration(self) -> float:
        """Return the length of a validation chunk, in seconds."""
        return max(VALIDATION_SECONDS, segment_seconds(self.architecture))


def segment_seconds(architecture: UNetArchitecture) -> float:
    """Return the length in seconds of one segment of T frames."""
    frames = architecture.segment_frames
    samples = (frames - 1) * architecture.hop_length + architecture.n_fft
    return samples / architecture.sample_rate


def read_training_configuration(path: Path) -> TrainingConfiguration:
    """Read a configuration file.

    Raises:
        ConfigurationError: if a key is unknown, missing or has an invalid value; the message names it.
    """
    values = read_configuration(path)
    _refuse_unknown(path, "", values, KNOWN_KEYS)
    model = values.get("model")
    if isinstance(model, dict):
        _refuse_unknown(path, "model.", model, _MODEL_KEYS)
        if isinstance(model.get("params"), dict):
            _refuse_unknown(path, "model.params.", model["params"], _PARAMETER_KEYS)
    if "train_max_steps" not in values:
        raise ConfigurationError(f"The configuration {path} lacks the key 'train_max_steps'.")
    settings = {
        key: _read(path, key, values[key], reader) for key, reader in _READERS.items() if key in values
    }
    configuration = TrainingConfiguration(
        path,
        UNetArchitecture.from_configuration(values),
        values,
        augmentation=_augmentation(path, values),
        **{key: value for key, value in settings.items() if value is not None},
    )
    needed = segment_seconds(configuration.architecture)
    if configuration.chunk_duration < needed:
        raise ConfigurationError(
            f"The configuration {path} has a chunk_duration of {configuration.chunk_duration:g} s, but a "
            f"segment of T frames is {needed:.2f} s long. Raise chunk_duration, or lower T."
        )
    return configuration


def _refuse_unknown(path: Path, prefix: str, values: Mapping[str, Any], known: Collection[str]) -> None:
    problems = []
    for key in sorted(values.keys() - set(known)):
        near = difflib.get_close_matches(key, known, 1)
        problems.append(f"'{prefix}{key}'" + (f" (did you mean '{prefix}{near[0]}'?)" if near else ""))
    if problems:
        raise ConfigurationError(
            f"The configuration {path} has unknown keys: {', '.join(problems)}. Correct or remove them; "
            "docs/training.md lists all keys."
        )


def _read(path: Path, key: str, value: Any, reader: Callable[[Any], Any]) -> Any:
    try:
        return reader(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The configuration {path} has the value {value!r} for '{key}', which must be {error}."
        ) from error


def _number(
    low: float, wanted: str, *, whole: bool = False, above: bool = False, high: float = 1e9
) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        kinds: tuple[type, ...] = (int,) if whole else (int, float)
        if isinstance(value, float) and whole and value.is_integer():
            value = int(value)
        wrong = isinstance(value, bool) or not isinstance(value, kinds)
        if wrong or not low <= value <= high or (above and value == low):
            raise ValueError(f"{wanted}, at most {high:,.15g}")
        return value

    return read


def _text(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError("a non-empty string")
    return value


def _choice(known: tuple[str, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return value

    return read


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004  # all readers raise the same error
    return value


def _range(low: float, high: float, wanted: str) -> Callable[[Any], Range]:
    number = _number(low, wanted, high=high)

    def read(value: Any) -> Range:
        if not isinstance(value, list) or len(value) != 2 or number(value[0]) > number(value[1]):
            raise ValueError(wanted)
        return float(value[0]), float(value[1])

    return read


def _augmentation(path: Path, values: Mapping[str, Any]) -> Augmentation:
    ranges = {key: _read(path, key, values[key], reader) for key, reader in _RANDOM.items() if key in values}
    default = ranges.get("random_data_augmentation", False)
    return Augmentation(
        ranges.get("random_time_stretch", _TIME_STRETCH if default else None),
        ranges.get("random_pitch_shift", _PITCH_SHIFT if default else None),
        ranges.get("random_volume"),
    )


_RANDOM: dict[str, Callable[[Any], Any]] = {
    "random_data_augmentation": _switch,
    "random_time_stretch": _range(0.25, 4, "two factors in ascending order, at least 0.25"),
    "random_pitch_shift": _range(-24, 24, "two numbers of semitones in ascending order, at least -24"),
    "random_volume": _range(-60, 60, "two numbers of dB in ascending order, at least -60"),
}

_STEPS = _number(1, "a whole number, at least 1", whole=True)
_READERS: dict[str, Callable[[Any], Any]] = {
    "train_csv": _text,
    "validation_csv": _text,
    "model_dir": _text,
    "training_cache": _text,
    "validation_cache": _text,
    "mix_name": _text,
    "n_chunks_per_song": _STEPS,
    "chunk_duration": _number(0, "a number of seconds above 0", above=True, high=1e6),
    "batch_size": _STEPS,
    "learning_rate": _number(0, "a number above 0", above=True, high=1e30),
    "optimizer": _choice(get_args(Optimizer)),
    "loss_type": _choice(get_args(Loss)),
    "train_max_steps": _STEPS,
    "save_checkpoints_steps": _STEPS,
    "save_summary_steps": _STEPS,
    "throttle_secs": _number(0, "a number of seconds, at least 0"),
    "random_seed": _number(0, "a whole number, at least 0", whole=True, high=2**63 - 1),
}

KNOWN_KEYS = _ARCHITECTURE_KEYS | _INFERENCE_KEYS | _READERS.keys() | _RANDOM.keys()
"""All keys that a configuration may have."""
