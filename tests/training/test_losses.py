"""Losses against their formulas."""

from __future__ import annotations

import pytest
import torch

from vsr.training.losses import charbonnier, photometric


def test_charbonnier_equals_its_formula() -> None:
    sr, gt = torch.tensor([0.5, 0.2]), torch.tensor([0.1, 0.2])
    expected = ((0.4**2 + 0.01) ** 0.5 + 0.1) / 2
    assert float(charbonnier(sr, gt, eps=0.01)) == pytest.approx(expected)


def test_charbonnier_has_a_gradient_where_all_is_right() -> None:
    sr = torch.zeros(3, requires_grad=True)
    charbonnier(sr, torch.zeros(3)).backward()
    assert sr.grad is not None
    assert sr.grad.isfinite().all()


def test_photometric_is_zero_for_the_true_motion_and_only_for_it() -> None:
    frame = torch.rand(1, 3, 12, 16)
    lq = torch.stack((frame, frame.roll(2, dims=-1)), dim=1)
    to_previous = torch.zeros(1, 1, 2, 12, 16)
    to_previous[:, :, 0] = -2
    right = photometric(lq, to_previous, -to_previous)
    wrong = photometric(lq, -to_previous, to_previous)
    assert right < 0.3 * wrong
