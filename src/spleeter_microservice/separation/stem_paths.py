"""Paths of the files that stems are written to."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.errors import ConfigurationError, ConflictingPathsError
from spleeter_microservice.files import real_path

FILENAME_FORMAT = "{filename}/{instrument}.{codec}"


def stem_paths(
    source: Path,
    names: Collection[str],
    destination: Path,
    filename_format: str,
    codec: str,
    films: Collection[str] = (),
) -> dict[str, Path]:
    """Return the path of each stem's file, which is always below the destination.

    Args:
        source: the input, which ``{filename}`` and ``{foldername}`` stand for.
        names: names of the stems.
        destination: directory that the names are relative to.
        filename_format: template with ``{filename}``, ``{foldername}``, ``{instrument}``, ``{codec}``.
        codec: name of the codec; ``{codec}`` stands for the extension of its files.
        films: names of films among these; ``{codec}`` stands for their container.

    Raises:
        ConfigurationError: if the template cannot be filled in, or leads out of the destination.
        ConflictingPathsError: if two stems get the same path, or one gets the input's.
    """
    extension = CODECS[codec].extension if codec in CODECS else codec  # an audio adapter may have others
    container = ""
    if films:
        from spleeter_microservice.audio.film import container_of  # noqa: PLC0415  (a worker has no decoder)

        container = container_of(source)
    paths: dict[str, Path] = {}
    for instrument in names:
        try:
            name = filename_format.format(
                filename=_first_telling(source.stem, source.name, "song"),
                foldername=_first_telling(real_path(source).parent.name, "folder"),
                instrument=instrument,
                codec=container if instrument in films else extension,
            )
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"The file name format {filename_format!r} cannot be filled in ({error!r}): "
                "use {filename}, {foldername}, {instrument} and {codec}."
            ) from error
        path = destination / name
        if not _absolute(path).is_relative_to(_absolute(destination)):
            raise ConfigurationError(
                f"The file name format {filename_format!r} leads to {path}, which is outside {destination}. "
                "Remove '..' and a slash at the beginning, or choose another output directory."
            )
        if path in paths.values():
            raise ConflictingPathsError(
                f"Separated source path conflict: {path}. Put {{instrument}} into the file name format."
            )
        if real_path(path) == real_path(source):
            raise ConflictingPathsError(f"The stem {instrument} would overwrite the input {source}.")
        paths[instrument] = path
    return paths


def _absolute(path: Path) -> Path:
    """Return a path without ``..``; a link in it may lead to another disk."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.resolve follows links)


def _first_telling(*names: str) -> str:
    """Return the first name that has more than dots and spaces: ``..`` would lead to another directory."""
    return next(name for name in names if name.strip(". "))
