"""The result of separating one song; it needs neither a decoder nor a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spleeter_microservice.audio.tracks import AudioTrack
from spleeter_microservice.audio.warnings import AudioWarning
from spleeter_microservice.separation.measurements import Measurements, StemMeasurements


@dataclass(frozen=True)
class Stem:
    """The file of one stem or mix.

    Attributes:
        path: path of the file.
        clipped_samples: number of samples beyond full scale that the format could not hold.
        measurements: measurements of the stem.
        gain: by how much the level was changed, in dB.
        samples_per_pixel, peaks: the stem's peaks, as in ``audio.peaks.Peaks``, if they were measured.
    """

    path: Path
    clipped_samples: int
    measurements: StemMeasurements
    gain: float = 0.0
    samples_per_pixel: int = 0
    peaks: Sequence[int] = field(default=(), repr=False)


@dataclass(frozen=True)
class SeparatedSong:
    """The result of separating one file.

    Attributes:
        source: the input.
        stems: files of the stems, by name.
        measurements: measurements of the whole separation.
        duration: duration of each stem in seconds.
        samples: number of samples of each stem, per channel.
        elapsed: wall-clock time in seconds.
        first_block: seconds until the first block of the stems was separated.
        stages: processor time of each stage in seconds.
        provider: what the model ran on, by its runtime's name for it.
        track: the sound track that was separated.
        start_time: seconds by which the sound begins later than the rest of the input.
        warnings: what is odd about the input.
        mixes: files of the mixes, by name.
    """

    source: Path
    stems: Mapping[str, Stem]
    measurements: Measurements
    duration: float
    samples: int
    elapsed: float
    first_block: float
    stages: Mapping[str, float] = field(repr=False)
    provider: str
    track: AudioTrack
    start_time: float
    warnings: Sequence[AudioWarning]
    mixes: Mapping[str, Stem] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Stem]:
        """Files of the stems and of the mixes, by name."""
        return {**self.stems, **self.mixes}

    @property
    def anomalies(self) -> list[str]:
        """Signs that the separation failed; they do not say how good the stems sound."""
        found = [(f"{name}: ", stem.measurements.anomaly) for name, stem in self.stems.items()]
        return [f"{of}{anomaly}" for of, anomaly in [*found, ("", self.measurements.anomaly)] if anomaly]
