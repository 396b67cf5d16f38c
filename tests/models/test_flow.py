"""Lucas-Kanade finds motion that is known."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from vsr.models.flow import _mean3, _sum5, lucas_kanade, upscale_flow
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


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (3, 7), (12, 9)])
def test_window_sums_equal_pooling(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 2, *size)
    summed = 25 * torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    torch.testing.assert_close(_sum5(x), summed)
    repeated = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    torch.testing.assert_close(_mean3(x), torch.nn.functional.avg_pool2d(repeated, 3, 1))


def test_pairs_one_by_one_give_what_all_at_once_give() -> None:
    """On a CPU large pictures are computed a few at a time."""
    torch.manual_seed(0)
    reference, neighbour = torch.rand(3, 3, 220, 300), torch.rand(3, 3, 220, 300)
    together = lucas_kanade(reference, neighbour, levels=2, iterations=1)
    for i in range(3):
        alone = lucas_kanade(reference[i : i + 1], neighbour[i : i + 1], levels=2, iterations=1)
        torch.testing.assert_close(together[i : i + 1], alone)
