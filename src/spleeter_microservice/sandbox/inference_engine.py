"""The work of the inference process: separating files with a model that it keeps loaded."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.peaks import Peaks
from spleeter_microservice.sandbox.channel import Channel, error_message
from spleeter_microservice.sandbox.framing import Message
from spleeter_microservice.sandbox.messages import SeparationRequest, decode_model
from spleeter_microservice.sandbox.previews import Previews
from spleeter_microservice.separation.result import SeparatedSong, Stem
from spleeter_microservice.separation.separator import ModelFiles, StemSeparator, load_separator
from spleeter_microservice.separation.song import separate_song

_PROGRESS_SECONDS = 0.4
_PROGRESS_AT_MOST_EVERY = 0.05
_LARGEST = sys.float_info.max


def run(channel: Channel, setup: Message, in_force: list[str]) -> None:
    """Load the model, then carry out requests one after the other."""
    engine = Engine(channel, decode_model(setup["model"]), setup["cores"])
    try:
        separator = engine.load()
    except Exception as error:  # reported, whatever it is
        channel.send(error_message(error))
        return
    ready = {"type": "ready", "in_force": in_force, "provider": separator.provider}
    channel.serve(ready, lambda request: engine.separate(SeparationRequest.from_message(request)))


class ProgressReporter:
    """Reports the progress of a separation: after each block, and at least twice a second."""

    def __init__(self, channel: Channel, previews: Previews) -> None:
        self._channel = channel
        self._previews = previews
        self._state: tuple[int, int | None] = (0, None)
        self._steps = 0
        self._sent = 0.0
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def step(self) -> None:
        """Count a step that gives no samples yet, so that the parent knows that the separation goes on."""
        self._steps += 1

    def update(self, done: int, total: int | None) -> None:
        """Report the number of samples done and of all samples."""
        self._state = (done, total)
        if time.monotonic() - self._sent >= _PROGRESS_AT_MOST_EVERY:
            self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        done, total = self._state
        counts = {"done": done, "total": total, "steps": self._steps, "segments": self._previews.segments}
        self._channel.send({"type": "progress", **counts})

    def _tick(self) -> None:
        while not self._finished.wait(_PROGRESS_SECONDS):
            self._send()

    def __enter__(self) -> ProgressReporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()
        self._send()  # the last block may have come too soon after another


class Engine:
    """The separator of the model that was requested last, which it keeps loaded."""

    def __init__(self, channel: Channel, model: ModelFiles, cores: int | None) -> None:
        self._channel, self._cores, self._default = channel, cores, model
        self._model: ModelFiles | None = None
        self._separator: StemSeparator | None = None

    def load(self, model: ModelFiles | None = None) -> StemSeparator:
        """Return the separator of a model, loading it unless it is the one that is loaded."""
        model = model or self._default
        if self._separator is None or model != self._model:
            if self._separator is not None:
                self._separator.close()  # first, so that there is never memory in use for two models
            self._separator = None
            self._separator = load_separator(model, self._cores)
            self._model = model
        return self._separator

    def separate(self, request: SeparationRequest) -> Message:
        """Separate a file and return the result as a message."""
        separator = self.load(request.model.files if request.model else None)
        peaks = {name: Peaks() for name in request.paths}

        def watch(waveforms: Mapping[str, Waveform]) -> None:
            for name, peak in peaks.items():
                peak.add(waveforms[name])
            previews.add(waveforms)

        with (
            Previews(request, separator.sample_rate) as previews,
            ProgressReporter(self._channel, previews) as reporter,
        ):
            song = separate_song(
                separator,
                request.source,
                request.paths,
                request.options,
                progress=reporter.update,
                watch=watch,
                check=reporter.step,
            )
            previews.finish()
        return described(song, peaks)


def described(song: SeparatedSong, peaks: Mapping[str, Peaks]) -> Message:
    """Return a result as a message."""

    def files(stems: Mapping[str, Stem]) -> Message:
        return {
            name: asdict(stem)
            | {"path": None, "samples_per_pixel": peaks[name].samples_per_pixel, "peaks": peaks[name].data()}
            for name, stem in stems.items()
        }

    whole = asdict(song) | {"source": None, "stems": files(song.stems), "mixes": files(song.mixes)}
    return {"type": "result", **_finite(whole)}


def _finite(value: Any) -> Any:
    """Return a value whose infinities and NaN become finite, because JSON has neither."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [*map(_finite, value)]
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0 if math.isnan(value) else math.copysign(_LARGEST, value)
    return value
