"""BD degradation against MATLAB's fspecial and imfilter, written out sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vsr.data.degrade import bicubic_down, blur_down


def gaussian_every_fourth(x: np.ndarray) -> np.ndarray:
    """fspecial('gaussian', 12, 1.6), imfilter(..., 'replicate'), x(2:4:end-2, 2:4:end-2)."""
    axis = np.arange(12) - 5.5
    kernel = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.6**2))
    kernel /= kernel.sum()
    height, width = x.shape
    out = np.zeros((height // 4, width // 4))
    for i, y in enumerate(range(1, height - 2, 4)):
        for j, z in enumerate(range(1, width - 2, 4)):
            rows = np.clip(np.arange(y - 5, y + 7), 0, height - 1)
            columns = np.clip(np.arange(z - 5, z + 7), 0, width - 1)
            out[i, j] = (x[np.ix_(rows, columns)] * kernel).sum()
    return out


@pytest.mark.parametrize(("height", "width"), [(32, 48), (4, 4), (20, 12)])
def test_bd_is_matlabs_blur_and_sampling(height: int, width: int) -> None:
    x = np.random.default_rng(0).random((height, width))
    wanted = (gaussian_every_fourth(x) * 255).round()
    found = blur_down(torch.from_numpy(x).expand(2, 3, -1, -1))
    assert found.shape == (2, 3, height // 4, width // 4)
    np.testing.assert_array_equal((found[1, 2] * 255).round().numpy(), wanted)


def test_bd_pixels_lie_at_block_centres() -> None:
    ramp = torch.arange(64.0).expand(3, 64, 64) / 255
    inner = blur_down(ramp)[0, 8, 4:-4] * 255
    # The centre of pixels 4k to 4k + 3 is 4k + 1.5; rounding to 8 bit may take either side.
    centres = torch.arange(16.0)[4:-4] * 4 + 1.5
    assert (inner - centres).abs().max() <= 0.5001


@pytest.mark.parametrize("size", [(6, 8), (8, 6)])
def test_sides_that_are_no_multiple_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        blur_down(torch.zeros(3, *size))
    with pytest.raises(ValueError, match="not a multiple of 4"):
        bicubic_down(torch.zeros(3, *size), 4)


def test_blur_is_as_exact_under_autocast() -> None:
    gt = torch.rand(1, 3, 32, 48)
    with torch.autocast("cpu", torch.bfloat16):
        made = blur_down(gt)
    assert torch.equal(made, blur_down(gt))
