"""Messages between a slot and its inference process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from spleeter_microservice.audio.tracks import AudioTrack
from spleeter_microservice.audio.warnings import WARNINGS, AudioWarning
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.separation.measurements import Measurements, StemMeasurements
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong, Stem
from spleeter_microservice.separation.separator import ModelFiles

T = TypeVar("T")

_MOST_PEAKS = 10_000
_MOST_WARNINGS = 100


@dataclass(frozen=True)
class InferenceModel:
    """A model to separate with, and what its self-check must know.

    Attributes:
        files: what the inference process needs to load the model.
        weights_sha256: SHA-256 of the weights, by which the self-check finds the expected result.
        hashes: SHA-256 of the model's files, by path.
    """

    files: ModelFiles
    weights_sha256: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every directory that holds its files."""
        return (self.files.directory,) if self.files.base is None else (self.files.directory, self.files.base)


def encode_model(files: ModelFiles) -> Message:
    """Return a model's files as a message."""
    return vars(files) | {"directory": str(files.directory), "base": files.base and str(files.base)}


def decode_model(message: Message) -> ModelFiles:
    """Read what ``encode_model`` returned."""
    paths = {"directory": Path(message["directory"]), "base": message["base"] and Path(message["base"])}
    return ModelFiles(**message | paths | {"stems": tuple(message["stems"])})


@dataclass(frozen=True)
class SeparationRequest:
    """One local file to separate into local files.

    Attributes:
        source: the input, in the slot's work folder.
        paths: path of each stem and mix, in that folder too; those left out are not written.
        options: how to separate it.
        time_limit: longest time that the separation may take, in seconds.
        name: name of the file in messages, in place of its local path.
        model: model to use in place of the slot's own.
        previews: whether to make a preview of each output, beside its path.
    """

    source: Path
    paths: Mapping[str, Path]
    options: SeparationOptions = field(default_factory=SeparationOptions)
    time_limit: float = 3600.0
    name: str | None = None
    model: InferenceModel | None = None
    previews: bool = False

    def preview_path(self, name: str, segment: int | None = None) -> Path:
        """Return the path of an output's preview, or of a segment of it."""
        suffix = ".preview.opus" if segment is None else f".{segment}.opus"
        return self.paths[name].with_name(name + suffix)

    def to_message(self) -> Message:
        """Return what the inference process needs of the request."""
        return {
            "type": "separate",
            "source": str(self.source.absolute()),
            "paths": {name: str(path.absolute()) for name, path in self.paths.items()},
            "options": asdict(self.options),
            "model": self.model and encode_model(self.model.files),
            "previews": self.previews,
        }

    @classmethod
    def from_message(cls, message: Message) -> SeparationRequest:
        """Read what ``to_message`` returned."""
        return cls(
            source=Path(message["source"]),
            paths={name: Path(path) for name, path in message["paths"].items()},
            options=SeparationOptions(**message["options"]),
            model=message["model"] and InferenceModel(decode_model(message["model"])),
            previews=message["previews"],
        )


def separation(message: Message, request: SeparationRequest) -> SeparatedSong:
    """Read a result, without trusting anything in it.

    Args:
        message: what the inference process sent.
        request: the request; paths in the message are ignored.

    Raises:
        ProtocolError: if anything is missing or of another type.
    """
    try:
        whole = message["measurements"]
        outputs = {name: _stem(message["outputs"][name], path) for name, path in request.paths.items()}
        mixes = {name: outputs.pop(name) for name in request.options.mix_names if name in outputs}
        measurements = Measurements(
            stems=[stem.measurements for stem in outputs.values()],
            level=_maybe(_number, whole["level"]),
            residual=_maybe(_number, whole["residual"]),
            expected_residual=_maybe(_number, whole["expected_residual"]),
            anomaly=_maybe(text, whole["anomaly"]),
        )
        return SeparatedSong(
            source=request.source,
            stems=outputs,
            mixes=mixes,
            measurements=measurements,
            samples=_count(message["samples"]),
            stages={text(name): _number(value) for name, value in list(message["stages"].items())[:50]},
            provider=text(message["provider"], 50),
            track=AudioTrack(_count(message["track"]["number"]), _maybe(text, message["track"]["language"])),
            warnings=_warnings(message["warnings"]),
            **{name: _number(message[name]) for name in ("duration", "elapsed", "first_block", "start_time")},
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ProtocolError("a result is incomplete") from error


def progress(message: Message) -> tuple[int, int | None, int, int]:
    """Read the numbers of samples done, of all samples or None if unknown, of steps and of preview segments.

    Raises:
        ProtocolError: if these are not counts.
    """
    counts = _count(message.get("steps")), _count(message.get("segments"))
    return _count(message.get("done")), _maybe(_count, message.get("total")), *counts


def text(value: object, longest: int = 2000) -> str:
    """Return a text, cut to a length in characters.

    Raises:
        ProtocolError: if the value is not a text.
    """
    if not isinstance(value, str):
        raise ProtocolError("a text is expected")
    return value[:longest]


def _stem(values: Message, path: Path) -> Stem:
    return Stem(
        path,
        _count(values["clipped_samples"]),
        _stem_measurements(values["measurements"]),
        _number(values["gain"]),
        _count(values["samples_per_pixel"]),
        _peaks(values["peaks"]),
    )


def _peaks(values: object) -> list[int]:
    if not isinstance(values, list) or len(values) > _MOST_PEAKS or len(values) % 2:
        raise ProtocolError("peaks are expected")
    if not all(type(value) is int and -128 <= value <= 127 for value in values):
        raise ProtocolError("peaks of 8 bits are expected")
    return values


def _stem_measurements(values: Message) -> StemMeasurements:
    return StemMeasurements(
        level=_maybe(_number, values["level"]),
        peak=_number(values["peak"]),
        beyond_full_scale=_count(values["beyond_full_scale"]),
        energy_share=_number(values["energy_share"]),
        correlation=_number(values["correlation"]),
        anomaly=_maybe(text, values["anomaly"]),
        estimated_sdr=_maybe(_number, values["estimated_sdr"]),
    )


def _warnings(values: Sequence[Message]) -> tuple[AudioWarning, ...]:
    if len(values) > _MOST_WARNINGS or any(value["code"] not in WARNINGS for value in values):
        raise ProtocolError("a few warnings with known codes are expected")
    return tuple(
        AudioWarning(value["code"], text(value["message"], 500), _number(value["position"]))
        for value in values
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError("a number is expected")
    return float(value)


def _maybe(read: Callable[[object], T], value: object) -> T | None:
    return None if value is None else read(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ProtocolError("a count is expected")
    return value
