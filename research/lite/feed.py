"""Batches of examples, made by other processes and each used several times."""

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
"""``features``, ``power``, ``cross`` and ``energy`` of several examples, stacked; see ``Example``."""


@dataclass(frozen=True)
class FeedOptions:
    """Options for making examples.

    Attributes:
        data: folder of synthesised tracks.
        base: folder of the model 2stems.
        batch: number of examples per step.
        frames: length of an example.
        reuse: how many times each example is used on average.
        held: number of examples that are kept for reuse.
        workers: number of processes that make examples.
        seed: seed of all random choices.
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
    """Stack examples into a batch."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(example, name) for example in examples]).astype(np.float32))

    return stacked("features"), stacked("power"), stacked("cross"), stacked("energy")


_CHECK_AFTER = 5.0  # seconds without an example, until the processes are checked


def _produce(options: FeedOptions, seed: tuple[int, ...], queue: Queue[Example]) -> None:
    torch.set_num_threads(1)
    mixer = Mixer(options.data, Base(options.base), options.frames, seed)
    while True:
        mixer.refresh()
        for _ in range(20):
            for example in mixer.batch(4):
                queue.put(_halved(example))


def _halved(example: Example) -> Example:
    """Convert an example to 16 bits; powers are scaled to a mean of 1."""
    return Example(
        example.features.astype(np.float16),
        (example.power * example.power[0].size).astype(np.float16),
        (example.cross * example.power[0].size).astype(np.float16),
        example.energy,
    )


class Feed:
    """A source of batches, which mix new examples with kept ones.

    Args:
        options: options for making examples.
        rank: number of the training process; each one receives different examples.
        steps: number of steps that are done, so that a resumed training receives new examples.
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
        """Yield batches without end.

        Raises:
            ChildProcessError: if a process that makes examples has exited.
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
                return self._queue.get(timeout=_CHECK_AFTER)
            except Empty:
                if not all(process.is_alive() for process in self._processes):
                    raise ChildProcessError(
                        "A process that makes examples has exited; its own message above says why. Fix the "
                        "cause, and run the command again to resume from the last checkpoint."
                    ) from None

    def _scaled(self, batch: Batch) -> Batch:
        features, power, cross, energy = batch
        size = power[0, 0].numel()
        power, cross = power / size, cross / size
        if self._rng.random() < 0.5:  # swap the channels
            features = features.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
            power, cross = power.flip(2), cross.flip(3)
        return features, power, cross, energy

    def close(self) -> None:
        """Stop the processes."""
        for process in self._processes:
            process.terminate()
