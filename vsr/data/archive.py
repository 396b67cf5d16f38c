"""What old film and tape add besides grain: flicker, scratches, combs, poor colour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vsr.data.walk import walk
from vsr.ops.color import Chroma, ColorLayout, planes_to_rgb, rgb_to_planes


def flicker(clip: Tensor, gains: Tensor) -> Tensor:
    """Multiply each frame of (T, 3, H, W) by its own gain (T,)."""
    return clip * gains.to(clip).view(-1, 1, 1, 1)


def scratch(clip: Tensor, count: int, width: float, rng: np.random.Generator) -> Tensor:
    """Draw vertical scratches that wander and fade, light or dark.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        count: Scratches.
        width: Standard deviation of their profile, in pixels.
        rng: Drawn from.
    """
    frames, columns = len(clip), clip.shape[-1]
    at = torch.arange(columns, dtype=torch.float32)
    for _ in range(count):
        place = torch.from_numpy(walk(rng, (0, columns - 1), width, frames)).float()
        strength = torch.from_numpy(walk(rng, (0, 0.4), 0.1, frames)).float()
        profile = strength[:, None] * torch.exp(-(((at - place[:, None]) / width) ** 2) / 2)
        target = float(rng.integers(2))
        clip = clip + (target - clip) * profile.to(clip).view(frames, 1, 1, columns)
    return clip


def comb(clip: Tensor, weight: float) -> Tensor:
    """Mix the next frame into every other row, as poorly deinterlaced video shows it.

    Args:
        clip: (T, 3, H, W).
        weight: Of the next frame in rows 1, 3, 5 and so on; the last frame stays.
    """
    mixed = clip.clone()
    mixed[:-1, :, 1::2] += weight * (clip[1:, :, 1::2] - clip[:-1, :, 1::2])
    return mixed


def bleed(clip: Tensor, chroma: Chroma, shift: int) -> Tensor:
    """Keep colour only as finely as a tape does, and late.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        chroma: Subsampling; "411" and "410" have one sample of colour for four columns.
        shift: Samples by which colour lies too far right.
    """
    layout = ColorLayout(matrix="bt601", full_range=False, bit_depth=8, chroma=chroma)
    luma, *colour = rgb_to_planes(clip, layout)
    late = [_shifted(plane, shift) for plane in colour]
    return planes_to_rgb([luma, *late], layout).clamp(0, 1)


def _shifted(plane: Tensor, shift: int) -> Tensor:
    """Move to the right; the first column fills the gap."""
    at = (torch.arange(plane.shape[-1], device=plane.device) - shift).clamp(min=0)
    return plane.index_select(-1, at)
