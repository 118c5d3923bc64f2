"""The networks of a model, run with ONNX Runtime."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import onnxruntime as ort

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.separation.device import available_cores
from spleeter_microservice.separation.spleeter.architecture import GRAPH_INPUT, UNetArchitecture
from spleeter_microservice.separation.spleeter.forking import CALLS

Start: TypeAlias = Callable[[Callable[[], Array]], Future[Array]]
"""Starts a computation in another thread."""

# Networks that run at the same time; each holds about 60 MB of activations.
_MOST_AT_ONCE = 4
_ERRORS_ONLY = 3
_GROW_AS_REQUESTED = 1


class OnnxNetworks:
    """The loaded networks of one model; several threads may run them at a time.

    Args:
        folder: directory with ``{instrument}.onnx`` and ``{instrument}.bin`` of each stem.
        architecture: architecture of the model.
        cores: number of processor cores to use; by default all that this process may use.

    Attributes:
        at_once: number of threads that should call ``run`` for the cores to be well used.
        threads: number of threads that each call of ``run`` uses.
        provider: ONNX Runtime's name for what it runs the networks on.

    Raises:
        ModelCorruptError: if ONNX Runtime cannot load a graph.
    """

    def __init__(self, folder: Path, architecture: UNetArchitecture, cores: int | None = None) -> None:
        cores = cores or available_cores()
        self.at_once = min(cores, _MOST_AT_ONCE)
        self._running = threading.BoundedSemaphore(self.at_once)  # also for several songs
        _share_memory()
        self.threads = cores // self.at_once
        graphs = [folder / f"{stem}.onnx" for stem in architecture.stems]
        load = functools.partial(load_graph, options=session_options(architecture, self.threads))
        with ThreadPoolExecutor(self.at_once) as pool:
            self._sessions = list(pool.map(load, graphs))
        self.provider: str = self._sessions[0].get_providers()[0]

    def close(self) -> None:
        """Free the networks' memory."""
        with CALLS:
            self._sessions.clear()

    def submit(self, start: Start, magnitude: Array) -> list[Future[Array]]:
        """Start to compute the outputs of a segment: one array, as ``run`` returns it, per stem.

        Args:
            start: starts a computation in another thread.
            magnitude: shape (1, 2, segment_frames, bins).
        """
        return [
            start(functools.partial(self.run, position, magnitude)) for position in range(len(self._sessions))
        ]

    def run(self, position: int, magnitude: Array) -> Array:
        """Compute the output for one stem.

        Args:
            position: position of the stem in the architecture.
            magnitude: shape (1, 2, segment_frames, bins).

        Returns:
            An array of that shape: the stem's estimate, or its logits.
        """
        return self._call(position, {GRAPH_INPUT: magnitude})

    def _call(self, position: int, inputs: dict[str, Array]) -> Array:
        with self._running, CALLS:
            outputs: Sequence[Array] = self._sessions[position].run(None, inputs)
        return outputs[0]


def load_graph(path: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Load a network, for CUDA if ONNX Runtime's build for it is installed.

    Raises:
        ModelCorruptError: if ONNX Runtime cannot load it.
    """
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    try:
        with CALLS:
            providers = [provider for provider in wanted if provider in ort.get_available_providers()]
            return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no other base
        raise ModelCorruptError(f"The network {path} cannot be loaded: {error}") from error


def session_options(architecture: UNetArchitecture, threads: int) -> ort.SessionOptions:
    """Return the options that ONNX Runtime runs a network of a model with."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_free_dimension_override_by_name("bins", architecture.bins)
    # With a planned layout, each concurrent run would reserve memory for all activations again.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


@functools.cache
def _share_memory() -> None:
    """Make all sessions of this process share one arena, because their peaks do not coincide."""
    with CALLS:
        memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, _GROW_AS_REQUESTED, -1, -1))
