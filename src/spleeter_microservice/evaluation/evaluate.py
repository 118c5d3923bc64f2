"""Scoring of songs: reads the reference stems in step with the estimates and measures both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.errors import UnknownStemError
from spleeter_microservice.evaluation.bsseval import BSSEval, BSSEvalMeter
from spleeter_microservice.evaluation.details import DetailMeter
from spleeter_microservice.evaluation.estimators import EstimateBlock, Estimator
from spleeter_microservice.evaluation.oracle import OracleMasks
from spleeter_microservice.evaluation.sdr import SdrMeter, SdrScores
from spleeter_microservice.evaluation.song_files import Song
from spleeter_microservice.evaluation.spectrogram_images import Spectrogram
from spleeter_microservice.evaluation.targets import Target, match
from spleeter_microservice.evaluation.tracks import Tracks, mixture_source

MAX_RESIDUAL = -10.0
"""Level in dB relative to the mixture; if what the stems lack is louder, a stem may be missing."""


@dataclass(frozen=True)
class StemScores:
    """Scores of one stem of a song; all are None if the reference stem is silent.

    Attributes:
        estimate: scores of the estimate.
        mixture: scores of the unseparated mixture in place of an estimate.
        oracle: scores of the best possible ratio mask.
        bsseval: scores of BSSEval, if requested; None for a stem that overlaps others.
        details: SDRs of parts of the song and at other levels, by the names of ``DETAILS``, if requested.
    """

    estimate: SdrScores | None
    mixture: SdrScores | None
    oracle: SdrScores | None
    bsseval: BSSEval | None = None
    details: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class SongScores:
    """Scores of a song.

    Attributes:
        song: name of the song.
        duration: length of the song in seconds.
        elapsed: wall-clock time of separating and scoring, in seconds.
        stems: scores of the stems, by name.
        unscored: reasons why the other stems were not scored, by name.
        notes: remarks on the reliability of the scores.
        pictures: spectrograms (reference, estimate) of the stems, by name, if requested.
    """

    song: str
    duration: float
    elapsed: float
    stems: Mapping[str, StemScores]
    unscored: Mapping[str, str]
    notes: Sequence[str]
    pictures: Mapping[str, tuple[Spectrogram, Spectrogram]] = field(repr=False)


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of songs, one by one, in memory that does not depend on their length or number.

    Attributes:
        estimator: source of the stems to score.
        bsseval: also compute BSSEval version 4, which takes longer than separating.
        pictures: also compute spectrograms.
        details: also score bands, borders and ends.
        levels: gains in dB at which to score everything again.
    """

    estimator: Estimator
    bsseval: bool = False
    pictures: bool = False
    details: bool = False
    levels: Sequence[int] = ()

    def score(self, song: Song, progress: Callable[[int], object] = lambda _: None) -> SongScores:
        """Score the stems of a song.

        Args:
            song: the song's files.
            progress: called with the number of samples of each block.

        Raises:
            UnknownStemError: if the song has a reference for none of the estimated stems.
            StemLengthError: if the song's tracks differ in length.
            MissingEstimateError: if the song has no estimates.
            AudioError: if a file cannot be read.
        """
        start = time.perf_counter()
        estimator, rate = self.estimator, self.estimator.sample_rate
        targets, unscored = match(estimator.stems(song), song.stems)
        if not targets:
            raise UnknownStemError(
                f"{song.name} cannot be scored: {'; '.join(unscored.values())}. It has "
                f"{', '.join(song.stems)}. Rename its files, or choose another model."
            )
        needed = {name for target in targets for name in target.references} | set(song.parts)
        with ExitStack() as stack:
            tracks = stack.enter_context(Tracks({n: song.stems[n] for n in song.stems if n in needed}, rate))
            meters = _Meters(targets, rate, self.bsseval, self.pictures, self.details)
            stack.enter_context(closing(meters))
            blocks = stack.enter_context(closing(estimator.blocks(song, mixture_source(song, rate))))
            balance, samples = SdrMeter(), 0
            for block in blocks:
                references = tracks.take(block.mix.shape[1])
                balance.add(block.mix, _sum(references, song.parts))
                meters.add(block, references)
                samples += block.mix.shape[1]
                progress(block.mix.shape[1])
            tracks.check_lengths(samples)
            scores = meters.scores()
            for level in self.levels:
                for name, sdr in self._score_at(level, song, targets).items():
                    details = {**scores[name].details, f"sdr_at_{level}_db": sdr}
                    scores[name] = replace(scores[name], details=details)
            return SongScores(
                song=song.name,
                duration=samples / rate,
                stems=scores,
                elapsed=time.perf_counter() - start,
                unscored=unscored,
                notes=_notes(tracks, balance.sdr()),
                pictures=meters.pictures,
            )

    def _score_at(self, level: int, song: Song, targets: Sequence[Target]) -> dict[str, float | None]:
        """Return the SDR of each target if the whole song is changed by a gain in dB."""
        gain = np.float32(10 ** (level / 20))
        rate = self.estimator.sample_rate
        mixture = mixture_source(song, rate)
        meters = {target.name: SdrMeter() for target in targets}
        with (
            Tracks(song.stems, rate) as tracks,
            closing(self.estimator.blocks(song, lambda: (block * gain for block in mixture()))) as blocks,
        ):
            for block in blocks:
                references = tracks.take(block.mix.shape[1])
                for target in targets:
                    meters[target.name].add(
                        _sum(references, target.references) * gain, _sum(block.stems, target.estimates)
                    )
        return {name: meter.sdr() for name, meter in meters.items()}


class _Meters:
    """All metrics of one song."""

    def __init__(
        self, targets: Sequence[Target], sample_rate: int, bsseval: bool, pictures: bool, details: bool
    ) -> None:
        self._targets = targets
        self._estimates = [SdrMeter() for _ in targets]
        self._mixtures = [SdrMeter() for _ in targets]
        self._details = [DetailMeter(sample_rate) for _ in targets] if details else []
        self._oracle = OracleMasks([target.overlaps for target in targets])
        self._partition = [i for i, target in enumerate(targets) if not target.overlaps]
        self._bsseval = (
            BSSEvalMeter(len(self._partition), sample_rate) if bsseval and self._partition else None
        )
        self.pictures = {
            target.name: (Spectrogram(sample_rate), Spectrogram(sample_rate))
            for target in (targets if pictures else ())
        }

    def add(self, block: EstimateBlock, stems: Mapping[str, Waveform]) -> None:
        references = [_sum(stems, target.references) for target in self._targets]
        estimates = [_sum(block.stems, target.estimates) for target in self._targets]
        for i, (reference, estimate) in enumerate(zip(references, estimates, strict=True)):
            self._estimates[i].add(reference, estimate)
            self._mixtures[i].add(reference, block.mix)
            if self._details:
                self._details[i].add(reference, estimate)
        self._oracle.add(block.mix, references)
        if self._bsseval:
            self._bsseval.add(
                [references[i] for i in self._partition], [estimates[i] for i in self._partition]
            )
        for pair, *waveforms in zip(self.pictures.values(), references, estimates, strict=False):
            for spectrogram, waveform in zip(pair, waveforms, strict=True):
                spectrogram.add(waveform)

    def scores(self) -> dict[str, StemScores]:
        oracles = self._oracle.result()
        bsseval = dict(zip(self._partition, self._bsseval.result(), strict=True)) if self._bsseval else {}
        return {
            target.name: StemScores(
                self._estimates[i].result(),
                self._mixtures[i].result(),
                oracles[i],
                bsseval.get(i),
                self._details[i].result() if self._details else {},
            )
            for i, target in enumerate(self._targets)
        }

    def close(self) -> None:
        if self._bsseval:
            self._bsseval.close()


def _sum(waveforms: Mapping[str, Waveform], names: Sequence[str]) -> Waveform:
    total: Waveform = np.add.reduce([waveforms[name] for name in names])
    return total


def _notes(tracks: Tracks, balance: float | None) -> list[str]:
    notes = [f"{name} was resampled from {rate} Hz" for name, rate in tracks.resampled.items()]
    if balance is not None and balance <= -MAX_RESIDUAL:
        notes.append(
            f"the stems do not sum to the mixture (they differ by {-balance:.1f} dB relative to it), "
            "so the accompaniment may be incomplete"
        )
    return notes
