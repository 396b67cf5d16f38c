"""The degradations by name, and the `real` one, drawn from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import pi
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color import Chroma
from vsr.data.codecs import compress_with_any, jpeg
from vsr.data.degrade import (
    bicubic_down,
    bleed,
    blur,
    blur_down,
    comb,
    film_grain,
    flicker,
    gaussian_kernel,
    gaussian_noise,
    poisson_noise,
    quantise,
    scratch,
    sinc_kernel,
    walk,
)
from vsr.data.recipe import Order, RealRecipe, opened

_SEEDS = 2**62
_LEAST_SIDE = 16
_TAPE: tuple[Chroma, ...] = ("420", "411", "410")


def degrade_real(
    gt: Tensor, scale: int, *, seed: tuple[int, ...], recipe: RealRecipe | None = None
) -> Tensor:
    """Degrade clips as real footage is; a function of its arguments alone.

    Blur, resizing and noise run on the device of `gt`, JPEG and video codecs on the CPU. On one CPU
    the same seed gives the same bits. One thread does it: with another number sums round otherwise,
    and a codec, or a draw that is rejected, makes other pixels of the last bit.

    Args:
        gt: (N, T, 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale: Integer factor.
        seed: For example (run seed, step); each clip of the batch has its own draws.
        recipe: Chances and ranges.

    Returns:
        (N, T, 3, H / scale, W / scale), 0 to 1, rounded to 8 bit.

    Raises:
        ValueError: If a side is not a multiple of `scale`; crop the truth first.
        EncodeError: If no encoder of the recipe takes the clip.
    """
    recipe = recipe or RealRecipe()
    clips = []
    with _one_thread():
        for number, clip in enumerate(gt):
            # (seed, 0) would draw what the sampler drew from (seed): numpy pads with zeros.
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
            clips.append(_degrade(clip, scale, rng, recipe))
    return torch.stack(clips)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _degrade(gt: Tensor, scale: int, rng: np.random.Generator, recipe: RealRecipe) -> Tensor:
    clean = bicubic_down(gt, scale)
    if rng.random() < recipe.clean:
        return clean
    recipe = opened(recipe, rng.uniform(*recipe.severity))
    height, width = clean.shape[-2:]
    archive = rng.random() < recipe.archive
    clip = _aged(gt, scale, rng, recipe) if archive else gt
    clip = _order(clip, (height, width), scale, rng, recipe, recipe.first)
    if rng.random() < recipe.first_codec:
        clip = _compressed(clip, rng, recipe)
    clip = _order(clip, (height, width), scale, rng, recipe, recipe.second)
    compressed = rng.random() < recipe.last_codec
    before = compressed and rng.random() < 0.5
    if before:
        clip = _compressed(clip, rng, recipe)
    clip = _resized(clip, height, width, rng)
    if rng.random() < recipe.final_sinc:
        kernel = sinc_kernel(rng.uniform(*recipe.sinc_cutoff))
        clip = blur(clip, kernel.expand(len(clip), -1, -1))
    if archive:
        clip = _taped(clip, rng, recipe)
    if compressed and not before:
        clip = _compressed(clip, rng, recipe)
    return quantise(clip)


def _order(
    clip: Tensor,
    low: tuple[int, int],
    scale: int,
    rng: np.random.Generator,
    recipe: RealRecipe,
    order: Order,
) -> Tensor:
    """Blur, resize, noise, JPEG: each with its chance."""
    frames = len(clip)
    if rng.random() < order.blur:
        # Lengths of the recipe count in low-quality pixels.
        pixel = clip.shape[-1] / low[1]
        clip = blur(clip, _kernels(frames, pixel, rng, recipe, order))
    factor = min(np.exp(rng.uniform(*np.log(order.resize))), scale)
    height, width = (max(_LEAST_SIDE, round(side * factor / 2) * 2) for side in low)
    clip = _resized(clip, height, width, rng)
    if rng.random() < order.noise:
        clip = _noisy(clip, rng, recipe, order)
    clip = clip.clamp(0, 1)
    if rng.random() < order.jpeg:
        quality = walk(rng, order.jpeg_quality, order.jpeg_step, frames)
        clip = jpeg(clip, quality.tolist())
    return clip


def _kernels(
    frames: int, pixel: float, rng: np.random.Generator, recipe: RealRecipe, order: Order
) -> Tensor:
    """Draw one kernel per frame; kind and angle stay, the rest walks. (T, 21, 21)"""
    odds = np.array(recipe.kernels)
    kind = int(rng.choice(len(odds), p=odds / odds.sum()))
    if kind == len(odds) - 1:
        cutoffs = walk(rng, order.sinc_cutoff, order.sinc_step, frames) / pixel
        return torch.stack([sinc_kernel(min(cutoff, pi)) for cutoff in cutoffs])
    form, anisotropic = divmod(kind, 2)
    low, high = order.blur_sigma
    limits = (low * pixel, high * pixel)
    first = walk(rng, limits, order.blur_step * pixel, frames)
    second = walk(rng, limits, order.blur_step * pixel, frames) if anisotropic else first
    angle = rng.uniform(-pi, pi)
    beta = (1.0, rng.uniform(*recipe.generalised_beta), rng.uniform(*recipe.plateau_beta))[form]
    return torch.stack(
        [
            gaussian_kernel(x, y, angle, beta=beta, plateau=form == 2)
            for x, y in zip(first, second, strict=True)
        ]
    )


def _resized(clip: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    """Resize by a filter drawn at random, aliasing and all, as OpenCV and scalers do."""
    mode = ("bilinear", "area", "bicubic")[rng.integers(3)]
    if clip.shape[-2:] == (height, width):
        return clip
    return F.interpolate(clip, size=(height, width), mode=mode).clamp(0, 1)


def _noisy(clip: Tensor, rng: np.random.Generator, recipe: RealRecipe, order: Order) -> Tensor:
    gray = bool(rng.random() < recipe.gray_noise)
    seed = int(rng.integers(_SEEDS))
    if rng.random() < 0.5:
        sigma = walk(rng, order.gaussian_sigma, order.gaussian_step, len(clip)) / 255
        return gaussian_noise(clip, torch.from_numpy(sigma), gray=gray, seed=seed)
    scale = walk(rng, order.poisson_scale, order.poisson_step, len(clip))
    return poisson_noise(clip, torch.from_numpy(scale), gray=gray, seed=seed)


def _compressed(clip: Tensor, rng: np.random.Generator, recipe: RealRecipe) -> Tensor:
    return compress_with_any(clip, recipe.codecs, recipe.quantiser, recipe.gop, rng)


def _aged(clip: Tensor, scale: int, rng: np.random.Generator, recipe: RealRecipe) -> Tensor:
    """Film: grain, scratches, flicker."""
    sigma = rng.uniform(*recipe.grain_sigma) / 255
    size = rng.uniform(*recipe.grain_size) * scale
    clip = film_grain(clip, sigma, size, seed=int(rng.integers(_SEEDS)))
    count = int(rng.integers(recipe.scratches + 1))
    clip = scratch(clip, count, width=scale / 4, rng=rng)
    limits = (1 - recipe.flicker, 1 + recipe.flicker)
    gains = walk(rng, limits, recipe.flicker, len(clip))
    return flicker(clip, torch.from_numpy(gains)).clamp(0, 1)


def _taped(clip: Tensor, rng: np.random.Generator, recipe: RealRecipe) -> Tensor:
    """Tape: remnants of fields, poor colour."""
    if rng.random() < recipe.comb:
        clip = comb(clip, rng.uniform(*recipe.comb_weight))
    if rng.random() < recipe.bleed:
        clip = bleed(clip.clamp(0, 1), _TAPE[rng.integers(3)], int(rng.integers(2)))
    return clip


Degradation = Literal["bicubic", "bd", "real", "footage"]


def degrade(
    gt: Tensor,
    scale: int,
    kind: Degradation,
    *,
    seed: tuple[int, ...] = (0,),
    recipe: RealRecipe | None = None,
) -> Tensor:
    """Make low-quality clips.

    Args:
        gt: (N, T, 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale: Integer factor; "bd" is defined for 4.
        kind: "bicubic", "bd" (see `blur_down`) or "real" (see `degrade_real`).
        seed, recipe: Of "real".

    Returns:
        (N, T, 3, H / scale, W / scale), 0 to 1, rounded to 8 bit.

    Raises:
        ValueError: If a side is not a multiple of `scale`, or "bd" is asked for another scale.
    """
    if kind == "real":
        return degrade_real(gt, scale, seed=seed, recipe=recipe)
    if kind == "bicubic":
        return bicubic_down(gt, scale)
    if kind == "footage":
        raise ValueError("footage degrades whole films, see `footage.open_film`")
    if scale != 4:
        raise ValueError(f"the BD protocol is defined for x4, got x{scale}")
    return blur_down(gt)


def degrade_clip(
    gt: Tensor,
    scale: int,
    kind: Degradation,
    *,
    name: str,
    draw: int = 0,
    recipe: RealRecipe | None = None,
) -> Tensor:
    """Make the low-quality side of a clip that is measured: the same in every run.

    What "real" draws hangs on the clip's name and shape alone, not on its place in a list, and is
    never clean.

    Args:
        gt: (T, 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale, kind: See `degrade`.
        name: Of the file or folder, without the folders above it.
        draw: Which of the ways "real" may go with that name.
        recipe: Of "real".

    Returns:
        (T, 3, H / scale, W / scale), 0 to 1, rounded to 8 bit.

    Raises:
        ValueError, EncodeError: See `degrade` and `degrade_real`.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    recipe = replace(recipe or RealRecipe(), clean=0.0)
    return degrade(gt[None], scale, kind, seed=(seed, draw), recipe=recipe)[0]
