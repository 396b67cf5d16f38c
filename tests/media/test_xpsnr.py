"""XPSNR against its formula, where that is simple."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsr.media.xpsnr import Xpsnr

HEIGHT, WIDTH = 96, 128


def noisy(picture: NDArray[np.uint8], where: NDArray[np.bool_] | bool = True) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-5, 6, picture.shape) * where
    return (picture + noise).clip(0, 255).astype(np.uint8)


def test_a_flat_still_truth_weighs_all_errors_alike() -> None:
    truth = np.full((HEIGHT, WIDTH), 100, np.uint8)
    output = noisy(truth)
    judge = Xpsnr()
    # The filter compares the first frame with a black one before it.
    _, found = (judge.score(output, truth) for _ in range(2))
    psnr = 10 * np.log10(255**2 / np.mean((output - 100.0) ** 2))
    # Helmrich et al., eq. 5: sqrt(a_picture / a_block), with the least activity, 1, everywhere.
    activity = 2 ** (2 * 8 - 9) * np.sqrt(3840 * 2160 / (HEIGHT * WIDTH))
    assert found == pytest.approx(psnr - 10 * np.log10(np.sqrt(activity)), abs=1e-3)


def test_errors_in_texture_count_for_less_and_the_truth_tells_what_is_texture() -> None:
    left = np.broadcast_to(np.arange(WIDTH) < WIDTH // 2, (HEIGHT, WIDTH))
    grain = np.random.default_rng(1).integers(0, 256, left.shape)
    truth = np.where(left, 100, grain).astype(np.uint8)
    flat, busy = noisy(truth, left), noisy(truth, ~left)
    assert Xpsnr().score(busy, truth) > Xpsnr().score(flat, truth) + 3
    assert Xpsnr().score(truth, flat) > Xpsnr().score(flat, truth)


def test_equal_frames_are_infinite() -> None:
    truth = noisy(np.full((HEIGHT, WIDTH), 100, np.uint8))
    assert Xpsnr().score(truth, truth) == float("inf")
