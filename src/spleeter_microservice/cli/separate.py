"""The command ``separate``: what ``spleeter separate`` does, with its options."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.audio.codecs import CODECS, OutputFormat
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.report import check_writable, write
from spleeter_microservice.errors import ConflictingPathsError, SpleeterError
from spleeter_microservice.processes.interruption import interruptible
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.models.directory import InstalledModel
    from spleeter_microservice.separation.song import Progress, SeparatedSong
    from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "separate",
        help="separate audio files into stems",
        description="Separates audio files into stems.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="audio files")
    add(
        "-p",
        "--params_filename",
        "--model",
        dest="model",
        metavar="MODEL",
        default="spleeter:2stems",
        help="a model, with or without 'spleeter:' before its name, or a configuration file",
    )
    add(
        "-o",
        "--output_path",
        "--output-path",
        dest="output",
        metavar="DIR",
        type=Path,
        default=Path("separated_audio"),
        help="folder to write to",
    )
    add(
        "-f",
        "--filename_format",
        "--filename-format",
        dest="filename_format",
        metavar="FORMAT",
        default=FILENAME_FORMAT,
        help="names of the stems, with {filename}, {foldername}, {instrument} and {codec}",
    )
    add("-c", "--codec", choices=CODECS, default="wav", help="format of the stems")
    add("-b", "--bitrate", default="128k", help="bit rate, for mp3, m4a, ogg, opus and wma")
    add("--bit-depth", choices=("16", "24", "32f"), help="for wav and flac; 32f is floating point")
    add("-s", "--offset", metavar="SECONDS", type=float, default=0.0, help="where to start")
    add("-d", "--duration", metavar="SECONDS", type=float, help="how much to separate; default: all")
    add("--mwf", action="store_true", help="refine by multichannel Wiener filtering")
    add(
        "--bandwidth",
        choices=("official", "full"),
        default="official",
        help="'full' shares out what lies above the networks' last bin, so that stems sum to the mix",
    )
    add("--report", metavar="FILE", type=Path, help="write what was measured of each song, as JSON")
    add("--json", action="store_true", help="print that instead of text")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Separate the files; one that fails does not keep the others from being separated.

    Returns:
        0, or the error's exit status when there is one file, or ``SOME_FAILED``.
    """
    from spleeter_microservice.models.provide import find_model, open_store
    from spleeter_microservice.separation.separator import open_pipeline

    output_format = OutputFormat(options.codec, options.bitrate, options.bit_depth)
    if options.report:
        check_writable(options.report)
    store = open_store(settings.models_dir, settings.models_url)
    model = find_model(
        options.model, store, settings.checkpoints_dir, announce=lambda text: print(text, file=sys.stderr)
    )
    with open_pipeline(model, mwf=options.mwf, bandwidth=options.bandwidth) as pipeline:
        batch = _Batch(options, model, pipeline, output_format)
        for source in options.files:
            batch.separate(source)
    document = json.dumps({"songs": batch.songs}, indent=2, ensure_ascii=False)
    if options.json:
        print(document)
    if options.report:
        write(options.report, document + "\n")
    if batch.statuses and len(options.files) > 1:
        return SOME_FAILED
    return batch.statuses[0] if batch.statuses else 0


class _Batch:
    """The files of one call, and what became of them.

    Attributes:
        songs: a description of each, for ``--json`` and ``--report``.
        statuses: the exit statuses of those that failed.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        model: InstalledModel,
        pipeline: SpleeterSeparator,
        output_format: OutputFormat,
    ) -> None:
        self.songs: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self._options, self._model, self._pipeline = options, model, pipeline
        self._output_format = output_format
        self._written: dict[Path, Path] = {}

    def separate(self, source: Path) -> None:
        from spleeter_microservice.cli import report

        try:
            song = self._separate(source)
        except SpleeterError as error:
            status = error.facts.exit_status
            self.statuses.append(status)
            self.songs.append(report.failed(source, error, status))
            print(f"Error: {error}", file=sys.stderr)
            return
        self.songs.append(report.succeeded(song, self._model, self._parameters()))
        if not self._options.json:
            _print(song)
        for suspicion in song.suspicions:
            print(f"Warning: {source}: {suspicion}.", file=sys.stderr)

    def _separate(self, source: Path) -> SeparatedSong:
        from spleeter_microservice.separation.song import Excerpt, separate_song

        options = self._options
        names = self._model.architecture.stems
        paths = stem_paths(source, names, options.output, options.filename_format, options.codec)
        for path in paths.values():
            if path.resolve() in self._written:
                raise ConflictingPathsError(
                    f"Separated source path conflict: {path} was written for "
                    f"{self._written[path.resolve()]} already. "
                    "Put {foldername} into the file name format (-f), or choose another folder (-o)."
                )
        excerpt = Excerpt(options.offset, options.duration)
        # A signal between two lines of code could leave a file of which nobody knew yet.
        with interruptible() as check, _progress(source) as progress:
            song = separate_song(
                self._pipeline, source, paths, self._output_format, excerpt, progress, check=check
            )
            check()
        self._written |= {path.resolve(): source for path in paths.values()}
        return song

    def _parameters(self) -> dict[str, Any]:
        names = ("codec", "bitrate", "bit_depth", "offset", "duration", "mwf", "bandwidth")
        return {name: getattr(self._options, name) for name in names}


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
    """Draw a progress bar on a terminal, and nothing elsewhere."""
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
