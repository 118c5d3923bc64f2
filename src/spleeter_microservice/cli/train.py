"""The command ``train``, the counterpart of ``spleeter train``, which trains with PyTorch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spleeter_microservice.cli.models import find_or_pull
from spleeter_microservice.cli.official import add_official_flags, refuse_adapter
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from tqdm import tqdm

    from spleeter_microservice.training.configuration import TrainingConfiguration
    from spleeter_microservice.training.session import Base
    from spleeter_microservice.training.training_data import TrainingData


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "train",
        help="train a model on songs whose stems are known",
        description="Train a model on songs whose stems are known, or resume a training.",
    )
    add = parser.add_argument
    params_help = "configuration file in Spleeter's format"
    add("-p", "--params_filename", type=Path, metavar="CONFIG", required=True, help=params_help)
    data_help = "directory of songs with their stems, or the one that paths in lists are relative to"
    add("-d", "--data", type=Path, metavar="DIR", required=True, help=data_help)
    output_help = "directory of the model (default: the configuration's model_dir)"
    output_flags = ("-o", "--output_path", "--output-path")
    add(*output_flags, dest="output", type=Path, metavar="DIR", help=output_help)
    add("--validation", type=Path, metavar="DIR", help="directory of songs to validate with")
    base_help = "model whose weights to start from, as for -p of separate (default: random weights)"
    add("--from", dest="base", metavar="MODEL", help=base_help)
    device_help = "device to compute on (default: %(default)s)"
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help=device_help)
    precision_help = "precision of the convolutions (default: %(default)s)"
    add("--precision", choices=("auto", "float32", "bf16"), default="auto", help=precision_help)
    add_official_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train a model, and print its path."""
    refuse_adapter(options)
    _check_torch()
    from spleeter_microservice.training.configuration import read_training_configuration

    configuration = read_training_configuration(options.params_filename)
    output = _output(options, configuration)
    from spleeter_microservice.training.session import Request, run_training  # loading PyTorch takes seconds

    base = _base(options.base, settings) if options.base else None
    request = Request(
        configuration, options.data, output, options.validation, base, options.device, options.precision
    )
    with _Display(configuration.train_max_steps) as display:
        exported = run_training(request, display, display.prepared)
    print(f"Model written to {exported}. Try it: spleeter-microservice separate -p {exported} song.wav")
    return 0


def _check_torch() -> None:
    if find_spec("torch") is None:
        raise ConfigurationError(
            "PyTorch is not installed, and training needs it: pip install 'spleeter-microservice[train]'."
        )
    # Otherwise idle OpenMP threads spin, and keep the cores from the threads that read songs. PyTorch reads
    # the variable when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _output(options: argparse.Namespace, configuration: TrainingConfiguration) -> Path:
    if options.output:
        return Path(options.output)
    if not configuration.model_dir:
        raise ConfigurationError(
            f"The configuration {configuration.path} lacks model_dir. Add it, or pass a directory with -o."
        )
    # In an exported configuration, "." is the folder of the configuration, not the working directory.
    exported = configuration.model_dir == "."
    return configuration.path.parent if exported else Path(configuration.model_dir)


def _base(name: str, settings: Settings) -> Base:
    from spleeter_microservice.models.installer import read_installed_weights
    from spleeter_microservice.training.session import Base

    model = find_or_pull(name, settings)
    weights = read_installed_weights(model)
    return Base(name, weights.sha256, model.architecture, weights.arrays)


class _Display(AbstractContextManager["_Display"]):
    """The progress of a training: bars on a terminal, and a line for each checkpoint anywhere."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._bar = _bar("", disable=True)
        self._counted = ""
        self._last_checkpoint = (time.monotonic(), 0)

    def prepared(self, what: str, done: int, total: int) -> None:
        """Show the progress of the preparation."""
        if what != self._counted:
            self._open(what, total, 0)
        self._bar.update(done - self._bar.n)

    def on_start(self, step: int, device: str, bf16: bool, data: TrainingData) -> None:
        """Print the notes, and what the training runs on."""
        for note in data.notes:
            print(f"Note: {note}.", file=sys.stderr)
        if not data.validation.chunks:
            print("Note: training without validation; pass songs for it with --validation.", file=sys.stderr)
        precision = "bfloat16" if bf16 else "single precision"
        verb = f"resuming after step {step}" if step else "starting"
        print(f"{verb}: {len(data.training.chunks)} chunks, on {device} in {precision}", flush=True)
        self._last_checkpoint = (time.monotonic(), step)
        self._open("training", self._steps, step)

    def on_step(self, step: int, loss: float | None) -> None:
        """Advance the bar."""
        self._bar.update(step - self._bar.n)
        if loss is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}")

    def on_checkpoint(self, step: int, training: float, validation: float | None) -> None:
        """Print a line with the losses and the speed since the last checkpoint."""
        now, (then, before) = time.monotonic(), self._last_checkpoint
        speed = (step - before) / max(now - then, 1e-9)
        self._last_checkpoint = (now, step)
        validated = "" if validation is None else f", validation {validation:.6g}"
        text = f"step {step} of {self._steps}: loss {training:.6g}{validated}, {speed:.2f} steps/s"
        self._bar.clear()
        print(text, flush=True)

    def _open(self, what: str, total: int, done: int) -> None:
        self._bar.close()
        self._counted = what
        self._bar = _bar(what, total, done)

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _bar(what: str, total: int = 0, done: int = 0, disable: bool | None = None) -> tqdm[Any]:
    """Return a progress bar; ``disable=None`` draws it only on a terminal."""
    from tqdm import tqdm

    return tqdm(desc=what, total=total, initial=done, leave=False, disable=disable)
