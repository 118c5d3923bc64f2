"""Make the built-in models in four steps: ``synthesise``, ``train``, ``validate``, ``export``.

The first step needs the programs that ``make components`` installs from Debian; the others need PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

from research.lite import synthesis
from research.lite.cast import Cast
from spleeter_microservice.models.catalogue import BUILTIN_FOLDER
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.settings import Settings

# Number of the first piece of each cast; the first cast starts at 0.
_SECOND_CAST, _THIRD_CAST, _HELD_OUT = 50_000, 60_000, 100_000
_VOICES = 120


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    steps = parser.add_subparsers(required=True)
    for step in (synthesise, train, validate, export):
        step_parser = steps.add_parser(step.__name__, help=step.__doc__)
        step_parser.add_argument("--data", type=Path, default=Path("lite/data"), help="folder of the pieces")
        step_parser.add_argument(
            "--output", type=Path, default=Path("lite/run"), help="folder of the checkpoints"
        )
        step_parser.set_defaults(step=step)
        if step is synthesise:
            step_parser.add_argument(
                "--pieces", type=int, default=310, help="pieces by the first cast, 36 s each"
            )
            step_parser.add_argument("--second", type=int, default=400, help="pieces by the second cast")
            step_parser.add_argument("--third", type=int, default=160, help="pieces by the third cast")
            step_parser.add_argument("--validation", type=int, default=36, help="pieces for validation")
            step_parser.add_argument("--processes", type=int, default=2)
        if step is train:
            step_parser.add_argument("--minutes", type=float, default=124)
            step_parser.add_argument("--rate", type=float, default=1.6e-3, help="highest learning rate")
            step_parser.add_argument("--batch", type=int, default=4)
            step_parser.add_argument("--processes", type=int, default=2, help="processes that train together")
        if step in {train, validate, export}:
            step_parser.add_argument(
                "--begin",
                type=Path,
                help="lite.onnx of an earlier training, to start from and to average the result with",
            )
        if step is export:
            step_parser.add_argument(
                "--evaluation", type=Path, help="report of evaluate --json, to record the scores"
            )
    options = parser.parse_args()
    options.step(options)


def synthesise(options: argparse.Namespace) -> None:
    """Synthesise pieces of music and voices."""
    by_cast = (
        (Cast.HELD_OUT, _HELD_OUT, options.validation),
        (Cast.FIRST, 0, options.pieces),
        (Cast.SECOND, _SECOND_CAST, options.second),
        (Cast.THIRD, _THIRD_CAST, options.third),
    )
    synthesis.make_voices(options.data, _VOICES, seed=1)
    for cast, first, count in by_cast:
        pieces = range(first, first + count)
        for track in synthesis.synthesise(options.data, pieces, cast, 1, options.processes):
            print(f"{track.file}  {track.source}")


def train(options: argparse.Namespace) -> None:
    """Train the network, or resume the training in the folder."""
    from research.lite import train as training  # noqa: PLC0415
    from research.lite.feed import FeedOptions  # noqa: PLC0415  (PyTorch)

    feed = FeedOptions(options.data, _base(), batch=options.batch)
    training.train(
        training.TrainingOptions(
            feed, options.output, options.minutes, options.rate, options.begin, options.processes
        )
    )


def validate(options: argparse.Namespace) -> None:
    """Score the network that would be exported on the validation pieces."""
    from research.lite import convolutions  # noqa: PLC0415
    from research.lite import export as exporting  # noqa: PLC0415
    from research.lite import train as training  # noqa: PLC0415
    from research.lite.network import LiteNetwork  # noqa: PLC0415
    from research.lite.start import begin  # noqa: PLC0415

    batches = training.validation_batches(options.data, _base())
    networks = [exporting.load(options.output / training.CHECKPOINT)]
    if options.begin:
        networks.append(LiteNetwork())
        begin(networks[-1], convolutions.read(options.begin), batches[0][0])
    print(json.dumps(training.evaluated(exporting.Averaged(networks), batches), indent=2))


def _base() -> Path:
    """Return the folder of the model 2stems, which is downloaded if it is missing."""
    settings = Settings.from_environment(os.environ)
    return find_model("2stems", ModelStore(settings.models_dir, mirror=settings.models_url)).folder


def export(options: argparse.Namespace) -> None:
    """Write the network, with a record of its provenance, into the package."""
    from research.lite import export as exporting  # noqa: PLC0415

    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    exporting.export_with_record(
        options.output, options.data, BUILTIN_FOLDER, commit.strip(), options.evaluation, options.begin
    )


if __name__ == "__main__":
    main()
