"""Messages between a slot and its inference process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spleeter_microservice.audio.tracks import AudioTrack
from spleeter_microservice.audio.warnings import WARNINGS, AudioWarning
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.untrusted import count, number, read, text
from spleeter_microservice.separation.measurements import Measurements, StemMeasurements
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong, Stem
from spleeter_microservice.separation.separator import ModelFiles

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
        sent = {**message["stems"], **message["mixes"]}
        outputs = {name: _stem(sent[name], path) for name, path in request.paths.items()}
        mixes = {name: outputs.pop(name) for name in request.options.mix_names if name in outputs}
        measured = [stem.measurements for stem in outputs.values()]
        return read(
            SeparatedSong,
            message,
            source=request.source,
            stems=outputs,
            mixes=mixes,
            measurements=read(Measurements, message["measurements"], stems=measured),
            stages={text(name): number(value) for name, value in list(message["stages"].items())[:50]},
            track=read(AudioTrack, message["track"]),
            warnings=_warnings(message["warnings"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError("a result is incomplete") from error


def progress(message: Message) -> tuple[int, int | None, int, int]:
    """Read the numbers of samples done, of all samples or None if unknown, of steps and of preview segments.

    Raises:
        ProtocolError: if these are not counts.
    """
    total = message.get("total")
    done, steps, segments = (count(message.get(name)) for name in ("done", "steps", "segments"))
    return done, None if total is None else count(total), steps, segments


def _stem(values: Message, path: Path) -> Stem:
    measurements = read(StemMeasurements, values["measurements"])
    return read(Stem, values, path=path, measurements=measurements, peaks=_peaks(values["peaks"]))


def _peaks(values: object) -> list[int]:
    if not isinstance(values, list) or len(values) > _MOST_PEAKS or len(values) % 2:
        raise ProtocolError("peaks are expected")
    if not all(type(value) is int and -128 <= value <= 127 for value in values):
        raise ProtocolError("peaks of 8 bits are expected")
    return values


def _warnings(values: Sequence[Message]) -> tuple[AudioWarning, ...]:
    if len(values) > _MOST_WARNINGS or any(value["code"] not in WARNINGS for value in values):
        raise ProtocolError("a few warnings with known codes are expected")
    return tuple(read(AudioWarning, value) for value in values)
