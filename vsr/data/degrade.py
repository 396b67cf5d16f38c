"""How low-quality clips are made from true ones."""

from __future__ import annotations

from torch import Tensor

from vsr.ops.resize import resize


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
    if height % scale or width % scale:
        raise ValueError(f"{width}x{height} is not a multiple of {scale}")
    return quantise(resize(gt, height // scale, width // scale))
