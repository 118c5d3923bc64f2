"""The command ``separate``, with the options of ``spleeter separate``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.models import find_or_pull
from spleeter_microservice.cli.official import add_official_flags, read_official_flags, separate_with_adapter
from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.cli.report import (
    as_json,
    check_writable,
    describe_error,
    is_standard_output,
    succeeded,
    write,
)
from spleeter_microservice.cli.song_files import claims_to_be_song, find_songs, is_companion
from spleeter_microservice.errors import (
    ConfigurationError,
    ConflictingPathsError,
    NotAudioError,
    SpleeterError,
)
from spleeter_microservice.files import real_path
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.processes.interruption import interruptible
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.options import SeparationOptions
    from spleeter_microservice.separation.result import SeparatedSong
    from spleeter_microservice.separation.separator import StemSeparator
    from spleeter_microservice.separation.song import Progress

_logger = logging.getLogger(__name__)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "separate",
        help="separate audio files into stems",
        description="Separates audio files into stems.",
    )
    add = parser.add_argument
    add("files", nargs="*", type=Path, metavar="FILE", help="audio files, or directories of them")
    inputs_help = "deprecated: audio files; write them without a flag"
    add("-i", "--inputs", nargs="+", action="extend", type=Path, metavar="FILE", default=[], help=inputs_help)
    add(
        "-p",
        "--params_filename",
        "--model",
        dest="model",
        metavar="MODEL",
        default="spleeter:2stems",
        help=f"{', '.join(entry.name for entry in CATALOGUE)}, a variant from models list, any of Deezer's "
        "behind spleeter:, or a configuration file in Spleeter's format (default: %(default)s)",
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
    report_help = "write the measurements of each song to a file, as JSON; - is standard output, like --json"
    add("--report", metavar="FILE", type=Path, help=report_help)
    add("--json", action="store_true", help="print the report instead of text")
    adapter_help = "audio adapter to read and write with, as module.Class (default: this program's own)"
    add_official_flags(parser, adapter_help)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Separate the files; if one fails, the others are separated nevertheless.

    Returns:
        0, or the error's exit status if there is a single file, or ``SOME_FAILED``.
    """
    from spleeter_microservice.separation.separator import load_separator

    options = read_options(arguments)
    adapter = read_official_flags(arguments)
    sources = _sources(arguments)
    if is_standard_output(arguments.report):
        arguments.report, arguments.json = None, True
    if arguments.report:
        check_writable(arguments.report)
    if note := options.output_format.note:
        print(f"Note: {note}", file=sys.stderr)
    model = find_or_pull(arguments.model, settings)
    paths = _plan(sources, model.files.stems, arguments, options)
    _logger.info("%s: %s, weights %s", model.name, model.folder, model.manifest.weights_sha256)
    with closing(load_separator(model.files)) as separator:
        batch = _Batch(arguments, options, model, separator, adapter)
        for source in sources:
            batch.separate(source, paths[source], alone=len(sources) == 1)
    document = as_json({"songs": batch.songs})
    if arguments.json:
        print(document)
    if arguments.report:
        write(arguments.report, document + "\n")
    if batch.skipped == len(sources):
        raise NotAudioError("None of the files is a song. Pass audio files.")
    if batch.statuses and len(sources) > 1:
        return SOME_FAILED
    return batch.statuses[0] if batch.statuses else 0


def _sources(arguments: argparse.Namespace) -> list[Path]:
    """Return the files to separate.

    Raises:
        ConfigurationError: if there are none.
    """
    if arguments.inputs:
        print("Note: -i is deprecated; write the files without it: separate FILE…", file=sys.stderr)
    sources = list(find_songs([*arguments.inputs, *arguments.files]))
    if not sources:
        raise ConfigurationError("No file is named. Pass one or more audio files: separate FILE…")
    return sources


def _plan(
    sources: Sequence[Path], stems: Collection[str], arguments: argparse.Namespace, options: SeparationOptions
) -> dict[Path, dict[str, Path]]:
    """Return the paths of every file's stems, so that conflicts are found before any work.

    Raises:
        ConfigurationError: if the template cannot be filled in.
        ConflictingPathsError: if two stems get the same path, or one gets an input's.
    """
    owners = {real_path(source): source for source in sources}
    planned = {}
    for source in sources:
        paths = stem_paths(source, stems, arguments.output, arguments.filename_format, options.codec)
        if claims_to_be_song(source):  # a cover beside a song may have its name
            _refuse_conflict(source, paths, owners)
            owners |= {real_path(path): source for path in paths.values()}
        planned[source] = paths
    return planned


def _refuse_conflict(source: Path, paths: Mapping[str, Path], owners: Mapping[Path, Path]) -> None:
    for path in paths.values():
        if owner := owners.get(real_path(path)):
            raise ConflictingPathsError(
                f"Separated source path conflict: a stem of {source} would be written to {path}, which "
                f"belongs to {owner}. Put {{foldername}} into the file name format (-f), or choose another "
                "directory (-o)."
            )


@dataclass
class _Batch:
    """The files of one call, and their results.

    Attributes:
        songs: description of each file's result, for ``--json`` and ``--report``.
        statuses: exit statuses of the files that failed.
        skipped: number of files that are not songs.
    """

    arguments: argparse.Namespace
    options: SeparationOptions
    model: InstalledModel
    separator: StemSeparator
    adapter: AudioAdapter | None
    songs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    skipped: int = 0
    written: dict[Path, Path] = field(default_factory=dict)

    def separate(self, source: Path, paths: Mapping[str, Path], *, alone: bool) -> None:
        try:
            song = self._separate(source, paths)
        except SpleeterError as error:
            skipped = not alone and is_companion(source, error)
            state = "skipped" if skipped else "failed"
            self.songs.append({"source": str(source), "state": state, "error": describe_error(error)})
            if skipped:
                self.skipped += 1
                print(f"Skipped: {source} is not a song.", file=sys.stderr)
            else:
                self.statuses.append(error.exit_status)
                print(f"Error: {error}", file=sys.stderr)
            return
        self.songs.append(succeeded(song, self.model, asdict(self.options)))
        if not self.arguments.json:
            _print(song)
        for warning in song.warnings:
            print(f"Warning: {source}, at {warning.position:.2f} s: {warning.message}", file=sys.stderr)
        for anomaly in song.anomalies:
            print(f"Warning: {source}: {anomaly}.", file=sys.stderr)

    def _separate(self, source: Path, paths: Mapping[str, Path]) -> SeparatedSong:
        from spleeter_microservice.separation.song import separate_song

        _refuse_conflict(source, paths, self.written)
        separate = partial(separate_with_adapter, self.adapter) if self.adapter else separate_song
        # A signal between two lines of code could leak a file that was created but not yet registered.
        with interruptible() as check, _progress(source) as progress:
            song = separate(self.separator, source, paths, self.options, progress=progress, check=check)
            check()
        self.written |= {real_path(path): source for path in paths.values()}
        for stage, seconds in song.stages.items():
            _logger.info("%s: %.2f s of processor time for %s", source, seconds, stage)
        return song


def _print(song: SeparatedSong) -> None:
    for stem in song.stems.values():
        level = "silent" if stem.measurements.level is None else f"{stem.measurements.level:.1f} dBFS"
        clipped = f", {stem.clipped_samples} samples clipped" if stem.clipped_samples else ""
        quality = stem.measurements.estimated_quality
        estimate = f", estimated quality: {quality}" if quality else ""
        print(f"{stem.path}  {level}{clipped}{estimate}")
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
