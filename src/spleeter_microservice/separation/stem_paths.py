"""Paths of the files that stems are written to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from spleeter_microservice.errors import ConfigurationError, ConflictingPathsError

FILENAME_FORMAT = "{filename}/{instrument}.{codec}"


def stem_paths(
    source: Path, names: Collection[str], destination: Path, filename_format: str, codec: str
) -> dict[str, Path]:
    """Return the path of each stem's file.

    Args:
        source: the input, which ``{filename}`` and ``{foldername}`` stand for.
        names: names of the stems.
        destination: directory that the names are relative to.
        filename_format: template with ``{filename}``, ``{foldername}``, ``{instrument}``, ``{codec}``.
        codec: name of the codec, which is also the files' extension.

    Raises:
        ConfigurationError: if the template cannot be filled in.
        ConflictingPathsError: if two stems get the same path, or one gets the input's.
    """
    paths: dict[str, Path] = {}
    for instrument in names:
        try:
            name = filename_format.format(
                filename=source.stem,
                foldername=source.resolve().parent.name,
                instrument=instrument,
                codec=codec,
            )
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"The file name format {filename_format!r} cannot be filled in ({error!r}): "
                "use {filename}, {foldername}, {instrument} and {codec}."
            ) from error
        path = destination / name
        if path in paths.values():
            raise ConflictingPathsError(
                f"Separated source path conflict: {path}. Put {{instrument}} into the file name format."
            )
        if path.resolve() == source.resolve():
            raise ConflictingPathsError(f"The stem {instrument} would overwrite the input {source}.")
        paths[instrument] = path
    return paths
