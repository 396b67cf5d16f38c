"""The degradations by the names that configurations use."""

from __future__ import annotations

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
