"""Lists of songs as CSV files, in the form that official Spleeter reads.

Each line names the files of one song below the data folder, in columns ``mix_path`` (after
``mix_name``), ``vocals_path`` and so on, and says in ``duration`` how many seconds it lasts.
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
    """Read a list; other columns than those needed are passed over.

    Args:
        path: of the CSV file.
        data: the folder that its paths are relative to.
        mix_name: what the mix is called in it.
        names: what the stems are called.

    Raises:
        TrainingDataError: naming the line and the column that is wrong.
        AudioError: when there is no column ``duration`` and a file cannot be read.
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
            "configuration, or leave it out to take the songs of a folder."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise TrainingDataError(f"The list {path} is not CSV in UTF-8: {error}.") from error
    if not rows:
        raise TrainingDataError(f"The list {path} has no songs, only a heading. Add a line for each song.")
    return [_example(f"{path}, line {line}", row, columns, data) for line, row in rows]


def _check_header(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    lacking = [column for column in needed if column not in found]
    if lacking:
        raise TrainingDataError(
            f"The list {path} lacks the columns {', '.join(lacking)}; it has {', '.join(found) or 'none'}. "
            "Its columns must be named after mix_name and instrument_list."
        )


def _example(where: str, row: dict[str, str | None], columns: Sequence[str], data: Path) -> Example:
    if "" in row:
        raise TrainingDataError(f"{where} has more fields than the heading. Quote names that have commas.")
    tracks = [(_track(where, row.get(column), column, data),) for column in columns]
    return Example(where, tracks[0], tuple(tracks[1:]), _duration(where, row, tracks[0][0]))


def _track(where: str, value: str | None, column: str, data: Path) -> Track:
    if not value:
        raise TrainingDataError(f"{where}: the column {column} is empty. Name the file, or remove the line.")
    path = data / value
    if not path.is_file():
        raise TrainingDataError(
            f"{where}: there is no file {path} (column {column}). Correct the line, or name the folder that "
            "its paths are relative to with -d."
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
        raise TrainingDataError(f"{where}: the duration {text!r} is no number of seconds above 0.")
    return seconds
