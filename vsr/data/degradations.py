"""The degradations by the names that configurations use."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

from torch import Tensor

from vsr.data.degrade import bicubic_down, blur_down
from vsr.data.real import degrade_real
from vsr.data.recipe import RealRecipe

Degradation = Literal["bicubic", "bd", "real"]


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
