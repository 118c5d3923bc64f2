"""The plan of a batch: where the stems of every song will be written."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spleeter_microservice.cli.song_files import claims_to_be_song
from spleeter_microservice.errors import ConflictingPathsError
from spleeter_microservice.files import real_path
from spleeter_microservice.separation.stem_paths import stem_paths

if TYPE_CHECKING:
    from spleeter_microservice.separation.options import SeparationOptions


def plan_stems(
    sources: Sequence[Path], names: Collection[str], arguments: argparse.Namespace, options: SeparationOptions
) -> dict[Path, dict[str, Path]]:
    """Return the paths of every file's stems and mixes, so that conflicts are found before any work.

    Raises:
        ConfigurationError: if the template cannot be filled in.
        ConflictingPathsError: if two stems get the same path, or one gets an input's.
    """
    owners = {real_path(source): source for source in sources}
    planned = {}
    for source in sources:
        paths = stem_paths(source, names, arguments.output, arguments.filename_format, options.codec)
        if claims_to_be_song(source):  # a cover beside a song may have its name
            refuse_conflict(source, paths, owners)
            owners |= {real_path(path): source for path in paths.values()}
        planned[source] = paths
    return planned


def refuse_conflict(source: Path, paths: Mapping[str, Path], owners: Mapping[Path, Path]) -> None:
    """Raise an error if a path belongs to another song, as its input or its stem.

    Raises:
        ConflictingPathsError: naming both songs.
    """
    for path in paths.values():
        if owner := owners.get(real_path(path)):
            raise ConflictingPathsError(
                f"Separated source path conflict: a stem of {source} would be written to {path}, which "
                f"belongs to {owner}. Put {{foldername}} into the file name format (-f), or choose another "
                "directory (-o)."
            )
