"""The graphs compute Deezer's definition, and the weights can be read back from them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.separation.spleeter.architecture import (
    Activation,
    Kind,
    UNetArchitecture,
)
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.separation.spleeter.unet_graph import read_arrays
from tests.support.random_models import TINY, written

Array = NDArray[np.float64]


def numbered(base: str, k: int) -> str:
    """Return Keras's name of the k-th layer of one kind."""
    return base if k == 0 else f"{base}_{k}"


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "LeakyReLU": lambda x: np.where(x > 0, x, 0.2 * x),
    "ReLU": lambda x: np.maximum(x, 0),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


def convolution(x: Array, kernel: Array, bias: Array, stride: int, dilation: int) -> Array:
    """Compute TensorFlow's Conv2D with "same" padding for shape (height, width, channels)."""
    reach = dilation * (kernel.shape[0] - 1) + 1
    size = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    padding = [max((n - 1) * stride + reach - m, 0) for n, m in zip(size, x.shape, strict=False)]
    x = np.pad(x, [(p // 2, p - p // 2) for p in padding] + [(0, 0)])
    out = np.zeros((*size, kernel.shape[3])) + bias
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            rows = slice(i * dilation, i * dilation + (size[0] - 1) * stride + 1, stride)
            columns = slice(j * dilation, j * dilation + (size[1] - 1) * stride + 1, stride)
            out += x[rows, columns] @ kernel[i, j]
    return out


def transposed(x: Array, kernel: Array, bias: Array) -> Array:
    """Compute Conv2DTranspose with stride 2 and "same" padding: spread each input, then crop."""
    height, width, _ = x.shape
    full = np.zeros((2 * height + 3, 2 * width + 3, kernel.shape[2]))
    for i in range(5):
        for j in range(5):
            full[i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return full[1 : 1 + 2 * height, 1 : 1 + 2 * width] + bias


def reference(
    architecture: UNetArchitecture, weights: Mapping[str, NDArray[np.float32]], s: int, magnitude: Array
) -> Array:
    """Run network number s on (height, width, 2), layer by layer as Deezer's code does."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    down = ACTIVATIONS[architecture.conv_activation]
    up = ACTIVATIONS[architecture.deconv_activation]

    def layer(base: str, k: int) -> tuple[Array, Array]:
        return w[numbered(base, k) + "/kernel"], w[numbered(base, k) + "/bias"]

    def norm(x: Array, k: int) -> Array:
        gamma, beta, mean, variance = (
            w[numbered("batch_normalization", k) + "/" + part]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    x, skips = magnitude, []
    for j in range(6):
        skips.append(convolution(x, *layer("conv2d", 7 * s + j), stride=2, dilation=1))
        x = down(norm(skips[-1], 12 * s + j))
    x = skips.pop()
    for j in range(6):
        x = norm(up(transposed(x, *layer("conv2d_transpose", 6 * s + j))), 12 * s + 6 + j)
        if skips:
            x = np.concatenate([skips.pop(), x], axis=-1)
    logits = convolution(x, *layer("conv2d", 7 * s + 6), stride=1, dilation=2)
    return logits if architecture.kind == "softmax_unet" else magnitude / (1 + np.exp(-logits))


@pytest.mark.parametrize(("conv", "deconv"), [("LeakyReLU", "ReLU"), ("ELU", "ELU"), ("ReLU", "LeakyReLU")])
@pytest.mark.parametrize("kind", ["unet", "softmax_unet"])
def test_the_networks_compute_deezers_definition(
    tmp_path: Path, conv: Activation, deconv: Activation, kind: Kind
) -> None:
    architecture = replace(TINY, kind=kind, conv_activation=conv, deconv_activation=deconv)
    weights = written(architecture, tmp_path)
    magnitude = np.random.default_rng(1).uniform(0, 2, (1, 2, 64, 64)).astype(np.float32)
    networks = OnnxNetworks(tmp_path, architecture)
    for s in range(3):
        expected = reference(architecture, weights, s, magnitude[0].transpose(1, 2, 0).astype(np.float64))
        found = networks.run(s, magnitude)[0].transpose(1, 2, 0)
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def test_a_graph_works_with_any_number_of_bins(tmp_path: Path) -> None:
    weights = written(TINY, tmp_path)
    wider = replace(TINY, bins=128)
    magnitude = np.random.default_rng(1).uniform(0, 2, (1, 2, 64, 128)).astype(np.float32)
    expected = reference(wider, weights, 0, magnitude[0].transpose(1, 2, 0).astype(np.float64))
    found = OnnxNetworks(tmp_path, wider).run(0, magnitude)[0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def test_the_weights_are_read_back_exactly(tmp_path: Path) -> None:
    weights = written(TINY, tmp_path)
    back = read_arrays(TINY, tmp_path)
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_graph_that_cannot_be_loaded_is_reported(tmp_path: Path) -> None:
    written(TINY, tmp_path)
    (tmp_path / "drums.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        OnnxNetworks(tmp_path, TINY)
