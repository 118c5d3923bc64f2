"""The command ``separate``, with the options of ``spleeter separate``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spleeter_microservice.cli.batch import Batch, LoadedModel
from spleeter_microservice.cli.buckets import BucketPath, named_path
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.models import find_or_pull, open_store
from spleeter_microservice.cli.official import add_official_flags, read_official_flags
from spleeter_microservice.cli.options import ListPresets, add_options, read_options
from spleeter_microservice.cli.pipes import STANDARD_INPUT, print_file, spool_standard_input
from spleeter_microservice.cli.plan import Song, plan_songs
from spleeter_microservice.cli.record import made_from
from spleeter_microservice.cli.report import as_json, check_writable, is_standard_output, json_lines, write
from spleeter_microservice.cli.song_files import find_songs
from spleeter_microservice.errors import ConfigurationError, NotAudioError
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.processes.interruption import interruptible
from spleeter_microservice.separation.presets import default_model
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.compat.audio.adapter import AudioAdapter
    from spleeter_microservice.separation.options import SeparationOptions

_logger = logging.getLogger(__name__)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "separate",
        help="separate audio files into stems",
        description="Separates audio files into stems.",
    )
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        type=named_path,
        metavar="FILE",
        help="audio files, directories or patterns of them, URLs such as s3://bucket/song.mp3, or - for "
        "standard input",
    )
    inputs_help = "deprecated: audio files; write them without a flag"
    add("-i", "--inputs", nargs="+", action="extend", type=Path, metavar="FILE", default=[], help=inputs_help)
    add(
        "-p",
        "--params_filename",
        "--model",
        dest="model",
        metavar="MODEL",
        help=f"{', '.join(entry.name for entry in CATALOGUE)}, a variant from models list, any of Deezer's "
        "behind spleeter:, or a configuration file in Spleeter's format (default: spleeter:2stems)",
    )
    add(
        "-o",
        "--output_path",
        "--output-path",
        dest="output",
        metavar="DIR",
        type=named_path,
        default=Path("separated_audio"),
        help="directory to write to, or a URL such as s3://bucket/folder (default: %(default)s)",
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
    recursive_help = (
        "also take the files in directories in the directories; their stems get the same directories"
    )
    add("-r", "--recursive", action="store_true", help=recursive_help)
    skip_help = (
        "skip songs that an earlier call has separated from the same file with the same model and options"
    )
    add("--skip-existing", "--continue", dest="skip_existing", action="store_true", help=skip_help)
    add("--dry-run", action="store_true", help="print what would be done; write and download nothing")
    stdout_help = "write this stem of a single song to standard output, and no other"
    add("--stdout", metavar="STEM", help=stdout_help)
    add_options(parser)
    add("--list-presets", action=ListPresets, help="print the presets and their options")
    report_help = "write the measurements of each song to a file, as JSON; - is standard output, like --json"
    add("--report", metavar="FILE", type=Path, help=report_help)
    add("--json", action="store_true", help="print the report instead of text")
    lines_help = "write a line of JSON to a file as soon as a song is done; - is standard output"
    add("--json-lines", metavar="FILE", type=Path, help=lines_help)
    adapter_help = "audio adapter to read and write with, as module.Class (default: this program's own)"
    add_official_flags(parser, adapter_help)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Separate the files; if one fails, the others are separated nevertheless.

    Returns:
        0, or the error's exit status if there is a single file, or ``SOME_FAILED``.
    """
    options = read_options(arguments)
    adapter = read_official_flags(arguments)
    found = _find(arguments)
    _refuse_combinations(arguments, len(found))
    _refuse_options(options, adapter, [source for source, _ in found])
    if is_standard_output(arguments.report):
        arguments.report, arguments.json = None, True
    if arguments.report:
        check_writable(arguments.report)
    if note := options.output_format.note:
        print(f"Note: {note}", file=sys.stderr)
    with ExitStack() as stack:
        batch = _prepare(stack, arguments, settings, options, adapter, found)
        batch.run()
        if arguments.stdout and not batch.statuses:
            print_file(*batch.songs[0].paths.values())
    document = as_json({"songs": batch.entries})
    if arguments.json:
        print(document)
    if arguments.report:
        write(arguments.report, document + "\n")
    if all(entry["state"] == "skipped" for entry in batch.entries):
        raise NotAudioError("None of the files is a song. Pass audio files.")
    if batch.statuses and len(found) > 1:
        return SOME_FAILED
    return batch.statuses[0] if batch.statuses else 0


def _find(arguments: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Return the files to separate, with their folders below the output.

    Raises:
        ConfigurationError: if there are none.
    """
    if arguments.inputs:
        print("Note: -i is deprecated; write the files without it: separate FILE…", file=sys.stderr)
    files = [*arguments.inputs, *arguments.files]
    found = list(find_songs(files, arguments.output, recursive=arguments.recursive))
    if not found:
        raise ConfigurationError("No file is named. Pass one or more audio files: separate FILE…")
    return found


def _refuse_options(
    options: SeparationOptions, adapter: AudioAdapter | None, sources: Collection[Path]
) -> None:
    """Raise an error for options that do not go with the adapter or the sources.

    Raises:
        ConfigurationError: if there are such options.
    """
    tracks = options.output_format.tracks
    if adapter and (options.sample_rate or options.channels != "stereo" or tracks > 1 or options.video):
        raise ConfigurationError(
            "An audio adapter writes each stem in stereo at the model's sample rate. "
            "Leave out --sample-rate, --channels, --video and -c stem.mp4, or -a."
        )
    if options.video and STANDARD_INPUT in sources:
        raise ConfigurationError("A film cannot be made of standard input. Name its file.")


def _refuse_combinations(arguments: argparse.Namespace, songs: int) -> None:
    """Raise an error for flags that contradict each other.

    Raises:
        ConfigurationError: if there are such flags.
    """
    printed = [
        flag
        for flag, given in (
            ("--json", arguments.json),
            ("--report -", is_standard_output(arguments.report)),
            ("--json-lines -", is_standard_output(arguments.json_lines)),
            ("--stdout", arguments.stdout),
        )
        if given
    ]
    if len(printed) > 1 and printed != ["--json", "--report -"]:
        raise ConfigurationError(f"{' and '.join(printed)} both need standard output. Leave one of them out.")
    if arguments.stdout and songs > 1:
        raise ConfigurationError(f"--stdout writes a stem of one song, but {songs} are named. Name one.")
    if arguments.stdout and (arguments.skip_existing or arguments.dry_run):
        raise ConfigurationError(
            "--stdout writes no file. Leave out --skip-existing (--continue) and --dry-run."
        )
    if arguments.stdout and sys.stdout.isatty():
        raise ConfigurationError("Standard output is a terminal. Redirect the stem to a file or a program.")
    buckets = [each for each in (*arguments.files, arguments.output) if isinstance(each, BucketPath)]
    if buckets and (arguments.skip_existing or arguments.dry_run):
        raise ConfigurationError(
            f"{buckets[0]} is in a bucket, which is not searched for earlier stems. Leave out "
            "--skip-existing (--continue) and --dry-run."
        )
    if arguments.dry_run and (arguments.report or arguments.json_lines):
        raise ConfigurationError("--dry-run writes no report. Use --json, which prints it.")


def _prepare(
    stack: ExitStack,
    arguments: argparse.Namespace,
    settings: Settings,
    options: SeparationOptions,
    adapter: AudioAdapter | None,
    found: Sequence[tuple[Path, Path]],
) -> Batch:
    """Return the batch, ready to run; the stack closes what it needs."""
    from spleeter_microservice.models.provide import identify_model
    from spleeter_microservice.separation.separator import load_separator

    loaded, name = None, arguments.model or default_model(options.preset)
    if arguments.dry_run:
        store = open_store(settings)
        architecture, weights_sha256 = identify_model(name, store, settings.checkpoints_dir)
    else:
        model = find_or_pull(name, settings)
        architecture, weights_sha256 = model.architecture, model.manifest.weights_sha256
        _logger.info("%s: %s, weights %s", model.name, model.folder, weights_sha256)
    names = options.outputs(architecture.stems)
    if arguments.stdout:
        if arguments.stdout not in names:
            raise ConfigurationError(f"No stem is called {arguments.stdout!r}. Choose {', '.join(names)}.")
        names = (arguments.stdout,)
        arguments.output = _temporary_folder(stack)
    songs = plan_songs(found, names, arguments, options)
    write_line = stack.enter_context(json_lines(arguments.json_lines, append=arguments.skip_existing))
    if not arguments.dry_run:
        songs = [_readable(song, stack) for song in songs]
        with interruptible() as check:  # a signal while ONNX Runtime is imported would look like a bug
            separator = stack.enter_context(closing(load_separator(model.files)))
            check()
        loaded = LoadedModel(model, separator, adapter)
    return Batch(
        songs,
        options,
        made_from(architecture.to_config(), weights_sha256, options, arguments.adapter if adapter else None),
        loaded,
        arguments.skip_existing,
        bool(arguments.json or arguments.stdout or is_standard_output(arguments.json_lines)),
        write_line,
    )


def _readable(song: Song, stack: ExitStack) -> Song:
    if song.source != STANDARD_INPUT:
        return song
    return replace(song, file=spool_standard_input(_temporary_folder(stack)))


def _temporary_folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory()))
