"""Lucas-Kanade finds motion that is known."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from vsr.models.flow import lucas_kanade, upscale_flow
from vsr.ops.resize import resize
from vsr.ops.warp import flow_warp


def photograph(height: int, width: int) -> torch.Tensor:
    picture = torch.from_numpy(data.astronaut()).permute(2, 0, 1).float()[None] / 255
    return resize(picture, height, width)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.3, -0.6), (3.5, 2.0), (-9.0, 5.0)])
def test_finds_a_known_translation(dx: float, dy: float) -> None:
    shift = torch.tensor((dx, dy)).view(1, 2, 1, 1).expand(1, 2, 96, 128).contiguous()
    neighbour = photograph(96, 128)
    reference = flow_warp(neighbour, shift, padding="border")
    inner = lucas_kanade(reference, neighbour)[..., 16:-16, 16:-16]
    error = (inner - shift[..., 16:-16, 16:-16]).square().sum(1).sqrt()
    assert error.median() < 0.1


def test_identical_frames_do_not_move() -> None:
    picture = photograph(48, 64)
    assert lucas_kanade(picture, picture).abs().max() < 1e-4


def test_flat_pictures_do_not_move() -> None:
    flow = lucas_kanade(torch.full((1, 3, 40, 40), 0.4), torch.full((1, 3, 40, 40), 0.6))
    assert flow.abs().max() < 1e-3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (5, 40), (37, 23)])
def test_any_size_gives_a_finite_flow_of_that_size(height: int, width: int) -> None:
    flow = lucas_kanade(torch.rand(2, 3, height, width), torch.rand(2, 3, height, width))
    assert flow.shape == (2, 2, height, width)
    assert flow.isfinite().all()


def test_pairs_of_a_batch_do_not_know_each_other() -> None:
    a, b = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24)
    both = lucas_kanade(a, b)
    torch.testing.assert_close(both[1:], lucas_kanade(a[1:], b[1:]))


def test_upscaled_flow_counts_in_the_new_pixels() -> None:
    flow = torch.ones(1, 2, 4, 6)
    upscaled = upscale_flow(flow, 12, 12)
    torch.testing.assert_close(upscaled[:, 0], torch.full((1, 12, 12), 2.0))
    torch.testing.assert_close(upscaled[:, 1], torch.full((1, 12, 12), 3.0))
