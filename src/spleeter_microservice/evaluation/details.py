"""Scores of parts of a song: bands of frequencies, borders of segments, and both ends."""

from __future__ import annotations

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.evaluation.sdr import SdrMeter, decibel
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import hann

LEVELS = (-20, -30, -40)
"""Gains in dB at which a model is scored again."""

_BANDS = {"sdr_0_250_hz": 0, "sdr_250_2000_hz": 250, "sdr_2_11_khz": 2000, "sdr_above_11_khz": 11000}
"""Lowest frequency of each band in Hz."""

DETAILS = {
    **dict(zip(_BANDS, ("0–250 Hz", "250–2000 Hz", "2–11 kHz", "above 11 kHz"), strict=True)),
    "sdr_borders": "borders",
    "sdr_between": "between",
    "sdr_first": "first ¼ s",
    "sdr_last": "last ¼ s",
    **{f"sdr_at_{level}_db": f"at {level} dB" for level in LEVELS},
}
"""Headings of the details, which are SDRs, by their names in JSON."""

_SPLEETER = UNetArchitecture(("target", "rest"))
_SEGMENT = _SPLEETER.segment_frames * _SPLEETER.hop_length
_NEAR = 0.25  # seconds
_LENGTH = 4096


class DetailMeter:
    """The sums that determine the details of one estimate.

    Borders are those of official Spleeter's segments, whatever made the estimate.

    Args:
        sample_rate: samples per second.
    """

    def __init__(self, sample_rate: int) -> None:
        self._near = round(_NEAR * sample_rate)
        self._borders, self._between, self._first = SdrMeter(), SdrMeter(), SdrMeter()
        self._last = np.zeros((2, 2, 0), np.float32)  # reference and estimate
        self._position = 0
        self._frames = np.zeros((2, 2, 0), np.float32)
        self._energies = np.zeros((2, len(_BANDS)))  # of the reference and of the error
        self._bins = [round(frequency * _LENGTH / sample_rate) for frequency in _BANDS.values()]

    def add(self, reference: Waveform, estimate: Waveform) -> None:
        """Add the next samples of both, shape (2, samples)."""
        both = np.stack([reference, estimate])
        positions = self._position + np.arange(both.shape[2])
        within = (positions + _SPLEETER.n_fft + self._near) % _SEGMENT
        near = (within < 2 * self._near) & (positions > self._near)
        self._borders.add(*both[..., near])
        self._between.add(*both[..., ~near])
        self._first.add(*both[..., : max(0, self._near - self._position)])
        self._last = np.concatenate([self._last, both], axis=2)[..., -self._near :]
        self._position += both.shape[2]
        self._frames = np.concatenate([self._frames, both], axis=2)
        if self._frames.shape[2] >= _LENGTH:
            self._add_bands()

    def _add_bands(self) -> None:
        step = _LENGTH // 2
        framed = np.lib.stride_tricks.sliding_window_view(self._frames, _LENGTH, axis=2)[:, :, ::step]
        for reference, estimate in zip(*(waveform.swapaxes(0, 1) for waveform in framed), strict=True):
            for k, frame in enumerate((reference, reference - estimate)):
                power = np.square(np.abs(np.fft.rfft(frame * hann(_LENGTH)))).sum(axis=0)
                self._energies[k] += np.add.reduceat(power, self._bins)
        self._frames = self._frames[..., framed.shape[2] * step :]

    def result(self) -> dict[str, float | None]:
        """Return the details, None where the reference is silent; nothing can be added after this."""
        self._frames = np.concatenate([self._frames, np.zeros((2, 2, _LENGTH), np.float32)], axis=2)
        self._add_bands()
        last = SdrMeter()
        last.add(*self._last)
        found = {
            name: decibel(*pair) if pair[0] else None
            for name, pair in zip(_BANDS, self._energies.T.tolist(), strict=True)
        }
        parts = {"borders": self._borders, "between": self._between, "first": self._first, "last": last}
        return found | {f"sdr_{name}": meter.sdr() for name, meter in parts.items()}
