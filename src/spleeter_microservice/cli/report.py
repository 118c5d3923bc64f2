"""The report that ``--json`` prints and ``--report`` writes."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.errors import DiskFullError, SpleeterError, UnwritableOutputError
from spleeter_microservice.files import FULL, replace_atomically

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.result import SeparatedSong, Stem

_PACKAGES = ("spleeter-microservice", "onnxruntime", "numpy", "av")


def succeeded(song: SeparatedSong, model: InstalledModel, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of a song that was separated, as JSON values.

    Args:
        song: the result.
        model: the model that separated it.
        parameters: the options that it was separated with.
    """
    mix = asdict(song.measurements)
    del mix["stems"]
    return {
        "source": str(song.source),
        "state": "succeeded",
        "model": describe_model(model),
        "parameters": dict(parameters),
        "versions": versions(),
        "provider": song.provider,
        "duration": song.duration,
        "samples": song.samples,
        "start_time": song.start_time,
        "track": asdict(song.track),
        "elapsed": round(song.elapsed, 3),
        "realtime_factor": round(song.duration / song.elapsed, 2),
        "first_block": round(song.first_block, 3),
        "stages": {stage: round(seconds, 3) for stage, seconds in song.stages.items()},
        "mix": mix,
        "stems": _described(song.stems),
        "mixes": _described(song.mixes),
        "anomalies": song.anomalies,
        "warnings": [asdict(warning) for warning in song.warnings],
    }


def _described(files: Mapping[str, Stem]) -> dict[str, Any]:
    return {
        name: {
            "path": str(file.path),
            "gain": file.gain,
            "clipped_samples": file.clipped_samples,
            **asdict(file.measurements),
            "estimated_quality": file.measurements.estimated_quality,
        }
        for name, file in files.items()
    }


def describe_model(model: InstalledModel) -> dict[str, Any]:
    """Return the model's name, quality and origin."""
    return {
        "name": model.name,
        "quality": model.quality,
        "experimental": model.experimental,
        "weights_sha256": model.manifest.weights_sha256,
        "source": model.manifest.source,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter for the result."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def describe_error(error: SpleeterError) -> dict[str, Any]:
    """Return the facts about why a song was not separated."""
    return {"type": type(error).__name__, "status": error.exit_status, "message": str(error)}


def as_json(document: object) -> str:
    """Return a report as JSON; ``write`` and ``streams`` escape bytes of names that are not characters."""
    utf8 = sys.stdout.encoding.lower().startswith("utf")
    return json.dumps(document, indent=2, ensure_ascii=not utf8)


def is_standard_output(path: Path | None) -> bool:
    """Return whether a report's path means standard output: ``-``, ``/dev/stdout`` or what that leads to."""
    if path is None or path == Path("-"):
        return path is not None
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def check_writable(path: Path) -> None:
    """Raise an error before the work if the report cannot be written after it.

    Raises:
        UnwritableOutputError: if the path is a directory, its directory does not exist, or it may not be
            written to.
    """
    if is_standard_output(path):
        return
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UnwritableOutputError(
            f"The report {path} cannot be written. Pass the path of a file in an existing directory."
        )


def write(path: Path, text: str) -> None:
    """Write the report under a temporary name, then rename it to its path.

    What is not a regular file, such as a link or a device, is written through instead.

    Raises:
        DiskFullError: if no space is left.
        UnwritableOutputError: if the file cannot be written for another reason.
    """
    if is_standard_output(path):
        print(text, end="")
        return
    target = nullcontext(path) if _is_special(path) else replace_atomically(path)
    with writing(f"The report {path}"), target as file:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def json_lines(path: Path | None, *, append: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield a function that writes a description as a line of JSON, as soon as a song is done.

    Args:
        path: path of the file; None for none.
        append: whether to keep the lines of the file.

    Raises:
        DiskFullError: if no space is left.
        UnwritableOutputError: if the file cannot be opened or written for another reason.
    """
    if path is None:
        yield lambda entry: None
    elif is_standard_output(path):
        yield lambda entry: print(json.dumps(entry), flush=True)
    else:
        check_writable(path)
        with path.open("ab" if append else "wb", buffering=0) as file:

            def write_line(entry: Mapping[str, Any]) -> None:
                with writing(f"The report {path}"):
                    file.write(f"{json.dumps(entry)}\n".encode())

            yield write_line


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Raise an error that names what cannot be written if the block raises ``OSError``.

    Raises:
        DiskFullError: if no space is left.
        UnwritableOutputError: if it cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else UnwritableOutputError
        raise kind(f"{what} cannot be written: {error.strerror}.") from error


def _is_special(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and not path.is_file())
