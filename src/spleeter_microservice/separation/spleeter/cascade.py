"""Two models run one after the other: voice and accompaniment, then the parts of the accompaniment."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import CASCADE_GRAPH, UNetArchitecture
from spleeter_microservice.separation.spleeter.network import OnnxNetworks, Start, load_graph, session_options

PARTS = ("drums", "bass", "piano", "other")
"""Parts that the second model splits the accompaniment into.

It returns arrays of shape (parts + 2, 2, frames, bins): the share of each part, then the share of the first
model's accompaniment that is voice, then the share of the first model's voice that is not voice."""

BASE = UNetArchitecture(("vocals", "accompaniment"))
"""Architecture of the first model, Deezer's."""

ACCOMPANIMENT_INPUT, VOCALS_INPUT = "accompaniment", "vocals"
"""Inputs of the second model's graph: magnitudes as the first model masks them."""

_TINY = np.float32(5e-11)
"""Splits silence equally, instead of dividing by zero."""


class Cascade(OnnxNetworks):
    """Deezer's 2-stem networks, and a network that splits their accompaniment.

    A part that is not a stem of the architecture belongs to its last stem: without a piano, ``other`` is
    piano and other.

    Args:
        folder: directory with ``lite.onnx``.
        architecture: architecture of the whole; vocals come first.
        base: directory of the 2-stem networks.
        cores: number of processor cores to use; by default all that this process may use.

    Raises:
        ModelCorruptError: if ONNX Runtime cannot load a graph.
    """

    def __init__(
        self, folder: Path, architecture: UNetArchitecture, base: Path, cores: int | None = None
    ) -> None:
        super().__init__(base, BASE, cores)
        self._stems = architecture.stems[1:]
        options = session_options(architecture, self.threads)
        self._sessions.append(load_graph(folder / CASCADE_GRAPH, options))

    def submit(self, start: Start, magnitude: Array) -> list[Future[Array]]:
        """Start to compute the outputs of a segment: one array of masks, shape (1, stems, 2, frames, bins).

        Args:
            start: starts a computation in another thread.
            magnitude: shape (1, 2, segment_frames, bins).
        """
        pair = _Pair(lambda estimates: self._masks(estimates, magnitude[0]))
        for position in range(len(BASE.stems)):
            start(functools.partial(pair.add, position, functools.partial(self.run, position, magnitude)))
        return [pair.result]

    def _masks(self, estimates: Sequence[Array], magnitude: Array) -> Array:
        share = accompaniment_share(estimates)
        accompaniment = magnitude * share
        inputs = {ACCOMPANIMENT_INPUT: accompaniment, VOCALS_INPUT: magnitude - accompaniment}
        found = self._call(-1, {name: array[np.newaxis] for name, array in inputs.items()})
        *parts, left, returned = found
        share += returned * (1 - share) - left * share
        masks = np.empty((1 + len(self._stems), *magnitude.shape), np.float32)
        np.subtract(1, share, out=masks[0])
        for mask, instrument in zip(masks[1:], self._stems, strict=True):
            np.multiply(parts[PARTS.index(instrument)], share, out=mask)
        for part, name in zip(parts, PARTS, strict=True):
            if name not in self._stems:
                masks[-1] += part * share
        return masks[np.newaxis]


def accompaniment_share(estimates: Sequence[Array]) -> Array:
    """Return the share of a mix that is accompaniment, the ratio of energies as in official Spleeter.

    Args:
        estimates: magnitudes of vocals and of accompaniment.
    """
    vocals, accompaniment = (np.square(estimate) + _TINY for estimate in estimates)
    share: Array = accompaniment / (vocals + accompaniment)
    return share


class _Pair:
    """Two computations and a third on their results, run by the thread that finishes last: none waits.

    Attributes:
        result: result of the third.
    """

    def __init__(self, join: Callable[[Sequence[Array]], Array]) -> None:
        self.result: Future[Array] = Future()
        self._join = join
        self._found: dict[int, Array] = {}
        self._lock = threading.Lock()

    def add(self, position: int, compute: Callable[[], Array]) -> Array:
        """Run one of the two."""
        try:
            output = compute()
            with self._lock:
                self._found[position] = output[0]
                last = len(self._found) == len(BASE.stems)
            if last:
                self.result.set_result(self._join([self._found[i] for i in sorted(self._found)]))
        except BaseException as error:
            with self._lock:
                if not self.result.done():
                    self.result.set_exception(error)
            raise
        return output
