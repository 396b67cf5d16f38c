"""Weights that a run starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vsr.errors import CheckpointFormatError
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.ops.resize import resize
from vsr.training.start import start_from


def saved(path: Path, *, scale: int, channels: int = 8) -> Compact:
    """A network whose every weight is drawn, on disk too."""
    torch.manual_seed(5)
    network = Compact(scale=scale, channels=channels, blocks=1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    shape = {"name": "compact", "scale": scale, "channels": channels, "blocks": 1}
    save_weights(path, network.state_dict(), shape, {})
    return network


@torch.no_grad()
def test_x2_from_x4_adds_the_box_average_of_what_x4_adds(tmp_path: Path) -> None:
    large = saved(tmp_path / "x4.safetensors", scale=4)
    small = Compact(scale=2, channels=8, blocks=1)
    said: list[str] = []
    start_from(small, tmp_path / "x4.safetensors", said.append)

    lq = torch.rand(1, 3, 3, 18, 22)
    of_large, _ = large(lq)
    of_small, _ = small(lq)
    added = (of_large - resize(lq, 72, 88))[0]
    assert added.abs().mean() > 0.01
    torch.testing.assert_close(of_small[0], resize(lq, 36, 44)[0] + F.avg_pool2d(added, 2))
    assert "scale 4" in said[0]
    assert "2x2 sub-pixels" in said[0]


def test_the_same_scale_is_taken_over_exactly(tmp_path: Path) -> None:
    source = saved(tmp_path / "x2.safetensors", scale=2)
    network = Compact(scale=2, channels=8, blocks=1)
    said: list[str] = []
    start_from(network, tmp_path / "x2.safetensors", said.append)
    torch.testing.assert_close(dict(network.state_dict()), dict(source.state_dict()))
    assert said == [f"starting from '{tmp_path / 'x2.safetensors'}'"]


@pytest.mark.parametrize(
    ("scale", "channels", "message"), [(2, 8, "scale 2, wanted 4"), (8, 16, "does not fit Compact")]
)
def test_what_cannot_be_taken_over_is_refused(
    tmp_path: Path, scale: int, channels: int, message: str
) -> None:
    saved(tmp_path / "weights.safetensors", scale=scale, channels=channels)
    network = Compact(scale=4, channels=8, blocks=1)
    with pytest.raises(CheckpointFormatError, match=message):
        start_from(network, tmp_path / "weights.safetensors", lambda line: None)
