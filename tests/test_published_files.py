"""`vsr enhance` with published checkpoints: any size, any scale."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import golden
import pytest
import torch
from synthetic import make_video
from torch import nn

from vsr.media.probe import probe
from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.published import published_name
from vsr.options import EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance


def checkpoint(path: Path, network: nn.Module) -> str:
    golden.fill(network, "mmagic")
    weights = {
        f"generator.{published_name(name, 'mmagic', network)}": value.contiguous()
        for name, value in network.state_dict().items()
    }
    torch.save({"meta": {}, "state_dict": weights}, path)
    return str(path)


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ({}, (44, 34)),
        ({"scale": 2}, (88, 68)),
        ({"height": 50}, (64, 50)),
        ({"strength": 0.5}, (44, 34)),
        ({"inference": InferenceOptions(tile=24, window=2)}, (44, 34)),
    ],
)
def test_a_restoration_network_keeps_the_size_or_gives_the_one_asked_for(
    tmp_path: Path, more: dict[str, object], size: tuple[int, int]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5, size=(44, 34), rate=Fraction(25))
    network = BasicVSRPlusPlus(scale=1, channels=16, blocks=1)
    options = EnhanceOptions(model=checkpoint(tmp_path / "net.pth", network), **more)  # type: ignore[arg-type]
    result = enhance(source, tmp_path / "out.mp4", options)
    video = probe(tmp_path / "out.mp4").video
    assert (video.width, video.height) == size
    assert result.frames == 5


def test_a_file_is_enlarged_four_times(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, size=(36, 26), rate=Fraction(25))
    model = checkpoint(tmp_path / "net.pth", BasicVSR(channels=16, blocks=1))
    enhance(source, tmp_path / "out.mp4", EnhanceOptions(model=model))
    video = probe(tmp_path / "out.mp4").video
    assert (video.width, video.height) == (144, 104)
