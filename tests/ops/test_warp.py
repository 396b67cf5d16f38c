"""Laws of `flow_warp`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vsr.ops.warp import flow_warp


def constant_flow(dx: float, dy: float, height: int, width: int) -> Tensor:
    return torch.tensor((dx, dy)).view(1, 2, 1, 1).expand(1, 2, height, width).contiguous()


def test_zero_flow_is_identity() -> None:
    x = torch.rand(1, 4, 6, 9)
    torch.testing.assert_close(flow_warp(x, torch.zeros(1, 2, 6, 9)), x)


def test_whole_pixels_are_a_shifted_slice_and_zeros_come_in() -> None:
    x = torch.rand(1, 2, 6, 9)
    warped = flow_warp(x, constant_flow(3, -1, 6, 9))
    torch.testing.assert_close(warped[..., 1:, :-3], x[..., :-1, 3:])
    assert warped[..., 0, :].abs().max() < 1e-5
    assert warped[..., -3:].abs().max() < 1e-5


def test_border_padding_repeats_the_edge() -> None:
    x = torch.rand(1, 2, 6, 9)
    warped = flow_warp(x, constant_flow(30, 0, 6, 9), padding="border")
    torch.testing.assert_close(warped, x[..., -1:].expand_as(x))


def test_equals_a_bilinear_sum_written_out() -> None:
    x, flow = torch.rand(1, 1, 5, 7), torch.rand(1, 2, 5, 7) * 3 - 1.5
    warped = flow_warp(x, flow)
    for row in range(5):
        for column in range(7):
            sx, sy = column + float(flow[0, 0, row, column]), row + float(flow[0, 1, row, column])
            left, top = int(sx // 1), int(sy // 1)
            total = 0.0
            for i, wy in ((top, 1 - (sy - top)), (top + 1, sy - top)):
                for j, wx in ((left, 1 - (sx - left)), (left + 1, sx - left)):
                    if 0 <= i < 5 and 0 <= j < 7:
                        total += wx * wy * float(x[0, 0, i, j])
            assert float(warped[0, 0, row, column]) == pytest.approx(total, abs=1e-5)


def test_half_precision_features_are_sampled_at_exact_places() -> None:
    width = 1920
    x = torch.arange(width, dtype=torch.float32).view(1, 1, 1, width).expand(1, 1, 4, width) / width
    flow = constant_flow(0.5, 0, 4, width)
    low = flow_warp(x.to(torch.bfloat16), flow)
    exact = flow_warp(x.to(torch.bfloat16).float(), flow).to(torch.bfloat16)
    assert torch.equal(low, exact)


def test_refuses_flow_of_another_size() -> None:
    with pytest.raises(ValueError, match="flow of size"):
        flow_warp(torch.rand(1, 1, 4, 4), torch.zeros(1, 2, 4, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_channels_are_warped_as_pictures_are(dtype: torch.dtype) -> None:
    """Without gradients, many channels on a CPU take another way."""
    torch.manual_seed(0)
    x = torch.rand(2, 24, 13, 17).to(dtype)
    flow = 6 * torch.randn(2, 2, 13, 17)
    with torch.no_grad():
        by_rows = flow_warp(x.contiguous(memory_format=torch.channels_last), flow)
    assert by_rows.dtype == dtype
    assert by_rows.is_contiguous(memory_format=torch.channels_last)
    usual = flow_warp(x.contiguous(), flow)
    torch.testing.assert_close(
        by_rows, usual, atol=2e-5 if dtype == torch.float32 else 8e-3, rtol=0
    )


def test_rows_moved_by_no_number_are_none_and_those_from_far_outside_are_zero() -> None:
    """Half precision may break a flow; the runner sees that by the picture."""
    x = torch.rand(1, 16, 4, 5).contiguous(memory_format=torch.channels_last)
    flow = torch.zeros(1, 2, 4, 5)
    flow[0, :, 1, 2] = torch.nan
    flow[0, 0, 2, 3] = torch.inf
    flow[0, 0, 3, 4] = 1e30
    with torch.no_grad():
        warped = flow_warp(x, flow)
    assert warped[..., 1, 2].isnan().all()
    assert warped[..., 2, 3].isnan().all()
    assert not warped[..., 3, 4].any()
    torch.testing.assert_close(warped[..., 0, :], x[..., 0, :])
