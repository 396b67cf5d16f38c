"""Pictures as files of 8 bit hold them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_levels(x: Tensor) -> Tensor:
    """Round values from 0 to 1 to 0 to 255, uint8; those beyond go to the nearest."""
    return (x.float().clamp(0, 1) * 255).round().to(torch.uint8)


def to_picture(rgb: Tensor) -> NDArray[np.uint8]:
    """(..., 3, H, W), 0 to 1, on any device, to (..., H, W, 3), uint8, contiguous."""
    return to_levels(rgb).movedim(-3, -1).contiguous().cpu().numpy()
