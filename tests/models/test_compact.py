"""What is particular to the compact network."""

from __future__ import annotations

import pytest
import torch

from vsr.models.compact import Compact


def test_flow_is_given_for_both_directions() -> None:
    network = Compact(channels=8, blocks=1)
    _, _, to_previous, to_next = network.forward_with_flow(torch.rand(2, 4, 3, 20, 24))
    assert to_previous.shape == to_next.shape == (2, 3, 2, 20, 24)


def test_a_window_of_nothing_but_lookahead_is_refused() -> None:
    with pytest.raises(ValueError, match="lookahead 2 in a window of 2"):
        Compact(channels=8, blocks=1)(torch.rand(1, 2, 3, 8, 8), None, 2)
