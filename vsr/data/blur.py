"""Blur kernels of the `real` degradation, and applying one to each frame."""

from __future__ import annotations

from math import cos, pi, sin

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 10
SIDE = 2 * RADIUS + 1


def gaussian_kernel(
    sigma_x: float,
    sigma_y: float | None = None,
    angle: float = 0.0,
    *,
    beta: float = 1.0,
    plateau: bool = False,
) -> Tensor:
    """Draw a Gaussian, generalised Gaussian or plateau-shaped kernel.

    Args:
        sigma_x: Standard deviation along the first axis, in pixels.
        sigma_y: Along the second; None: the same.
        angle: Of the first axis, in radians.
        beta: Shape: exp(-q ** beta / 2), or 1 / (1 + q ** beta) for a plateau, of the squared
            distance q in standard deviations.
        plateau: The second form.

    Returns:
        (21, 21) float64, sums to 1.

    Source: Liu et al., "Estimating generalized Gaussian blur kernels for out-of-focus image
    deblurring"; Real-ESRGAN (Wang et al., ICCVW 2021), sec. 3.1.
    """
    x, y = _grid()
    along = (x * cos(angle) + y * sin(angle)) / sigma_x
    across = (y * cos(angle) - x * sin(angle)) / (sigma_x if sigma_y is None else sigma_y)
    distance = (along**2 + across**2) ** beta
    kernel = 1 / (1 + distance) if plateau else torch.exp(-distance / 2)
    return _normalised(kernel)


def sinc_kernel(cutoff: float) -> Tensor:
    """Draw the circular ideal low-pass, which rings.

    Args:
        cutoff: In radians per pixel, up to pi.

    Returns:
        (21, 21) float64, sums to 1.

    Source: Real-ESRGAN, eq. 6: cutoff * J1(cutoff r) / (2 pi r).
    """
    x, y = _grid()
    radius = (x**2 + y**2).sqrt()
    radius[RADIUS, RADIUS] = 1.0
    kernel = cutoff * torch.special.bessel_j1(cutoff * radius) / (2 * pi * radius)
    kernel[RADIUS, RADIUS] = cutoff**2 / (4 * pi)
    return _normalised(kernel)


def blur(clip: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each frame with its own kernel; edges are replicated.

    Args:
        clip: (T, C, H, W).
        kernels: (T, 21, 21).
    """
    return torch.stack([_blur(*pair) for pair in zip(clip, kernels.to(clip), strict=True)])


def _blur(frame: Tensor, kernel: Tensor) -> Tensor:
    """Convolve (C, H, W) with (21, 21) through the spectrum; directly it would be slow."""
    padded = F.pad(frame[None], (RADIUS,) * 4, mode="replicate")[0]
    size = padded.shape[-2:]
    whole: Tensor = torch.fft.irfft2(
        torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=size), s=size
    )
    return whole[..., 2 * RADIUS :, 2 * RADIUS :]


def _normalised(kernel: Tensor) -> Tensor:
    normalised: Tensor = kernel / kernel.sum()
    return normalised


def _grid() -> tuple[Tensor, Tensor]:
    line = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y
