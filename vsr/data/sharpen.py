"""Sharpened truth, for networks that shall give crisp pictures from real footage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TAPS = 51
# What OpenCV takes for 51 taps where none is given: 0.3 * ((51 - 1) / 2 - 1) + 0.8.
_SIGMA = 8.0
_WEIGHT = 0.5
_THRESHOLD = 10 / 255


def sharpened(gt: Tensor) -> Tensor:
    """Sharpen where there is something to sharpen: unsharp masking through a soft mask.

    Args:
        gt: (..., 3, H, W), 0 to 1.

    Returns:
        The same shape and range.

    Source: Real-ESRGAN (Wang et al., ICCVW 2021), sec. 3.3, as in the configurations of
    RealBasicVSR: 51 taps, weight 0.5, threshold 10 of 255.
    """
    blurred = _blurred(gt)
    detail = gt - blurred
    mask = _blurred((detail.abs() > _THRESHOLD).to(gt.dtype))
    sharp = (gt + _WEIGHT * detail).clamp(0, 1)
    return mask * sharp + (1 - mask) * gt


def _blurred(x: Tensor) -> Tensor:
    """Blur by a Gaussian; edges are mirrored, replicated where the picture is too small for it."""
    flat = x.reshape(-1, 1, *x.shape[-2:])
    offsets = torch.arange(_TAPS, dtype=torch.float64) - _TAPS // 2
    kernel = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel = (kernel / kernel.sum()).to(flat)
    half = _TAPS // 2
    mode = "reflect" if min(x.shape[-2:]) > half else "replicate"
    padded = F.pad(flat, (half,) * 4, mode=mode)
    with torch.autocast(x.device.type, enabled=False):
        rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
        both = F.conv2d(rows, kernel.view(1, 1, 1, -1))
    return both.reshape(x.shape)
