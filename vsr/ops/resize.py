"""Bicubic resizing equal to MATLAB's `imresize`, the field's definition of "bicubic"."""

from __future__ import annotations

from math import ceil, gcd

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.ops.warp import without_autocast


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resize pictures bicubically, with antialiasing when shrinking.

    Equals MATLAB's `imresize(x, [height width], 'bicubic')` in the interior and, with mirrored
    edges, at the border. Values are not clamped: bicubic overshoots.

    Args:
        x: (..., C, H, W), any range; computed in float32 (float64 stays).
        height, width: New size.

    Returns:
        (..., C, height, width), in the dtype of `x` (float32 for integers).

    Raises:
        ValueError: A side is below one pixel.

    Source: MATLAB `imresize`: Keys' kernel with a = -0.5, widened by the factor when shrinking,
    symmetric boundary. `F.interpolate(antialias=True)` uses the same kernel.
    """
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1x1, got {width}x{height}")
    if x.shape[-2:] == (height, width):
        return x
    dtype = x.dtype if x.is_floating_point() else torch.float32
    batch = x.shape[:-3]
    flat = x.reshape(-1, *x.shape[-3:]).to(torch.promote_types(dtype, torch.float32))
    flat = _resize_rows(flat, height)
    flat = _resize_rows(flat.transpose(-1, -2), width).transpose(-1, -2)
    return flat.reshape(*batch, *flat.shape[-3:]).to(dtype)


def sub_pixels(x: Tensor, kernel: Tensor) -> Tensor:
    """Enlarge pictures bicubically, in the order of `nn.PixelShuffle`.

    `pixel_shuffle(sub_pixels(x, sub_pixel_kernel(factor)), factor)` equals `resize(x, height *
    factor, width * factor)`: each sub-pixel is a 5x5 filter of its own, so one convolution makes
    them all.

    Args:
        x: (N, C, H, W), any range; computed in the dtype of the kernel.
        kernel: Of `sub_pixel_kernel` for C channels, on the device of `x`.

    Returns:
        (N, C * factor**2, H, W), channels last.
    """
    channels, height, width = x.shape[1:]
    rows, columns = (
        _mirrored(torch.arange(-2, side + 2, device=x.device), side) for side in (height, width)
    )
    padded = x.to(kernel.dtype).index_select(-2, rows).index_select(-1, columns)
    with without_autocast(x.device):
        return F.conv2d(
            padded.contiguous(memory_format=torch.channels_last), kernel, groups=channels
        )


def sub_pixel_kernel(factor: int, channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Filters for `sub_pixels`, to be made once: (channels * factor**2, 1, 5, 5).

    Keys' kernel at the sub-pixels of a pixel, over 5x5 pixels around it.
    """
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    distance = np.abs(offsets[:, None] - np.arange(-2, 3))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    line = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    kernel = (line[:, None, :, None] * line[None, :, None, :]).reshape(-1, 1, 5, 5)
    return torch.tensor(np.tile(kernel, (channels, 1, 1, 1)), dtype=dtype)


def _resize_rows(x: Tensor, size: int) -> Tensor:
    """Resize the rows of (N, C, H, W) with mirrored edges."""
    old = x.shape[-2]
    if old == size:
        return x
    if x.device.type == "mps":  # has no antialiased bicubic before torch 2.8
        return _weighted_rows(x, size)
    if x.shape[-1] == 1:  # torch 2.13 gives one constant for a single column on CPUs
        return _resize_rows(x.expand(*x.shape[:-1], 2), size)[..., :1]
    # Padding by a whole number of output rows keeps the sampling grid in place.
    common = gcd(old, size)
    step_in, step_out = old // common, size // common
    support = ceil(2 * max(1.0, old / size)) + 1
    steps = ceil(support / step_in)
    pad = steps * step_in
    index = _mirrored(torch.arange(-pad, old + pad, device=x.device), old)
    padded = x.index_select(-2, index)
    rows = padded.shape[-2] * size // old
    out = F.interpolate(padded, size=(rows, x.shape[-1]), mode="bicubic", antialias=True)
    return out[..., steps * step_out : steps * step_out + size, :]


def _weighted_rows(x: Tensor, size: int) -> Tensor:
    """`_resize_rows` as a sum of rows of (N, C, H, W), each with its weight."""
    old = x.shape[-2]
    stretch = max(1.0, old / size)
    centres = (torch.arange(size, device=x.device, dtype=torch.float32) + 0.5) * (old / size) - 0.5
    first = (centres - 2 * stretch).ceil()
    taps = []
    for tap in range(ceil(4 * stretch) + 1):
        distance = (first + tap - centres).abs() / stretch
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        taps.append(
            torch.where(distance <= 1, near, far.where(distance < 2, torch.zeros_like(far)))
        )
    weights = torch.stack(taps)
    weights = weights / weights.sum(0)
    total = torch.zeros_like(x[..., :1, :]).expand(*x.shape[:-2], size, -1).clone()
    for tap, weight in enumerate(weights):
        rows = x.index_select(-2, _mirrored(first.long() + tap, old))
        total.addcmul_(rows, weight[:, None])
    return total


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Fold indices outside 0..size-1 back in, repeating the edge (…1 0 | 0 1…)."""
    folded = index.remainder(2 * size)
    return torch.where(folded < size, folded, 2 * size - 1 - folded)
