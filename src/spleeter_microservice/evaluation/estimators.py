"""Where the stems that are judged come from: a model, or files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.errors import MissingEstimateError
from spleeter_microservice.evaluation.song_files import MIXTURE, Song, Track, audio_files
from spleeter_microservice.evaluation.tracks import Tracks
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import BlockSource, StemSeparator


@dataclass(frozen=True)
class EstimateBlock:
    """A stretch of a song: the mixture and its estimated stems, each of shape (2, samples)."""

    mix: Waveform
    stems: Mapping[str, Waveform]


class Estimator(Protocol):
    """Gives estimates of a song's stems."""

    @property
    def sample_rate(self) -> int:
        """Of all that it takes and gives, in Hz."""

    def stems(self, song: Song) -> tuple[str, ...]:
        """Name the stems that there will be.

        Raises:
            EvaluationError: when there are none for this song.
        """

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Give the stems of a song; the pieces joined together have exactly the mixture's length.

        Args:
            song: which one.
            mixture: opens it, in blocks of shape (samples, 2).
        """


class ModelEstimator:
    """An estimator that separates with a model.

    Args:
        separator: the loaded model.
        options: options of every separation.
    """

    def __init__(self, separator: StemSeparator, options: SeparationOptions) -> None:
        self._separator = separator
        self._options = options

    @property
    def sample_rate(self) -> int:
        """Sample rate of the model, in Hz."""
        return self._separator.sample_rate

    def stems(self, song: Song) -> tuple[str, ...]:
        """Return the names of the model's stems, whatever the song."""
        return self._separator.stems

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Separate the mixture."""
        with closing(self._separator.separate_blocks(mixture, self._options)) as blocks:
            for block in blocks:
                yield EstimateBlock(block.mix, dict(zip(self._separator.stems, block.stems, strict=True)))


class FileEstimator:
    """Reads stems that any program has separated, ``{folder}/{song}/{stem}.*``.

    Args:
        folder: of all songs.
        sample_rate: at which everything is judged, in Hz.
    """

    def __init__(self, folder: Path, sample_rate: int = 44100) -> None:
        self._folder = folder
        self._sample_rate = sample_rate

    @property
    def sample_rate(self) -> int:
        """As given."""
        return self._sample_rate

    def stems(self, song: Song) -> tuple[str, ...]:
        """Name the files of this song.

        Raises:
            MissingEstimateError: when there are none.
            AmbiguousStemError: when two have one name.
        """
        return tuple(self._files(song))

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Read the files beside the mixture.

        Raises:
            StemLengthError: at the end, when one of them is longer or shorter than the mixture.
        """
        with Tracks(self._files(song), self._sample_rate) as tracks:
            samples = 0
            for block in mixture():
                samples += len(block)
                yield EstimateBlock(block.T, tracks.take(len(block)))
            tracks.check_lengths(samples)

    def _files(self, song: Song) -> dict[str, Track]:
        folder = self._folder / song.name
        files = audio_files(list(folder.iterdir()), folder) if folder.is_dir() else {}
        files.pop(MIXTURE, None)
        if not files:
            raise MissingEstimateError(
                f"There are no estimates of {song.name}: put them into {folder}, one audio file per stem."
            )
        return files
