"""The convolutions of a lite network as its graph stores them, with normalisations folded in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from research.lite.features import CHANNELS
from research.lite.network import OUTPUTS, TRUSTING, WIDTHS
from spleeter_microservice.arrays import Array

Convolutions = Mapping[str, tuple[Array, Array]]
"""Kernel and bias by name: ``down.0`` …, ``middle.0`` …, ``up.0`` …, ``last``, ``shortcut``."""

_MIDDLE = 2
NAMES = (
    *(f"down.{i}" for i in range(len(WIDTHS))),
    *(f"middle.{i}" for i in range(_MIDDLE)),
    *(f"up.{i}" for i in range(len(WIDTHS) - 1)),
    *("last", "shortcut"),
)
"""Names of the convolutions, in the order of computation."""

_POSITIONS = 2  # number of inputs that encode positions; they come last


def read(graph: Path) -> Convolutions:
    """Read the graph of one network, and widen one that has fewer inputs or outputs.

    A widened network ignores the added inputs, and computes the added outputs as an untrained network does.

    Raises:
        ValueError: if the graph does not have the convolutions of one network.
    """
    content = onnx.load(graph).graph
    constants = {each.name: numpy_helper.to_array(each) for each in content.initializer}
    halves = {node.output[0]: constants[node.input[0]] for node in content.node if node.op_type == "Cast"}
    found = [
        (halves[node.input[1]].astype(np.float32), halves[node.input[2]].astype(np.float32))
        for node in content.node
        if node.op_type == "Conv"
    ]
    if len(found) != len(NAMES):
        raise ValueError(
            f"{graph} has {len(found)} convolutions instead of the {len(NAMES)} of one lite network: "
            "pass a graph that was exported without --begin."
        )
    return _widened(dict(zip(NAMES, found, strict=True)))


def _widened(convolutions: Convolutions) -> Convolutions:
    found = dict(convolutions)
    for name in ("down.0", "shortcut"):
        kernel, bias = found[name]
        missing = CHANNELS + _POSITIONS - kernel.shape[1]
        found[name] = np.insert(kernel, [kernel.shape[1] - _POSITIONS] * missing, 0, axis=1), bias
    for name, outputs, logit in (("last", 4 * 2 * OUTPUTS, TRUSTING), ("shortcut", 2 * OUTPUTS, 0.0)):
        kernel, bias = found[name]
        missing = outputs - len(bias)
        kernel = np.concatenate([kernel, np.zeros((missing, *kernel.shape[1:]), np.float32)])
        found[name] = kernel, np.concatenate([bias, np.full(missing, logit, np.float32)])
    return found
