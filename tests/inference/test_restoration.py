"""A network that keeps the size runs through windows and tiles as any other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import golden
import pytest
import torch
from torch import Tensor

from vsr.inference.plan import Plan
from vsr.inference.runner import LqFrame, upscale
from vsr.models.basicvsr_pp import BasicVSRPlusPlus

TILED = Plan(
    window=2,
    lookahead=6,
    tile=60,
    margin=16,
    device="cpu",
    precision="fp32",
    scene_threshold=7.0,
)


def restored(plan: Plan, size: tuple[int, int]) -> Tensor:
    network = golden.fill(BasicVSRPlusPlus(scale=1, channels=16, blocks=1), "mmagic")
    coarse = torch.rand(10, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    pictures = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
    frames = [LqFrame(source=None, lq=rgb, pts=i) for i, rgb in enumerate(pictures)]
    done = list(upscale(frames, network, plan, warn=pytest.fail))  # type: ignore[arg-type]
    assert all(a.pts < b.pts for a, b in pairwise(done))
    return torch.stack([frame.sr for frame in done])


@pytest.mark.parametrize("size", [(64, 100), (50, 97)])
def test_state_passed_through_tiles_is_as_good_as_none_needed(size: tuple[int, int]) -> None:
    """It is put together from tiles and cut into tiles again: their grid must fit.

    With tiles that begin anywhere, the difference is twice as large.
    """
    whole, tiled = restored(replace(TILED, window=10, lookahead=0), size), restored(TILED, size)
    assert tiled.shape == (10, 3, *size)
    assert (tiled - whole).abs().mean() < 4e-4
