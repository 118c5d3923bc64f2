"""The network that shares an accompaniment out among drums, bass, piano and the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from spleeter_microservice.training.lite.features import CHANNELS
from spleeter_microservice.training.lite.score import STEMS

WIDTHS = (24, 48, 96, 128, 192)
"""Filters of each level."""

SHORTCUT_GAIN = 8.0
"""The shortcut's weights are to change so many times faster than the others."""
_CLASSICAL = 2.5 / SHORTCUT_GAIN


class LiteNetwork(nn.Module):  # type: ignore[misc]  # PyTorch is not there for every check
    """A U-Net on what ``features`` makes of the magnitudes; each level halves both sides."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = widths
        inputs = (CHANNELS + 2, *widths)
        self.down = nn.ModuleList(
            _normed(nn.Conv2d(before, after, 5, 2, 2, bias=False))
            for before, after in zip(inputs, widths, strict=False)
        )
        self.middle = nn.ModuleList(
            _normed(nn.Conv2d(widths[-1], widths[-1], 3, 1, 1, bias=False)) for _ in range(2)
        )
        self.up = nn.ModuleList(
            _normed(nn.Conv2d(before, 4 * after, 3, 1, 1, bias=False))
            for before, after in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True)
        )
        self.last = nn.Conv2d(widths[0], 4 * 2 * len(STEMS), 3, 1, 1)
        # What tells strokes from steady tones is a difference of two inputs: it need not go all the
        # way down and up, and training begins with it.
        self.shortcut = nn.Conv2d(CHANNELS + 2, 2 * len(STEMS), 3, 1, 1)
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.shortcut.bias)
        with torch.no_grad():
            for channel in range(2):
                self.shortcut.weight[channel, CHANNELS - 4 + channel, 1, 1] = _CLASSICAL
                self.shortcut.weight[channel, CHANNELS - 2 + channel, 1, 1] = -_CLASSICAL

    def forward(self, features: Tensor) -> Tensor:
        """Compute masks.

        Args:
            features: shape (batch, CHANNELS, pairs, bands), both multiples of 32.

        Returns:
            shape (batch, stems, 2 channels, pairs, bands); over the stems they sum to 1.
        """
        placed = positions(features.shape[3]).expand(len(features), 2, features.shape[2], -1)
        seen = torch.cat([features, placed], 1)
        x = seen
        skips = []
        for level in self.down:
            x = functional.relu(level(x))
            skips.append(x)
        for level in self.middle:
            x = functional.relu(x + level(x))
        for level, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = functional.relu(functional.pixel_shuffle(level(x), 2) + skip)
        x = functional.pixel_shuffle(self.last(x), 2) + SHORTCUT_GAIN * self.shortcut(seen)
        return torch.softmax(x.unflatten(1, (len(STEMS), 2)), dim=1)


def positions(bands: int) -> Tensor:
    """Tell the network where a band lies: shape (1, 2, 1, bands)."""
    linear = torch.linspace(-1, 1, bands)
    return torch.stack([linear, torch.exp(-4 * (linear + 1))])[None, :, None]


def _normed(convolution: nn.Conv2d) -> nn.Module:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))
