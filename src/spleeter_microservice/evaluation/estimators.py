"""Sources of the stems to score: a model, or files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.errors import MissingEstimateError
from spleeter_microservice.evaluation.song_files import MIXTURE, Song, Track, audio_files
from spleeter_microservice.evaluation.tracks import Tracks
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import BlockSource, StemSeparator
from spleeter_microservice.separation.song import Stems


@dataclass(frozen=True)
class EstimateBlock:
    """A block of a song: the mixture and its estimated stems, each of shape (2, samples)."""

    mix: Waveform
    stems: Mapping[str, Waveform]


class Estimator(Protocol):
    """A source of estimates of songs' stems."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz of the mixture and of the estimates."""

    def stems(self, song: Song) -> tuple[str, ...]:
        """Return the names of the stems that ``blocks`` yields.

        Raises:
            EvaluationError: if this song has no estimates.
        """

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Yield the mixture with its estimated stems, exactly as long as the mixture in all.

        Args:
            song: the song to estimate.
            mixture: opens the mixture as blocks of shape (samples, 2).
        """


class ModelEstimator:
    """An estimator that separates with a model.

    Args:
        separator: the loaded model.
        options: options of every separation.
    """

    def __init__(self, separator: StemSeparator, options: SeparationOptions) -> None:
        self.sample_rate = separator.sample_rate
        self._separator = separator
        self._options = options

    def stems(self, song: Song) -> tuple[str, ...]:
        """Return the names of the model's stems, whatever the song."""
        return self._separator.stems

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Separate the mixture."""
        with closing(self._separator.separate_blocks(mixture, self._options)) as blocks:
            for block in blocks:
                yield EstimateBlock(block.mix, dict(zip(self._separator.stems, block.stems, strict=True)))


class RecordingEstimator:
    """An estimator that also writes what another one estimates, as ``{folder}/{song}/{stem}.wav``.

    Args:
        estimator: the other one.
        folder: directory to write to.
    """

    def __init__(self, estimator: Estimator, folder: Path) -> None:
        self.sample_rate = estimator.sample_rate
        self.stems = estimator.stems
        self._estimator = estimator
        self._folder = folder

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Yield the other estimator's blocks, and write them.

        Raises:
            OutputError: if a stem cannot be written.
        """
        paths = {name: self._folder / song.name / f"{name}.wav" for name in self.stems(song)}
        with (
            Stems(paths, OutputFormat(), self.sample_rate) as files,
            closing(self._estimator.blocks(song, mixture)) as blocks,
        ):
            for block in blocks:
                files.write({name: stem.T for name, stem in block.stems.items()})
                yield block
            files.publish()


class FileEstimator:
    """An estimator that reads stems separated by any program, ``{folder}/{song}/{stem}.*``.

    Args:
        folder: directory with the estimates of all songs.
        sample_rate: sample rate in Hz at which the stems are scored.
    """

    def __init__(self, folder: Path, sample_rate: int = 44100) -> None:
        self.sample_rate = sample_rate
        self._folder = folder

    def stems(self, song: Song) -> tuple[str, ...]:
        """Return the names of the song's files.

        Raises:
            MissingEstimateError: if the song has no files.
            AmbiguousStemError: if a stem has two files.
        """
        return tuple(self._files(song))

    def blocks(self, song: Song, mixture: BlockSource) -> Generator[EstimateBlock, None, None]:
        """Read the files in step with the mixture.

        Raises:
            StemLengthError: if one of them is longer or shorter than the mixture.
        """
        with Tracks(self._files(song), self.sample_rate) as tracks:
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
                f"{song.name} has no estimates. Put them into {folder}, one audio file per stem."
            )
        return files
