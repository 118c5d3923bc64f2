"""Brings examples from the processes that make them to the training, and keeps some to be used again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty

import numpy as np
import torch
from torch import Tensor

from research.lite.base import Base
from research.lite.mixing import Example, Mixer

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Features, power, cross, energy of several examples."""


@dataclass(frozen=True)
class FeedOptions:
    """How to make examples.

    Attributes:
        data: folder of synthesised tracks.
        base: folder of the model 2stems.
        batch: examples per step.
        frames: of each example.
        reuse: how often each example is used on average.
        held: examples that are kept to be used again.
        workers: processes that make examples.
        seed: of everything random.
    """

    data: Path
    base: Path
    batch: int = 4
    frames: int = 256
    reuse: int = 8
    held: int = 1800
    workers: int = 1
    seed: int = 1


def collated(examples: Sequence[Example]) -> Batch:
    """Join examples into a batch."""

    def joined(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(example, name) for example in examples]).astype(np.float32))

    return joined("features"), joined("power"), joined("cross"), joined("energy")


_PATIENCE = 5.0  # seconds without an example until a look at who makes them


def _produce(options: FeedOptions, seed: tuple[int, ...], queue: Queue[Example]) -> None:
    torch.set_num_threads(1)
    mixer = Mixer(options.data, Base(options.base), options.frames, seed)
    while True:
        mixer.refresh()
        for _ in range(20):
            for example in mixer.batch(4):
                queue.put(_halved(example))


def _halved(example: Example) -> Example:
    """Store numbers in 16 bits; powers are scaled so that the mean is 1."""
    return Example(
        example.features.astype(np.float16),
        (example.power * example.power[0].size).astype(np.float16),
        (example.cross * example.power[0].size).astype(np.float16),
        example.energy,
    )


class Feed:
    """Takes examples from the processes that make them, and some of those that it has kept.

    Args:
        options: how to make examples.
        rank: of the process that trains on them, which gets others than its fellows.
        steps: that it has trained before, so that a training that goes on gets new ones.
    """

    def __init__(self, options: FeedOptions, rank: int = 0, steps: int = 0) -> None:
        self._options = options
        context = multiprocessing.get_context("fork")
        self._queue: Queue[Example] = context.Queue(48)
        self._held: list[Example] = []
        seed = (options.seed, rank, steps)
        self._rng = np.random.default_rng(seed)
        self.taken = 0
        self._processes = [
            context.Process(target=_produce, args=(options, (*seed, i), self._queue), daemon=True)
            for i in range(options.workers)
        ]
        for process in self._processes:
            process.start()

    def batches(self) -> Iterator[Batch]:
        """Give batches without end.

        Raises:
            ChildProcessError: when a process that makes examples has ended.
        """
        size, share = self._options.batch, self._options.batch / self._options.reuse
        while True:
            fresh = int(share + self._rng.random()) if len(self._held) > 20 * size else size
            new = [self._next() for _ in range(fresh)]
            self.taken += len(new)
            self._held += new
            if len(self._held) > self._options.held:
                for _ in range(len(new)):
                    self._held.pop(int(self._rng.integers(len(self._held) - len(new))))
            picked = [self._held[i] for i in self._rng.integers(len(self._held), size=size - len(new))]
            yield self._scaled(collated([*new, *picked]))

    def _next(self) -> Example:
        while True:
            try:
                return self._queue.get(timeout=_PATIENCE)
            except Empty:
                if not all(process.is_alive() for process in self._processes):
                    raise ChildProcessError(
                        "A process that makes examples has ended; its message above says why. What was "
                        "trained until the last checkpoint is kept: run the command again to go on."
                    ) from None

    def _scaled(self, batch: Batch) -> Batch:
        features, power, cross, energy = batch
        size = power[0, 0].numel()
        power, cross = power / size, cross / size
        if self._rng.random() < 0.5:  # left becomes right
            features = features.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
            power, cross = power.flip(2), cross.flip(3)
        return features, power, cross, energy

    def close(self) -> None:
        """Stop the processes."""
        for process in self._processes:
            process.terminate()
