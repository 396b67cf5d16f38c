"""Floats become the levels of an 8-bit file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vsr.ops.eight_bit import to_levels, to_picture


@pytest.mark.parametrize(
    ("value", "level"), [(0, 0), (1, 255), (-0.2, 0), (1.2, 255), (0.4 / 255, 0), (0.6 / 255, 1)]
)
def test_levels_are_the_nearest_there_is(value: float, level: int) -> None:
    assert to_levels(torch.tensor(value)) == level


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_not_rounded_twice(kind: torch.dtype) -> None:
    x = torch.linspace(0, 1, 997).to(kind)
    assert torch.equal(to_levels(x), (x.double() * 255).round().to(torch.uint8))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_channels_come_last(shape: tuple[int, ...]) -> None:
    rgb = torch.rand(shape)
    found = to_picture(rgb)
    assert found.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], to_levels(rgb[..., channel, :, :]))
