"""The configuration of a training: a JSON file in Spleeter's format, in which unknown keys are errors.

The keys, their meanings and their defaults are those of official Spleeter 2.4.2 (``spleeter/dataset.py``,
``spleeter/model/__init__.py`` and ``spleeter/__main__.py``). The keys that start with ``random_``, except
``random_seed``, control what official Spleeter has as constants in its code. A table in docs/training.md is
made from the declarations.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.declarations import Option, declared_options, option
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration

Loss = Literal["L1_mask", "weighted_L1_mask"]
Optimizer = Literal["Adam", "Adadelta", "SGD"]
Range = tuple[float, float]

VALIDATION_SECONDS = 12.0
"""Length of a validation chunk in seconds, as in official Spleeter; a segment of T frames may need more."""

_MANY = 1_000_000_000
_RANGES: Mapping[str, tuple[float, float, Range | None]] = {
    "time_stretch": (0.25, 4, (0.9, 1.1)),
    "pitch_shift": (-24, 24, (-1.0, 1.0)),
    "volume": (-60, 60, None),
}
"""Lowest and highest limit of each random change, and what ``random_data_augmentation`` sets it to."""

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
        augmentation: random changes to each segment.
    """

    path: Path
    architecture: UNetArchitecture
    values: Mapping[str, Any] = field(repr=False)
    augmentation: Augmentation = Augmentation()
    train_max_steps: int = option(None, "Number of all steps.", minimum=1, maximum=_MANY)
    train_csv: str | None = option(None, "List of stems; by default, the songs of the directory are used.")
    validation_csv: str | None = option(None, "The same for validation.")
    mix_name: str = option("mix", "Name of the mix in the lists' columns.")
    model_dir: str | None = option(None, "Directory of the model, unless `-o` names one.")
    n_chunks_per_song: int = option(2, "Chunks cut from each song, spread evenly.", minimum=1, maximum=_MANY)
    chunk_duration: float = option(20.0, "Length of a chunk in seconds.", above=0, maximum=1e6)
    batch_size: int = option(8, "Segments per step.", minimum=1, maximum=_MANY)
    learning_rate: float = option(1e-4, "Step size of the optimizer.", above=0, maximum=1e30)
    optimizer: Optimizer = option(
        "Adam",
        "`Adam`, `Adadelta` (with TensorFlow's own rate) or `SGD`.",
        choices=get_args(Optimizer),
    )
    loss_type: Loss = option(
        "L1_mask",
        "`L1_mask`, or `weighted_L1_mask`, which weights each segment by the mean of its true stem.",
        choices=get_args(Loss),
    )
    random_seed: int = option(
        0, "Seed of the initial weights, the order and all random choices.", minimum=0, maximum=2**63 - 1
    )
    random_data_augmentation: bool = option(
        False, "Whether to stretch segments by 0.9 to 1.1, and to shift them by −1 to 1 semitones."
    )
    training_cache: str | None = option(
        None, "Directory that keeps spectrograms; by default, they are computed each time."
    )
    validation_cache: str | None = option(None, "The same for validation.")
    save_checkpoints_steps: int = option(1000, "Steps between checkpoints.", minimum=1, maximum=_MANY)
    save_summary_steps: int = option(
        100, "Steps between points of TensorBoard's curves.", minimum=1, maximum=_MANY
    )
    throttle_secs: float = option(600.0, "Least seconds between two validations.", minimum=0, maximum=1e9)

    def validation_duration(self) -> float:
        """Return the length of a validation chunk, in seconds."""
        return max(VALIDATION_SECONDS, segment_seconds(self.architecture))


KNOWN_KEYS = {
    *(_ARCHITECTURE_KEYS | _INFERENCE_KEYS),
    *(declared.name for declared in declared_options(TrainingConfiguration)),
    *(f"random_{name}" for name in _RANGES),
}
"""All keys that a configuration may have."""


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
    declared = [each for each in declared_options(TrainingConfiguration) if each.name in values]
    chosen = {each.name: _checked(path, each, values[each.name]) for each in declared}
    configuration = TrainingConfiguration(path, UNetArchitecture.from_configuration(values), values, **chosen)
    needed = segment_seconds(configuration.architecture)
    if configuration.chunk_duration < needed:
        raise ConfigurationError(
            f"The configuration {path} has a chunk_duration of {configuration.chunk_duration:g} s, but a "
            f"segment of T frames is {needed:.2f} s long. Raise chunk_duration, or lower T."
        )
    return replace(configuration, augmentation=_augmentation(configuration))


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


def _checked(path: Path, declared: Option, value: Any) -> Any:
    if declared.kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        declared.check(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"The configuration {path} cannot be used. {error}") from error
    return value


def _augmentation(configuration: TrainingConfiguration) -> Augmentation:
    ranges: dict[str, Range | None] = {}
    for name, (low, high, usual) in _RANGES.items():
        key = f"random_{name}"
        if key not in configuration.values:
            ranges[name] = usual if configuration.random_data_augmentation else None
            continue
        value = configuration.values[key]
        is_pair = isinstance(value, list) and [type(each) in (int, float) for each in value] == [True, True]
        if not is_pair or not low <= value[0] <= value[1] <= high:
            raise ConfigurationError(
                f"The configuration {configuration.path} cannot be used. Invalid {key} {value!r}. Choose two "
                f"numbers from {low:g} to {high:g} in ascending order."
            )
        ranges[name] = float(value[0]), float(value[1])
    return Augmentation(**ranges)
