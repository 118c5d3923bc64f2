"""Building of a model's ONNX graphs from its weights, and reading of the weights from the graphs.

Each stem has its own graph. Its input is the mix's magnitude spectrogram, its output the stem's
magnitudes (``unet``) or mask logits (``softmax_unet``). The definition is Deezer's
``spleeter/model/functions/unet.py``; docs/decisions/0002-network-form.md explains the form of the
transposed convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import (
    GRAPH_INPUT,
    LAYERS,
    NORM_PARTS,
    Activation,
    Layer,
    UNetArchitecture,
)

_OUTPUT = "output"
_OPSET = 17
_BATCH_NORM_EPSILON = 1e-3
_LEAKY_SLOPE = 0.2
# TensorFlow's "same" padding of a stride-2 convolution with a 5×5 kernel over an even size: one
# row and column before, two after.
_STRIDED = {"strides": [2, 2], "pads": [1, 1, 2, 2]}
# Rows (or columns) of the kernel of a stride-2 transposed convolution that contribute to an even
# and to an odd row of its output, in the order of the input rows m − 1, m, m + 1.
_TAPS = {0: (3, 1), 1: (4, 2, 0)}
# The last transposed convolution has a single output channel, too few for the split to pay off.
_SPLIT_LAYERS = LAYERS - 1


def write_networks(architecture: UNetArchitecture, arrays: Mapping[str, Array], folder: Path) -> None:
    """Write ``{stem}.onnx`` and ``{stem}.bin`` (its weights) for each stem.

    Args:
        architecture: architecture of the model.
        arrays: all of ``architecture.variables()``, in TensorFlow's layout.
        folder: an existing directory.
    """
    for position, stem in enumerate(architecture.stems):
        graph = _Graph(arrays)
        _build(graph, architecture, position)
        graph.save(architecture, folder, stem)


def read_arrays(architecture: UNetArchitecture, folder: Path) -> dict[str, Array]:
    """Read exactly the arrays that ``write_networks`` wrote."""
    arrays: dict[str, Array] = {}
    shapes = architecture.variables()
    for stem in architecture.stems:
        model = onnx.load_model(folder / f"{stem}.onnx")
        for tensor in model.graph.initializer:
            name, _, phase = tensor.name.partition(":")
            if name not in shapes:
                continue
            stored = numpy_helper.to_array(tensor)
            if phase:
                whole = arrays.setdefault(name, np.zeros(shapes[name], np.float32))
                rows, columns = _TAPS[int(phase[0])], _TAPS[int(phase[1])]
                whole[np.ix_(rows, columns)] = stored.transpose(2, 3, 0, 1)
            else:
                arrays[name] = np.ascontiguousarray(_to_tensorflow(name, stored))
    return arrays


class _Graph:
    """A graph under construction; the methods that add to it return a tensor's name."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays = arrays
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def variable(self, name: str) -> str:
        """Add a weight of the checkpoint, in ONNX's layout."""
        return self.constant(name, _to_onnx(name, self.arrays[name]))

    def layer(self, kind: str, x: str, layer: Layer, **attributes: Any) -> str:
        """Add a convolution with its kernel and bias."""
        weights = (self.variable(f"{layer.name}/{part}") for part in ("kernel", "bias"))
        return self.op(kind, x, *weights, **attributes)

    def save(self, architecture: UNetArchitecture, folder: Path, stem: str) -> None:
        shape: list[str | int | None] = [1, 2, architecture.segment_frames, "bins"]
        graph = helper.make_graph(
            self.nodes,
            stem,
            [helper.make_tensor_value_info(GRAPH_INPUT, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, shape)],
            list(self.initializers.values()),
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=8,
            producer_name="spleeter-microservice",
        )
        # Weights outside the graph are mapped into memory instead of being parsed.
        external_data_helper.convert_model_to_external_data(model, location=f"{stem}.bin")
        onnx.save_model(model, folder / f"{stem}.onnx")
        (folder / f"{stem}.bin").chmod(0o644)  # onnx makes it readable by its owner only


def _build(graph: _Graph, architecture: UNetArchitecture, position: int) -> None:
    hidden = GRAPH_INPUT
    skips: list[str] = []
    *encoder, innermost = architecture.encoder(position)
    for layer in encoder:
        skips.append(graph.layer("Conv", hidden, layer, **_STRIDED))
        normed = _batch_norm(graph, skips[-1], layer)
        hidden = _activate(graph, normed, architecture.conv_activation)
    hidden = graph.layer("Conv", hidden, innermost, **_STRIDED)
    _norm_variables(graph, innermost)  # on which nothing depends; kept so that they can be read back
    for j, layer in enumerate(architecture.decoder(position)):
        if j < _SPLIT_LAYERS:
            height = architecture.segment_frames >> (LAYERS - j)
            hidden = _split_transposed(graph, hidden, layer, height, architecture.deconv_activation)
        else:
            transposed = graph.layer("ConvTranspose", hidden, layer, **_STRIDED)
            hidden = _activate(graph, transposed, architecture.deconv_activation)
        hidden = _batch_norm(graph, hidden, layer)
        if skips:
            hidden = graph.op("Concat", skips.pop(), hidden, axis=1)
    last = architecture.last_layer(position)
    logits = graph.layer("Conv", hidden, last, dilations=[2, 2], pads=[3, 3, 3, 3])
    if architecture.kind == "softmax_unet":
        graph.op("Identity", logits)
    else:
        # Not Sigmoid: ONNX Runtime computes it as a rational function with an absolute error of
        # 1e-7, which spoils the ratios of the stems where all their masks are small.
        one = graph.constant("one", np.ones(1, np.float32))
        exponential = graph.op("Exp", graph.op("Neg", logits))
        graph.op("Div", GRAPH_INPUT, graph.op("Add", exponential, one))
    graph.nodes[-1].output[0] = _OUTPUT


def _batch_norm(graph: _Graph, x: str, layer: Layer) -> str:
    """Normalise with a depthwise 1×1 convolution, which fuses with the activation after it.

    When it loads the graph, ONNX Runtime folds the arithmetic on the four weights into two constants.
    """
    gamma, beta, mean, variance = _norm_variables(graph, layer)
    epsilon = graph.constant("epsilon", np.float32(_BATCH_NORM_EPSILON).reshape(1))
    scale = graph.op("Div", gamma, graph.op("Sqrt", graph.op("Add", variance, epsilon)))
    shift = graph.op("Sub", beta, graph.op("Mul", mean, scale))
    kernel = graph.op("Reshape", scale, graph.constant("depthwise", np.array([-1, 1, 1, 1], np.int64)))
    return graph.op("Conv", x, kernel, shift, group=layer.filters)


def _norm_variables(graph: _Graph, layer: Layer) -> list[str]:
    return [graph.variable(f"{layer.norm}/{part}") for part in NORM_PARTS]


def _activate(graph: _Graph, x: str, activation: Activation) -> str:
    if activation == "LeakyReLU":
        return graph.op("LeakyRelu", x, alpha=_LEAKY_SLOPE)
    return graph.op("Relu" if activation == "ReLU" else "Elu", x)


def _split_transposed(graph: _Graph, x: str, layer: Layer, height: int, activation: Activation) -> str:
    """Add a transposed convolution as four plain ones, for even and odd rows and columns.

    Either the odd or the even rows of the kernel contribute to an output row, so four small
    convolutions do only the multiplications needed, at the speed of plain convolutions. Two
    transpositions then interleave their outputs.

    Args:
        graph: the graph under construction.
        x: name of the input, shape (1, in, height, width).
        layer: the layer.
        height: number of rows of the input.
        activation: activation, applied before the outputs are interleaved.
    """
    kernel, bias = graph.arrays[f"{layer.name}/kernel"], graph.variable(f"{layer.name}/bias")
    parts = []
    for odd_row, rows in _TAPS.items():
        for odd_column, columns in _TAPS.items():
            part = kernel[np.ix_(rows, columns)].transpose(2, 3, 0, 1)
            weights = graph.constant(f"{layer.name}/kernel:{odd_row}{odd_column}", part)
            pads = [1, 1, odd_row, odd_column]
            parts.append(_activate(graph, graph.op("Conv", x, weights, bias, pads=pads), activation))
    phases = graph.op("Concat", *parts, axis=1)
    columns_last = graph.op("Reshape", phases, _shape(graph, 2, 2, -1))
    columns_in = graph.op("Transpose", columns_last, perm=[0, 2, 1])
    rows_first = graph.op("Reshape", columns_in, _shape(graph, 2, layer.filters * height, -1))
    rows_in = graph.op("Transpose", rows_first, perm=[1, 0, 2])
    return graph.op("Reshape", rows_in, _shape(graph, 1, layer.filters, 2 * height, -1))


def _shape(graph: _Graph, *sizes: int) -> str:
    return graph.constant("shape:" + "×".join(map(str, sizes)), np.array(sizes, np.int64))


def _to_onnx(name: str, array: Array) -> Array:
    """Transpose a kernel to (out, in, height, width), a transposed one to (in, out, height, width)."""
    return array.transpose(3, 2, 0, 1) if name.endswith("/kernel") else array


def _to_tensorflow(name: str, array: Array) -> Array:
    return array.transpose(2, 3, 1, 0) if name.endswith("/kernel") else array
