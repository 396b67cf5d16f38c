"""`resize` against an independent computation of MATLAB's `imresize`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vsr.ops.resize import _weighted_rows, resize, sub_pixel_kernel, sub_pixels


def imresize_rows(x: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """MATLAB's imresize along axis 0, from its documentation: weights summed sample by sample."""
    old = x.shape[0]
    factor = size / old
    widen = min(1.0, factor)
    out = np.zeros((size, *x.shape[1:]))
    for row in range(size):
        centre = (row + 0.5) / factor - 0.5
        reach = 2 / widen
        taps = range(int(np.floor(centre - reach)), int(np.ceil(centre + reach)) + 1)
        weights = np.array([keys((centre - tap) * widen) for tap in taps])
        weights /= weights.sum()
        for tap, weight in zip(taps, weights, strict=True):
            folded = tap % (2 * old)
            out[row] += weight * x[folded if folded < old else 2 * old - 1 - folded]
    return out


def keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((24, 32), (6, 8)),
        ((6, 8), (24, 32)),
        ((12, 16), (9, 20)),
        ((7, 5), (13, 3)),
        ((1, 2), (4, 8)),
        ((9, 1), (18, 2)),
        ((1, 9), (2, 18)),
        ((1, 1), (3, 2)),
    ],
)
def test_equals_matlab_imresize_up_to_the_border(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    x = np.random.default_rng(0).random(old)
    expected = imresize_rows(imresize_rows(x, new[0]).T, new[1]).T
    actual = resize(torch.from_numpy(x)[None], *new)[0]
    torch.testing.assert_close(actual, torch.from_numpy(expected), atol=1e-12, rtol=0)


def test_keeps_constant_pictures_constant() -> None:
    x = torch.full((2, 3, 9, 7), 0.25)
    torch.testing.assert_close(resize(x, 20, 31), torch.full((2, 3, 20, 31), 0.25))


def test_same_size_gives_the_picture_itself() -> None:
    x = torch.rand(3, 5, 6)
    assert torch.equal(resize(x, 5, 6), x)


def test_half_precision_is_computed_in_float32() -> None:
    x = torch.rand(1, 3, 16, 16)
    low = resize(x.to(torch.bfloat16), 4, 4)
    assert low.dtype == torch.bfloat16
    expected = resize(x.to(torch.bfloat16).float(), 4, 4).to(torch.bfloat16)
    assert torch.equal(low, expected)


def test_refuses_an_empty_size() -> None:
    with pytest.raises(ValueError, match="0x4"):
        resize(torch.rand(3, 5, 6), 4, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (9, 14)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_sub_pixels_in_their_places_are_the_resized_picture(
    size: tuple[int, int], factor: int
) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    kernel = sub_pixel_kernel(factor, dtype=x.dtype)
    whole = torch.pixel_shuffle(sub_pixels(x, kernel), factor)
    torch.testing.assert_close(whole, resize(x, size[0] * factor, size[1] * factor))


@pytest.mark.parametrize("size", [1, 2, 5, 16, 31, 64, 70])
def test_weighted_rows_for_apple_gpus_are_the_same_bicubic(size: int) -> None:
    x = torch.rand(2, 3, 16, 9)
    expected = resize(x, size, 9)
    torch.testing.assert_close(_weighted_rows(x, size), expected, rtol=0, atol=2e-6)
