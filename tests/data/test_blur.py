"""Blur kernels have the moments and the spectra that they are named after."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.data.blur import RADIUS, SIDE, blur, gaussian_kernel, sinc_kernel


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
