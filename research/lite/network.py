"""The network that splits an accompaniment into stems, and corrects the vocals that 2stems found."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from research.lite.features import CHANNELS
from research.lite.score import STEMS

WIDTHS = (24, 48, 96, 128, 192)
"""Number of filters of each level."""

SHORTCUT_GAIN = 8.0
"""Factor by which the shortcut's weights change faster than the others."""
_CLASSICAL = 2.5 / SHORTCUT_GAIN
_STEADY = 6
"""First of two channels that compare with a neighbourhood in time; the next two compare in frequency."""
TRUSTING = -4.0
"""Initial logit of a mistake of 2stems."""

OUTPUTS = len(STEMS) + 2


class LiteNetwork(nn.Module):  # type: ignore[misc]  # PyTorch is not always installed
    """A U-Net on the features of a spectrogram; each level halves both axes."""

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
        # The difference of two inputs tells strokes from steady tones. It needs no trip down and up the
        # levels, so training starts with this shortcut alone.
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
            features: shape (batch, CHANNELS, pairs, bands); pairs and bands are multiples of 32.

        Returns:
            Shares, shape (batch, OUTPUTS, 2 channels, pairs, bands): those of the stems, which sum to 1;
            the voice's share in the accompaniment of 2stems; and the music's share in the vocals of 2stems.
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
    """Convert a network's output to masks for ``VOICED``.

    Returns:
        The masks of the accompaniment and of the vocals of 2stems, each of shape (batch, 1 + stems, …).
    """
    stems, left, returned = shares.split([len(STEMS), 1, 1], 1)
    return torch.cat([left, stems * (1 - left)], 1), torch.cat([1 - returned, stems * returned], 1)


def positions(bands: int) -> Tensor:
    """Return inputs that encode the position of each band, shape (1, 2, 1, bands)."""
    linear = torch.linspace(-1, 1, bands)
    return torch.stack([linear, torch.exp(-4 * (linear + 1))])[None, :, None]


def _normed(convolution: nn.Conv2d) -> nn.Module:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))
