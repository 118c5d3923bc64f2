"""What a slot asks of its inference process, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.separation.quality import Quality, StemQuality
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_MOST_PEAKS = 10_000


@dataclass(frozen=True)
class InferenceModel:
    """A model to separate with.

    Attributes:
        folder: holds ``{instrument}.onnx`` and ``{instrument}.bin``, or a cascade's second network.
        architecture: of the model.
        weights_sha256: by which the self-check knows what must come out.
        files: SHA-256 of files in the folder, for the self-check.
        base: folder of a cascade's first networks.
    """

    folder: Path
    architecture: UNetArchitecture
    weights_sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    base: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that it lies in."""
        return (self.folder,) if self.base is None else (self.folder, self.base)

    def to_message(self) -> Message:
        """Give what the process needs of it."""
        base = None if self.base is None else str(self.base)
        return {"folder": str(self.folder), "architecture": self.architecture.to_json(), "base": base}

    @classmethod
    def from_message(cls, message: Message) -> InferenceModel:
        """Read what ``to_message`` gave."""
        base = message["base"] and Path(message["base"])
        return cls(Path(message["folder"]), UNetArchitecture.from_json(message["architecture"]), base=base)


@dataclass(frozen=True)
class SeparationRequest:
    """One local file to separate into local files.

    Attributes:
        source: the input, in the slot's work folder.
        paths: where each instrument goes, in that folder too; instruments left out are not written.
        codec, bitrate, bit_depth: as in ``OutputFormat``.
        offset, duration: part of the file, in seconds.
        mwf, bandwidth: as in ``SpleeterSeparator``.
        time_limit: in seconds.
        name: of the file, for messages in place of its local path.
        model: to use in place of the slot's own.
    """

    source: Path
    paths: Mapping[str, Path]
    codec: str = "wav"
    bitrate: str | None = "128k"
    bit_depth: str | None = None
    offset: float = 0.0
    duration: float | None = None
    mwf: bool = False
    bandwidth: Literal["official", "full"] = "official"
    time_limit: float = 3600.0
    name: str | None = None
    model: InferenceModel | None = None

    def to_message(self) -> Message:
        """Give the request as a message."""
        values = asdict(replace(self, model=None))
        values["source"] = str(self.source.absolute())
        values["paths"] = {name: str(path.absolute()) for name, path in self.paths.items()}
        return values | {"type": "separate", "model": self.model and self.model.to_message()}

    @classmethod
    def from_message(cls, message: Message) -> SeparationRequest:
        """Read what ``to_message`` gave."""
        values = {name: value for name, value in message.items() if name != "type"}
        values["source"] = Path(values["source"])
        values["paths"] = {name: Path(path) for name, path in values["paths"].items()}
        values["model"] = values["model"] and InferenceModel.from_message(values["model"])
        return cls(**values)


@dataclass(frozen=True)
class SeparatedStem:
    """One file that was written.

    Attributes:
        path: of the file.
        clipped_samples: as in ``separation.song.Stem``.
        quality: what was measured of it.
        samples_per_pixel, peaks: as in ``separation.peaks.Peaks``.
    """

    path: Path
    clipped_samples: int
    quality: StemQuality
    samples_per_pixel: int = 0
    peaks: Sequence[int] = field(default=(), repr=False)


@dataclass(frozen=True)
class Separation:
    """What became of one input, with the attributes of ``separation.song.SeparatedSong``.

    ``duration``, ``elapsed``, ``first_block`` and ``stages`` are in seconds; ``samples`` counts
    those of each channel.
    """

    stems: Mapping[str, SeparatedStem]
    quality: Quality
    duration: float
    samples: int
    elapsed: float
    first_block: float
    stages: Mapping[str, float] = field(repr=False)

    @property
    def suspicions(self) -> list[str]:
        """Everything that speaks against the result, in words."""
        found = [f"{name}: {stem.quality.suspect}" for name, stem in self.stems.items()]
        found = [text for text, stem in zip(found, self.stems.values(), strict=True) if stem.quality.suspect]
        return found + ([self.quality.suspect] if self.quality.suspect else [])


def separation(message: Message, paths: Mapping[str, Path]) -> Separation:
    """Read a result, trusting nothing in it.

    Args:
        message: what the inference process sent.
        paths: what it was asked for; its own word for the paths is not taken.

    Raises:
        ProtocolError: when anything is missing or of another kind.
    """
    try:
        whole = message["quality"]
        stems = {name: _stem(message["stems"][name], path) for name, path in paths.items()}
        quality = Quality(
            stems=[stem.quality for stem in stems.values()],
            level=_maybe(whole["level"]),
            residual=_maybe(whole["residual"]),
            expected_residual=_maybe(whole["expected_residual"]),
            suspect=text(whole["suspect"]) if whole["suspect"] is not None else None,
        )
        return Separation(
            stems=stems,
            quality=quality,
            samples=_count(message["samples"]),
            stages={text(name): _number(value) for name, value in list(message["stages"].items())[:50]},
            **{name: _number(message[name]) for name in ("duration", "elapsed", "first_block")},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("a result is incomplete") from error


def progress(message: Message) -> tuple[int, int | None]:
    """Read how many samples are done, and of how many if that is known.

    Raises:
        ProtocolError: when these are no counts.
    """
    total = message.get("total")
    return _count(message.get("done")), None if total is None else _count(total)


def text(value: object, longest: int = 2000) -> str:
    """Read a text, and cut it.

    Raises:
        ProtocolError: when it is none.
    """
    if not isinstance(value, str):
        raise ProtocolError("a text is expected")
    return value[:longest]


def _stem(values: Message, path: Path) -> SeparatedStem:
    return SeparatedStem(
        path,
        _count(values["clipped_samples"]),
        _stem_quality(values["quality"]),
        _count(values["samples_per_pixel"]),
        _peaks(values["peaks"]),
    )


def _peaks(values: object) -> list[int]:
    if not isinstance(values, list) or len(values) > _MOST_PEAKS or len(values) % 2:
        raise ProtocolError("peaks are expected")
    if not all(type(value) is int and -128 <= value <= 127 for value in values):
        raise ProtocolError("peaks of 8 bits are expected")
    return values


def _stem_quality(values: Message) -> StemQuality:
    return StemQuality(
        level=_maybe(values["level"]),
        peak=_number(values["peak"]),
        beyond_full_scale=_count(values["beyond_full_scale"]),
        energy_share=_number(values["energy_share"]),
        correlation=_number(values["correlation"]),
        suspect=text(values["suspect"]) if values["suspect"] is not None else None,
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProtocolError("a number is expected")
    return float(value)


def _maybe(value: object) -> float | None:
    return None if value is None else _number(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ProtocolError("a count is expected")
    return value
