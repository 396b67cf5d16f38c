"""The contract of `vsr.models.contract`, kept by the published networks."""

from __future__ import annotations

from collections.abc import Callable

import golden
import pytest
import torch
from torch import nn

from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.realbasicvsr import RealBasicVSR


def basicvsr() -> nn.Module:
    return golden.fill(BasicVSR(channels=16, blocks=1), "basicsr")


def basicvsr_pp() -> nn.Module:
    return golden.fill(BasicVSRPlusPlus(channels=16, blocks=1), "mmagic")


def restoration() -> nn.Module:
    return golden.fill(BasicVSRPlusPlus(scale=1, channels=16, blocks=1), "mmagic")


def realbasicvsr() -> nn.Module:
    return golden.fill(RealBasicVSR(channels=16, blocks=1, cleaning_blocks=1), "mmagic")


Build = Callable[[], nn.Module]
pytestmark = pytest.mark.parametrize(
    "build", [basicvsr, basicvsr_pp, restoration, realbasicvsr], ids=lambda build: build.__name__
)


@pytest.mark.parametrize("shape", [(1, 1, 3, 1, 1), (1, 2, 3, 5, 3), (2, 3, 3, 17, 30)])
def test_any_size_and_length_is_taken(build: Build, shape: tuple[int, ...]) -> None:
    network = build()
    sr, state = network(torch.rand(shape))
    n, t, c, h, w = shape
    assert sr.shape == (n, t, c, h * network.scale, w * network.scale)
    assert sr.isfinite().all()
    assert isinstance(state, tuple)
    assert all(part.ndim == 4 and part.shape[-2:] == (h, w) for part in state)


def test_lookahead_frames_are_seen_but_not_given(build: Build) -> None:
    network, lq = build(), torch.rand(1, 5, 3, 16, 20)
    whole, _ = network(lq)
    first, _ = network(lq, None, 2)
    torch.testing.assert_close(first, whole[:, :3], atol=1e-5, rtol=1e-5)


def test_state_carries_everything_the_next_window_needs_of_the_past(build: Build) -> None:
    """With all of the future as lookahead, windows equal one call."""
    network, lq = build(), torch.rand(1, 6, 3, 16, 20)
    whole, _ = network(lq)
    first, state = network(lq, None, 4)
    second, state = network(lq[:, 2:], state, 1)
    third, _ = network(lq[:, 5:], state)
    torch.testing.assert_close(torch.cat((first, second, third), 1), whole, atol=1e-5, rtol=1e-5)


def test_rows_of_a_batch_are_independent(build: Build) -> None:
    network, lq = build(), torch.rand(2, 3, 3, 16, 16)
    torch.testing.assert_close(network(lq)[0][1:], network(lq[1:])[0], atol=1e-5, rtol=1e-5)


def test_gradients_reach_everything_that_is_trained(build: Build) -> None:
    network, lq = build(), torch.rand(1, 3, 3, 16, 16, requires_grad=True)
    frozen = {name for name, _ in network.named_parameters() if name.startswith("basicvsr.flow")}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    network(lq)[0].square().mean().backward()
    assert lq.grad is not None
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert set(silent) <= frozen


def test_bf16_stays_near_float32(build: Build) -> None:
    network, lq = build(), torch.rand(1, 3, 3, 16, 16)
    exact, _ = network(lq)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = network(lq)
    assert (low.float() - exact).abs().max() < 0.03


def test_half_precision_is_as_exact_far_to_the_right_as_at_the_left(build: Build) -> None:
    """Coordinates of 500 and more have steps of whole pixels in bf16, of halves in fp16."""
    network, lq = build(), torch.rand(1, 4, 3, 8, 640)
    exact, _ = network(lq)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = network(lq)
    off = (low.float() - exact).abs()
    side = off.shape[-1] // 5
    assert off[..., -side:].mean() < 1.2 * off[..., :side].mean()


def test_all_frames_looked_at_is_a_wrong_call(build: Build) -> None:
    with pytest.raises(ValueError, match="lookahead 2"):
        build()(torch.rand(1, 2, 3, 8, 8), None, 2)
