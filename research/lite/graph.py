"""The ONNX graph of lite networks, which computes shares from magnitudes, including the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from research.lite.bands import BANDS, BINS, GROUPS, PAIR
from research.lite.convolutions import Convolutions
from research.lite.features import CONTEXT, FLOOR, SCALE
from research.lite.network import OUTPUTS
from research.lite.score import STEMS
from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.cascade import ACCOMPANIMENT_INPUT, VOCALS_INPUT

OUTPUT = "shares"

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
        """Add a constant."""
        key = f"constant_{array.dtype}_{array.shape}_{hash(array.tobytes())}"
        names = {existing.name for existing in self.initializers.values()}
        name = self.initializers[key].name if key in self.initializers else f"constant_{len(names)}"
        self.initializers.setdefault(key, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        """Add a number."""
        return self.constant(np.float32(value).reshape(1))

    def weights(self, array: Array) -> str:
        """Add weights, stored in 16 bits; ONNX Runtime widens them once, when it loads the graph."""
        return self.op("Cast", self.constant(array.astype(np.float16)), to=TensorProto.FLOAT)

    def part(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """Add a slice along an axis."""
        return self.op(
            "Slice", x, *(self.constant(np.array([n], np.int64)) for n in (start, end, axis, step))
        )

    def model(self, frames: int) -> onnx.ModelProto:
        """Return the finished model, whose output is that of the last node."""
        self.nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self.nodes,
            "lite",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, frames, BINS])
                for name in (ACCOMPANIMENT_INPUT, VOCALS_INPUT)
            ],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [OUTPUTS, 2, frames, BINS])],
            list(self.initializers.values()),
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="spleeter-microservice"
        )


def write(networks: Sequence[Convolutions], frames: int, softness: float = 1.0) -> onnx.ModelProto:
    """Build the graph of one or several networks.

    Args:
        networks: networks whose shares are averaged.
        frames: length of a segment.
        softness: exponent of the stems' shares, which are normalised again to sum to 1.

    Returns:
        A model that takes the magnitudes of accompaniment and vocals, shape (1, 2, frames, BINS), and returns
        the networks' shares for each frame and bin, shape (OUTPUTS, 2, frames, BINS).
    """
    graph = GraphWriter()
    seen = _features(graph, frames)
    shares = graph.op("Mean", *(_shares(graph, seen, network, frames) for network in networks))
    stems = graph.op("Pow", graph.part(shares, 0, 0, len(STEMS)), graph.number(softness))
    mistakes = graph.part(shares, 0, len(STEMS), OUTPUTS)
    shares = graph.op("Concat", _summing_to_1(graph, stems), mistakes, axis=0)
    scales = graph.constant(np.array([1, 1, PAIR, 1], np.float32))
    smooth = graph.op(
        "Resize", shares, "", scales, mode="linear", coordinate_transformation_mode="half_pixel"
    )
    _spread(graph, smooth)
    return graph.model(frames)


def _shares(graph: GraphWriter, seen: str, network: Convolutions, frames: int) -> str:
    """Add a network; its output has the shape (OUTPUTS, 2, pairs, BANDS)."""
    x, skips = seen, []
    for name in _named(network, "down"):
        x = graph.op("Relu", _convolved(graph, x, network[name], stride=2))
        skips.append(x)
    for name in _named(network, "middle"):
        x = graph.op("Relu", graph.op("Add", x, _convolved(graph, x, network[name])))
    for name, skip in zip(_named(network, "up"), reversed(skips[:-1]), strict=True):
        x = graph.op("Relu", graph.op("Add", _enlarged(graph, _convolved(graph, x, network[name])), skip))
    logits = graph.op(
        "Add",
        _enlarged(graph, _convolved(graph, x, network["last"])),
        _convolved(graph, seen, network["shortcut"]),
    )
    shape = graph.constant(np.array([OUTPUTS, 2, frames // PAIR, BANDS], np.int64))
    logits = graph.op("Reshape", logits, shape)
    stems = graph.part(logits, 0, 0, len(STEMS))
    # ONNX Runtime's own softmax is slow over the first axis.
    highest = graph.op("ReduceMax", stems, axes=[0], keepdims=1)
    stems = _summing_to_1(graph, graph.op("Exp", graph.op("Sub", stems, highest)))
    mistakes = graph.op("Sigmoid", graph.part(logits, 0, len(STEMS), OUTPUTS))
    return graph.op("Concat", stems, mistakes, axis=0)


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


def _summing_to_1(graph: GraphWriter, values: str) -> str:
    """Divide by the sum over the first axis."""
    total = graph.op("ReduceSum", values, graph.constant(np.array([0], np.int64)), keepdims=1)
    return graph.op("Div", values, total)


def _spread(graph: GraphWriter, masks: str) -> str:
    """Repeat each band's mask for all its bins, by matrix products, which are faster than copying."""
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
    """Add the features of ``features.features``, and the positions of the bands."""
    squared = graph.op("Mul", ACCOMPANIMENT_INPUT, ACCOMPANIMENT_INPUT)
    power = graph.op("ReduceMean", squared, axes=[0, 1, 2, 3], keepdims=1)
    level = graph.op("Add", graph.op("Sqrt", power), graph.number(_TINY))
    relative = graph.op("Add", graph.op("Div", ACCOMPANIMENT_INPUT, level), graph.number(FLOOR))
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
    vocals = _paired(graph, _averaged(graph, graph.op("Div", VOCALS_INPUT, level)))
    sung = graph.op("Mul", graph.op("Log", graph.op("Add", vocals, graph.number(FLOOR))), scale)
    linear = np.linspace(-1, 1, BANDS, dtype=np.float32)
    positions = np.stack([linear, np.exp(-4 * (linear + 1))])[None, :, None]
    shape = (1, 2, frames // PAIR, BANDS)
    placed = graph.op("Expand", graph.constant(positions), graph.constant(np.array(shape, np.int64)))
    return graph.op("Concat", even, odd, tonal, *contrasts, sung, placed, axis=1)


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
