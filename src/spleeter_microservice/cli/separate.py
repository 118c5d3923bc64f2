"""The command ``separate``, with the options of ``spleeter separate``."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import closing
from pathlib import Path

from spleeter_microservice.cli.batch import Batch
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.models import find_or_pull
from spleeter_microservice.cli.official import add_official_flags, read_official_flags
from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.cli.plan import plan_stems
from spleeter_microservice.cli.report import as_json, check_writable, is_standard_output, write
from spleeter_microservice.cli.song_files import find_songs
from spleeter_microservice.errors import ConfigurationError, NotAudioError
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT
from spleeter_microservice.settings import Settings

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
    if adapter and (options.sample_rate or options.channels != "stereo"):
        raise ConfigurationError(
            "An audio adapter writes stereo at the model's sample rate. "
            "Leave out --sample-rate and --channels, or -a."
        )
    sources = _sources(arguments)
    if is_standard_output(arguments.report):
        arguments.report, arguments.json = None, True
    if arguments.report:
        check_writable(arguments.report)
    if note := options.output_format.note:
        print(f"Note: {note}", file=sys.stderr)
    model = find_or_pull(arguments.model, settings)
    paths = plan_stems(sources, options.outputs(model.files.stems), arguments, options)
    _logger.info("%s: %s, weights %s", model.name, model.folder, model.manifest.weights_sha256)
    with closing(load_separator(model.files)) as separator:
        batch = Batch(arguments, options, model, separator, adapter)
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
