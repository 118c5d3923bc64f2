"""Makes training examples: stems changed at random, mixed, and seen through a 2-stem network's mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.training.lite.bands import BINS, paired, summed
from spleeter_microservice.training.lite.effects import changed, equaliser, placed
from spleeter_microservice.training.lite.features import Array, features
from spleeter_microservice.training.lite.score import STEMS
from spleeter_microservice.training.lite.synthesis import Track, tracks

Spectrum = NDArray[np.complex64]
"""Of shape (2, frames, BINS)."""

LENGTH, STEP = 4096, 1024
_WINDOW = np.hanning(LENGTH + 1)[:-1].astype(np.float32)
_LEVELS = {
    "drums": (0.0, 4.0),
    "bass": (-1.0, 4.0),
    "piano": (-2.0, 4.5),
    "other": (-0.5, 4.5),
}  # dB: mean, spread
_PRESENT = {"drums": 0.9, "bass": 0.9, "piano": 0.5, "other": 0.85}


@dataclass(frozen=True)
class Example:
    """What the network is shown, and what decides how good its masks are.

    With masks M of shape (stems, 2, pairs, bands), the squared error of a stem is the sum over
    channels, pairs of frames and bands of M² ``power`` − 2 M ``cross``, plus ``energy``: exactly that of the
    masked complex spectrogram. All is relative to the accompaniment's energy.

    Attributes:
        features: shape (CHANNELS, pairs, BANDS).
        power: of the accompaniment, shape (2, pairs, BANDS).
        cross: of the accompaniment with each stem, shape (stems, 2, pairs, BANDS).
        energy: of each stem, and of piano and other taken together: shape (stems + 1,).
    """

    features: Array
    power: Array
    cross: Array
    energy: Array


def spectrum(waveform: Array, frames: int) -> Spectrum:
    """Transform the beginning of a waveform of shape (samples, 2)."""
    views = np.lib.stride_tricks.sliding_window_view(waveform.T, LENGTH, axis=1)[:, ::STEP][:, :frames]
    return np.fft.rfft(views * _WINDOW, axis=-1)[..., :BINS].astype(np.complex64)


def example(stems: Sequence[Spectrum], accompaniment: Spectrum) -> Example:
    """Measure stems against the accompaniment as it reaches the network."""
    total = power(accompaniment)
    scale = np.float32(1 / (total.sum() + 1e-9))
    cross = [
        paired(summed(accompaniment.real * stem.real + accompaniment.imag * stem.imag)) * scale
        for stem in stems
    ]
    energies = [*stems, stems[2] + stems[3]]
    energy = np.array([power(stem).sum() * scale for stem in energies], np.float32)
    return Example(features(np.sqrt(total)), paired(summed(total)) * scale, np.stack(cross), energy)


def power(spectrum_: Spectrum) -> Array:
    """Square the moduli, faster than ``np.abs`` does."""
    return np.square(spectrum_.real) + np.square(spectrum_.imag)


class Mixer:
    """Makes examples without end.

    Args:
        folder: of synthesised tracks; more may be added while they are used.
        frames: of each example.
        seed: of everything random.
        validation: use the tracks for validation, without changing them.
    """

    def __init__(
        self, folder: Path, frames: int, seed: int | tuple[int, ...], validation: bool = False
    ) -> None:
        self._folder, self._frames, self._validation = folder, frames, validation
        self._rng = np.random.default_rng(seed)
        self._voices = sorted(folder.glob("voice-*.i16"))
        self.refresh()

    def refresh(self) -> None:
        """Take notice of tracks that were added."""
        self._pieces: dict[int, dict[str, Track]] = {}
        for track in tracks(self._folder):
            if track.validation == self._validation:
                self._pieces.setdefault(track.piece, {})[track.stem] = track
        self._with = {
            stem: [piece for piece, stems in self._pieces.items() if stem in stems] for stem in STEMS
        }

    def batch(self, size: int) -> list[Example]:
        """Make three times ``size`` examples: as drawn, and twice with stems and levels exchanged."""
        drawn = [self._stems() for _ in range(size)]
        mixed = [self._mixed(stems) for stems in drawn]
        for _ in range(2):
            orders = [self._rng.permutation(size) for _ in STEMS]
            mixed += [
                self._mixed([drawn[order[i]][k] for k, order in enumerate(orders)]) for i in range(size)
            ]
        return mixed

    def validation_example(self, piece: int) -> Example:
        """Make the one example of a piece, always the same: its stems at equal levels with a voice."""
        self._rng = np.random.default_rng(piece)
        stems = [self._read_stem(stem, piece, 4.0, 1.0) for stem in STEMS]
        spectra = [spectrum(stem, self._frames) for stem in stems]
        return example(spectra, self._through_mask(np.sum(spectra, axis=0)))

    def _stems(self) -> list[Spectrum]:
        """Draw the four stems, of one piece or of several, each changed at random."""
        rng = self._rng
        together, piece = rng.random() < 0.5, int(rng.choice(list(self._pieces)))
        at, speed = rng.uniform(0, 28), self._speed()
        found = []
        for stem in STEMS:
            if not together or stem not in self._pieces[piece]:
                waveform = self._read_stem(
                    stem, int(rng.choice(self._with[stem])), rng.uniform(0, 28), self._speed()
                )
            else:
                waveform = self._read_stem(stem, piece, at, speed)
            if stem == "other" and rng.random() < 0.25:
                second = self._read_stem(stem, int(rng.choice(self._with[stem])), rng.uniform(0, 28), speed)
                waveform = waveform + second * np.float32(10 ** (rng.normal(-3, 4) / 20))
            found.append(spectrum(changed(rng, waveform), self._frames))
        return found

    def _speed(self) -> float:
        return float(2 ** (self._rng.normal(0, 0.12))) if self._rng.random() < 0.5 else 1.0

    def _read_stem(self, stem: str, piece: int, at: float, speed: float) -> Array:
        """Read some seconds of a track, at unit level and another speed: shape (samples, 2)."""
        track = self._pieces[piece].get(stem)
        if track is None:
            return np.zeros((self._samples, 2), np.float32)
        return self._read(self._folder / track.file, at, speed) / np.float32(track.rms)

    @property
    def _samples(self) -> int:
        return (self._frames - 1) * STEP + LENGTH

    def _read(self, path: Path, at: float, speed: float) -> Array:
        wanted = int(self._samples * speed) + 2
        whole = np.memmap(path, "<i2", "r").reshape(-1, 2)
        start = max(0, min(round(at * 44100), len(whole) - wanted))
        samples: Array = whole[start : start + wanted].astype(np.float32) / np.float32(32768)
        if len(samples) < wanted:
            samples = np.pad(samples, ((0, wanted - len(samples)), (0, 0)))
        if speed == 1.0:
            return samples[: self._samples]
        position = np.arange(self._samples) * speed
        below = position.astype(np.int64)
        share = (position - below).astype(np.float32)[:, None]
        return samples[below] * (1 - share) + samples[below + 1] * share

    def _mixed(self, stems: Sequence[Spectrum]) -> Example:
        """Weigh, equalise and place the stems, leave some out, and see the sum through a mask."""
        rng = self._rng
        present = [rng.random() < _PRESENT[stem] for stem in STEMS]
        if sum(present) < 2:
            present[0], present[3] = True, True
        changed_stems = []
        for stem, spectrum_, here in zip(STEMS, stems, present, strict=True):
            gain = 10 ** (rng.normal(*_LEVELS[stem]) / 20) if here else 0.0
            changed_stems.append(placed(rng, spectrum_ * (equaliser(rng) * np.float32(gain)), stem))
        accompaniment = np.sum(changed_stems, axis=0)
        if rng.random() < 0.65:
            accompaniment = self._through_mask(accompaniment)
        return example(changed_stems, accompaniment)

    def _through_mask(self, accompaniment: Spectrum) -> Spectrum:
        """Add a voice and take it out again by a mask as a network would, with its holes and traces."""
        rng = self._rng
        voice = self._read(self._voices[rng.integers(len(self._voices))], rng.uniform(0, 28), 1.0)
        sung = placed(rng, spectrum(voice, self._frames) * equaliser(rng), "bass")
        left, guess = power(accompaniment), power(sung)
        gain = np.float32(np.sqrt(left.sum() / (guess.sum() + 1e-9)) * 10 ** (rng.normal(-3, 4) / 20))
        guess *= gain**2 * _coarse_noise(rng, sung.shape, 5.0)
        guess[..., 1:-1] += guess[..., 2:] + guess[..., :-2]
        mask = left / (left + guess / 3 + np.float32(1e-9))
        accompaniment += sung * gain
        accompaniment *= mask
        return accompaniment


def _coarse_noise(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Array:
    """Give factors that are constant over 8 frames and 16 bins, of so many dB."""
    rows, columns = -(-shape[1] // 8), shape[2] // 16
    factors = 10 ** (rng.normal(0, spread, (shape[0], rows, columns)) / 10)
    return np.repeat(np.repeat(factors, 8, axis=1)[:, : shape[1]], 16, axis=2).astype(np.float32)
