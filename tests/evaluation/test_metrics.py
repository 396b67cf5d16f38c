"""Metrics against computations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vsr.evaluation.metrics import luma, psnr, ssim


def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    gt = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    noise = rng.integers(-9, 10, gt.shape)
    return np.clip(gt + noise, 0, 255).astype(np.uint8), gt


@pytest.mark.parametrize(
    ("rgb", "y"), [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481)]
)
def test_luma_is_matlabs(rgb: tuple[int, int, int], y: float) -> None:
    assert luma(np.array([[rgb]], dtype=np.uint8))[0, 0] == pytest.approx(y, abs=1e-3)


def test_psnr_equals_its_formula() -> None:
    sr, gt = pictures()
    error = np.mean((sr.astype(float) - gt.astype(float)) ** 2)
    assert psnr(sr, gt, on_luma=False) == pytest.approx(10 * np.log10(255**2 / error))


def test_psnr_on_luma_weighs_green_most() -> None:
    gt = np.full((16, 16, 3), 100, dtype=np.uint8)
    green, blue = gt.copy(), gt.copy()
    green[..., 1] += 10
    blue[..., 2] += 10
    assert psnr(green, gt) == pytest.approx(20 * np.log10(255 / (128.553 * 10 / 255)), abs=1e-6)
    assert psnr(blue, gt) > psnr(green, gt)


def test_border_is_left_out() -> None:
    sr, gt = pictures()
    sr[2:-2, 2:-2] = gt[2:-2, 2:-2]
    assert psnr(sr, gt, border=2) == float("inf")
    assert psnr(sr, gt, border=1) < float("inf")


def test_ssim_of_equal_frames_is_one_and_falls_with_noise() -> None:
    sr, gt = pictures()
    assert ssim(gt, gt) == pytest.approx(1.0)
    assert 0 < ssim(sr, gt) < 1


def test_float_frames_are_refused() -> None:
    sr, gt = pictures()
    with pytest.raises(ValueError, match="uint8"):
        psnr(sr / 255, gt)
