"""The final picture: size, strength, range."""

from __future__ import annotations

import pytest
import torch

from vsr.inference.finish import finish
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes
from vsr.ops.resize import resize


@pytest.mark.parametrize(("height", "width"), [(24, 32), (17, 23), (48, 64), (5, 90)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_size_is_exactly_the_one_asked_for(height: int, width: int, strength: float) -> None:
    sr, lq = torch.rand(3, 24, 32), torch.rand(3, 12, 16)
    out = finish(sr, lq, height=height, width=width, strength=strength)
    assert out.shape == (3, height, width)


def test_full_strength_at_network_size_is_the_networks_picture() -> None:
    sr = torch.rand(3, 24, 32)
    assert torch.equal(finish(sr, torch.rand(3, 12, 16), height=24, width=32), sr)


def test_no_strength_is_the_bicubic_picture() -> None:
    lq = torch.rand(3, 12, 16)
    out = finish(torch.rand(3, 24, 32), lq, height=30, width=40, strength=0.0)
    assert torch.equal(out, resize(lq, 30, 40).clamp(0, 1))


def test_strength_mixes_linearly() -> None:
    sr, lq = torch.rand(3, 24, 32) * 0.5 + 0.25, torch.full((3, 12, 16), 0.5)
    weak, half, full = (finish(sr, lq, height=20, width=30, strength=s) for s in (0.0, 0.25, 1.0))
    torch.testing.assert_close(half, 0.75 * weak + 0.25 * full)


def test_overshoot_is_clamped() -> None:
    out = finish(torch.randn(3, 8, 8) * 3, torch.rand(3, 4, 4), height=8, width=8)
    assert out.min() >= 0
    assert out.max() <= 1


def test_highlights_above_white_survive() -> None:
    lq = torch.full((3, 4, 4), 1.08)
    lq[0] = -0.05
    sr = torch.full((3, 8, 8), 1.08)
    sr[0] = -0.05
    assert torch.equal(finish(sr, lq, height=8, width=8), sr)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_outside_0_to_1_is_refused(strength: float) -> None:
    picture = torch.rand(3, 4, 4)
    with pytest.raises(ValueError, match="strength must be 0 to 1"):
        finish(picture, picture, height=4, width=4, strength=strength)


def test_an_unchanged_picture_keeps_every_luma_code() -> None:
    layout = ColorLayout(matrix="bt709", full_range=False, bit_depth=8, chroma="420")
    luma = torch.arange(256, dtype=torch.uint8).view(16, 16)
    planes = [luma, *(torch.randint(0, 256, (8, 8), dtype=torch.uint8) for _ in range(2))]
    rgb = planes_to_rgb(planes, layout)
    final = finish(rgb, rgb, height=16, width=16)
    assert torch.equal(rgb_to_planes(final, layout)[0], luma)
