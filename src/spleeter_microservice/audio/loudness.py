"""Integrated loudness by EBU R 128, which FFmpeg's filter measures while a song passes."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from spleeter_microservice.arrays import Waveform

_SILENCE = -70.0  # LUFS; quieter blocks do not count, and what has no others has this loudness
_PIECE = 1 << 14  # samples at a time, since FFmpeg keeps several copies


class LoudnessMeter:
    """A meter of one signal; its memory does not grow.

    Args:
        sample_rate: sample rate of the signal in Hz.
        channels: 1 or 2; two that are alike are 3 LU louder than one.
    """

    def __init__(self, sample_rate: int, channels: int = 2) -> None:
        self._rate = sample_rate
        self._layout = "mono" if channels == 1 else "stereo"
        self._added = 0
        self._loudness = _SILENCE
        self._graph = Graph()
        source = self._graph.add_abuffer(
            sample_rate=sample_rate, format="flt", layout=self._layout, time_base=Fraction(1, sample_rate)
        )
        meter = self._graph.add("ebur128", "metadata=1")
        source.link_to(meter)
        meter.link_to(self._graph.add("abuffersink"))
        self._graph.configure()

    def add(self, waveform: Waveform) -> None:
        """Add samples, of shape (samples, channels)."""
        for start in range(0, len(waveform), _PIECE):
            piece = np.ascontiguousarray(waveform[start : start + _PIECE])
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), format="flt", layout=self._layout)
            frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._added
            self._added += len(piece)
            self._graph.push(frame)
            self._read()

    def result(self) -> float | None:
        """Return the loudness of everything in LUFS; None for silence, and for less than 0.4 s."""
        self._graph.push(None)
        self._read()
        return self._loudness if self._loudness > _SILENCE else None

    def _read(self) -> None:
        try:
            while True:
                metadata = self._graph.pull().metadata  # of 0.1 s; less, at the end, has none
                self._loudness = float(metadata.get("lavfi.r128.I", self._loudness))
        except (av.BlockingIOError, av.EOFError):
            return
