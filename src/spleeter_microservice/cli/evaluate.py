"""The command ``evaluate``: judges a model, or stems that are files, by songs with true stems."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.exit_statuses import SOME_FAILED
from spleeter_microservice.cli.options import add_options, read_options
from spleeter_microservice.cli.report import check_writable, describe_error, describe_model, versions, write
from spleeter_microservice.errors import ConfigurationError, SpleeterError
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.evaluation.estimators import Estimator
    from spleeter_microservice.evaluation.evaluate import Evaluation, SongScores
    from spleeter_microservice.evaluation.song_files import Song

_SIGNAL_OPTIONS = ("mwf", "bandwidth")  # the others are about the stems' files


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "evaluate",
        help="score a model by songs whose stems are known",
        description="Scores a model by songs whose stems are known.",
    )
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        metavar="MODEL",
        help="as -p of separate; with --estimates, a name or nothing",
    )
    add(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="directory of songs, each one file per stem, or musdb's files",
    )
    add(
        "--estimates",
        metavar="DIR",
        type=Path,
        help="score the files DIR/{song}/{stem}.* instead of separating",
    )
    add_options(parser, _SIGNAL_OPTIONS)
    add(
        "--bsseval",
        action="store_true",
        help="also compute BSSEval version 4: SDR, SIR, SAR and ISR",
    )
    add("--json", metavar="FILE", type=Path, help="write all numbers to a file, as JSON")
    add(
        "--html",
        metavar="FILE",
        type=Path,
        help="write a report with boxplots and spectrograms",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Judge every song; one that fails does not keep the others from being judged.

    Returns:
        0, or the first error's exit status when every song failed, or ``SOME_FAILED``.
    """
    from spleeter_microservice.evaluation.song_files import find_songs

    _check(options)
    songs = find_songs(options.folder)
    with _open_estimator(options, settings) as (estimator, described):
        judged = _Judged(options, described, estimator.sample_rate)
        judged.judge_all(_evaluation(options, estimator), songs)
    judged.publish()
    if judged.statuses and judged.scores:
        return SOME_FAILED
    return judged.statuses[0] if judged.statuses else 0


def _check(options: argparse.Namespace) -> None:
    if options.estimates and read_options(options) != SeparationOptions():
        raise ConfigurationError(
            "--mwf and --bandwidth say how to separate: leave them out with --estimates."
        )
    if not options.estimates and not options.model:
        raise ConfigurationError("Name the model before the folder: evaluate 2stems FOLDER.")
    for report in filter(None, (options.json, options.html)):
        check_writable(report)
    if options.html:
        from spleeter_microservice.evaluation.report import check_drawing

        check_drawing()


@contextmanager
def _open_estimator(
    options: argparse.Namespace, settings: Settings
) -> Iterator[tuple[Estimator, dict[str, Any]]]:
    """Give what makes the estimates, and a description of it."""
    from spleeter_microservice.evaluation.estimators import FileEstimator, ModelEstimator
    from spleeter_microservice.models.provide import find_model, open_store
    from spleeter_microservice.separation.separator import load_separator

    if options.estimates:
        yield FileEstimator(options.estimates), {"name": options.model or str(options.estimates)}
        return
    store = open_store(settings.models_dir, settings.models_url)
    model = find_model(
        options.model, store, settings.checkpoints_dir, announce=lambda text: print(text, file=sys.stderr)
    )
    with closing(load_separator(model.files)) as separator:
        yield ModelEstimator(separator, read_options(options)), describe_model(model)


def _evaluation(options: argparse.Namespace, estimator: Estimator) -> Evaluation:
    from spleeter_microservice.evaluation.evaluate import Evaluation

    return Evaluation(estimator, bsseval=options.bsseval, pictures=bool(options.html))


class _Judged:
    """The songs of one call, and what became of them.

    Attributes:
        scores: of those that were judged.
        statuses: exit statuses of those that were not.
    """

    def __init__(self, options: argparse.Namespace, model: dict[str, Any], sample_rate: int) -> None:
        self.scores: list[SongScores] = []
        self.statuses: list[int] = []
        self._options, self._model, self._sample_rate = options, model, sample_rate
        self._songs: list[dict[str, Any]] = []
        self._failed: dict[str, str] = {}
        self._start = time.perf_counter()

    def judge_all(self, evaluation: Evaluation, songs: Sequence[Song]) -> None:
        from spleeter_microservice.evaluation.summary import describe

        with _progress(songs, self._sample_rate) as begin:
            for song in songs:
                try:
                    self.scores.append(evaluation.score(song, begin(song)))
                    self._songs.append(describe(self.scores[-1]))
                except SpleeterError as error:
                    self._fail(song, error)

    def _fail(self, song: Song, error: SpleeterError) -> None:
        self.statuses.append(error.facts.exit_status)
        self._failed[song.name] = str(error)
        self._songs.append({"song": song.name, "state": "failed", "error": describe_error(error)})
        print(f"Error: {error}", file=sys.stderr)

    def publish(self) -> None:
        """Print the tables, and write what else was asked for."""
        from spleeter_microservice.evaluation.summary import text

        seconds, elapsed = sum(song.duration for song in self.scores), time.perf_counter() - self._start
        facts = (
            f"{len(self.scores)} songs, {seconds:.1f} s of audio judged in {elapsed:.1f} s, "
            f"{seconds / elapsed:.1f} times faster than real time"
        )
        if self.scores:
            print(f"{self._model['name']}: {facts}; median (mean), in dB\n\n{text(self.scores)}")
        if self._options.json:
            write(self._options.json, self._document(seconds, elapsed))
        if self._options.html:
            from spleeter_microservice.evaluation.report import html

            title = f"Evaluation of {self._model['name']}"
            entries = {"Result": facts, **{name: str(value) for name, value in self._parameters().items()}}
            write(self._options.html, html(title, entries, self.scores, self._failed))

    def _document(self, seconds: float, elapsed: float) -> str:
        from spleeter_microservice.evaluation.summary import summarise

        document = {
            "model": self._model,
            "parameters": self._parameters(),
            "versions": versions(),
            "duration": round(seconds, 3),
            "elapsed": round(elapsed, 3),
            "realtime_factor": round(seconds / elapsed, 2),
            "summary": summarise(self.scores),
            "songs": self._songs,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _parameters(self) -> dict[str, Any]:
        options = self._options
        how = (
            {"estimates": str(options.estimates)}
            if options.estimates
            else {name: getattr(options, name) for name in _SIGNAL_OPTIONS}
        )
        return {"folder": str(options.folder), **how, "bsseval": options.bsseval}


@contextmanager
def _progress(songs: Sequence[Song], sample_rate: int) -> Iterator[Callable[[Song], Callable[[int], None]]]:
    """Draw a progress bar over all songs on a terminal, and nothing elsewhere.

    Yields:
        what is called with each song as it begins, and gives what is called with each piece's samples.
    """
    if not sys.stderr.isatty():
        yield lambda _: lambda _: None
        return
    from tqdm import tqdm

    from spleeter_microservice.evaluation.tracks import expected_samples

    with tqdm(
        total=sum(expected_samples(song, sample_rate) for song in songs), leave=False, bar_format=_BAR
    ) as bar:

        def begin(song: Song) -> Callable[[int], None]:
            bar.set_description(song.name)

            def advance(samples: int) -> None:
                bar.update(samples)

            return advance

        yield begin


_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
