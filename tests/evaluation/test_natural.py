"""NIQE against the numbers of BasicSR."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vsr.evaluation.natural import niqe


def picture(height: int = 200, width: int = 300) -> NDArray[np.uint8]:
    """Waves under noise, by a formula."""
    y, x = np.mgrid[0:height, 0:width]
    noise = [(x * 7919 + y * 104729 + x * y * 31 + c * 13) % 23 - 11 for c in range(3)]
    waves = [128 + 80 * np.sin(x / 9 + y / (17 + c)) for c in range(3)]
    return (np.stack(waves, -1) + np.stack(noise, -1)).clip(0, 255).astype(np.uint8)


def test_its_value_is_that_of_basicsr() -> None:
    # `basicsr.metrics.niqe.niqe` of basicsr 1.4.2 on rounded Y of this picture, in float64.
    assert niqe(picture()) == pytest.approx(17.911181, abs=1e-4)


def test_what_lies_beyond_the_last_whole_block_does_not_count() -> None:
    whole = picture()
    assert niqe(whole) == niqe(np.ascontiguousarray(whole[:192, :288]))


def test_natural_pictures_score_better_than_their_blocks() -> None:
    grain = np.random.default_rng(0).normal(0, 1, (192, 288))
    for axis in (0, 1):  # a falling spectrum, as photographs have
        grain = np.cumsum(grain - grain.mean(axis, keepdims=True), axis=axis)
        grain -= np.linspace(0, 1, grain.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    grain = 128 + 50 * grain / grain.std()
    coarse = grain[::8, ::8].repeat(8, 0).repeat(8, 1)
    scores = [niqe(np.stack([x] * 3, -1).clip(0, 255).astype(np.uint8)) for x in (grain, coarse)]
    assert scores[0] < scores[1]


def test_black_frames_have_no_value() -> None:
    assert np.isnan(niqe(np.zeros((96, 192, 3), np.uint8)))


@pytest.mark.parametrize("size", [(95, 400), (150, 150)])
def test_small_pictures_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="needs two blocks of 96x96"):
        niqe(np.zeros((*size, 3), np.uint8))
