"""Brings a trained network into the file that the service runs, with a record of where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from spleeter_microservice.training.lite import graph
from spleeter_microservice.training.lite.features import Array
from spleeter_microservice.training.lite.network import LiteNetwork

FRAMES = 512
"""Of a segment in the service."""


def load(checkpoint: Path) -> LiteNetwork:
    """Give the averaged network of a checkpoint of ``train``."""
    network = LiteNetwork()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    network.eval()
    return network


def folded(network: LiteNetwork) -> Mapping[str, tuple[Array, Array]]:
    """Give kernel and bias of each convolution, the normalisation that follows it folded in."""
    found = {"last": (_array(network.last.weight), _array(network.last.bias))}
    for part in ("down", "middle", "up"):
        for i, layer in enumerate(getattr(network, part)):
            convolution, norm = layer
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
            kernel = _array(convolution.weight) * scale[:, None, None, None]
            found[f"{part}.{i}"] = kernel, _array(norm.bias) - _array(norm.running_mean) * scale
    return found


def export(network: LiteNetwork, path: Path) -> None:
    """Write a network as the service runs it."""
    model = graph.write(folded(network), FRAMES)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _array(tensor: torch.Tensor | None) -> Array:
    assert tensor is not None
    array: Array = tensor.detach().numpy().astype(np.float32)
    return array
