"""One contract for every network; see `vsr.models.contract`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from vsr.models.bicubic import Bicubic
from vsr.models.compact import Compact
from vsr.ops.resize import resize


def awake(network: nn.Module) -> nn.Module:
    """Fill zero-initialised layers, so that they matter."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        if parameter.abs().max() == 0:
            nn.init.normal_(parameter, std=0.02)
    return network.eval()


def compact(scale: int = 4) -> nn.Module:
    return awake(Compact(scale=scale, channels=8, blocks=1))


def bicubic(scale: int = 4) -> nn.Module:
    return Bicubic(scale=scale)


NETWORKS = [compact, bicubic]
pytestmark = pytest.mark.parametrize("build", NETWORKS)
Build = Callable[..., nn.Module]


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("shape", [(1, 1, 3, 1, 1), (1, 2, 3, 5, 3), (2, 3, 3, 17, 30)])
def test_any_size_and_length_is_upscaled(build: Build, scale: int, shape: tuple[int, ...]) -> None:
    network = build(scale)
    sr, _ = network(torch.rand(shape))
    n, t, c, h, w = shape
    assert network.scale == scale
    assert sr.shape == (n, t, c, h * scale, w * scale)
    assert sr.isfinite().all()


def test_lookahead_frames_are_seen_but_not_upscaled(build: Build) -> None:
    network, lq = build(), torch.rand(1, 5, 3, 16, 20)
    whole, _ = network(lq)
    first, _ = network(lq, None, 2)
    torch.testing.assert_close(first, whole[:, :3])


def test_state_carries_everything_the_next_window_needs_of_the_past(build: Build) -> None:
    """With all of the future as lookahead, two windows equal one call exactly."""
    network, lq = build(), torch.rand(1, 6, 3, 16, 20)
    whole, _ = network(lq)
    first, state = network(lq, None, 3)
    second, _ = network(lq[:, 3:], state, 0)
    torch.testing.assert_close(torch.cat((first, second), 1), whole, atol=1e-5, rtol=1e-5)


def test_state_is_a_tuple_of_maps_of_lq_size(build: Build) -> None:
    _, state = build()(torch.rand(2, 2, 3, 9, 11))
    assert isinstance(state, tuple)
    assert all(part.ndim == 4 and part.shape[-2:] == (9, 11) for part in state)


def test_rows_of_a_batch_are_independent(build: Build) -> None:
    network, lq = build(), torch.rand(2, 3, 3, 16, 16)
    both, _ = network(lq)
    one, _ = network(lq[1:])
    torch.testing.assert_close(both[1:], one, atol=1e-5, rtol=1e-5)


def test_two_runs_are_bit_equal(build: Build) -> None:
    network, lq = build(), torch.rand(1, 3, 3, 16, 16)
    assert torch.equal(network(lq)[0], network(lq)[0])


def test_gradients_reach_the_input_and_every_parameter(build: Build) -> None:
    network, lq = build(), torch.rand(1, 3, 3, 16, 16, requires_grad=True)
    network(lq)[0].square().mean().backward()
    assert lq.grad is not None
    assert lq.grad.abs().sum() > 0
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_bf16_stays_near_float32(build: Build) -> None:
    network, lq = build(), torch.rand(1, 3, 3, 16, 16)
    exact, _ = network(lq)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = network(lq)
    assert (low.float() - exact).abs().max() < 0.03


def test_an_untrained_network_is_bicubic(build: Build) -> None:
    network = {compact: Compact(channels=8, blocks=1), bicubic: Bicubic()}[build]
    lq = torch.rand(1, 2, 3, 8, 8)
    torch.testing.assert_close(network(lq)[0], resize(lq, 32, 32))
