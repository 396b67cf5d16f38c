"""Crops come from where they should, and are a function of their seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vsr.data.clips import Clip
from vsr.data.datasets import sample_batch, shots, truth
from vsr.data.degrade import bicubic_down, quantise
from vsr.errors import DatasetError
from vsr.ops.resize import resize


def clip(frames: int, cuts: tuple[int, ...] = (), height: int = 20, width: int = 24) -> Clip:
    """Each pixel tells its frame, row and column."""
    t, y, x = np.mgrid[0:frames, 0:height, 0:width].astype(np.uint8)
    return Clip(name="c", frames=np.stack((t, y, x), axis=-1), cuts=cuts)


def test_shots_lie_between_cuts_and_are_long_enough() -> None:
    found = shots([clip(20, cuts=(3, 12))], length=5, side=16)
    assert [(shot.first, shot.last) for shot in found] == [(3, 12), (12, 20)]


@pytest.mark.parametrize(("length", "side"), [(21, 8), (5, 21)])
def test_nothing_to_cut_from_is_said(length: int, side: int) -> None:
    with pytest.raises(DatasetError, match=f"{length} frames .*{side}x{side}"):
        shots([clip(20)], length=length, side=side)


def test_crops_are_whole_blocks_of_space_and_time_within_one_shot() -> None:
    found = shots([clip(20, cuts=(9,))], length=4, side=8)
    seen = set()
    for seed in range(40):
        for crop in sample_batch(found, batch=2, length=4, side=8, seed=(seed,)).int():
            times, rows, columns = crop.unbind(1)
            stamps = times[:, 0, 0]
            assert (times == stamps.view(4, 1, 1)).all()
            assert set((stamps[1:] - stamps[:-1]).tolist()) in ({1}, {-1})
            assert stamps.min() >= 9 or stamps.max() < 9
            if (rows[0, 0] != rows[0, 0, 0]).any():  # transposed
                rows, columns = rows.transpose(1, 2), columns.transpose(1, 2)
            assert {abs(int(d)) for d in (rows[0, 1:, 0] - rows[0, :-1, 0])} == {1}
            assert {abs(int(d)) for d in (columns[0, 0, 1:] - columns[0, 0, :-1])} == {1}
            seen.add((int(stamps[0]), int(rows[0, 0, 0]), int(columns[0, 0, 0])))
    assert len(seen) > 60


def test_a_batch_is_a_function_of_its_seed() -> None:
    found = shots([clip(20)], length=4, side=8)
    a, b, c = (
        sample_batch(found, batch=3, length=4, side=8, seed=seed)
        for seed in ((1, 2), (1, 2), (1, 3))
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_truth_is_cropped_to_multiples_of_the_scale() -> None:
    gt = truth(clip(6, height=21, width=27), frames=3, scale=4)
    assert gt.shape == (3, 3, 20, 24)
    assert float(gt[2, 1, 19, 0]) == pytest.approx(19 / 255)


def test_bicubic_down_is_the_rounded_resize() -> None:
    gt = torch.rand(2, 3, 16, 24)
    lq = bicubic_down(gt, 4)
    assert lq.shape == (2, 3, 4, 6)
    assert torch.equal(lq, quantise(resize(gt, 4, 6)))
    torch.testing.assert_close(lq * 255, (lq * 255).round(), atol=1e-4, rtol=0)


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="17x16"):
        bicubic_down(torch.rand(3, 16, 17), 4)
