"""Previews of a song's outputs, encoded in a thread beside the separation."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Self

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.preview import PreviewWriter
from spleeter_microservice.files import needing_space
from spleeter_microservice.sandbox.messages import SeparationRequest

_NO_SPACE = "No space is left for previews."
_AHEAD = 2  # blocks that wait; each has up to twelve seconds of every output


class Previews:
    """The previews of a request; none, if it does not ask for them.

    Args:
        request: the request, whose ``preview_path`` names the files.
        sample_rate: sample rate of the outputs in Hz.

    Attributes:
        segments: number of segments that every output has.
    """

    def __init__(self, request: SeparationRequest, sample_rate: int) -> None:
        self.segments = 0
        self._waiting: deque[Future[None]] = deque()
        with needing_space(_NO_SPACE), ExitStack() as stack:
            self._thread = stack.enter_context(ThreadPoolExecutor(1, "preview"))
            self._writers = {
                name: stack.enter_context(
                    PreviewWriter(
                        request.preview_path(name), partial(request.preview_path, name), sample_rate
                    )
                )
                for name in request.paths
                if request.previews
            }
            self._stack = stack.pop_all()

    def add(self, waveforms: Mapping[str, Waveform]) -> None:
        """Encode the next samples of every output, later; each has the shape (samples, 2)."""
        if len(self._waiting) == _AHEAD:
            self._waiting.popleft().result()
        if self._writers:
            self._waiting.append(self._thread.submit(self._write, waveforms))

    def _write(self, waveforms: Mapping[str, Waveform]) -> None:
        with needing_space(_NO_SPACE):
            for name, writer in self._writers.items():
                writer.write(waveforms[name])
        self._count()

    def _count(self) -> None:
        self.segments = min((writer.segments for writer in self._writers.values()), default=0)

    def finish(self) -> None:
        """Encode what is pending and complete all files."""
        while self._waiting:
            self._waiting.popleft().result()
        with needing_space(_NO_SPACE):
            for writer in self._writers.values():
                writer.finish()
        self._count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._stack.close()
