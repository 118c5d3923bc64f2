"""Short-time Fourier transform of a stream, segment by segment, and its inverse.

The conventions are official Spleeter's (``spleeter/model/__init__.py``): a frame of zeros before
the signal, zeros after it up to a whole frame, a periodic Hann window in both directions, and a
factor of 2/3 that compensates for the overlap of the windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from spleeter_microservice.arrays import Array, Spectrum, Waveform
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_COMPENSATION = 2 / 3
# Frames transformed at once: enough to amortise Python's overhead, few enough to stay in cache.
_CHUNK = 32


@dataclass(frozen=True)
class Segment:
    """The networks' input: ``segment_frames`` frames of the signal, fewer at its end.

    Attributes:
        mix: the signal itself, shape (2, samples). The segments' mixes together are ``n_fft``
            zeros followed by the input.
        spectrum: its transform, shape (2, frames, kept bins).
        magnitude: absolute value of the spectrum, padded with zeros to shape
            (1, 2, segment_frames, bins).
        last: whether the signal ends in this segment.
    """

    mix: Waveform
    spectrum: Spectrum
    magnitude: Array
    last: bool

    @property
    def frames(self) -> int:
        """Number of frames, at most ``segment_frames``."""
        return int(self.spectrum.shape[1])


class Analysis:
    """A transform from blocks of a waveform to segments of its spectrogram.

    Args:
        architecture: determines the sizes of the transform.
        full_band: keep all bins, not only those that the networks process.
    """

    def __init__(self, architecture: UNetArchitecture, full_band: bool = False) -> None:
        self._architecture = architecture
        self._step = architecture.hop_length
        self._overlap = architecture.n_fft - architecture.hop_length
        self._all_bins = architecture.n_fft // 2 + 1
        self._kept_bins = self._all_bins if full_band else architecture.bins
        # The forward-normalised transform is the one that NumPy computes in single precision.
        self._window = hann(architecture.n_fft) * np.float32(architecture.n_fft)
        self._span = architecture.segment_frames * self._step
        self._buffer = np.zeros((2, self._span + self._overlap), np.float32)
        self._filled = architecture.n_fft  # the frame of zeros before the signal

    def segments(self, blocks: Iterable[Waveform]) -> Iterator[Segment]:
        """Yield the segments of a signal, given in blocks as ``push`` takes them."""
        for block in blocks:
            yield from self.push(block)
        yield from self.finish()

    def push(self, block: Waveform) -> Iterator[Segment]:
        """Yield the segments that the next samples complete; they count when the last one was yielded.

        Args:
            block: any number of samples, shape (samples, 2).
        """
        start = 0
        while start < len(block):
            taken = min(len(block) - start, self._buffer.shape[1] - self._filled)
            self._buffer[:, self._filled : self._filled + taken] = block[start : start + taken].T
            self._filled += taken
            start += taken
            if self._filled == self._buffer.shape[1]:
                yield self._whole_segment()

    def finish(self) -> Iterator[Segment]:
        """Yield the segments at the end of the signal."""
        self._buffer[:, self._filled :] = 0
        if -(-self._filled // self._step) > self._architecture.segment_frames:
            yield self._whole_segment()
            self._buffer[:, self._overlap :] = 0
        yield self._segment(-(-self._filled // self._step), self._filled, last=True)

    def _whole_segment(self) -> Segment:
        """Transform all frames, and keep the samples that belong to the next segment too."""
        segment = self._segment(self._architecture.segment_frames, self._span, last=False)
        self._buffer[:, : self._overlap] = self._buffer[:, self._span :]
        self._filled -= self._span
        return segment

    def _segment(self, frames: int, samples: int, last: bool) -> Segment:
        """Transform the buffer's first frames.

        Args:
            frames: number of frames to transform.
            samples: number of the buffer's samples that do not belong to the next segment as well.
            last: whether the signal ends in this segment.
        """
        bins = self._architecture.bins
        spectrum = np.empty((2, frames, self._kept_bins), np.complex64)
        magnitude = np.zeros((1, 2, self._architecture.segment_frames, bins), np.float32)
        framed = np.lib.stride_tricks.sliding_window_view(self._buffer, self._architecture.n_fft, axis=1)[
            :, :: self._step
        ]
        windowed = np.empty((2, _CHUNK, self._architecture.n_fft), np.float32)
        transformed = np.empty((2, _CHUNK, self._all_bins), np.complex64)
        for start in range(0, frames, _CHUNK):
            n = min(_CHUNK, frames - start)
            chunk = slice(start, start + n)
            np.multiply(framed[:, chunk], self._window, out=windowed[:, :n])
            np.fft.rfft(windowed[:, :n], norm="forward", out=transformed[:, :n])  # type: ignore[arg-type]  # NumPy's stubs know only double precision
            spectrum[:, chunk] = transformed[:, :n, : self._kept_bins]
            _absolute(spectrum[:, chunk, :bins], out=magnitude[0, :, chunk])
        return Segment(self._buffer[:, :samples].copy(), spectrum, magnitude, last)


class Synthesis:
    """An inverse transform of successive segments to one waveform, by overlap-add."""

    def __init__(self, architecture: UNetArchitecture) -> None:
        self._length = architecture.n_fft
        self._step = architecture.hop_length
        self._window = hann(self._length) * np.float32(_COMPENSATION)
        self._tail: Waveform = np.zeros((2, self._length - self._step), np.float32)

    def add(self, spectrum: Spectrum, mask: Array | None, samples: int) -> Waveform:
        """Transform a masked spectrum and return the next samples of the waveform.

        Args:
            spectrum: shape (2, frames, bins); missing bins count as zero.
            mask: real factors, shape (2, at least as many frames, at most as many bins); missing
                bins count as zero. None does not mask.
            samples: number of samples to return.

        Returns:
            The samples that follow those of the last call, shape (2, samples).
        """
        frames = spectrum.shape[1]
        overlaps = self._length // self._step
        out = np.zeros((2, frames + overlaps - 1, self._step), np.float32)
        out[:, : overlaps - 1] = self._tail.reshape(2, overlaps - 1, self._step)
        if mask is not None:
            spectrum = spectrum[..., : mask.shape[2]]
        # Zeros up to the last bin: NumPy's own padding takes as long as the transform.
        masked = np.zeros((2, _CHUNK, self._length // 2 + 1), np.complex64)
        low = masked[..., : spectrum.shape[2]]
        framed = np.empty((2, _CHUNK, self._length), np.float32)
        for start in range(0, frames, _CHUNK):
            n = min(_CHUNK, frames - start)
            chunk = slice(start, start + n)
            np.multiply(spectrum[:, chunk], 1 if mask is None else mask[:, chunk], out=low[:, :n])
            np.fft.irfft(masked[:, :n], self._length, out=framed[:, :n])  # type: ignore[arg-type]  # as above
            framed[:, :n] *= self._window
            steps = framed[:, :n].reshape(2, n, overlaps, self._step)
            for k in range(overlaps):
                out[:, start + k : start + k + n] += steps[:, :, k]
        self._tail = out[:, frames:].reshape(2, -1).copy()
        return out.reshape(2, -1)[:, :samples]


def hann(length: int) -> Array:
    """Return a periodic Hann window, shape (length,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def _absolute(spectrum: Spectrum, out: Array) -> None:
    """Compute magnitudes several times faster than ``np.abs``, which guards against overflow."""
    np.multiply(spectrum.real, spectrum.real, out=out)
    out += spectrum.imag * spectrum.imag
    np.sqrt(out, out=out)
