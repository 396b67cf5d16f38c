"""Weights that a run starts from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.models.published import Family, published_name
from vsr.models.realbasicvsr import RealBasicVSR
from vsr.models.spynet import SpyNet
from vsr.ops.resize import resize
from vsr.training.checkpoint import start_flow_from, start_from


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


def quiet(line: str) -> None:
    del line


def spynet_file(path: Path, family: Family, *, prefix: str = "", wrapped: str = "") -> SpyNet:
    """SpyNet with drawn weights, and a file of it as a family publishes it."""
    whole = BasicVSR(channels=4, blocks=1)
    torch.manual_seed(6)
    for parameter in whole.flow.parameters():
        torch.nn.init.normal_(parameter)
    named = {
        prefix + published_name(f"flow.{name}", family, whole).removeprefix("spynet."): value
        for name, value in whole.flow.state_dict().items()
        if name not in ("mean", "std")
    }
    torch.save({wrapped: named} if wrapped else named, path)
    return whole.flow


@pytest.mark.parametrize(
    ("family", "prefix", "wrapped"),
    [
        ("mmagic", "", ""),
        ("basicsr", "", "params"),
        ("mmagic", "generator.spynet.", "state_dict"),
        ("mmagic", "generator_ema.basicvsr.spynet.", "state_dict"),
    ],
)
def test_spynet_starts_from_its_published_file(
    family: Family, prefix: str, wrapped: str, tmp_path: Path
) -> None:
    flow = spynet_file(tmp_path / "spynet.pth", family, prefix=prefix, wrapped=wrapped)
    for network in (BasicVSR(channels=8, blocks=1), RealBasicVSR(channels=8, blocks=1)):
        said: list[str] = []
        start_flow_from(network, tmp_path / "spynet.pth", said.append)
        found = next(part for part in network.modules() if isinstance(part, SpyNet))
        torch.testing.assert_close(dict(found.state_dict()), dict(flow.state_dict()))
        assert said == [f"flow starting from '{tmp_path / 'spynet.pth'}'"]


def test_spynet_starts_from_a_network_of_our_own(tmp_path: Path) -> None:
    source, path = RealBasicVSR(channels=4, blocks=1, cleaning_blocks=1), tmp_path / "a.safetensors"
    save_weights(path, source.state_dict(), {"name": "realbasicvsr"}, {})
    network = BasicVSRPlusPlus(channels=16, blocks=1)
    start_flow_from(network, path, quiet)
    found, wanted = network.flow.state_dict(), source.basicvsr.flow.state_dict()
    torch.testing.assert_close(dict(found), dict(wanted))


def test_spynet_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "spynet.pth"
    with pytest.raises(WeightsError, match="no weight file"):
        start_flow_from(BasicVSR(channels=4, blocks=1), path, quiet)
    torch.save({"params": {"conv.weight": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointFormatError, match="does not fit SpyNet"):
        start_flow_from(BasicVSR(channels=4, blocks=1), path, quiet)
    with pytest.raises(ConfigError, match=r"flow_init.*Compact is not"):
        start_flow_from(Compact(channels=8, blocks=1), path, quiet)


def test_a_published_checkpoint_is_a_start(tmp_path: Path) -> None:
    source, network = BasicVSR(channels=8, blocks=2), BasicVSR(channels=8, blocks=2)
    named = {
        f"generator.{published_name(name, 'mmagic', source)}": value
        for name, value in source.state_dict().items()
    }
    torch.save({"state_dict": named}, tmp_path / "basicvsr.pth")
    start_from(network, tmp_path / "basicvsr.pth", quiet)
    torch.testing.assert_close(dict(network.state_dict()), dict(source.state_dict()))
    with pytest.raises(CheckpointFormatError, match="does not fit"):
        start_from(BasicVSR(channels=8, blocks=1), tmp_path / "basicvsr.pth", quiet)
    with pytest.raises(CheckpointFormatError, match="is of basicvsr, wanted weights of Compact"):
        start_from(Compact(channels=8, blocks=1), tmp_path / "basicvsr.pth", quiet)
