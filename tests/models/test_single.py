"""Single-picture networks of others: file in, file out, and what is refused.

spandrel needs torchvision, which does not import beside CPU builds of PyTorch: see `cuda_build`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic import make_pictures, make_video
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import vsr
from vsr.cli.main import main
from vsr.errors import CheckpointFormatError, ConfigError
from vsr.inference.plan import make_plan
from vsr.models.foreign import SinglePicture, bytes_at_most
from vsr.models.steady import Steady
from vsr.models.zoo import card, find_model, load_model
from vsr.options import InferenceOptions

with_spandrel = pytest.mark.cuda_build
# What its authors should change in others' code is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def compact() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=16, num_conv=2, upscale=4)


def esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(num_filters=16, num_blocks=1, scale=4)


def span() -> nn.Module:
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2)


def swinir() -> nn.Module:
    from spandrel.architectures.SwinIR import SwinIR

    shape = {"img_size": 16, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "mlp_ratio": 2}
    return SwinIR(**shape, window_size=8, upscale=3, upsampler="pixelshuffle")


def dat() -> nn.Module:
    from spandrel.architectures.DAT import DAT

    shape = {"img_size": 16, "embed_dim": 32, "depth": [3], "num_heads": [2]}
    return DAT(**shape, split_size=[8, 16], expansion_factor=2, upscale=2)


def grey() -> nn.Module:
    from spandrel.architectures.DnCNN import DnCNN

    return DnCNN(in_nc=1, out_nc=1, nc=8, nb=9, act_mode="R")


NETWORKS = [compact, esrgan, span, swinir, dat, grey]
each_network = pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)


# The convolutions from input to output of those that add no enlarged input to their output, and
# what to add to their biases: a picture whose mean was subtracted shall pass the activations.
PASSING = {
    esrgan: {"model.0": 0, "model.3": 0, "model.6": 0, "model.8": 0, "model.10": 0},
    swinir: {"conv_first": 0, "conv_before_upsample.0": 0.5, "upsample.0": 0, "conv_last": -0.5},
    dat: {"conv_first": 0, "conv_before_upsample.0": 0.5, "upsample.0": 0, "conv_last": -0.5},
}


@torch.no_grad()
def drawn(make: Callable[[], nn.Module]) -> nn.Module:
    """With fixed random weights that still show the picture, which `vsr` verifies."""
    torch.manual_seed(0)
    network = make().eval()
    for name, shift in PASSING.get(make, {}).items():
        conv = network.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        each = conv.out_channels // conv.in_channels if name.startswith("upsample") else 1
        conv.weight.mul_(0.03)
        conv.bias.zero_()  # type: ignore[union-attr]
        for channel in range(min(3, conv.in_channels)):
            conv.weight[channel * each : (channel + 1) * each, channel, 1, 1] += 1
            conv.bias[channel * each : (channel + 1) * each] += shift  # type: ignore[index]
    for name in ("model.1.sub.1", "conv_after_body"):
        if make in PASSING and name in dict(network.named_modules()):
            network.get_submodule(name).weight.mul_(0.1)  # type: ignore[operator]
    return network


def saved(make: Callable[[], nn.Module], folder: Path) -> Path:
    path = folder / f"{make.__name__}.pth"
    torch.save({"params_ema": drawn(make).state_dict()}, path)
    return path


def spandrel_says(path: Path, frames: Tensor) -> Tensor:
    """What spandrel's own loader and call give, (T, 3, H, W)."""
    from spandrel import ModelLoader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = ModelLoader().load_from_file(path)
    if network.input_channels == 1:
        frames = luma_of(frames)
    return torch.cat([network(frame[None]) for frame in frames])


def luma_of(frames: Tensor) -> Tensor:
    return (frames * torch.tensor((0.299, 0.587, 0.114)).view(3, 1, 1)).sum(1, keepdim=True)


def read_clip(folder: Path) -> Tensor:
    pictures = [cv2.imread(str(path))[..., ::-1].copy() for path in sorted(folder.glob("*.png"))]
    return torch.stack([torch.from_numpy(x).permute(2, 0, 1) for x in pictures]) / 255


def decibels(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).double().square().mean().clamp(min=1e-12).log10())


def smooth(height: int, width: int, frames: int = 1) -> list[np.ndarray[Any, Any]]:
    """Frames (H, W, 3) of blurred noise, as films have structure at all sizes."""
    rng = np.random.default_rng(0)
    return [
        (cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 2) * 4 - 1.5)
        .clip(0, 1)
        .astype(np.float32)
        for _ in range(frames)
    ]


@with_spandrel
@each_network
def test_a_file_of_others_enhances_as_spandrel_does_frame_by_frame(
    make: Callable[[], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(make, tmp_path)
    make_pictures(tmp_path / "in", frames=2)
    assert main(["enhance", "in", "out/", "--model", str(path)]) == 0
    made, wanted = read_clip(tmp_path / "out"), spandrel_says(path, read_clip(tmp_path / "in"))
    if wanted.shape[1] == 1:  # a network for luma: colour comes from the input
        made = luma_of(made)
        assert decibels(made, wanted.clamp(0, 1)) >= 45  # a third of what rounding colours takes
        return
    wanted = (wanted.clamp(0, 1) * 255).round() / 255
    assert wanted.std() > 0.02
    assert decibels(made, wanted) >= 60


def legacy(weights: dict[str, Tensor], path: Path) -> None:
    """As PyTorch before 1.6 wrote files."""
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def halved(weights: dict[str, Tensor], path: Path) -> None:
    save_file({name: value.half() for name, value in weights.items()}, path)


def of_lightning(weights: dict[str, Tensor], path: Path) -> None:
    state = {f"module.{name}": value for name, value in weights.items()}
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 1e-4}}, path)


@with_spandrel
@pytest.mark.parametrize(
    ("write", "name", "least"),
    [(legacy, "net.pth", 120), (halved, "net.safetensors", 55), (of_lightning, "net.ckpt", 120)],
)
def test_files_of_all_ages_and_makers_are_read(
    write: Callable[[dict[str, Tensor], Path], None], name: str, least: float, tmp_path: Path
) -> None:
    network, lq = drawn(esrgan), torch.rand(1, 1, 3, 24, 24)
    write(network.state_dict(), tmp_path / name)
    with torch.inference_mode():
        made = load_model(tmp_path / name)(lq)[0][0]
        assert decibels(made, network(lq[0]).clamp(0, 1)) >= least


@with_spandrel
@each_network
def test_tiles_make_the_picture_that_whole_frames_make(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    path, frames, notes = saved(make, tmp_path), smooth(112, 176), []
    tiled, whole = (
        next(
            vsr.enhance_frames(
                frames, str(path), inference=InferenceOptions(tile=tile), warn=notes.append
            )
        )
        for tile in (112, None)
    )
    assert decibels(torch.from_numpy(tiled), torch.from_numpy(whole)) >= 50
    assert bool(notes) == (make is swinir)  # spandrel advises against tiles for it


@with_spandrel
def test_a_film_keeps_its_sound_and_is_cut_into_tiles_resized_and_steadied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "in.mp4", frames=4, size=(128, 96), audio=("aac",))
    save_file(drawn(compact).state_dict(), tmp_path / "net.safetensors")
    options = ["--model", "net.safetensors", "--scale", "3", "--tile", "96", "--steady", "0.5"]
    assert main(["enhance", "in.mp4", "out.mp4", *options, "--report", "report.json"]) == 0
    assert main(["verify", "in.mp4", "out.mp4"]) == 0
    with av.open("out.mp4") as film:
        assert (film.streams.video[0].width, film.streams.video[0].height) == (384, 288)
        assert len(film.streams.audio) == 1


@with_spandrel
def test_what_a_file_is_can_be_asked(tmp_path: Path) -> None:
    text = " ".join(card(str(saved(swinir, tmp_path))).split())  # wrapped by its length
    for part in ("SwinIR, which sees", "parameters", "GMAC", "sha256"):
        assert part in text
    info = find_model(str(saved(esrgan, tmp_path)))
    assert (info.scale, info.facts.lookahead, info.facts.window) == (4, 0, 1)
    # Its dense blocks keep several features of 16 channels at once, 64 bytes for each pixel.
    assert 500 < info.facts.bytes_per_call < 20_000


@with_spandrel
@pytest.mark.parametrize(("make", "precision"), [(compact, "fp16"), (swinir, "fp32")])
def test_what_half_precision_cannot_do_is_done_in_float32_and_said(
    make: Callable[[], nn.Module], precision: str, tmp_path: Path
) -> None:
    facts = find_model(str(saved(make, tmp_path))).facts
    plan = make_plan(48, 64, InferenceOptions(precision="fp16", device="cpu"), facts)
    assert plan.precision == precision
    assert ("not precise enough in fp16" in " ".join(plan.notes)) == (precision == "fp32")


class Trap:
    """What an evil file holds: unpickling it would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


def a_program(path: Path) -> None:
    torch.jit.script(nn.Conv2d(3, 3, 3)).save(str(path))


def cut_short(path: Path) -> None:
    torch.save(drawn(compact).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])


def without_a_part(path: Path) -> None:
    weights = drawn(compact).state_dict()
    del weights["body.3.weight"]
    torch.save(weights, path)


def not_finite(path: Path) -> None:
    weights = drawn(compact).state_dict()
    weights["body.0.weight"].fill_(torch.nan)
    torch.save(weights, path)


@with_spandrel
@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: torch.save({"params": {"body.0.weight": Trap()}}, path), r"code \(not run\)"),
        (lambda path: torch.save(nn.Conv2d(3, 3, 3), path), r"code \(not run\)"),
        (a_program, "is TorchScript, a program"),
        (cut_short, "or is incomplete"),
        (lambda path: path.write_text("<html>not found</html>"), "not a checkpoint of tensors"),
        (lambda path: path.write_bytes(b""), "not a checkpoint of tensors"),
        (lambda path: torch.save({"fc.weight": torch.zeros(2, 2)}, path), "for no network that"),
        (without_a_part, "cannot be loaded"),
        (not_finite, "finite values"),
    ],
)
def test_hostile_and_wrong_files_are_refused_in_one_line(
    write: Callable[[Path], object],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("net.pth"))
    make_pictures(tmp_path / "in", frames=1)
    capsys.readouterr()
    assert main(["enhance", "in", "out/", "--model", "net.pth"]) == 1
    assert not Path("trapped").exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("vsr: ")
    with pytest.raises(CheckpointFormatError, match=said):
        find_model("net.pth")


@with_spandrel
@pytest.mark.parametrize("make", [compact, esrgan], ids=lambda make: make.__name__)
def test_nothing_waits_for_a_gpu_frame_by_frame(
    make: Callable[[], nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretended tensors refuse whatever needs a value on the host."""
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    network = Steady(load_model(saved(make, tmp_path)), 0.5)
    with FakeTensorMode(allow_non_fake_inputs=True) as pretended, torch.inference_mode():
        for name, parameter in list(network.named_parameters()):
            part, _, last = name.rpartition(".")
            setattr(network.get_submodule(part), last, nn.Parameter(
                pretended.from_tensor(parameter.detach()).to("cuda"), requires_grad=False
            ))  # fmt: skip
        lq = torch.empty(1, 2, 3, 24, 32, device="cuda")
        sr, state = network(lq)
        sr, _ = network(lq, state)
    assert (sr.device.type, sr.shape) == ("cuda", (1, 2, 3, 96, 128))


def test_without_spandrel_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ConfigError, match=r"pip install 'vsr-enhance\[models\]'"):
        find_model(str(tmp_path / "net.pth"))


def test_a_torchvision_of_another_build_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spandrel.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ConfigError, match=r"torchvision::nms does not exist\); torch and torchv"):
        find_model(str(tmp_path / "net.pth"))


def test_what_is_brighter_than_white_passes_a_network_of_0_to_1() -> None:
    seen: list[Tensor] = []

    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return nn.functional.interpolate(x, scale_factor=2)

    lq = torch.full((1, 3, 3, 5, 7), 0.5)
    lq[0, 1] = 1.25
    sr, state = SinglePicture(Doubling(), 2)(lq, None, 1)
    assert (sr.shape, state, len(seen)) == ((1, 2, 3, 10, 14), (), 2)
    assert seen[1].max() == 1
    torch.testing.assert_close(sr[0, :, 0, 0, 0], torch.tensor([0.5, 1.25]))


def test_memory_counts_all_that_is_alive_at_once() -> None:
    class Holding(nn.Module):
        scale = min_size = 1

        def forward(self, lq: Tensor, state: object, lookahead: int) -> tuple[Tensor, tuple[()]]:
            first = lq + 1
            second = first * 2
            del first
            for _ in range(5):
                second = second.relu()  # the one before lives until this is there: 2 at once
            return torch.cat([second, second, second], dim=2), ()  # 1 + 3

    lq = torch.rand(1, 2, 3, 8, 8)
    most, (sr, _) = bytes_at_most(Holding(), lq)
    assert most == 4 * lq.nbytes
    assert sr.shape == (1, 2, 9, 8, 8)


def test_files_of_the_known_families_do_not_ask_spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert load_model("compact-x4").scale == 4
