"""What a loaded model can do, and its loader.

Outside a family's own package, models are used only through these types.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.separation.measurements import Meter
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.stage_timer import StageTimer

BlockSource = Callable[[], Iterable[Waveform]]
"""Opens the input; each call returns its blocks, of shape (samples, 2), from the beginning."""


Surroundings = tuple[Waveform, Waveform]
"""What precedes and what follows a song that is part of a longer one, each of shape (samples, 2)."""

NOTHING_AROUND: Surroundings = (np.empty((0, 2), np.float32), np.empty((0, 2), np.float32))


@dataclass(frozen=True)
class ModelFiles:
    """An installed model, as its family needs to know it in order to load it.

    Attributes:
        directory: directory that holds the model's files.
        config: settings of the model, in JSON values; only the family knows their meaning.
        base: directory of the model whose output this one refines, or None.
        stems: names of the stems, in the order in which the model returns them.
        sample_rate: sample rate of the input and of the stems, in Hz.
    """

    directory: Path
    config: Mapping[str, Any]
    base: Path | None
    stems: tuple[str, ...]
    sample_rate: int


@dataclass(frozen=True)
class StemBlock:
    """A block of the song with its stems.

    Attributes:
        mix: samples of the song, shape (2, samples).
        stems: samples of each stem, each of that shape.
        covered: samples that the stems add up to by design: the mix itself or, if no stem contains what lies
            above the model's highest frequency, the rest of the mix.
        expected: expected energies of each stem and of its error, in any unit.
    """

    mix: Waveform
    stems: Sequence[Waveform]
    covered: Waveform
    expected: Sequence[tuple[float, float]]


class StemSeparator(Protocol):
    """A loaded model; several threads may separate a song each."""

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in order."""

    @property
    def sample_rate(self) -> int:
        """Sample rate of the input and of the stems, in Hz."""

    @property
    def provider(self) -> str:
        """What the model runs on, by its runtime's name for it."""

    def separate_blocks(
        self,
        source: BlockSource,
        options: SeparationOptions,
        stages: StageTimer | None = None,
        surroundings: Surroundings = NOTHING_AROUND,
    ) -> Generator[StemBlock, None, None]:
        """Separate a song; the blocks joined together are exactly as long as the song.

        Args:
            source: opens the song; may be called more than once.
            options: what the caller chose; only the options of the signal path matter here.
            stages: where to add the processor time of each stage.
            surroundings: what precedes and follows the song, if it is part of a longer one.
        """

    def raises_quiet_songs(self, options: SeparationOptions) -> bool:
        """Return whether quiet songs are separated as well as loud ones."""

    def meter(self, options: SeparationOptions) -> Meter:
        """Return a meter that knows which residual this model leaves by design."""

    def close(self) -> None:
        """Free the model's memory."""


def load_separator(files: ModelFiles, cores: int | None = None) -> StemSeparator:
    """Load a model.

    Args:
        files: the model.
        cores: number of processor cores to use; by default all that this process may use.

    Raises:
        ModelCorruptError: if the files cannot be loaded.
    """
    # Imported lazily: loading ONNX Runtime takes a while, and dry runs do not need it.
    from spleeter_microservice.separation.spleeter.pipeline import load

    return load(files, cores)
