"""Writes the lite network as one ONNX graph: magnitudes in, masks out, features and all in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spleeter_microservice.training.lite.bands import BANDS, BINS, GROUPS, PAIR
from spleeter_microservice.training.lite.features import CONTEXT, FLOOR, SCALE, Array
from spleeter_microservice.training.lite.score import STEMS

INPUT, OUTPUT = "magnitude", "masks"

_OPSET = 17
_TINY = 1e-12


class GraphWriter:
    """Nodes and initializers under construction; every method returns a tensor's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, array: NDArray[np.generic]) -> str:
        """Bring in a constant as it is."""
        key = f"constant_{array.dtype}_{array.shape}_{hash(array.tobytes())}"
        names = {existing.name for existing in self.initializers.values()}
        name = self.initializers[key].name if key in self.initializers else f"constant_{len(names)}"
        self.initializers.setdefault(key, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        """Bring in a number."""
        return self.constant(np.float32(value).reshape(1))

    def weights(self, array: Array) -> str:
        """Bring in weights, stored in 16 bits; the runtime widens them once, when it loads."""
        return self.op("Cast", self.constant(array.astype(np.float16)), to=TensorProto.FLOAT)

    def part(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """Cut out a part along an axis."""
        return self.op(
            "Slice", x, *(self.constant(np.array([n], np.int64)) for n in (start, end, axis, step))
        )

    def model(self, frames: int) -> onnx.ModelProto:
        """Finish; the last node's output is the graph's."""
        self.nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self.nodes,
            "lite",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 2, frames, BINS])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [len(STEMS), 2, frames, BINS])],
            list(self.initializers.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="spleeter-microservice"
        )


def write(convolutions: Mapping[str, tuple[Array, Array]], frames: int) -> onnx.ModelProto:
    """Write the graph.

    Args:
        convolutions: kernel and bias of each, the normalisation folded in: ``down.0`` …,
            ``middle.0`` …, ``up.0`` …, ``last``, ``shortcut``.
        frames: of a segment.

    Returns:
        a model that takes magnitudes of shape (1, 2, frames, BINS) and gives masks of shape
        (stems, 2, frames, BINS), in the order of ``STEMS``.
    """
    graph = GraphWriter()
    seen, skips = _features(graph, frames), []
    x = seen
    for name in _named(convolutions, "down"):
        x = graph.op("Relu", _convolved(graph, x, convolutions[name], stride=2))
        skips.append(x)
    for name in _named(convolutions, "middle"):
        x = graph.op("Relu", graph.op("Add", x, _convolved(graph, x, convolutions[name])))
    for name, skip in zip(_named(convolutions, "up"), reversed(skips[:-1]), strict=True):
        x = graph.op(
            "Relu", graph.op("Add", _enlarged(graph, _convolved(graph, x, convolutions[name])), skip)
        )
    logits = graph.op(
        "Add",
        _enlarged(graph, _convolved(graph, x, convolutions["last"])),
        _convolved(graph, seen, convolutions["shortcut"]),
    )
    shape = graph.constant(np.array([len(STEMS), 2, frames // PAIR, BANDS], np.int64))
    masks = _shared_out(graph, graph.op("Reshape", logits, shape))
    scales = graph.constant(np.array([1, 1, PAIR, 1], np.float32))
    smooth = graph.op("Resize", masks, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    _spread(graph, smooth)
    return graph.model(frames)


def _named(convolutions: Mapping[str, object], part: str) -> Sequence[str]:
    return sorted(name for name in convolutions if name.startswith(f"{part}."))


def _convolved(graph: GraphWriter, x: str, weights: tuple[Array, Array], stride: int = 1) -> str:
    kernel, bias = weights
    border = kernel.shape[2] // 2
    return graph.op(
        "Conv", x, graph.weights(kernel), graph.weights(bias), strides=[stride] * 2, pads=[border] * 4
    )


def _enlarged(graph: GraphWriter, x: str) -> str:
    return graph.op("DepthToSpace", x, blocksize=2, mode="CRD")


def _shared_out(graph: GraphWriter, logits: str) -> str:
    """Take the softmax over the first axis, for which the runtime's own is slow."""
    highest = graph.op("ReduceMax", logits, axes=[0], keepdims=1)
    exponentials = graph.op("Exp", graph.op("Sub", logits, highest))
    total = graph.op("ReduceSum", exponentials, graph.constant(np.array([0], np.int64)), keepdims=1)
    return graph.op("Div", exponentials, total)


def _spread(graph: GraphWriter, masks: str) -> str:
    """Give each bin its band's mask, by products, which are faster than copying number by number."""
    parts, first = [], 0
    for start, end, width in GROUPS:
        count = (end - start) // width
        part = graph.part(masks, 3, first, first + count)
        if width > 1:
            part = graph.op(
                "MatMul", part, graph.constant(np.repeat(np.eye(count, dtype=np.float32), width, 1))
            )
        parts.append(part)
        first += count
    return graph.op("Concat", *parts, axis=3)


def _features(graph: GraphWriter, frames: int) -> str:
    """Compute what ``features.features`` does, and the positions."""
    power = graph.op("ReduceMean", graph.op("Mul", INPUT, INPUT), axes=[0, 1, 2, 3], keepdims=1)
    level = graph.op("Add", graph.op("Sqrt", power), graph.number(_TINY))
    relative = graph.op("Add", graph.op("Div", INPUT, level), graph.number(FLOOR))
    scale = graph.number(SCALE)
    loud = graph.op("Mul", graph.op("Log", _averaged(graph, relative)), scale)
    logarithms = graph.op("Mul", _averaged(graph, graph.op("Log", relative)), scale)
    tonal = _paired(graph, graph.op("Sub", logarithms, loud))
    mean = _paired(graph, loud)
    half = CONTEXT // 2
    steady = _neighbourhood(graph, mean, [half, 1])
    broad = _neighbourhood(graph, mean, [1, CONTEXT])
    even, odd = (graph.part(loud, 2, i, frames, PAIR) for i in range(PAIR))
    contrasts = [graph.op("Sub", mean, steady), graph.op("Sub", mean, broad)]
    linear = np.linspace(-1, 1, BANDS, dtype=np.float32)
    positions = np.stack([linear, np.exp(-4 * (linear + 1))])[None, :, None]
    shape = (1, 2, frames // PAIR, BANDS)
    placed = graph.op("Expand", graph.constant(positions), graph.constant(np.array(shape, np.int64)))
    return graph.op("Concat", even, odd, tonal, *contrasts, placed, axis=1)


def _averaged(graph: GraphWriter, x: str) -> str:
    parts = []
    for start, end, width in GROUPS:
        part = graph.part(x, 3, start, end)
        if width > 1:
            part = graph.op("AveragePool", part, kernel_shape=[1, width], strides=[1, width])
        parts.append(part)
    return graph.op("Concat", *parts, axis=3)


def _paired(graph: GraphWriter, x: str) -> str:
    return graph.op("AveragePool", x, kernel_shape=[PAIR, 1], strides=[PAIR, 1])


def _neighbourhood(graph: GraphWriter, x: str, kernel: list[int]) -> str:
    pads = [kernel[0] // 2, kernel[1] // 2] * 2
    return graph.op("AveragePool", x, kernel_shape=kernel, pads=pads, count_include_pad=0)
