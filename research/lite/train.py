"""Training of the lite network on mixes of synthesised tracks."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, multiprocessing, nn

from research.lite import convolutions
from research.lite.base import Base
from research.lite.feed import Batch, Feed, FeedOptions, collated
from research.lite.mixing import VOICED, Mixer
from research.lite.network import LiteNetwork, masks
from research.lite.start import begin
from research.lite.synthesis import tracks

CHECKPOINT, LOG, ARGUMENTS = "lite.pt", "log.jsonl", "arguments.json"

_EVERY = 600.0  # seconds between checkpoints
_WARM_UP = 100  # steps
_AVERAGING = 0.998
_VALIDATION_FRAMES = 512
_CALIBRATION = 8  # examples drawn; the mixer makes three times as many
_NEGLIGIBLE = 0.01
"""Share of the energy of the music without voice below which an error is not worth reducing."""
_HARD = 0.1
"""The same for piano alone and for other alone.

With 0.01, silence where there is no piano is rewarded so much more than finding a piano that the network
never finds any."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training.

    Attributes:
        feed: options for making examples.
        output: folder for checkpoints and the log; a training in it is resumed.
        minutes: duration, at the end of which the learning rate reaches zero.
        rate: highest learning rate.
        begin: graph of an earlier network to start from, or None to start from random weights.
        processes: number of processes that train together, one core each, with examples of their own.
    """

    feed: FeedOptions
    output: Path
    minutes: float
    rate: float = 1.6e-3
    begin: Path | None = None
    processes: int = 1


def _described(path: Path) -> str:
    """Identify a file by its SHA-256, or a folder by its name, for the record."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else path.name


def errors(shares: Tensor, batch: Batch) -> Tensor:
    """Compute squared errors relative to the energy of the music without voice.

    Returns:
        Errors of ``VOICED``, and of the sum of piano and other, shape (batch, 2 + stems).
    """
    _, power, cross, energy = batch
    kept, taken = (torch.cat([each, each[:, 3:].sum(1, keepdim=True)], 1) for each in masks(shares))
    cross = torch.cat([cross, cross[:, :, 3:].sum(2, keepdim=True)], 2)
    squared, mixed, vocal = (each[:, None] for each in power.unbind(1))
    found = kept * (kept * squared + 2 * taken * mixed - 2 * cross[:, 0])
    found = found + taken * (taken * vocal - 2 * cross[:, 1])
    return found.flatten(2).sum(2) + energy


def loss(shares: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean of the errors in dB, which corresponds to a negative SDR."""
    weights = shares.new_tensor([1.0, 1.0, 1.0, 0.5, 0.5, 1.0])
    negligible = shares.new_tensor([_NEGLIGIBLE, _NEGLIGIBLE, _NEGLIGIBLE, _HARD, _HARD, _NEGLIGIBLE])
    found = torch.log10(errors(shares, batch).clamp(min=0) + negligible)
    return (found * weights).sum(1).mean() / weights.sum() * 10


def train(options: TrainingOptions) -> None:
    """Train with one or several processes."""
    if options.processes == 1:
        Training(options).run()
        return
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_join, (options, f"file://{folder}/peers"), options.processes)


def _join(rank: int, options: TrainingOptions, rendezvous: str) -> None:
    with joined(rank, options, rendezvous):
        Training(options, rank).run()


@contextmanager
def joined(rank: int, options: TrainingOptions, rendezvous: str) -> Iterator[None]:
    """Join the group of processes that train together, and leave it at the end of the block.

    Args:
        rank: number of this process, from 0.
        options: options of the training, which set the number of processes.
        rendezvous: URL of a new file by which the processes find each other.
    """
    distributed.init_process_group("gloo", rendezvous, rank=rank, world_size=options.processes)
    try:
        yield
    finally:
        distributed.destroy_process_group()


class Training:
    """One run, which resumes an interrupted one.

    Args:
        options: options of the training.
        rank: number of this process in its group; process 0 validates, logs and saves.

    Attributes:
        network: the network in training.
    """

    def __init__(self, options: TrainingOptions, rank: int = 0) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(options.feed.seed)
        self._options, self._rank = options, rank
        self.network = LiteNetwork().to(memory_format=torch.channels_last)
        self._average = copy.deepcopy(self.network).requires_grad_(requires_grad=False)
        self._optimiser = torch.optim.AdamW(self.network.parameters(), options.rate, weight_decay=1e-2)
        self._steps, self._minutes, self._examples = 0, 0.0, 0
        self._load()
        if rank == 0:
            options.output.mkdir(parents=True, exist_ok=True)
            arguments = json.dumps(asdict(options), default=_described, indent=2)
            (options.output / ARGUMENTS).write_text(arguments + "\n", encoding="utf-8")

    def run(self) -> None:
        """Train until the time is up, with a checkpoint and a validation every few minutes."""
        feed = Feed(self._options.feed, self._rank, self._steps)
        validation = (
            validation_batches(self._options.feed.data, self._options.feed.base) if self._rank == 0 else []
        )
        started, last = time.monotonic() - 60 * self._minutes, time.monotonic()
        losses: list[float] = []
        for batch in feed.batches():
            # All processes agreed on the time in the step before, so all stop at the same step.
            done = self._minutes >= self._options.minutes
            if self._rank == 0 and (done or time.monotonic() - last > _EVERY):
                self._examples += feed.taken * self._options.processes
                feed.taken = 0
                self._save()
                self._log(float(np.mean(losses)), evaluated(self._average, validation))
                last, losses = time.monotonic(), []
            if done:
                break
            losses.append(self._step(batch, (time.monotonic() - started) / 60))
        feed.close()

    def _step(self, batch: Batch, minutes: float) -> float:
        share = min(1.0, self._minutes / self._options.minutes)
        rate = (
            self._options.rate
            * min(1.0, (self._steps + 1) / _WARM_UP)
            * (0.5 + 0.5 * math.cos(math.pi * share))
        )
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self._optimiser.zero_grad()
        found = loss(self.network(batch[0].contiguous(memory_format=torch.channels_last)), batch)
        found.backward()
        self._minutes = self._agree(minutes)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self._steps += 1
        self._follow(min(_AVERAGING, (1 + self._steps) / (10 + self._steps)))
        return float(found.detach())

    def _agree(self, minutes: float) -> float:
        """Average the gradients and the time over the processes; return the time in minutes."""
        if self._options.processes == 1:
            return minutes
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        together = torch.cat([*(gradient.flatten() for gradient in gradients), torch.tensor([minutes])])
        distributed.all_reduce(together)
        together /= self._options.processes
        parts = together.split([*(gradient.numel() for gradient in gradients), 1])
        for gradient, part in zip(gradients, parts[:-1], strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(together[-1])

    def _follow(self, decay: float) -> None:
        """Move the average of the weights towards the current weights."""
        current = self.network.state_dict()
        for name, value in self._average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "progress": {"steps": self._steps, "minutes": self._minutes, "examples": self._examples},
        }
        path = self._options.output / CHECKPOINT
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def _load(self) -> None:
        path = self._options.output / CHECKPOINT
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.network.load_state_dict(state["network"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            progress = state["progress"]
            self._steps, self._minutes = progress["steps"], progress["minutes"]
            self._examples = progress["examples"]
        elif self._options.begin:
            feed = self._options.feed
            mixer = Mixer(feed.data, Base(feed.base), feed.frames, feed.seed)
            begin(
                self.network, convolutions.read(self._options.begin), collated(mixer.batch(_CALIBRATION))[0]
            )
            self._average.load_state_dict(self.network.state_dict())

    def _log(self, loss_: float, scores: Mapping[str, float]) -> None:
        row = {
            "minutes": round(self._minutes, 1),
            "steps": self._steps,
            "examples": self._examples,
            "loss": round(loss_, 3),
            **{name: round(score, 2) for name, score in scores.items()},
        }
        with (self._options.output / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def validation_batches(data: Path, base: Path) -> list[Batch]:
    """Make a batch of one example for each validation piece."""
    mixer = Mixer(data, Base(base), _VALIDATION_FRAMES, 0, validation=True)
    pieces = sorted({track.piece for track in tracks(data) if track.validation})
    return [collated([mixer.validation_example(piece)]) for piece in pieces]


def evaluated(network: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """Return the median SDR of each stem, in dB; "rest" is the sum of piano and other."""
    network.eval()
    found: dict[str, list[float]] = {name: [] for name in (*VOICED, "rest")}
    with torch.no_grad():
        for batch in batches:
            error, energy = errors(network(batch[0]), batch)[0], batch[3][0]
            for name, stem_error, stem_energy in zip(found, error.tolist(), energy.tolist(), strict=True):
                if stem_energy > _NEGLIGIBLE:
                    found[name].append(10 * math.log10(stem_energy / max(stem_error, 1e-9)))
    return {name: float(np.median(scores)) for name, scores in found.items() if scores}
