"""Residual blocks in int8: near the float ones, for calibrated networks, where asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic import make_video

from vsr.devices import choose_precision, has_amx, has_vnni
from vsr.errors import ConfigError
from vsr.inference.runner import computing
from vsr.models.contract import VideoNetwork
from vsr.models.layers import ResidualBlock, calibrate
from vsr.models.zoo import MODELS, ModelInfo, load_network
from vsr.options import EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance
from vsr.plan import plan_job

CPU = torch.device("cpu")


def has_int8() -> bool:
    try:
        return choose_precision("int8", CPU) == "int8"
    except ConfigError:
        return False


needs_int8 = pytest.mark.skipif(not has_int8(), reason="this CPU has no VNNI")


@needs_int8
@pytest.mark.parametrize(
    ("name", "blocks"), [("compact-x4", 10), ("compact-x4-real", 18), ("compact-x2-real", 10)]
)
def test_bundled_networks_give_nearly_the_same_pictures(name: str, blocks: int) -> None:
    """50 dB to the float32 picture costs a picture of 35 dB less than 0.15 dB."""
    network = load_network(MODELS[name])
    torch.manual_seed(0)
    coarse = torch.rand(6, 3, 9, 12)
    lq = torch.nn.functional.interpolate(coarse, size=(36, 48), mode="bicubic").clamp(0, 1)[None]
    with torch.inference_mode():
        exact, _ = network(lq)
        assert calibrate(network) == blocks
        with computing("int8", CPU):
            rounded, _ = network(lq)
        still, _ = network(lq)
    error = (rounded.float() - exact).square().mean()
    assert float(error) > 0
    assert float(-10 * torch.log10(error)) > 50
    assert torch.equal(still, exact)


@needs_int8
def test_the_same_weights_are_always_calibrated_alike() -> None:
    lq = torch.rand(1, 3, 3, 20, 24)
    made = []
    for _ in range(2):
        network = load_network(MODELS["compact-x4"])
        torch.manual_seed(len(made))
        calibrate(network)
        with torch.inference_mode(), computing("int8", CPU):
            made.append(network(lq)[0])
    assert torch.equal(made[0], made[1])


@needs_int8
def test_new_weights_are_calibrated_anew() -> None:
    network, other = (load_network(MODELS["compact-x4"]) for _ in range(2))
    assert isinstance(network, torch.nn.Module)
    assert isinstance(other, torch.nn.Module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.8)
    calibrate(network)
    network.load_state_dict(other.state_dict())
    lq, made = torch.rand(1, 3, 3, 20, 24), []
    for each in (network, other):
        calibrate(each)
        with torch.inference_mode(), computing("int8", CPU):
            made.append(each(lq)[0])
    assert torch.equal(made[0], made[1])


@needs_int8
def test_a_film_is_computed_in_the_precision_that_its_plan_names(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    loaded: list[object] = []

    def load(model: ModelInfo, device: str) -> VideoNetwork:
        loaded.append(load_network(model, device))
        return loaded[-1]  # type: ignore[return-value]

    said: list[str] = []
    for precision in ("int8", "auto"):
        chosen = EnhanceOptions(
            model="compact-x4",
            inference=InferenceOptions(device="cpu", precision=precision),  # type: ignore[arg-type]
        )
        used = plan_job(source, tmp_path / f"{precision}.mkv", chosen).inference.precision
        enhance(source, tmp_path / f"{precision}.mkv", chosen, load=load, warn=said.append)
        parts = loaded[-1].modules()  # type: ignore[attr-defined]
        blocks = [part for part in parts if isinstance(part, ResidualBlock)]
        assert len(blocks) == 10
        assert all((block.packed is not None) == (used == "int8") for block in blocks)
    assert not any("int8" in text for text in said)


@needs_int8
def test_a_network_without_such_blocks_is_said_to_be_computed_otherwise(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    said: list[str] = []
    inference = InferenceOptions(device="cpu", precision="int8")
    options = EnhanceOptions(model="bicubic", inference=inference)
    enhance(source, tmp_path / "out.mkv", options, warn=said.append)
    assert any("no part of this network can be computed in int8" in text for text in said)


@needs_int8
def test_a_block_is_the_sum_of_rounded_convolutions() -> None:
    """Against the same arithmetic in float64."""
    torch.manual_seed(0)
    block = ResidualBlock(8)
    for conv in (block.conv1, block.conv2):
        torch.nn.init.normal_(conv.weight, std=0.2)
        torch.nn.init.normal_(conv.bias, std=0.1)  # type: ignore[arg-type]
    network = torch.nn.Sequential()
    network.add_module("block", _OfClip(block))
    calibrate(network)
    assert block.packed is not None
    x = 2 * torch.rand(1, 8, 7, 9) - 1
    with torch.inference_mode(), computing("int8", CPU):
        made = block(x.clone())

    def rounded(value: torch.Tensor, step: float, zero: int) -> torch.Tensor:
        return ((value / step + zero).round().clamp(0, 255) - zero) * step

    inner = x.double()
    for conv, packed in zip((block.conv1, block.conv2), block.packed, strict=True):
        weight = conv.weight.detach().double()
        scale = packed.scales.double()[:, None, None, None]
        whole = (weight / scale).round() * scale
        levels = rounded(inner, packed.step, packed.zero)
        assert conv.bias is not None
        inner = torch.conv2d(levels, whole, conv.bias.detach().double(), padding=1)
        if conv is block.conv1:
            inner = inner.relu()
    torch.testing.assert_close(made.double(), x.double() + inner, atol=0.03, rtol=0)


class _OfClip(torch.nn.Module):
    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.block(clip[0, :1].repeat(1, 3, 1, 1)[:, :8] - 0.5)
        return made


def test_int8_is_refused_where_it_is_not() -> None:
    with pytest.raises(ConfigError, match="VNNI"):
        choose_precision("int8", torch.device("cuda", 0))


def test_auto_takes_int8_only_for_networks_measured_so() -> None:
    assert choose_precision("auto", CPU) in ("bf16", "fp32")
    wanted = choose_precision("auto", CPU, int8=True)
    assert wanted in ("int8", "bf16", "fp32")
    assert (wanted == "int8") <= has_int8()


def test_processors_are_told_apart() -> None:
    assert has_vnni("flags : avx2 avx512_vnni fma")
    assert has_vnni("flags : avx_vnni")
    assert not has_vnni("flags : avx2 avx512f")
    assert has_amx("flags : amx_tile amx_bf16")
    assert not has_amx("flags : avx512_bf16")
