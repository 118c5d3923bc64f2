"""Lists of songs as CSV files, in official Spleeter's format.

Each line has the paths of one song's files, relative to the data folder, in columns ``mix_path`` (named
after ``mix_name``), ``vocals_path`` and so on, and the song's length in seconds in ``duration``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from spleeter_microservice.errors import TrainingDataError
from spleeter_microservice.evaluation.song_files import Track
from spleeter_microservice.training.examples import Example, duration_of

_DURATION = "duration"


def read_stem_list(path: Path, data: Path, mix_name: str, names: Sequence[str]) -> list[Example]:
    """Read a list of songs, ignoring columns that are not needed.

    Args:
        path: the CSV file.
        data: folder that the paths in the list are relative to.
        mix_name: name of the mix, which its column is named after.
        names: names of the stems, which their columns are named after.

    Raises:
        TrainingDataError: if the list is invalid; the message names the line and the column.
        AudioError: if the list has no column ``duration``, and a mix cannot be read.
    """
    columns = [f"{name}_path" for name in (mix_name, *names)]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", strict=True)
            _check_header(path, reader.fieldnames or (), columns)
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise TrainingDataError(
            f"The list {path} cannot be read: {error.strerror}. Correct train_csv or validation_csv in the "
            "configuration, or remove it to use the songs of a directory."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TrainingDataError(f"The list {path} is not a CSV file in UTF-8: {error}.") from error
    if not rows:
        raise TrainingDataError(f"The list {path} has a header but no songs. Add a line for each song.")
    return [_example(f"{path}, line {line}", row, columns, data) for line, row in rows]


def _check_header(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    lacking = [column for column in needed if column not in found]
    if lacking:
        raise TrainingDataError(
            f"The list {path} lacks the columns {', '.join(lacking)}; it has {', '.join(found) or 'none'}. "
            "Name the columns after mix_name and instrument_list."
        )


def _example(where: str, row: dict[str, str | None], columns: Sequence[str], data: Path) -> Example:
    if "" in row:
        raise TrainingDataError(f"{where} has more fields than the header. Quote names that contain commas.")
    tracks = [(_track(where, row.get(column), column, data),) for column in columns]
    return Example(where, tracks[0], tuple(tracks[1:]), _duration(where, row, tracks[0][0]))


def _track(where: str, value: str | None, column: str, data: Path) -> Track:
    if not value:
        raise TrainingDataError(f"{where}: the column {column} is empty. Add the path, or remove the line.")
    path = data / value
    if not path.is_file():
        raise TrainingDataError(
            f"{where}: the file {path} (column {column}) does not exist. Correct the path, or pass the "
            "directory that paths are relative to with -d."
        )
    return Track(path)


def _duration(where: str, row: dict[str, str | None], mix: Track) -> float:
    if _DURATION not in row:
        return duration_of(mix)
    text = row[_DURATION]
    try:
        seconds = float(text or "")
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise TrainingDataError(f"{where}: the duration {text!r} is not a number of seconds above 0.")
    return seconds
