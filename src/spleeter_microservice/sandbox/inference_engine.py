"""What the inference process does: separates files with networks that it keeps loaded."""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.codecs import OutputFormat
from spleeter_microservice.audio.peaks import Peaks
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.sandbox.channel import Channel
from spleeter_microservice.sandbox.framing import Message
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.song import Excerpt, SeparatedSong, separate_song
from spleeter_microservice.separation.spleeter.cascade import load_networks
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.pipeline import SpleeterSeparator

_PROGRESS_SECONDS = 0.4
_PROGRESS_AT_MOST_EVERY = 0.05
_LARGEST = sys.float_info.max
# How ONNX Runtime, whose errors have no classes, says that there is no memory.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")


def run(channel: Channel, setup: Message, in_force: list[str]) -> None:
    """Load the model, then separate what is asked for, one after the other."""
    engine = Engine(channel, InferenceModel.from_message(setup["model"]), setup["cores"])
    try:
        networks = engine.load()
    except Exception as error:  # is reported, whatever it is
        channel.send(error_message(error))
        return
    channel.send({"type": "ready", "in_force": in_force, "provider": networks.provider})
    channel.listen()
    while True:
        try:
            answer = engine.separate(SeparationRequest.from_message(channel.next_request()))
        except Exception as error:  # the same
            answer = error_message(error)
        channel.send(answer)


class ProgressReporter:
    """Sends how far a separation is: after each segment, and at least twice a second."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._state: tuple[int, int | None] = (0, None)
        self._sent = 0.0
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def update(self, done: int, total: int | None) -> None:
        """Take in what is done."""
        self._state = (done, total)
        if time.monotonic() - self._sent >= _PROGRESS_AT_MOST_EVERY:
            self._send()

    def _send(self) -> None:
        self._sent = time.monotonic()
        done, total = self._state
        self._channel.send({"type": "progress", "done": done, "total": total})

    def _tick(self) -> None:
        while not self._finished.wait(_PROGRESS_SECONDS):
            self._send()

    def __enter__(self) -> ProgressReporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()
        self._send()  # the last segment's, which may have come too soon after another


class Engine:
    """Separates with the networks of the model that was last asked for."""

    def __init__(self, channel: Channel, model: InferenceModel, cores: int | None) -> None:
        self._channel, self._cores, self._default = channel, cores, model
        self._model: InferenceModel | None = None
        self._networks: OnnxNetworks | None = None

    def load(self, model: InferenceModel | None = None) -> OnnxNetworks:
        """Give a model's networks, loading them if they are not those that are held."""
        model = model or self._default
        if self._networks is None or model != self._model:
            self._networks = None  # the memory of one model, not of two
            self._networks = load_networks(model.folder, model.architecture, self._cores, model.base)
            self._model = model
        return self._networks

    def separate(self, request: SeparationRequest) -> Message:
        """Separate a file and describe the result."""
        output_format = OutputFormat(request.codec, request.bitrate, request.bit_depth)
        excerpt = Excerpt(request.offset, request.duration)
        networks = self.load(request.model)
        architecture = (request.model or self._default).architecture
        peaks = {name: Peaks() for name in request.paths}

        def watch(waveforms: Mapping[str, Waveform]) -> None:
            for name, peak in peaks.items():
                peak.add(waveforms[name])

        with (
            ProgressReporter(self._channel) as ticker,
            SpleeterSeparator(
                architecture, networks, mwf=request.mwf, bandwidth=request.bandwidth
            ) as pipeline,
        ):
            song = separate_song(
                pipeline, request.source, request.paths, output_format, excerpt, ticker.update, watch
            )
        return described(song, peaks)


def described(song: SeparatedSong, peaks: Mapping[str, Peaks]) -> Message:
    """Give a result as a message; what is no finite number becomes one, as JSON has no others."""
    return {
        "type": "result",
        "stems": {
            name: {
                "clipped_samples": stem.clipped_samples,
                "quality": _finite(vars(stem.quality)),
                "samples_per_pixel": peaks[name].samples_per_pixel,
                "peaks": peaks[name].data(),
            }
            for name, stem in song.stems.items()
        },
        "quality": _finite({**vars(song.quality), "stems": None}),
        "stages": _finite(song.stages),
        "duration": song.duration,
        "samples": song.samples,
        "elapsed": song.elapsed,
        "first_block": song.first_block,
    }


def _finite(values: Any) -> Message:
    def finite(value: object) -> object:
        if not isinstance(value, float) or math.isfinite(value):
            return value
        return 0.0 if math.isnan(value) else math.copysign(_LARGEST, value)

    return {name: finite(value) for name, value in values.items()}


def error_message(error: BaseException) -> Message:
    """Give an error as a message: its class if it is one of this package's, and its text."""
    if _is_memory_error(error):
        return {"type": "error", "class": "JobMemoryLimitError", "message": ""}
    if isinstance(error, SpleeterError):
        return {"type": "error", "class": type(error).__name__, "message": str(error)[:2000]}
    trace = "".join(traceback.format_exception(error))[-2000:]
    return {"type": "error", "class": "", "message": f"{type(error).__name__}: {error}"[:500], "trace": trace}


def _is_memory_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(phrase in str(error) for phrase in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False
