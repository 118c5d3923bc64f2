"""Judges a song: reads its true stems beside the estimates and hands both to the measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.errors import UnknownStemError
from spleeter_microservice.evaluation.bsseval import BSSEval, BSSEvalMeter
from spleeter_microservice.evaluation.estimators import EstimateBlock, Estimator
from spleeter_microservice.evaluation.oracle import OracleMasks
from spleeter_microservice.evaluation.sdr import SdrMeter, SdrScores
from spleeter_microservice.evaluation.song_files import Song
from spleeter_microservice.evaluation.spectrogram_images import Spectrogram
from spleeter_microservice.evaluation.targets import Target, match
from spleeter_microservice.evaluation.tracks import Tracks, mixture_source

LARGEST_RESIDUAL = -10.0
"""Level in dB relative to the mixture, above which its stems do not seem to be all that it has."""


@dataclass(frozen=True)
class StemScores:
    """How well one stem of a song was separated.

    Attributes:
        estimate: of the estimate; None, as all others, when the true stem is silent.
        mixture: of the unseparated mixture, taken for the stem.
        oracle: of the best possible ratio mask.
        bsseval: when asked for, unless the stem overlaps others.
    """

    estimate: SdrScores | None
    mixture: SdrScores | None
    oracle: SdrScores | None
    bsseval: BSSEval | None = None


@dataclass(frozen=True)
class SongScores:
    """What was measured of a song.

    Attributes:
        song: its name.
        duration: in seconds.
        elapsed: wall-clock time of separating and judging, in seconds.
        stems: by name.
        unscored: the remaining instruments, and why.
        notes: what to know before trusting the numbers, in words.
        pictures: of each stem, (true, estimated), when asked for.
    """

    song: str
    duration: float
    elapsed: float
    stems: Mapping[str, StemScores]
    unscored: Mapping[str, str]
    notes: Sequence[str]
    pictures: Mapping[str, tuple[Spectrogram, Spectrogram]] = field(repr=False)


class Evaluation:
    """Judges songs one by one, in memory that depends neither on their length nor on their number.

    Args:
        estimator: gives the stems to score.
        bsseval: also compute BSSEval version 4, which takes longer than separating.
        pictures: also gather spectrograms.
    """

    def __init__(self, estimator: Estimator, *, bsseval: bool = False, pictures: bool = False) -> None:
        self._estimator = estimator
        self._bsseval = bsseval
        self._pictures = pictures

    def score(self, song: Song, progress: Callable[[int], None] = lambda _: None) -> SongScores:
        """Judge a song.

        Args:
            song: its files.
            progress: called with the number of samples of each piece.

        Raises:
            UnknownStemError: when it has the true stem of nothing that was separated.
            StemLengthError: when its tracks are not of one length.
            MissingEstimateError: when there are no estimates of it.
            AudioError: when one of its files cannot be read.
        """
        start = time.perf_counter()
        estimator, rate = self._estimator, self._estimator.sample_rate
        matching = match(estimator.stems(song), song.stems)
        if not matching.targets:
            raise UnknownStemError(
                f"{song.name} cannot be judged: {'; '.join(matching.unscored.values())}. It has "
                f"{', '.join(song.stems)}. Rename its files, or take another model."
            )
        wanted = {name for target in matching.targets for name in target.references} | set(song.parts)
        with ExitStack() as stack:
            tracks = stack.enter_context(Tracks({n: song.stems[n] for n in song.stems if n in wanted}, rate))
            meters = _Meters(matching.targets, rate, self._bsseval, self._pictures)
            stack.enter_context(closing(meters))
            pieces = stack.enter_context(closing(estimator.blocks(song, mixture_source(song, rate))))
            balance, samples = SdrMeter(), 0
            for piece in pieces:
                references = tracks.take(piece.mix.shape[1])
                balance.add(piece.mix, _sum(references, song.parts))
                meters.add(piece, references)
                samples += piece.mix.shape[1]
                progress(piece.mix.shape[1])
            tracks.check_lengths(samples)
            return SongScores(
                song=song.name,
                duration=samples / rate,
                stems=meters.scores(),
                elapsed=time.perf_counter() - start,
                unscored=matching.unscored,
                notes=[*_notes(tracks), *_residual_notes(balance.result())],
                pictures=meters.pictures,
            )


class _Meters:
    """All measures of one song."""

    def __init__(self, targets: Sequence[Target], sample_rate: int, bsseval: bool, pictures: bool) -> None:
        self._targets = targets
        self._estimates = [SdrMeter() for _ in targets]
        self._mixtures = [SdrMeter() for _ in targets]
        self._oracle = OracleMasks([target.overlaps for target in targets])
        self._partition = [i for i, target in enumerate(targets) if not target.overlaps]
        self._bsseval = (
            BSSEvalMeter(len(self._partition), sample_rate) if bsseval and self._partition else None
        )
        self.pictures = {
            target.name: (Spectrogram(sample_rate), Spectrogram(sample_rate))
            for target in (targets if pictures else ())
        }

    def add(self, piece: EstimateBlock, references: Mapping[str, Waveform]) -> None:
        true = [_sum(references, target.references) for target in self._targets]
        estimated = [_sum(piece.stems, target.estimates) for target in self._targets]
        for i, (t, e) in enumerate(zip(true, estimated, strict=True)):
            self._estimates[i].add(t, e)
            self._mixtures[i].add(t, piece.mix)
        self._oracle.add(piece.mix, true)
        if self._bsseval:
            self._bsseval.add([true[i] for i in self._partition], [estimated[i] for i in self._partition])
        for pair, *waveforms in zip(self.pictures.values(), true, estimated, strict=False):
            for spectrogram, waveform in zip(pair, waveforms, strict=True):
                spectrogram.add(waveform)

    def scores(self) -> dict[str, StemScores]:
        oracles = self._oracle.result()
        bsseval = dict(zip(self._partition, self._bsseval.result(), strict=True)) if self._bsseval else {}
        return {
            target.name: StemScores(
                self._estimates[i].result(), self._mixtures[i].result(), oracles[i], bsseval.get(i)
            )
            for i, target in enumerate(self._targets)
        }

    def close(self) -> None:
        if self._bsseval:
            self._bsseval.close()


def _sum(waveforms: Mapping[str, Waveform], names: Sequence[str]) -> Waveform:
    total: Waveform = np.add.reduce([waveforms[name] for name in names])
    return total


def _notes(tracks: Tracks) -> list[str]:
    return [f"{name} was resampled from {rate} Hz" for name, rate in tracks.resampled.items()]


def _residual_notes(balance: SdrScores | None) -> list[str]:
    if balance is None or balance.sdr > -LARGEST_RESIDUAL:
        return []
    return [
        f"the stems do not sum to the mixture ({-balance.sdr:.1f} dB of it are missing or too much), "
        "so the accompaniment may be incomplete"
    ]
