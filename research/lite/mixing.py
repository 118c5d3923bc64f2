"""Training examples: stems with random changes, mixed with a voice, and separated by 2stems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from research.lite.bands import BINS, paired, summed
from research.lite.base import Base
from research.lite.effects import changed, equaliser, placed
from research.lite.features import features
from research.lite.score import STEMS
from research.lite.synthesis import HELD_OUT_VOICES, VOICES, Track, tracks
from spleeter_microservice.arrays import Array

Spectrum = NDArray[np.complex64]
"""Complex spectrogram, shape (2, frames, BINS)."""

LENGTH, STEP = 4096, 1024
_WINDOW = np.hanning(LENGTH + 1)[:-1].astype(np.float32)
_LEVELS = {
    "drums": (0.0, 4.0),
    "bass": (-1.0, 4.0),
    "piano": (-2.0, 4.5),
    "other": (-0.5, 4.5),
}  # dB: mean, spread
_PRESENT = {"drums": 0.9, "bass": 0.9, "piano": 0.5, "other": 0.85}


_VOCAL_LEVEL = (-1.0, 4.0)  # dB: mean, spread
_LOUDEST_GAIN = 100.0  # keeps a pause of the voice from being amplified to noise
_SUNG = 0.7  # share of the examples that have a voice
_LOUDNESS = (-18.0, 4.0)  # of the mix that 2stems separates, dB relative to full scale: mean, spread

VOICED = ("vocals", *STEMS)
"""Names of the sources of a mix."""


@dataclass(frozen=True)
class Example:
    """The network's input for a mix, and the statistics that determine the error of its masks.

    2stems assigns the share A of the mix to the accompaniment and V = 1 - A to the vocals. A stem's estimate
    is the mix times A M + V N, where the masks M and N are constant over each band of a pair of frames. Its
    squared error is the sum over channels, pairs and bands of M² ``power[0]`` + 2 M N ``power[1]`` +
    N² ``power[2]`` - 2 M ``cross[0]`` - 2 N ``cross[1]``, plus ``energy``; this is exactly the error of the
    masked complex spectrogram. All values are relative to the energy of the music without voice.

    Attributes:
        features: input of the network, shape (CHANNELS, pairs, BANDS).
        power: power of the mix times A², A V and V², shape (3, 2, pairs, BANDS).
        cross: cross power of the mix, times A and times V, with each of ``VOICED``,
            shape (2, 1 + stems, 2, pairs, BANDS).
        energy: energy of each of ``VOICED``, and of the sum of piano and other, shape (2 + stems,).
    """

    features: Array
    power: Array
    cross: Array
    energy: Array


def spectrum(waveform: Array, frames: int) -> Spectrum:
    """Transform the first frames of a waveform of shape (samples, 2)."""
    views = np.lib.stride_tricks.sliding_window_view(waveform.T, LENGTH, axis=1)[:, ::STEP][:, :frames]
    return np.fft.rfft(views * _WINDOW, axis=-1)[..., :BINS].astype(np.complex64)


def example(sources: Sequence[Spectrum], share: Array) -> Example:
    """Compute the example of a mix.

    Args:
        sources: spectrograms of ``VOICED``.
        share: share of the mix that 2stems assigns to the accompaniment, shape (2, frames, BINS).
    """
    mix = np.sum(sources, axis=0)
    total, vocal = power(mix), 1 - share
    scale = np.float32(1 / (power(np.sum(sources[1:], axis=0)).sum() + 1e-9))
    products = [mix.real * source.real + mix.imag * source.imag for source in sources]
    cross = [[paired(summed(part * product)) * scale for product in products] for part in (share, vocal)]
    powers = [paired(summed(part * total)) * scale for part in (share**2, share * vocal, vocal**2)]
    energies = [*sources, sources[3] + sources[4]]
    energy = np.array([power(source).sum() * scale for source in energies], np.float32)
    magnitude = np.sqrt(total)
    return Example(features(magnitude * share, magnitude * vocal), np.array(powers), np.array(cross), energy)


def power(spectrum_: Spectrum) -> Array:
    """Return the squared moduli; this is faster than ``np.abs``."""
    return np.square(spectrum_.real) + np.square(spectrum_.imag)


class Mixer:
    """A maker of random examples.

    Args:
        folder: folder of synthesised tracks and voices, to which more may be added at any time.
        base: the model 2stems.
        frames: length of an example.
        seed: seed of all random choices.
        validation: whether to use the validation tracks, without changes.
    """

    def __init__(
        self, folder: Path, base: Base, frames: int, seed: int | tuple[int, ...], validation: bool = False
    ) -> None:
        self._folder, self._frames, self._validation = folder, frames, validation
        self._base = base
        self._rng = np.random.default_rng(seed)
        self._voices = sorted(folder.glob(HELD_OUT_VOICES if validation else VOICES))
        self.refresh()

    def refresh(self) -> None:
        """Read the index again, to use tracks that were added."""
        self._pieces: dict[int, dict[str, Track]] = {}
        for track in tracks(self._folder):
            if track.validation == self._validation:
                self._pieces.setdefault(track.piece, {})[track.stem] = track
        self._with = {
            stem: [piece for piece, stems in self._pieces.items() if stem in stems] for stem in STEMS
        }

    def batch(self, size: int) -> list[Example]:
        """Make three times ``size`` examples: as drawn, and twice with stems and levels shuffled."""
        drawn = [self._stems() for _ in range(size)]
        mixed = [self._mixed(stems) for stems in drawn]
        for _ in range(2):
            orders = [self._rng.permutation(size) for _ in VOICED]
            mixed += [
                self._mixed([drawn[order[i]][k] for k, order in enumerate(orders)]) for i in range(size)
            ]
        shares = self._base.shares([self._loud(sources) for sources in mixed])
        return [example(sources, share) for sources, share in zip(mixed, shares, strict=True)]

    def validation_example(self, piece: int) -> Example:
        """Make the same example of a piece each time: equally loud stems, in most pieces with a voice."""
        self._rng = np.random.default_rng(piece)
        stems = [self._read_stem(stem, piece, 4.0, 1.0) for stem in STEMS]
        spectra = [spectrum(stem, self._frames) for stem in stems]
        voice = self._voice() if piece % 3 else np.zeros_like(spectra[0])
        sources = [self._levelled(voice, np.sum(spectra, axis=0)), *spectra]
        (share,) = self._base.shares([self._loud(sources)])
        return example(sources, share)

    def _loud(self, sources: Sequence[Spectrum]) -> Array:
        """Return the magnitudes of a mix at the level of a recording, shape (2, frames, BINS)."""
        magnitude = np.sqrt(power(np.sum(sources, axis=0)))
        level = 10 ** (self._rng.normal(*_LOUDNESS) / 20)
        # The mean square of a spectrum is that of the samples times the sum of the squared window.
        wanted = level * np.sqrt(np.square(_WINDOW).sum() * BINS / (LENGTH // 2))
        loud: Array = magnitude * np.float32(wanted / (np.sqrt(np.mean(np.square(magnitude))) + 1e-9))
        return loud

    def _voice(self) -> Spectrum:
        """Draw a voice, or sometimes two at once."""
        rng = self._rng
        found: Array = np.zeros((self._samples, 2), np.float32)
        for _ in range(1 if rng.random() < 0.8 else 2):
            path = self._voices[rng.integers(len(self._voices))]
            found = found + self._read(path, rng.uniform(0, 28), 1.0 if self._validation else self._speed())
        if not self._validation:
            found = changed(rng, found)
        return spectrum(found, self._frames)

    def _levelled(self, voice: Spectrum, music: Spectrum) -> Spectrum:
        gain = np.sqrt(power(music).sum() / (power(voice).sum() + 1e-9))
        levelled: Spectrum = voice * np.float32(
            min(gain, _LOUDEST_GAIN) * 10 ** (self._rng.normal(*_VOCAL_LEVEL) / 20)
        )
        return levelled

    def _stems(self) -> list[Spectrum]:
        """Draw a voice and the four stems, from one piece or from several, with random changes."""
        rng = self._rng
        together, piece = rng.random() < 0.5, int(rng.choice(list(self._pieces)))
        at, speed = rng.uniform(0, 28), self._speed()
        found = [self._voice()]
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
        """Read part of a track at unit level and the given speed, shape (samples, 2)."""
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

    def _mixed(self, drawn: Sequence[Spectrum]) -> list[Spectrum]:
        """Apply random gains, equalisers and positions to a voice and the stems, and silence some."""
        rng = self._rng
        voice, *stems = drawn
        present = [rng.random() < _PRESENT[stem] for stem in STEMS]
        if sum(present) < 2:
            present[0], present[3] = True, True
        changed_stems = []
        for stem, spectrum_, here in zip(STEMS, stems, present, strict=True):
            gain = 10 ** (rng.normal(*_LEVELS[stem]) / 20) if here else 0.0
            changed_stems.append(placed(rng, spectrum_ * (equaliser(rng) * np.float32(gain)), stem))
        if rng.random() >= _SUNG:
            return [np.zeros_like(voice), *changed_stems]
        sung = placed(rng, voice * equaliser(rng), "vocals")
        return [self._levelled(sung, np.sum(changed_stems, axis=0)), *changed_stems]
