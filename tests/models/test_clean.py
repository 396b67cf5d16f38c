"""The cleaning stage."""

from __future__ import annotations

import pytest
import torch

from vsr.models.clean import Clean


def cleaner() -> Clean:
    torch.manual_seed(0)
    network = Clean(channels=8, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def test_untrained_it_changes_nothing() -> None:
    lq = torch.rand(1, 2, 3, 9, 11)
    assert torch.equal(Clean(channels=8, blocks=1)(lq)[0], lq)


@pytest.mark.parametrize("shape", [(1, 1, 3, 1, 1), (1, 2, 3, 5, 3), (2, 3, 3, 8, 12)])
def test_any_size_and_length_keeps_its_size(shape: tuple[int, ...]) -> None:
    sr, _ = cleaner()(torch.rand(shape))
    assert sr.shape == shape
    assert sr.isfinite().all()


def test_windows_with_one_frame_of_lookahead_equal_the_whole() -> None:
    network, lq = cleaner(), torch.rand(2, 5, 3, 12, 10)
    whole, _ = network(lq)
    first, state = network(lq[:, :3], None, 1)
    second, _ = network(lq[:, 2:], state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)


def test_both_neighbours_count() -> None:
    network, lq = cleaner(), torch.rand(1, 3, 3, 8, 8)
    middle = network(lq)[0][:, 1]
    for neighbour in (0, 2):
        other = lq.clone()
        other[:, neighbour] = torch.rand(3, 8, 8)
        assert not torch.allclose(network(other)[0][:, 1], middle)


def test_strength_is_the_share_of_the_correction() -> None:
    network, lq = cleaner(), torch.rand(1, 2, 3, 8, 8)
    whole, _ = network(lq)
    network.strength = 0.25
    torch.testing.assert_close(network(lq)[0], lq + 0.25 * (whole - lq))
    network.strength = 0.0
    assert torch.equal(network(lq)[0], lq)


def test_grey_stays_grey_and_colour_is_free_to_change() -> None:
    network = cleaner()
    grey = torch.rand(1, 2, 1, 20, 20).expand(-1, -1, 3, -1, -1)
    sr, _ = network(grey)
    assert torch.equal(sr[:, :, 0], sr[:, :, 1])
    assert torch.equal(sr[:, :, 0], sr[:, :, 2])
    assert not torch.equal(sr, grey)
