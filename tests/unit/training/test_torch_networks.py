"""The networks in PyTorch compute the same as those that the service runs."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from spleeter_microservice.separation.spleeter import masks
from spleeter_microservice.separation.spleeter.architecture import Activation, Kind, UNetArchitecture
from spleeter_microservice.separation.spleeter.network import OnnxNetworks
from spleeter_microservice.training.loss import stem_losses
from spleeter_microservice.training.torch_networks import TorchNetworks, initial_arrays
from tests.support.random_models import TINY, random_arrays, written

torch.set_num_threads(1)  # networks this small are slower on more

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def mix(architecture: UNetArchitecture, segments: int = 1) -> Array:
    shape = (segments, 2, architecture.segment_frames, architecture.bins)
    return np.random.default_rng(0).exponential(1, shape).astype(np.float32)


def by_engine(architecture: UNetArchitecture, folder: Path, magnitude: Array) -> list[Array]:
    networks = OnnxNetworks(folder, architecture, cores=1)
    outputs = [networks.run(k, magnitude) for k in range(len(architecture.stems))]
    return masks.stem_magnitudes(architecture, outputs, magnitude)


def by_torch(networks: TorchNetworks, magnitude: Array) -> list[Array]:
    with torch.no_grad():
        return list(networks.estimates(torch.from_numpy(magnitude)).numpy())


@pytest.mark.parametrize("kind", ["unet", "softmax_unet"])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_pytorch_and_onnx_runtime_compute_the_same(
    tmp_path: Path, kind: Kind, activation: Activation
) -> None:
    architecture = replace(TINY, kind=kind, conv_activation=activation, deconv_activation=activation)
    arrays = written(architecture, tmp_path)
    magnitude = mix(architecture)
    expected = by_engine(architecture, tmp_path, magnitude)
    found = by_torch(TorchNetworks(architecture, arrays), magnitude)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * magnitude.max())


def test_arrays_are_returned_unchanged() -> None:
    arrays = random_arrays(TINY)
    found = TorchNetworks(TINY, arrays).arrays()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_all_variables_but_means_and_variances_are_trained() -> None:
    networks = TorchNetworks(TINY, random_arrays(TINY))
    fixed = {name.rpartition("/")[2] for name, x in networks.variables.items() if not x.requires_grad}
    assert fixed == {"moving_mean", "moving_variance"}
    assert len(networks.trained()) == sum(x.requires_grad for x in networks.variables.values())


def test_initial_weights_are_distributed_as_in_keras() -> None:
    arrays = initial_arrays(TINY, seed=1)
    kernel = arrays["conv2d_2/kernel"]  # (5, 5, 3, 4)
    limit = np.sqrt(6 / (5 * 5 * 3))
    assert 0.9 * limit < np.abs(kernel).max() <= limit
    assert not arrays["conv2d/bias"].any()
    assert (arrays["batch_normalization/gamma"] == 1).all()
    assert (arrays["batch_normalization/moving_variance"] == 1).all()
    np.testing.assert_array_equal(initial_arrays(TINY, seed=1)["conv2d/kernel"], arrays["conv2d/kernel"])
    assert not np.array_equal(initial_arrays(TINY, seed=2)["conv2d/kernel"], arrays["conv2d/kernel"])


def test_losses_follow_the_formulas_of_spleeter() -> None:
    random = np.random.default_rng(0)
    estimates, references = random.random((2, 2, 3, 2, 8, 8), np.float32)
    difference = np.abs(estimates - references)
    plain = stem_losses(torch.from_numpy(estimates), torch.from_numpy(references), "L1_mask")
    np.testing.assert_allclose(plain, difference.mean(axis=(1, 2, 3, 4)), rtol=1e-5)
    weights = references.mean(axis=(2, 3, 4), keepdims=True)
    weighted = stem_losses(torch.from_numpy(estimates), torch.from_numpy(references), "weighted_L1_mask")
    np.testing.assert_allclose(weighted, (weights * difference).mean(axis=(1, 2, 3, 4)), rtol=1e-5)
