"""What 2stems makes of a mix, which is where the lite network begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.cascade import BASE, accompaniment_share
from spleeter_microservice.separation.spleeter.network import OnnxNetworks


class Base:
    """The 2-stem networks, one core, for short mixes.

    Args:
        folder: of the model 2stems.
    """

    def __init__(self, folder: Path) -> None:
        self._networks = OnnxNetworks(folder, BASE, cores=1)

    def shares(self, magnitudes: Sequence[Array]) -> Iterator[Array]:
        """Say which share of each mix is accompaniment; several mixes go through the networks at once.

        Args:
            magnitudes: each of shape (2, frames, BINS), frames being what divides a segment.
        """
        frames = magnitudes[0].shape[1]
        together = BASE.segment_frames // frames
        for first in range(0, len(magnitudes), together):
            some = magnitudes[first : first + together]
            segment = np.concatenate(some, axis=1)
            lacking = BASE.segment_frames - segment.shape[1]
            segment = np.pad(segment, ((0, 0), (0, lacking), (0, 0)))
            estimates = [self._networks.run(i, segment[np.newaxis])[0] for i in range(len(BASE.stems))]
            share = accompaniment_share(estimates)
            yield from np.split(share[:, : len(some) * frames], len(some), axis=1)
