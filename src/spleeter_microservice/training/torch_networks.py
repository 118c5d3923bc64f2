"""The U-Nets of a model in PyTorch, for training; ``unet_graph`` writes the same networks as ONNX graphs.

Official Spleeter trains its layers in inference mode, and so does this module: batch normalisation uses the
stored mean and variance (0 and 1 in all of Deezer's weights) and learns only its scale and shift, and dropout
is off. The exported network therefore computes exactly what was trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import (
    NORM_PARTS,
    Activation,
    Layer,
    UNetArchitecture,
)

_NORM_EPSILON = 1e-3
_LEAKY_SLOPE = 0.2
_TRAINED = ("kernel", "bias", "gamma", "beta")
# TensorFlow's "same" padding of a stride-2 convolution with a 5×5 kernel over an even size.
_SAME = (1, 2, 1, 2)
_MASK_PADDING, _MASK_DILATION = 3, 2


class TorchNetworks:
    """One U-Net per stem.

    Args:
        architecture: architecture of the model.
        arrays: all of ``architecture.variables()``, in TensorFlow's layout.
        device: device to compute on.

    Attributes:
        variables: tensors by TensorFlow's names; the shape of a kernel is (out, in, height, width), that of
            a transposed convolution's (in, out, height, width).
    """

    def __init__(
        self, architecture: UNetArchitecture, arrays: Mapping[str, Array], device: torch.device | str = "cpu"
    ) -> None:
        self.architecture = architecture
        self.variables: dict[str, torch.Tensor] = {}
        for name in architecture.variables():
            # TensorFlow has height and width first, and the channels in reverse order.
            array = arrays[name].transpose(3, 2, 0, 1) if name.endswith("/kernel") else arrays[name]
            tensor = torch.tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)
            self.variables[name] = _channels_last(tensor).requires_grad_(name.endswith(_TRAINED))

    def trained(self) -> list[torch.Tensor]:
        """Return the variables to optimise, in a fixed order."""
        return [tensor for tensor in self.variables.values() if tensor.requires_grad]

    def load(self, variables: Mapping[str, torch.Tensor]) -> None:
        """Copy the variables of other networks of the same architecture."""
        with torch.no_grad():
            for name, tensor in self.variables.items():
                tensor.copy_(variables[name])

    def arrays(self) -> dict[str, Array]:
        """Return all variables as NumPy arrays in TensorFlow's layout."""
        arrays = {}
        for name, tensor in self.variables.items():
            array = tensor.detach().cpu().numpy()
            arrays[name] = np.ascontiguousarray(
                array.transpose(2, 3, 1, 0) if name.endswith("/kernel") else array
            )
        return arrays

    def estimates(self, mix: torch.Tensor) -> torch.Tensor:
        """Estimate the stems.

        Args:
            mix: magnitudes, shape (segments, 2, segment_frames, bins).

        Returns:
            Magnitudes in single precision, shape (stems, segments, 2, segment_frames, bins).
        """
        count = len(self.architecture.stems)
        inputs = _channels_last(mix)
        logits = torch.stack([self.logits(position, inputs).float() for position in range(count)])
        softmax = self.architecture.kind == "softmax_unet"
        return mix * (torch.softmax(logits, dim=0) if softmax else torch.sigmoid(logits))

    def logits(self, position: int, mix: torch.Tensor) -> torch.Tensor:
        """Run the network of one stem up to its last convolution; the result has the shape of ``mix``."""
        architecture = self.architecture
        hidden, skips = mix, []
        *encoder, innermost = architecture.encoder(position)
        for layer in encoder:
            skips.append(self._convolution(hidden, layer))
            hidden = _activate(self._norm(skips[-1], layer), architecture.conv_activation)
        hidden = self._convolution(hidden, innermost)
        for layer in architecture.decoder(position):
            hidden = _activate(self._transposed(hidden, layer), architecture.deconv_activation)
            hidden = self._norm(hidden, layer)
            if skips:
                hidden = torch.cat([skips.pop(), hidden], dim=1)
        kernel, bias = self._weights(architecture.last_layer(position))
        return functional.conv2d(hidden, kernel, bias, padding=_MASK_PADDING, dilation=_MASK_DILATION)

    def _convolution(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        return functional.conv2d(functional.pad(x, _SAME), *self._weights(layer), stride=2)

    def _transposed(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        whole = functional.conv_transpose2d(x, *self._weights(layer), stride=2, padding=1)
        return whole[..., :-1, :-1]

    def _weights(self, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
        return self.variables[f"{layer.name}/kernel"], self.variables[f"{layer.name}/bias"]

    def _norm(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        gamma, beta, mean, variance = (self.variables[f"{layer.norm}/{part}"] for part in NORM_PARTS)
        return functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=_NORM_EPSILON)


def initial_arrays(architecture: UNetArchitecture, seed: int) -> dict[str, Array]:
    """Draw initial weights, as Keras does for official Spleeter.

    Kernels are uniform within ±√(6 / fan-in) (He et al., "Delving deep into rectifiers", 2015), where the
    fan-in is kernel height × width × the second-to-last dimension of TensorFlow's layout. Biases and shifts
    are 0, scales are 1.
    """
    random = np.random.default_rng(seed)
    arrays = {}
    for name, shape in architecture.variables().items():
        if name.endswith("/kernel"):
            limit = math.sqrt(6 / math.prod(shape[:3]))
            arrays[name] = random.uniform(-limit, limit, shape).astype(np.float32)
        else:
            ones = name.endswith(("gamma", "moving_variance"))
            arrays[name] = np.full(shape, float(ones), np.float32)
    return arrays


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Change the memory layout of kernels and spectrograms; on a CPU this saves a sixth of the time."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _activate(x: torch.Tensor, activation: Activation) -> torch.Tensor:
    if activation == "LeakyReLU":
        return functional.leaky_relu(x, _LEAKY_SLOPE)
    return functional.relu(x) if activation == "ReLU" else functional.elu(x)
