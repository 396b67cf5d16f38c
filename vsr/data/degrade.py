"""Degradations as pure functions: scaling down, blur, noise, sharpening, age."""

from __future__ import annotations

from math import ceil, cos, pi, sin

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsr.color import Chroma
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes
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


RADIUS = 10
SIDE = 2 * RADIUS + 1
_SHARPEST = 1e-3  # pixels; all of such a kernel is in its middle


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
        sigma_x: Standard deviation along the first axis, in pixels; 0: no blur.
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
    first, second = (max(s, _SHARPEST) for s in (sigma_x, sigma_x if sigma_y is None else sigma_y))
    along = (x * cos(angle) + y * sin(angle)) / first
    across = (y * cos(angle) - x * sin(angle)) / second
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


def gaussian_noise(clip: Tensor, sigma: Tensor, *, gray: bool, seed: int) -> Tensor:
    """Add white noise.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        sigma: (T,), standard deviation of each frame, 0 to 1.
        gray: The same noise in all channels.
        seed: Of the noise.

    Returns:
        The same shape, not clamped.
    """
    noise = _normal(clip[:, :1] if gray else clip, seed)
    return clip + noise * sigma.to(clip).view(-1, 1, 1, 1)


def poisson_noise(clip: Tensor, scale: Tensor, *, gray: bool, seed: int) -> Tensor:
    """Add noise whose variance grows with brightness, as counted photons have it.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        scale: (T,), standard deviation of each frame; 1 is that of 255 photons at white.
        gray: The same noise in all channels, by their mean.
        seed: Of the noise.

    Returns:
        The same shape, not clamped.
    """
    light = (clip.mean(1, keepdim=True) if gray else clip).clamp(0, 1) * 255
    counted = torch.poisson(light, _generator(clip, seed))
    return clip + (counted - light) / 255 * scale.to(clip).view(-1, 1, 1, 1)


def film_grain(clip: Tensor, sigma: float, size: float, *, seed: int) -> Tensor:
    """Add grain: soft-edged, the same in all channels, strongest in the middle tones.

    Args:
        clip: (T, 3, H, W), 0 to 1.
        sigma: Standard deviation at middle grey, 0 to 1.
        size: Standard deviation of a grain in pixels.
        seed: Of the grain.

    Returns:
        The same shape, not clamped.
    """
    kernel = gaussian_kernel(size)
    noise = blur(_normal(clip[:, :1], seed), kernel.expand(len(clip), -1, -1))
    light = clip.mean(1, keepdim=True).clamp(0, 1)
    # Blur takes variance away; the kernel's energy says how much.
    strength = sigma / float((kernel**2).sum().sqrt())
    return clip + noise * strength * (4 * light * (1 - light)).sqrt()


def _normal(like: Tensor, seed: int) -> Tensor:
    return torch.randn(
        like.shape, generator=_generator(like, seed), device=like.device, dtype=like.dtype
    )


def _generator(like: Tensor, seed: int) -> torch.Generator:
    return torch.Generator(device=like.device).manual_seed(seed)


_SHARPEN_TAPS = 51
# What OpenCV takes for 51 taps where none is given: 0.3 * ((51 - 1) / 2 - 1) + 0.8.
_SHARPEN_SIGMA = 8.0
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
    offsets = torch.arange(_SHARPEN_TAPS, dtype=torch.float64) - _SHARPEN_TAPS // 2
    kernel = torch.exp(-(offsets**2) / (2 * _SHARPEN_SIGMA**2))
    kernel = (kernel / kernel.sum()).to(flat)
    half = _SHARPEN_TAPS // 2
    mode = "reflect" if min(x.shape[-2:]) > half else "replicate"
    padded = F.pad(flat, (half,) * 4, mode=mode)
    with torch.autocast(x.device.type, enabled=False):
        rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
        both = F.conv2d(rows, kernel.view(1, 1, 1, -1))
    return both.reshape(x.shape)


def walk(
    rng: np.random.Generator, limits: tuple[float, float], step: float, count: int
) -> NDArray[np.float64]:
    """Draw a random walk: a uniform start, uniform steps, reflected at the limits.

    Args:
        rng: Drawn from.
        limits: Lowest and highest value.
        step: Most that neighbouring values differ by.
        count: Values.

    Source: the `*_step` parameters of RealBasicVSR's degradations, which clip instead of
    reflecting and so dwell at the limits.
    """
    low, high = limits
    steps = rng.uniform(-step, step, size=count)
    steps[0] = rng.uniform(0, high - low)
    span = 2 * (high - low)
    if span == 0:
        return np.full(count, low)
    path = np.cumsum(steps) % span
    values: NDArray[np.float64] = low + np.minimum(path, span - path)
    return values


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
    """Mix the next frame into every other row, as woven fields and poor deinterlacing show it.

    Args:
        clip: (T, 3, H, W).
        weight: Of the next frame in rows 1, 3, 5 and so on; the last frame stays.
    """
    mixed = clip.clone()
    mixed[:-1, :, 1::2] = (1 - weight) * clip[:-1, :, 1::2] + weight * clip[1:, :, 1::2]
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
