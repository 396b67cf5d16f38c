"""PSNR and SSIM by the usual protocol: 8-bit frames, MATLAB's luma."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vsr.errors import ConfigError
from vsr.options import imported

Image = NDArray[np.uint8]

# Side of SSIM's window in pixels, and the minimum side of a frame.
SSIM_WINDOW = 11


def luma(rgb: Image) -> NDArray[np.float64]:
    """Y of MATLAB's `rgb2ycbcr`, 16 to 235, not rounded.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W) float64.

    Source: ITU-R BT.601; BasicSR `bgr2ycbcr(y_only=True)` uses the same numbers.
    """
    return cast(
        "NDArray[np.float64]",
        rgb.astype(np.float64) @ np.array((65.481, 128.553, 24.966)) / 255 + 16,
    )


def psnr(sr: Image, gt: Image, *, on_luma: bool = True, border: int = 0) -> float:
    """Peak signal-to-noise ratio of one frame, in dB; infinite for equal frames.

    Args:
        sr: Output, (H, W, 3) uint8 RGB.
        gt: Truth, same shape.
        on_luma: Y (Vid4, Vimeo, UDM10) instead of RGB (REDS).
        border: Pixels ignored at each edge.
    """
    a, b = _prepared(sr, gt, on_luma, border)
    if np.array_equal(a, b):
        return float("inf")
    return float(peak_signal_noise_ratio(b, a, data_range=255))


def ssim(sr: Image, gt: Image, *, on_luma: bool = True, border: int = 0) -> float:
    """Structural similarity of one frame, at most 1.

    Args: see `psnr`. Frames must have at least `SSIM_WINDOW` pixels per side.

    Source: Wang et al. 2004: Gaussian window of sigma 1.5, 11 x 11, population covariance.
    """
    a, b = _prepared(sr, gt, on_luma, border)
    return float(
        structural_similarity(
            b,
            a,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=None if on_luma else -1,
        )
    )


@cache
def own_metric(name: str) -> Callable[[Image, Image], float]:
    """A metric of the user's own, by package.module:name.

    Returns:
        It, checked: of the output and the truth, (H, W, 3) uint8 RGB, a number.

    Raises:
        ConfigError: It cannot be imported, or gives no number.
    """
    found = imported(name)
    if not callable(found):
        raise ConfigError(f"metric {name} is a {type(found).__name__}; wanted a function (sr, gt)")

    def metric(sr: Image, gt: Image) -> float:
        value = found(sr, gt)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"metric {name} gives a {type(value).__name__}; wanted a number for each frame"
            ) from error

    return metric


def _prepared(
    sr: Image, gt: Image, on_luma: bool, border: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if sr.shape != gt.shape or sr.dtype != np.uint8 or gt.dtype != np.uint8:
        raise ValueError(
            f"need two uint8 pictures of one shape, got {sr.dtype} {sr.shape} "
            f"and {gt.dtype} {gt.shape}"
        )
    inner = (slice(border, sr.shape[0] - border), slice(border, sr.shape[1] - border))
    a, b = sr[inner], gt[inner]
    if on_luma:
        return luma(a), luma(b)
    return a.astype(np.float64), b.astype(np.float64)
