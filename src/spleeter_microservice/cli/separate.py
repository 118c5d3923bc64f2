"""The command ``separate``, with the options of ``spleeter separate``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.cli.report import check_writable, describe_error, succeeded, write
from spleeter_microservice.cli.song_files import find_songs, is_companion
from spleeter_microservice.errors import ConflictingPathsError, NotAudioError, SpleeterError
from spleeter_microservice.processes.interruption import interruptible
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.options import SeparationOptions
    from spleeter_microservice.separation.separator import StemSeparator
    from spleeter_microservice.separation.song import Progress, SeparatedSong


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "separate",
        help="separate audio files into stems",
        description="Separates audio files into stems.",
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="audio files, or directories of them")
    add(
        "-p",
        "--params_filename",
        "--model",
        dest="model",
        metavar="MODEL",
        default="spleeter:2stems",
        help="name from models list, with or without spleeter:, or a configuration file in Spleeter's format "
        "(default: %(default)s)",
    )
    add(
        "-o",
        "--output_path",
        "--output-path",
        dest="output",
        metavar="DIR",
        type=Path,
        default=Path("separated_audio"),
        help="directory to write to (default: %(default)s)",
    )
    add(
        "-f",
        "--filename_format",
        "--filename-format",
        dest="filename_format",
        metavar="FORMAT",
        default=FILENAME_FORMAT,
        help="paths of the stems in it, from {filename}, {foldername}, {instrument} and {codec} "
        "(default: %(default)s)",
    )
    add_options(parser)
    add("--report", metavar="FILE", type=Path, help="write the measurements of each song to a file, as JSON")
    add("--json", action="store_true", help="print the report instead of text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Separate the files; if one fails, the others are separated nevertheless.

    Returns:
        0, or the error's exit status if there is a single file, or ``SOME_FAILED``.
    """
    from spleeter_microservice.models.provide import find_model, open_store
    from spleeter_microservice.separation.separator import load_separator

    options = read_options(arguments)
    if arguments.report:
        check_writable(arguments.report)
    store = open_store(settings.models_dir, settings.models_url)
    model = find_model(
        arguments.model, store, settings.checkpoints_dir, announce=lambda text: print(text, file=sys.stderr)
    )
    with closing(load_separator(model.files)) as separator:
        sources = list(find_songs(arguments.files))
        batch = _Batch(arguments, options, model, separator)
        for source in sources:
            batch.separate(source, alone=len(sources) == 1)
    document = json.dumps({"songs": batch.songs}, indent=2, ensure_ascii=False)
    if arguments.json:
        print(document)
    if arguments.report:
        write(arguments.report, document + "\n")
    if batch.skipped == len(sources):
        raise NotAudioError("None of the files is a song. Pass audio files.")
    if batch.statuses and len(sources) > 1:
        return SOME_FAILED
    return batch.statuses[0] if batch.statuses else 0


class _Batch:
    """The files of one call, and their results.

    Attributes:
        songs: description of each file's result, for ``--json`` and ``--report``.
        statuses: exit statuses of the files that failed.
        skipped: number of files that are no songs.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        options: SeparationOptions,
        model: InstalledModel,
        separator: StemSeparator,
    ) -> None:
        self.songs: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.skipped = 0
        self._arguments, self._options = arguments, options
        self._model, self._separator = model, separator
        self._written: dict[Path, Path] = {}

    def separate(self, source: Path, *, alone: bool) -> None:
        try:
            song = self._separate(source)
        except SpleeterError as error:
            skipped = not alone and is_companion(source, error)
            state = "skipped" if skipped else "failed"
            self.songs.append({"source": str(source), "state": state, "error": describe_error(error)})
            if skipped:
                self.skipped += 1
                print(f"Skipped: {source} is not a song.", file=sys.stderr)
            else:
                self.statuses.append(error.facts.exit_status)
                print(f"Error: {error}", file=sys.stderr)
            return
        self.songs.append(succeeded(song, self._model, asdict(self._options)))
        if not self._arguments.json:
            _print(song)
        for warning in song.warnings:
            print(f"Warning: {source}, at {warning.position:.2f} s: {warning.message}", file=sys.stderr)
        for suspicion in song.suspicions:
            print(f"Warning: {source}: {suspicion}.", file=sys.stderr)

    def _separate(self, source: Path) -> SeparatedSong:
        from spleeter_microservice.separation.song import separate_song

        output, template = self._arguments.output, self._arguments.filename_format
        paths = stem_paths(source, self._separator.stems, output, template, self._options.codec)
        for path in paths.values():
            if path.resolve() in self._written:
                raise ConflictingPathsError(
                    f"Separated source path conflict: {path} was already written for "
                    f"{self._written[path.resolve()]}. "
                    "Put {foldername} into the file name format (-f), or choose another directory (-o)."
                )
        # A signal between two lines of code could leak a file that was created but not yet registered.
        with interruptible() as check, _progress(source) as progress:
            song = separate_song(
                self._separator, source, paths, self._options, progress=progress, check=check
            )
            check()
        self._written |= {path.resolve(): source for path in paths.values()}
        return song


def _print(song: SeparatedSong) -> None:
    for stem in song.stems.values():
        level = "silent" if stem.quality.level is None else f"{stem.quality.level:.1f} dBFS"
        clipped = f", {stem.clipped_samples} samples clipped" if stem.clipped_samples else ""
        print(f"{stem.path}  {level}{clipped}")
    print(
        f"{song.source}: {song.duration:.1f} s of audio in {song.elapsed:.1f} s, "
        f"{song.duration / song.elapsed:.1f} times faster than real time"
    )


@contextmanager
def _progress(source: Path) -> Iterator[Progress | None]:
    """Draw a progress bar if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=source.name, unit="s", leave=False, bar_format=_BAR) as bar:

        def update(samples: int, total: int | None) -> None:
            bar.total = total
            bar.update(samples - bar.n)

        yield update


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
