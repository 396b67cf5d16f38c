"""Convolutions in one operator against the same in several."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vsr.ops.convolve import Activation, convolve, fused_flops


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("activation", "adds"),
    [("none", False), ("relu", False), ("leaky_relu", False), ("none", True), ("relu", True)],
)
@pytest.mark.parametrize("kernel", [1, 3])
def test_one_operator_gives_what_several_give(
    activation: Activation, adds: bool, layout: torch.memory_format, kernel: int
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 9, 11).contiguous(memory_format=layout)
    weight, bias = torch.randn(7, 5, kernel, kernel), torch.randn(7)
    add = torch.randn(2, 7, 9, 11).contiguous(memory_format=layout) if adds else None
    wanted = F.conv2d(x, weight, bias, padding=kernel // 2) + (0 if add is None else add)
    wanted = {"none": wanted, "relu": F.relu(wanted), "leaky_relu": F.leaky_relu(wanted, 0.1)}[
        activation
    ]
    padding = kernel // 2
    usual = convolve(x, weight, bias, padding=padding, add=add, activation=activation)
    torch.testing.assert_close(usual, wanted)
    with torch.no_grad():
        fused = convolve(x, weight, bias, padding=padding, add=add, activation=activation)
    torch.testing.assert_close(fused, wanted, atol=1e-5, rtol=1e-5)


def test_autocast_counts_and_no_input_but_the_sum_is_changed() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 8, 6, 6), torch.randn(8, 8, 3, 3)
    kept = x.clone()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        made = convolve(x, weight, None, activation="relu")
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(x, kept)
    wanted = F.relu(F.conv2d(x, weight, padding=1))
    torch.testing.assert_close(made.float(), wanted, atol=0.1, rtol=0.02)


def test_the_work_of_both_ways_counts_alike() -> None:
    x, weight = torch.randn(1, 8, 6, 6), torch.randn(4, 8, 3, 3)
    for add in (None, torch.zeros(1, 4, 6, 6)):
        counts = []
        for grad in (False, True):
            counter = FlopCounterMode(display=False, custom_mapping=fused_flops())
            with torch.set_grad_enabled(grad), counter:
                convolve(x, weight, None, add=add)
            counts.append(counter.get_total_flops())
        assert counts == [2 * 4 * 8 * 9 * 36] * 2
