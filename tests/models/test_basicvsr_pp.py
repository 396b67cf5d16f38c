"""BasicVSR++ answers as mmagic's does, whole or window by window."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import nn

from vsr.models.basicvsr_pp import BasicVSRPlusPlus


@pytest.fixture(scope="module")
def published() -> nn.Module:
    return golden.fill(BasicVSRPlusPlus(), "mmagic")


def small(scale: int = 4) -> nn.Module:
    return golden.fill(BasicVSRPlusPlus(scale=scale, channels=16, blocks=1), "mmagic")


def test_the_published_output_is_reproduced(published: nn.Module) -> None:
    output, _ = published(golden.clip())
    assert golden.difference(output, "basicvsr_pp_mmagic") < 1e-3


def test_the_published_output_of_a_mirrored_clip_is_reproduced(published: nn.Module) -> None:
    clip = golden.clip()
    output, _ = published(torch.cat((clip, clip.flip(1)), dim=1))
    assert golden.difference(output, "basicvsr_pp_mmagic_mirrored") < 1e-3


def test_a_mirrored_clip_leaves_no_trace_in_the_network() -> None:
    network, lq = small(), torch.rand(1, 3, 3, 16, 16)
    before, _ = network(lq)
    network(torch.cat((lq, lq.flip(1)), dim=1))
    assert torch.equal(network(lq)[0], before)


@pytest.mark.parametrize(
    ("scale", "channels", "blocks", "parameters"),
    [
        (4, 64, 7, 7_322_927),
        (4, 128, 25, 43_780_463),
        (1, 128, 25, 44_075_631),
        (1, 64, 15, 9_760_175),
    ],
)
def test_it_has_as_many_parameters_as_published(
    scale: int, channels: int, blocks: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = BasicVSRPlusPlus(scale=scale, channels=channels, blocks=blocks)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("scale", [4, 1])
def test_a_window_of_one_frame_is_carried_on_exactly(scale: int) -> None:
    """After one frame only one is known, and second order begins a frame later, as in one call."""
    network, lq = small(scale), torch.rand(1, 4, 3, 16, 20)
    whole, _ = network(lq)
    first, state = network(lq, None, 3)
    second, state = network(lq[:, 1:], state, 2)
    rest, _ = network(lq[:, 2:], state)
    torch.testing.assert_close(torch.cat((first, second, rest), 1), whole, atol=1e-5, rtol=1e-5)


def test_both_frames_before_matter() -> None:
    network, lq = small(), torch.rand(1, 5, 3, 16, 16)
    _, state = network(lq[:, :3])
    kept, _ = network(lq[:, 3:], state)
    for number, part in enumerate(state[2:]):
        changed = list(state)
        changed[2 + number] = torch.rand_like(part)
        assert (network(lq[:, 3:], tuple(changed))[0] - kept).abs().max() > 1e-5


def test_restoration_of_sizes_that_four_does_not_divide_extends_them_by_their_edge() -> None:
    network, lq = small(scale=1), torch.rand(1, 2, 3, 18, 21)
    extended = torch.nn.functional.pad(lq[0], (0, 3, 0, 2), mode="replicate")[None]
    odd, whole = network(lq)[0], network(extended)[0]
    torch.testing.assert_close(odd, whole[..., :18, :21], atol=1e-5, rtol=1e-5)


def test_half_precision_aligns_as_exactly_over_long_ways_as_over_short_ones() -> None:
    """Near 200 pixels bf16 has steps of one pixel, fp16 of an eighth."""
    align = small().get_submodule("align.forward_1")
    align.offset[0].weight[:, -4:] = 0  # the convolution sees the flow too, in bf16
    features = torch.rand(3, 1, 16, 8, 300)

    def error(pixels: float) -> float:
        flow = torch.tensor((pixels, 0.2)).view(1, 2, 1, 1).expand(1, 2, 8, 300)
        exact = align(*features, flow, flow)
        with torch.autocast("cpu", torch.bfloat16):
            low = align(*features, flow, flow)
        return float((low.float() - exact)[..., :90].abs().mean())

    assert error(200.3) < 1.5 * error(0.3)


def test_channels_that_the_groups_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        BasicVSRPlusPlus(channels=24)
