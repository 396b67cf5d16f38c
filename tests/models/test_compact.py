"""What is particular to the compact network."""

from __future__ import annotations

import pytest
import torch

from vsr.models.compact import MEMORY_BOUND, Compact


def test_flow_is_given_for_both_directions() -> None:
    network = Compact(channels=8, blocks=1)
    _, _, to_previous, to_next = network.forward_with_flow(torch.rand(2, 4, 3, 20, 24))
    assert to_previous.shape == to_next.shape == (2, 3, 2, 20, 24)


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
