"""Degradations against MATLAB's and OpenCV's, moments, spectra, sample by sample."""

from __future__ import annotations

from math import pi

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage import data
from torch import Tensor

from vsr.data.degrade import (
    RADIUS,
    SIDE,
    bicubic_down,
    blur,
    blur_down,
    gaussian_kernel,
    sharpened,
    sinc_kernel,
)


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


def moments(kernel: Tensor) -> tuple[float, float, float]:
    """Second moments along x, along y and mixed."""
    line = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    return (
        float((kernel * line**2).sum()),
        float((kernel * line[:, None] ** 2).sum()),
        float((kernel * line * line[:, None]).sum()),
    )


KERNELS = {
    "gaussian": gaussian_kernel(1.7),
    "oval": gaussian_kernel(0.8, 2.5, 0.7),
    "generalised": gaussian_kernel(1.2, 1.9, -1.0, beta=2.3),
    "plateau": gaussian_kernel(2.0, beta=1.5, plateau=True),
    "sinc": sinc_kernel(1.1),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_keep_brightness_and_place(name: str) -> None:
    kernel = KERNELS[name]
    assert float(kernel.sum()) == pytest.approx(1)
    torch.testing.assert_close(kernel, kernel.flip(0, 1))


@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.4])
def test_the_second_moment_is_sigma_squared(sigma: float) -> None:
    assert moments(gaussian_kernel(sigma))[:2] == pytest.approx((sigma**2, sigma**2), rel=0.01)


def test_an_oval_kernel_lies_as_its_angle_says() -> None:
    along_x, along_y, mixed = moments(gaussian_kernel(2.0, 1.0))
    assert (along_x, along_y, mixed) == pytest.approx((4.0, 1.0, 0.0), rel=0.01, abs=1e-9)
    turned = moments(gaussian_kernel(2.0, 1.0, pi / 4))
    assert turned == pytest.approx((2.5, 2.5, 1.5), rel=0.01)


def test_a_higher_beta_is_flatter_with_shorter_tails() -> None:
    def flatness(beta: float, plateau: bool) -> float:
        row = gaussian_kernel(3.0, beta=beta, plateau=plateau)[RADIUS]
        return float(row[RADIUS + 2] / row[RADIUS])

    assert flatness(0.6, False) < flatness(1.0, False) < flatness(3.0, False)
    assert flatness(1.0, True) < flatness(2.0, True)


def test_sinc_passes_what_is_below_its_cutoff_only() -> None:
    spectrum = torch.fft.fft(sinc_kernel(1.2).sum(0), n=256).abs()
    frequency = 2 * pi * torch.arange(129) / 256
    assert spectrum[:129][frequency < 0.7].min() > 0.85
    assert spectrum[:129][frequency > 1.8].max() < 0.1


def test_blur_is_convolution_of_each_frame_with_its_own_kernel() -> None:
    clip = torch.rand(2, 3, 13, 17, dtype=torch.float64)
    kernels = torch.rand(2, SIDE, SIDE, dtype=torch.float64)
    padded = F.pad(clip, (RADIUS,) * 4, mode="replicate").transpose(0, 1)
    expected = F.conv2d(padded, kernels.flip(-1, -2)[:, None], groups=2).transpose(0, 1)
    torch.testing.assert_close(blur(clip, kernels), expected)


def test_blur_takes_pictures_smaller_than_the_kernel() -> None:
    flat = torch.full((1, 3, 4, 6), 0.3)
    kernel = gaussian_kernel(2.0)[None]
    np.testing.assert_allclose(blur(flat, kernel), flat, atol=1e-6)


def with_opencv(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unsharp masking of (H, W, 3), written with OpenCV."""
    detail = picture - cv2.GaussianBlur(picture, (51, 51), 0)
    mask = cv2.GaussianBlur((np.abs(detail) * 255 > 10).astype(np.float32), (51, 51), 0)
    return mask * np.clip(picture + 0.5 * detail, 0, 1) + (1 - mask) * picture


def test_it_equals_opencv() -> None:
    picture = data.astronaut()[60:156, 170:290].astype(np.float32) / 255
    gt = torch.from_numpy(picture).permute(2, 0, 1)[None, None]
    found = sharpened(gt)[0, 0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, with_opencv(picture), atol=2e-5)
    assert np.abs(found - picture).max() > 0.05


def test_flat_pictures_of_any_size_stay() -> None:
    for height, width in ((40, 60), (5, 7)):
        flat = torch.full((1, 2, 3, height, width), 0.4)
        torch.testing.assert_close(sharpened(flat), flat)


def test_autocast_changes_nothing() -> None:
    gt = torch.rand(1, 1, 3, 40, 40)
    with torch.autocast("cpu", torch.bfloat16):
        made = sharpened(gt)
    assert torch.equal(made, sharpened(gt))
