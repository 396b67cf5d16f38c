"""Noise of sensors and film, seeded, on the device of the clip."""

from __future__ import annotations

import torch
from torch import Tensor

from vsr.data.blur import blur, gaussian_kernel


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
