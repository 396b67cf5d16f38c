"""How low-quality clips are made from true ones."""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.resize import resize

BD_SCALE = 4
_SIGMA = 1.6
# MATLAB's code takes ceil(3 sigma) * 2 + 2: an even size, centred between two pixels.
_TAPS = ceil(3 * _SIGMA) * 2 + 2


def quantise(x: Tensor) -> Tensor:
    """Round to the 256 levels that an 8-bit file holds, and clip to 0 to 1."""
    return (x.clamp(0, 1) * 255).round() / 255


def bicubic_down(gt: Tensor, scale: int) -> Tensor:
    """Shrink as the field's BI protocol does: MATLAB's bicubic `imresize`, rounded to 8 bit.

    Args:
        gt: (..., 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale: Integer factor.

    Returns:
        (..., 3, H / scale, W / scale), 0 to 1.

    Raises:
        ValueError: If a side is not a multiple of `scale`; crop the truth first.
    """
    height, width = gt.shape[-2:]
    _check_sides(height, width, scale)
    return quantise(resize(gt, height // scale, width // scale))


def blur_down(gt: Tensor) -> Tensor:
    """Shrink four times as the field's BD protocol does: Gaussian blur, then every fourth pixel.

    The kernel (sigma 1.6) has twelve taps, so it is centred between two pixels; edges are
    replicated; the samples are pixels 1, 5, 9 and so on, counted from 0. Low-quality pixels so lie
    at the centres of 4x4 blocks, as in BI. An odd kernel, or another phase, shifts the picture by
    half a pixel.

    Args:
        gt: (..., 3, H, W), 0 to 1; H and W multiples of 4.

    Returns:
        (..., 3, H / 4, W / 4), 0 to 1, rounded to 8 bit.

    Raises:
        ValueError: If a side is not a multiple of 4; crop the truth first.

    Source: `BD_degradation.m` of BasicVSR and IconVSR: fspecial, imfilter, lq(2:4:end-2).
    """
    height, width = gt.shape[-2:]
    _check_sides(height, width, BD_SCALE)
    flat = gt.reshape(-1, 1, height, width).to(torch.promote_types(gt.dtype, torch.float32))
    offsets = torch.arange(_TAPS, dtype=torch.float64) - (_TAPS - 1) / 2
    kernel = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel = (kernel / kernel.sum()).to(flat)
    before = (_TAPS - 1) // 2 - 1  # the first sample is pixel 1
    padded = F.pad(flat, (before, _TAPS, before, _TAPS), mode="replicate")
    # In training this runs under autocast, whose half precision is coarser than 8 bit.
    with torch.autocast(gt.device.type, enabled=False):
        rows = F.conv2d(padded, kernel.view(1, 1, -1, 1), stride=(BD_SCALE, 1))
        both = F.conv2d(
            rows[..., : height // BD_SCALE, :], kernel.view(1, 1, 1, -1), stride=(1, BD_SCALE)
        )
    shrunk = both[..., : width // BD_SCALE]
    return quantise(shrunk.reshape(*gt.shape[:-2], height // BD_SCALE, width // BD_SCALE))


def _check_sides(height: int, width: int, scale: int) -> None:
    if height % scale or width % scale:
        raise ValueError(f"{width}x{height} is not a multiple of {scale}")
