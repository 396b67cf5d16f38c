"""A discriminator that judges every pixel, for the adversarial loss."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_SHRUNK = 8  # three halvings


class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation: for every pixel, how true it looks.

    Args:
        channels: Features at full size; doubled at each of three halvings.

    Source: Real-ESRGAN (Wang et al., ICCVW 2021), sec. 3.2.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        widths = [channels * factor for factor in (1, 2, 4, 8)]
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 3, padding=1, bias=False))
            for before, after in pairwise(reversed(widths))
        )
        self.smooth = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Judge pictures.

        Args:
            pictures: (N, 3, H, W), 0 to 1, of any size.

        Returns:
            (N, 1, H, W), logits: above 0, more likely true.
        """
        height, width = pictures.shape[-2:]
        below, beside = -height % _SHRUNK, -width % _SHRUNK
        if below or beside:
            pictures = F.pad(pictures, (0, beside, 0, below), mode="replicate")
        x = _bent(self.first(pictures))
        passed = []
        for layer in self.down:
            passed.append(x)
            x = _bent(layer(x))
        for layer in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = _bent(layer(x)) + passed.pop()
        for layer in self.smooth:
            x = _bent(layer(x))
        judged: Tensor = self.last(x)
        return judged[..., :height, :width]


def _bent(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
