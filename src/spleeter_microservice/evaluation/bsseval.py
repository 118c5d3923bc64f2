"""BSSEval version 4 in blocks: the scores of ``museval``, in memory that does not grow with the song.

Each estimate is decomposed into the reference stem, a filtered version of it (spatial distortion),
filtered versions of the other stems (interference) and the rest (artifacts). The filters have 512
taps, connect both input channels to both output channels, and are fitted by least squares over the
whole song. The ratios of energies are then computed in windows of one second (Vincent et al.,
"Performance measurement in blind audio source separation", 2006; Stöter et al., "The 2018 Signal
Separation Evaluation Campaign").
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array, Waveform
from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.evaluation.sdr import decibel

TAPS = 512
_BLOCK = 1 << 14  # samples correlated at once
_JITTER = 1e-11  # relative; makes equations with several solutions solvable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BSSEval:
    """Medians over the windows, in dB.

    They are None if no window has sound in all stems. SIR is also None if the song has a single
    stem, because nothing can interfere with it.
    """

    sdr: float | None
    sir: float | None
    sar: float | None
    isr: float | None


class BSSEvalMeter:
    """A temporary file with the stems of one song, which are scored together.

    Args:
        stems: number of stems.
        sample_rate: sample rate in Hz, and thus the length of a window in samples.
    """

    def __init__(self, stems: int, sample_rate: int) -> None:
        self._stems = stems
        self._window = sample_rate
        with _disk_space():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()

    def add(self, references: Sequence[Waveform], estimates: Sequence[Waveform]) -> None:
        """Add the next samples of each stem, shape (2, samples).

        Raises:
            DiskFullError: if the temporary file cannot be written.
        """
        signals = np.concatenate([*references, *estimates])
        with _disk_space():
            self._file.write(np.ascontiguousarray(signals.T, np.float32).tobytes())

    def result(self) -> list[BSSEval]:
        """Return the scores of each stem."""
        with _disk_space():
            self._file.flush()
        if not self._file.tell():
            return [BSSEval(None, None, None, None)] * self._stems
        signals = np.memmap(self._file, np.float32, "r").reshape(-1, 4 * self._stems)
        ratios = bss_eval(signals[:, : 2 * self._stems], signals[:, 2 * self._stems :], self._window)
        medians = [_medians(stem) for stem in ratios]
        return medians if self._stems > 1 else [replace(medians[0], sir=None)]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


@contextmanager
def _disk_space() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFullError(
            f"BSSEval cannot write temporary files to {tempfile.gettempdir()}: {error.strerror}. "
            "Free some space there, or set TMPDIR to another directory."
        ) from error


def bss_eval(references: Array, estimates: Array, window: int, taps: int = TAPS) -> Floats:
    """Compute the ratios of each window.

    Args:
        references: shape (samples, channels of all stems), a stem's two channels side by side.
        estimates: of the same shape.
        window: length of a window in samples; an incomplete one at the end is left out.
        taps: length of the filters in samples.

    Returns:
        SDR, SIR, SAR and ISR in dB, shape (stems, windows, 4); NaN in windows where a reference or
        an estimate is silent.
    """
    stems = references.shape[1] // 2
    if not all(np.any(references, axis=0).reshape(stems, 2).any(axis=1)):
        return np.full((stems, 1, 4), np.nan)  # no filter fits silence
    correlations = _correlations(references, estimates, taps)
    windows = list(_windows(len(references), window))
    projection = _Projection(correlations, stems, windows[0].stop)
    ratios = [_window_ratios(projection, references[part], estimates[part]) for part in windows]
    return np.stack(ratios, axis=1)


def _windows(samples: int, window: int) -> Iterator[slice]:
    """Yield adjacent windows, or a single one for a song that is shorter than a window."""
    length = min(window, samples)
    for start in range(0, samples - length + 1, length):
        yield slice(start, start + length)


def _correlations(references: Array, estimates: Array, taps: int) -> Floats:
    """Correlate every reference channel with every reference and estimated channel.

    Returns:
        Sums of reference(t) · other(t + d), for lags d from −(taps − 1) to taps − 1, shape
        (lags, reference channels, all channels).
    """
    samples, channels = references.shape
    margin = taps - 1
    size = _BLOCK
    step = size - 2 * margin  # so that nothing wraps around
    total = np.zeros((size // 2 + 1, channels, 2 * channels), np.complex128)
    for start in range(0, samples, step):
        low, high = max(0, start - margin), min(samples, start + step + margin)
        around = np.zeros((size, 2 * channels))
        filled = slice(low - start + margin, high - start + margin)
        around[filled, :channels], around[filled, channels:] = references[low:high], estimates[low:high]
        inside = around[margin : margin + step, :channels]
        left = np.fft.rfft(inside, size, axis=0)
        total += left.conj()[:, :, None] * np.fft.rfft(around, axis=0)[:, None, :]
    return np.fft.irfft(total, size, axis=0)[: 2 * margin + 1]


class _Projection:
    """The filters that bring the reference stems closest to each estimate.

    Args:
        correlations: result of ``_correlations``.
        stems: number of stems.
        window: number of samples that are filtered at once.
    """

    def __init__(self, correlations: Floats, stems: int, window: int) -> None:
        self.size = window + len(correlations) // 2
        channels = 2 * stems
        filters = _filters(correlations[..., :channels], correlations[..., channels:])
        self._from_all = np.fft.rfft(filters, self.size, axis=1)
        self._from_own = []
        for own in (slice(2 * i, 2 * i + 2) for i in range(stems)):
            targets = correlations[:, own, channels:][..., own]
            filters = _filters(correlations[:, own, :channels][..., own], targets)
            self._from_own.append(np.fft.rfft(filters, self.size, axis=1))

    def apply(self, references: Floats) -> tuple[Floats, Floats]:
        """Project each estimated channel onto the references, in one window.

        Args:
            references: shape (samples, channels of all stems).

        Returns:
            The projections onto all stems and onto the channel's own stem, both of shape
            (size, channels).
        """
        spectra = np.fft.rfft(references, self.size, axis=0)
        from_all = np.einsum("fk,kfe->fe", spectra, self._from_all)
        own = [
            np.einsum("fk,kfe->fe", spectra[:, 2 * i : 2 * i + 2], filters)
            for i, filters in enumerate(self._from_own)
        ]
        from_own = np.concatenate(own, axis=1)
        return np.fft.irfft(from_all, self.size, axis=0), np.fft.irfft(from_own, self.size, axis=0)


def _filters(among: Floats, targets: Floats) -> Floats:
    """Solve the normal equations.

    Args:
        among: correlations of the inputs, shape (lags, inputs, inputs).
        targets: correlations of the inputs with the outputs, shape (lags, inputs, outputs).

    Returns:
        The filters' coefficients, shape (inputs, taps, outputs).
    """
    taps = len(among) // 2 + 1
    inputs, outputs = targets.shape[1:]
    delays = np.arange(taps)
    toeplitz = among[taps - 1 + delays[:, None] - delays]  # (taps, taps, inputs, inputs)
    matrix = toeplitz.transpose(2, 0, 3, 1).reshape(inputs * taps, inputs * taps)
    diagonal = np.diag_indices_from(matrix)
    matrix[diagonal] += np.finfo(float).eps
    right = targets[taps - 1 :].transpose(1, 0, 2).reshape(inputs * taps, outputs)
    try:
        solved = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:  # equal channels; it does not matter which of them is filtered
        matrix[diagonal] += _JITTER * matrix[diagonal].mean()
        solved = np.linalg.solve(matrix, right)
    return solved.reshape(inputs, taps, outputs)


def _window_ratios(projection: _Projection, references: Array, estimates: Array) -> Floats:
    """Return SDR, SIR, SAR and ISR of each stem in one window, in dB, shape (stems, 4)."""
    stems = references.shape[1] // 2
    if any(
        _silent(signals[:, 2 * i : 2 * i + 2]) for signals in (references, estimates) for i in range(stems)
    ):
        return np.full((stems, 4), np.nan)
    shape = (projection.size, references.shape[1])
    reference, estimate = np.zeros(shape), np.zeros(shape)
    reference[: len(references)], estimate[: len(references)] = references, estimates
    from_all, from_own = projection.apply(reference[: len(references)])
    signal = _energies(reference)
    pairs = (
        (signal, _energies(estimate - reference)),
        (_energies(from_own), _energies(from_all - from_own)),
        (_energies(from_all), _energies(estimate - from_all)),
        (signal, _energies(from_own - reference)),
    )
    return np.array([list(map(decibel, *pair)) for pair in pairs]).T


def _silent(stem: Array) -> bool:
    """Return whether the sum of a stem's channels is silent, which is ``museval``'s criterion."""
    return not np.any(stem.sum(axis=1))


def _energies(signals: Floats) -> Floats:
    """Return each stem's energy, summed over its two channels."""
    energies: Floats = np.square(signals).sum(axis=0).reshape(-1, 2).sum(axis=1)
    return energies


def _medians(stem: Floats) -> BSSEval:
    """Compute the medians of a stem's windows, shape (windows, 4)."""
    audible = stem[~np.isnan(stem).any(axis=1)]
    if not len(audible):
        return BSSEval(None, None, None, None)
    return BSSEval(*np.median(audible, axis=0).tolist())
