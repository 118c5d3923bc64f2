"""Models with random weights, small enough to run in unit tests."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.catalogue import ModelEntry, Release
from spleeter_microservice.models.tensorflow.checkpoint_reader import official_sha256
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.unet_graph import write_networks
from tests.support.tensorflow_files import write_checkpoint

TINY = UNetArchitecture(
    ("vocals", "drums", "other"),
    conv_n_filters=(2, 3, 4, 4, 4, 4),
    bins=64,
    segment_frames=64,
    n_fft=256,
    hop_length=64,
)


def random_arrays(architecture: UNetArchitecture, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return weights whose networks' outputs neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in architecture.variables().items():
        if name.endswith("kernel"):
            values = rng.normal(0, 1.5 / np.sqrt(np.prod(shape) / shape[-1]), shape)
        elif name.endswith(("gamma", "moving_variance")):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.2, shape)
        arrays[name] = values.astype(np.float32)
    return arrays


def written(architecture: UNetArchitecture, folder: Path, seed: int = 0) -> Mapping[str, NDArray[np.float32]]:
    """Write the networks of a random model and return its weights."""
    arrays = random_arrays(architecture, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_networks(architecture, arrays, folder)
    return arrays


def random_entry(name: str, architecture: UNetArchitecture) -> ModelEntry:
    """Return the entry of a model with the weights of ``random_arrays``."""
    arrays = random_arrays(architecture)
    return ModelEntry(
        name,
        stems=architecture.stems,
        sha256=official_sha256(arrays),
        size=sum(array.nbytes for array in arrays.values()) + 8,
        source=Release(f"{name}.tar.gz"),
        sample_rate=architecture.sample_rate,
        config=architecture.to_config(),
    )


def write_configured(folder: Path) -> Path:
    """Write a checkpoint of random weights, and return its configuration file in Spleeter's format."""
    write_checkpoint(folder / "tiny" / "model", random_arrays(TINY))
    configuration = {
        "instrument_list": TINY.stems,
        "sample_rate": TINY.sample_rate,
        "frame_length": TINY.n_fft,
        "frame_step": TINY.hop_length,
        "T": TINY.segment_frames,
        "F": TINY.bins,
        "model": {"type": "unet.unet", "params": {"conv_n_filters": TINY.conv_n_filters}},
        "model_dir": "tiny",
    }
    path = folder / "config.json"
    path.write_text(json.dumps(configuration))
    return path
