"""The network that shares an accompaniment out, and says where 2stems was wrong about the voice."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from research.lite.features import CHANNELS
from research.lite.score import STEMS

WIDTHS = (24, 48, 96, 128, 192)
"""Filters of each level."""

SHORTCUT_GAIN = 8.0
"""The shortcut's weights are to change so many times faster than the others."""
_CLASSICAL = 2.5 / SHORTCUT_GAIN
_STEADY = 6
"""First channel of the features that compare with a neighbourhood in time; the next are in frequency."""
TRUSTING = -4.0
"""Logit of a mistake of 2stems, before anything is learned."""

OUTPUTS = len(STEMS) + 2


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
        self.last = nn.Conv2d(widths[0], 4 * 2 * OUTPUTS, 3, 1, 1)
        # What tells strokes from steady tones is a difference of two inputs: it need not go all the
        # way down and up, and training begins with it.
        self.shortcut = nn.Conv2d(CHANNELS + 2, 2 * OUTPUTS, 3, 1, 1)
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.shortcut.bias)
        with torch.no_grad():
            for channel in range(2):
                self.shortcut.weight[channel, _STEADY + channel, 1, 1] = _CLASSICAL
                self.shortcut.weight[channel, _STEADY + 2 + channel, 1, 1] = -_CLASSICAL
            self.last.weight[4 * 2 * len(STEMS) :] = 0
            self.last.bias[4 * 2 * len(STEMS) :] = TRUSTING

    def forward(self, features: Tensor) -> Tensor:
        """Compute shares.

        Args:
            features: shape (batch, CHANNELS, pairs, bands), both multiples of 32.

        Returns:
            shape (batch, OUTPUTS, 2 channels, pairs, bands): the stems', which sum to 1; the share
            of what 2stems leaves as accompaniment that is voice; and that of what it takes for
            voice and is not.
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
        x = x.unflatten(1, (OUTPUTS, 2))
        return torch.cat([torch.softmax(x[:, : len(STEMS)], dim=1), torch.sigmoid(x[:, len(STEMS) :])], 1)


def masks(shares: Tensor) -> tuple[Tensor, Tensor]:
    """Turn a network's output into masks of ``VOICED``, each of shape (batch, 1 + stems, …).

    Returns:
        those of what 2stems leaves as accompaniment, and those of what it takes for voice.
    """
    stems, left, returned = shares.split([len(STEMS), 1, 1], 1)
    return torch.cat([left, stems * (1 - left)], 1), torch.cat([1 - returned, stems * returned], 1)


def positions(bands: int) -> Tensor:
    """Tell the network where a band lies: shape (1, 2, 1, bands)."""
    linear = torch.linspace(-1, 1, bands)
    return torch.stack([linear, torch.exp(-4 * (linear + 1))])[None, :, None]


def _normed(convolution: nn.Conv2d) -> nn.Module:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))
