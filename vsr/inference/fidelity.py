"""How near a picture, scaled down again, comes to what the network was given."""

from __future__ import annotations

from math import log10

from torch import Tensor

from vsr.ops.resize import resize

# Equal pictures have no finite PSNR; nobody needs more than this.
HIGHEST = 100.0
# Luma of 8-bit video spans 16 to 235: figures are those of `vsr compare`, coding loss aside.
_SPAN = 219.0


def fidelity(picture: Tensor, lq: Tensor, luma_weights: tuple[float, float]) -> float:
    """Measure PSNR of luma between a picture brought to the size of its origin, and that.

    Args:
        picture: (3, H, W), RGB, 0 to 1.
        lq: (3, h, w), likewise, on the same device.
        luma_weights: (Kr, Kb) of H.273, such as (0.299, 0.114).

    Returns:
        dB against 255; `HIGHEST` for equal pictures.
    """
    return decibels(float(squared_errors(picture, lq, luma_weights).mean()))


def squared_errors(picture: Tensor, lq: Tensor, luma_weights: tuple[float, float]) -> Tensor:
    """Square the difference at each pixel of the origin, (h, w); arguments as of `fidelity`."""
    small = resize(_luma(picture, luma_weights), *lq.shape[-2:])
    return (small - _luma(lq, luma_weights)).mul_(_SPAN).square_()[0]


def decibels(mean: float) -> float:
    """Give the PSNR of a mean squared error of 8-bit values, `HIGHEST` at most."""
    return HIGHEST if mean == 0 else min(HIGHEST, 10 * log10(255**2 / mean))


def _luma(rgb: Tensor, weights: tuple[float, float]) -> Tensor:
    red, blue = weights
    return (red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2])[None]
