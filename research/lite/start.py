"""Initialisation of a network with the weights of an earlier one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from research.lite.convolutions import NAMES, Convolutions
from research.lite.network import SHORTCUT_GAIN, LiteNetwork


def begin(network: LiteNetwork, convolutions: Convolutions, features: Tensor) -> None:
    """Set the weights of a network so that it computes the same as an earlier one.

    The normalisations, which are folded into the convolutions of the earlier network, are calibrated on some
    examples so that each only adds its bias.

    Args:
        network: network to be trained.
        convolutions: convolutions of the earlier network.
        features: features of the examples, shape (batch, CHANNELS, pairs, bands).
    """
    hooks = []
    with torch.no_grad():
        for name in NAMES:
            kernel, bias = (torch.from_numpy(array) for array in convolutions[name])
            layer = network.get_submodule(name)
            if isinstance(layer, nn.Conv2d):
                gain = SHORTCUT_GAIN if name == "shortcut" else 1.0
                layer.weight.copy_(kernel / gain)
                assert layer.bias is not None
                layer.bias.copy_(bias / gain)
            else:
                convolution, norm = layer
                convolution.weight.copy_(kernel)
                hooks.append(norm.register_forward_pre_hook(_Calibration(bias)))
        network.eval()
        network(features)
    for hook in hooks:
        hook.remove()


class _Calibration:
    """A hook that adjusts a normalisation so that, for the given input, it only adds a bias."""

    def __init__(self, bias: Tensor) -> None:
        self._bias = bias

    def __call__(self, norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        (x,) = inputs
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(x.mean((0, 2, 3)))
        norm.running_var.copy_(x.var((0, 2, 3)))
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(self._bias + norm.running_mean)
