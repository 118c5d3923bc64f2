"""The command ``evaluate``: scores a model, or files of stems, with songs whose stems are known."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli import report
from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.models import find_or_pull
from spleeter_microservice.cli.official import add_official_flags, refuse_adapter
from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.cli.table import table
from spleeter_microservice.errors import ConfigurationError, SpleeterError
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from tqdm import tqdm

    from spleeter_microservice.evaluation.estimators import Estimator
    from spleeter_microservice.evaluation.evaluate import Evaluation, SongScores
    from spleeter_microservice.evaluation.song_files import Song

_SIGNAL_OPTIONS = ("quality", "mwf", "bandwidth")  # the others affect only the files of stems


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="score a model with songs whose stems are known",
        description="Scores a model with songs whose stems are known.",
    )
    add = parser.add_argument
    model_help = "model to score, like -p of separate; with --estimates, an optional title"
    add("model", nargs="?", metavar="MODEL", help=model_help)
    folder_help = "directory of songs, each with one file per stem, or of musdb files"
    add("folder", nargs="?", type=Path, metavar="FOLDER", help=folder_help)
    add("-p", "--params_filename", metavar="MODEL", help="the same as MODEL")
    mus_dir_help = "directory of musdb: score the songs in DIR/test, as with --bsseval"
    add("--mus_dir", "--mus-dir", type=Path, metavar="DIR", help=mus_dir_help)
    output_help = "keep the stems in DIR/audio/test and BSSEval's scores in DIR/metrics/test"
    add("-o", "--output_path", "--output-path", dest="output", type=Path, metavar="DIR", help=output_help)
    estimates_help = "score the files DIR/{song}/{stem}.* instead of a model"
    add("--estimates", metavar="DIR", type=Path, help=estimates_help)
    add_options(parser, _SIGNAL_OPTIONS)
    add("--bsseval", action="store_true", help="also compute BSSEval version 4: SDR, SIR, SAR and ISR")
    details_help = "also score bands of frequencies, borders of segments, both ends, and quieter input"
    add("--details", action="store_true", help=details_help)
    json_help = "write all scores to a file as JSON; -, here and below, is standard output"
    add("--json", metavar="FILE", type=Path, help=json_help)
    add("--html", metavar="FILE", type=Path, help="write an HTML report with boxplots and spectrograms")
    add_official_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Score every song, continuing after a song that fails.

    Returns:
        0, or ``SOME_FAILED``, or the first error's exit status if every song failed.
    """
    from spleeter_microservice.evaluation.details import LEVELS
    from spleeter_microservice.evaluation.evaluate import Evaluation
    from spleeter_microservice.evaluation.song_files import find_songs

    _check(options)
    songs = find_songs(options.folder)
    with _open_estimator(options, settings) as (estimator, described):
        results = _Results(options, described, estimator.sample_rate)
        evaluation = Evaluation(
            estimator,
            bsseval=options.bsseval,
            pictures=bool(options.html),
            details=options.details,
            levels=LEVELS if options.details and not (options.estimates or options.output) else (),
        )
        results.score_all(evaluation, songs)
    results.publish()
    if results.errors and results.scores:
        return SOME_FAILED
    return next((error.exit_status for error in results.errors.values()), 0)


def _check(options: argparse.Namespace) -> None:
    refuse_adapter(options)
    if options.folder is None and options.model and not options.mus_dir:
        options.model, options.folder = None, Path(options.model)
    options.model = options.params_filename or options.model
    if options.mus_dir:
        options.folder, options.bsseval = options.mus_dir / "test", True
        if not options.estimates:
            options.model = options.model or "spleeter:2stems"
    if options.folder is None:
        raise ConfigurationError("No directory of songs is named. Put it last: evaluate 2stems FOLDER.")
    if options.estimates and read_options(options) != SeparationOptions():
        raise ConfigurationError(
            "--quality, --mwf and --bandwidth have no effect on files. Omit them, or omit --estimates."
        )
    if not options.estimates and not options.model:
        raise ConfigurationError("No model is named. Put one before the directory: evaluate 2stems FOLDER.")
    for path in filter(None, (options.json, options.html)):
        report.check_writable(path)
    if options.html:
        from spleeter_microservice.evaluation.report import check_drawing

        check_drawing()


@contextmanager
def _open_estimator(
    options: argparse.Namespace, settings: Settings
) -> Iterator[tuple[Estimator, dict[str, Any]]]:
    """Open the source of the estimates.

    Yields:
        The estimator and its description for reports.
    """
    from spleeter_microservice.evaluation import estimators
    from spleeter_microservice.separation.separator import load_separator

    if options.estimates:
        yield estimators.FileEstimator(options.estimates), {"name": options.model or str(options.estimates)}
        return
    model = find_or_pull(options.model, settings)
    with closing(load_separator(model.files)) as separator:
        estimator: Estimator = estimators.ModelEstimator(separator, read_options(options))
        if options.output:
            estimator = estimators.RecordingEstimator(estimator, options.output / "audio" / "test")
        yield estimator, report.describe_model(model)


class _Results:
    """The results of one run.

    Attributes:
        scores: scores of the songs that succeeded.
        errors: errors of those that failed, by name.
    """

    def __init__(self, options: argparse.Namespace, model: dict[str, Any], sample_rate: int) -> None:
        self.scores: list[SongScores] = []
        self.errors: dict[str, SpleeterError] = {}
        self._options, self._model, self._sample_rate = options, model, sample_rate
        self._start = time.perf_counter()

    def score_all(self, evaluation: Evaluation, songs: Sequence[Song]) -> None:
        with _progress(songs, self._sample_rate) as bar:
            for song in songs:
                bar.set_description(song.name)
                try:
                    self.scores.append(evaluation.score(song, bar.update))
                except SpleeterError as error:
                    self.errors[song.name] = error
                    print(f"Error: {error}", file=sys.stderr)

    def publish(self) -> None:
        """Print the tables and write the files that the options name."""
        from spleeter_microservice.evaluation import summary

        seconds, elapsed = sum(song.duration for song in self.scores), time.perf_counter() - self._start
        facts = (
            f"{len(self.scores)} songs, {seconds:.1f} s of audio scored in {elapsed:.1f} s, "
            f"{seconds / elapsed:.1f} times faster than real time"
        )
        if self.scores and not any(map(report.is_standard_output, (self._options.json, self._options.html))):
            heading = f"{self._model['name']}: {facts}; median (mean), in dB"
            tables = [table(summary.summary_rows(self.scores), 1), table(summary.song_rows(self.scores), 2)]
            details = enumerate(summary.detail_tables(self.scores), 1)
            tables += [table(rows, names) for names, rows in details]
            print("\n\n".join(filter(None, (heading, *tables, summary.remarks(self.scores)))))
        if self._options.output and self._options.bsseval:
            for song in self.scores:
                path = self._options.output / "metrics" / "test" / f"{song.song}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                report.write(path, report.as_json(summary.museval(song)))
        if self._options.json:
            report.write(self._options.json, self._document(seconds, elapsed))
        if self._options.html:
            from spleeter_microservice.evaluation.report import html

            title = f"Evaluation of {self._model['name']}"
            entries = {"Result": facts, **{name: str(value) for name, value in self._parameters().items()}}
            failed = {name: str(error) for name, error in self.errors.items()}
            report.write(self._options.html, html(title, entries, self.scores, failed))

    def _document(self, seconds: float, elapsed: float) -> str:
        from spleeter_microservice.evaluation import summary

        songs = [summary.describe(song) for song in self.scores]
        for name, error in self.errors.items():
            songs.append({"song": name, "state": "failed", "error": report.describe_error(error)})
        document = {
            "model": self._model,
            "parameters": self._parameters(),
            "versions": report.versions(),
            "duration": round(seconds, 3),
            "elapsed": round(elapsed, 3),
            "realtime_factor": round(seconds / elapsed, 2),
            "summary": summary.summarise(self.scores),
            "songs": sorted(songs, key=itemgetter("song")),
        }
        return report.as_json(document) + "\n"

    def _parameters(self) -> dict[str, Any]:
        options = self._options
        source = (
            {"estimates": str(options.estimates)}
            if options.estimates
            else {name: getattr(read_options(options), name) for name in _SIGNAL_OPTIONS}
        )
        return {"folder": str(options.folder), **source, "bsseval": options.bsseval}


def _progress(songs: Sequence[Song], sample_rate: int) -> tqdm[Any]:
    """Return a progress bar over the samples of all songs, which is shown only on a terminal."""
    from tqdm import tqdm

    from spleeter_microservice.evaluation.tracks import expected_samples

    shown = sys.stderr.isatty()
    total = sum(expected_samples(song, sample_rate) for song in songs) if shown else 0
    return tqdm(total=total, leave=False, bar_format=_BAR, disable=not shown)


_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
