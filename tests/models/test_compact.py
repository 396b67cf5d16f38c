"""What is particular to the compact network."""

from __future__ import annotations

import pytest
import torch

from vsr.models.compact import MEMORY_BOUND, Compact
from vsr.models.layers import Trunk


def test_flow_is_given_for_both_directions() -> None:
    network = Compact(channels=8, blocks=1)
    made = network.forward_for_training(torch.rand(2, 4, 3, 20, 24))
    assert made.flow_to_previous is not None
    assert made.flow_to_next is not None
    assert made.flow_to_previous.shape == made.flow_to_next.shape == (2, 3, 2, 20, 24)


def test_summed_shares_equal_the_layer_over_concatenated_inputs() -> None:
    torch.manual_seed(0)
    trunk = Trunk(3 + 8, 8, 2)
    one, other = torch.rand(2, 3, 9, 7), torch.rand(2, 8, 9, 7)
    of_one, of_other = trunk.shares(3, 8)
    whole = torch.cat((one, other), dim=1)
    for layer in trunk:
        whole = layer(whole)
    torch.testing.assert_close(trunk(of_one(one) + of_other(other)), whole)


def test_frame_by_frame_gives_what_all_at_once_gives() -> None:
    """Without gradients a window is computed frame by frame, in training all frames at once."""
    torch.manual_seed(0)
    network = Compact(scale=2, channels=8, blocks=1, clean=True)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    lq = torch.rand(2, 4, 3, 12, 14)
    at_once, _ = network(lq, None, 1)
    with torch.no_grad():
        one_by_one, _ = network(lq, None, 1)
    torch.testing.assert_close(one_by_one, at_once)


@pytest.mark.parametrize("clean", [False, True])
def test_grey_film_stays_grey_to_the_bit(clean: bool) -> None:
    torch.manual_seed(0)
    network = Compact(scale=2, channels=8, blocks=1, clean=clean)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    grey = torch.rand(1, 3, 1, 14, 17).expand(-1, -1, 3, -1, -1)
    sr, _ = network(grey)
    assert torch.equal(sr[:, :, 0], sr[:, :, 1])
    assert torch.equal(sr[:, :, 0], sr[:, :, 2])
    coloured, _ = network(torch.rand(1, 3, 3, 14, 17))
    assert (coloured[:, :, 0] - coloured[:, :, 1]).abs().max() > 0.1


def test_the_cleaned_input_is_shown_to_losses_and_starts_as_the_input() -> None:
    lq = torch.rand(1, 3, 3, 12, 12)
    made = Compact(channels=8, blocks=1, clean=True).forward_for_training(lq)
    assert made.cleaned is not None
    torch.testing.assert_close(made.cleaned, lq)


def test_a_window_of_nothing_but_lookahead_is_refused() -> None:
    with pytest.raises(ValueError, match="lookahead 2 in a window of 2"):
        Compact(channels=8, blocks=1)(torch.rand(1, 2, 3, 8, 8), None, 2)


def test_what_is_remembered_stays_bounded_whatever_the_weights() -> None:
    torch.manual_seed(0)
    network = Compact(channels=8, blocks=1)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 5
        frames, state = torch.rand(1, 4, 3, 16, 16), None
        for _ in range(20):
            _, state = network(frames, state)
            assert state[0].abs().max() <= MEMORY_BOUND
