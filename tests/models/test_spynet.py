"""SpyNet gives the published flow, for frames of any size."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import Tensor, nn

from vsr.models.spynet import SpyNet, clip_flow


class Carrier(nn.Module):
    """Holds a SpyNet where the networks hold theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = SpyNet()


@pytest.fixture(scope="module")
def spynet() -> nn.Module:
    carrier = golden.fill(Carrier(), "basicsr")
    return carrier.get_submodule("flow")


def test_the_published_flow_is_reproduced(spynet: nn.Module) -> None:
    clip = golden.clip()[0]
    assert golden.difference(spynet(clip[:4], clip[1:]), "spynet_basicsr") < 1e-4


def test_it_has_as_many_parameters_as_published() -> None:
    assert sum(p.numel() for p in SpyNet().parameters()) == 1_440_300


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (33, 70), (64, 64), (65, 97)])
def test_any_size_gives_a_flow_of_that_size(spynet: nn.Module, size: tuple[int, int]) -> None:
    flow = spynet(torch.rand(1, 3, *size), torch.rand(1, 3, *size))
    assert flow.shape == (1, 2, *size)
    assert flow.isfinite().all()


def test_flow_stays_float32_under_autocast(spynet: nn.Module) -> None:
    pair = torch.rand(2, 1, 3, 64, 64)
    exact = spynet(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        low = spynet(*pair)
    assert low.dtype == torch.float32
    assert (low - exact).abs().max() < 0.05


def test_pairs_taken_a_few_at_once_equal_pairs_alone(spynet: nn.Module) -> None:
    clip = torch.rand(2, 7, 3, 20, 24)
    flow = clip_flow(spynet, clip[:, 1:], clip[:, :-1])
    assert flow.shape == (2, 6, 2, 20, 24)
    alone = spynet(clip[1, 6:], clip[1, 5:6])
    torch.testing.assert_close(flow[1, 5:], alone, atol=1e-5, rtol=1e-5)


def test_one_frame_has_no_flow(spynet: nn.Module) -> None:
    clip: Tensor = torch.rand(1, 1, 3, 8, 8)
    assert clip_flow(spynet, clip[:, 1:], clip[:, :-1]).shape == (1, 0, 2, 8, 8)
