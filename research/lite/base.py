"""Separation of a mix by the model 2stems, whose results the lite network refines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.cascade import BASE, accompaniment_share
from spleeter_microservice.separation.spleeter.network import OnnxNetworks


class Base:
    """The networks of 2stems, for short mixes, on one core.

    Args:
        folder: folder of the model 2stems.
    """

    def __init__(self, folder: Path) -> None:
        self._networks = OnnxNetworks(folder, BASE, cores=1)

    def shares(self, magnitudes: Sequence[Array]) -> Iterator[Array]:
        """Yield each mix's accompaniment mask, shape (2, frames, BINS); several mixes share a segment.

        Args:
            magnitudes: mixes of shape (2, frames, BINS) each, of which a whole number fits a segment.
        """
        frames = magnitudes[0].shape[1]
        together = BASE.segment_frames // frames
        for first in range(0, len(magnitudes), together):
            some = magnitudes[first : first + together]
            segment = np.concatenate(some, axis=1)
            missing = BASE.segment_frames - segment.shape[1]
            segment = np.pad(segment, ((0, 0), (0, missing), (0, 0)))
            estimates = [self._networks.run(i, segment[np.newaxis])[0] for i in range(len(BASE.stems))]
            share = accompaniment_share(estimates)
            yield from np.split(share[:, : len(some) * frames], len(some), axis=1)
