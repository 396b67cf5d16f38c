"""From what the network gives to the picture that was asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.ops.resize import resize


def finish(sr: Tensor, lq: Tensor, *, height: int, width: int, strength: float = 1.0) -> Tensor:
    """Bring a picture to its final size and mix it with the bicubic one.

    Args:
        sr: (..., 3, H * scale, W * scale), the network's output; may be changed in place.
        lq: (..., 3, H, W), its input, on the same device.
        height, width: Wanted size; any.
        strength: 1 for the network's picture, 0 for the bicubic one, a mixture in between.

    Returns:
        (..., 3, height, width), clamped to 0 to 1, or to the input's own range where that is
        wider: highlights above white and colours outside the RGB cube stay what they are.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be 0 to 1, got {strength}")
    if strength == 1:
        picture = resize(sr, height, width)
    elif strength == 0:
        picture = resize(lq, height, width)
    else:
        bicubic = resize(lq, height, width)
        picture = bicubic.lerp(resize(sr, height, width), strength)
    low, high = torch.aminmax(lq)
    bounds = min(float(low), 0.0), max(float(high), 1.0)
    # In place: fresh memory for every frame of the output costs more than the clamping.
    return picture.clamp(*bounds) if picture is lq else picture.clamp_(*bounds)
