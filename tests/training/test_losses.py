"""Losses against their formulas."""

from __future__ import annotations

import pytest
import torch

from vsr.training.losses import charbonnier, photometric, temporal


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


def rolled(scale: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two output frames, the second moved two input pixels to the right, and its flow."""
    frame = torch.rand(1, 3, 12 * scale, 16 * scale)
    to_previous = torch.zeros(1, 1, 2, 12, 16)
    to_previous[:, :, 0] = -2
    return torch.stack((frame, frame.roll(2 * scale, dims=-1)), dim=1), to_previous


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_temporal_is_zero_for_what_moves_with_the_flow_of_the_input(scale: int) -> None:
    sr, to_previous = rolled(scale)
    # What has come in from the left was not in the frame before: outside, flow ends at zero.
    assert float(temporal(sr, to_previous, -to_previous)) == pytest.approx(0, abs=1e-5)


def test_temporal_is_the_size_of_a_flicker() -> None:
    sr, to_previous = rolled(4)
    sr[:, 1] += 0.125
    assert float(temporal(sr, to_previous, -to_previous)) == pytest.approx(0.125, abs=1e-5)


def test_temporal_leaves_out_what_is_hidden() -> None:
    sr, to_previous = rolled(4)
    to_next = -to_previous
    to_next[..., :8] = 9  # The way back of the left half ends elsewhere.
    sr[:, 1, ..., :24] = 0.5
    assert float(temporal(sr, to_previous, to_next)) == pytest.approx(0, abs=1e-5)
    assert float(temporal(sr, to_previous, torch.full_like(to_next, 9))) == 0


def test_the_way_back_is_judged_where_a_pixel_comes_from() -> None:
    sr, to_previous = rolled(4)
    sr[:, 1] += 0.125
    to_next = torch.zeros_like(to_previous)
    to_next[:, :, 0] = 2.8  # ends 0.8 pixels off: too far for a motion this small
    to_next[:, :, 0, :, 10:13] = 30  # a large motion allows more, but not to what lies beside it
    assert float(temporal(sr, to_previous, to_next)) == 0


def test_temporal_teaches_the_picture_and_not_the_flow() -> None:
    sr, to_previous = rolled(2)
    sr = (sr + 0.1 * torch.rand_like(sr)).requires_grad_()
    to_previous.requires_grad_()
    temporal(sr, to_previous, -to_previous).backward()
    assert sr.grad is not None
    assert bool((sr.grad != 0).any())
    assert to_previous.grad is None
