"""Exported networks, run by onnxruntime, against the engine."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import vsr
from vsr.cli.main import main
from vsr.errors import ConfigError, ExportError
from vsr.export import OPSET, TOLERANCE, export_onnx, export_safetensors
from vsr.inference.plan import make_plan
from vsr.inference.runner import LqFrame, upscale
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.models.realbasicvsr import RealBasicVSR
from vsr.models.zoo import find_model, load_model
from vsr.options import NEVER, ExportOptions, InferenceOptions

Array = NDArray[np.float32]


def small(
    path: Path, kind: Callable[..., nn.Module], name: str, **arguments: int
) -> tuple[str, nn.Module]:
    """A small network with drawn weights, in a file."""
    torch.manual_seed(1)
    network = kind(**arguments)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    save_weights(path, network.state_dict(), {"name": name, **arguments}, {"step": 7})
    return str(path), network


def pan(frames: int, height: int, width: int) -> Tensor:
    """(T, 3, H, W), 0 to 1."""
    chance = torch.Generator().manual_seed(5)
    coarse = torch.rand(1, 3, height // 8 + 2, width // 8 + 2 + frames // 4, generator=chance)
    wide = nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")[0]
    return torch.stack([wide[:, 3 : height + 3, i : i + width] for i in range(frames)])


def by_engine(model: str, film: Tensor, window: int, lookahead: int) -> Array:
    info = find_model(model)
    options = InferenceOptions(
        device="cpu", precision="fp32", window=window, lookahead=lookahead, scene_threshold=NEVER
    )
    plan = make_plan(*film.shape[-2:], options, info.facts)
    frames = [LqFrame(source=i, lq=lq, pts=i, scene_score=0.0) for i, lq in enumerate(film)]
    network = load_model(model)
    with torch.inference_mode():
        return np.stack([made.sr.numpy() for made in upscale(frames, network, plan, warn=print)])


def by_onnxruntime(path: Path, film: Tensor) -> Array:
    """As docs/export.md says: by the metadata alone, state passed on."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = metadata(path)
    shown = facts["frames"] - facts["lookahead"]
    size = film.shape[-2:]
    state: Sequence[Array] = [
        np.zeros((*shape[:2], *size), np.float32) for shape in list(facts["inputs"].values())[1:]
    ]
    if "first frame" in facts["state_start"]:
        state = [film[:1].numpy() if x.shape[1] == 3 else x for x in state]
    made = []
    for first in range(0, len(film) - facts["frames"] + 1, shown):
        lq = film[first : first + facts["frames"]].numpy()[None]
        sr, *state = session.run(None, dict(zip(facts["inputs"], (lq, *state), strict=True)))
        made.append(sr[0])
    return np.concatenate(made)


def metadata(path: Path) -> Mapping[str, Any]:
    texts = {item.key: item.value for item in onnx.load(str(path)).metadata_props}
    values = {key: json.loads(texts[key]) for key in ("frames", "lookahead", "inputs", "outputs")}
    return {**texts, **values}


def test_the_bundled_network_computes_elsewhere_what_the_engine_does(tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    found = export_onnx("compact-x4-real", path, ExportOptions(window=1, lookahead=1))
    film = pan(4, 103, 98)  # three windows and their last lookahead
    theirs, ours = by_onnxruntime(path, film), by_engine("compact-x4-real", film, 1, 1)
    assert theirs.shape == (3, 3, 412, 392)
    assert np.abs(theirs - ours[:3]).max() <= TOLERANCE
    # Without the state it would be another film.
    assert np.abs(by_onnxruntime(path, film[2:]) - ours[2]).max() > TOLERANCE
    model = onnx.load(str(path))
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET]
    facts = metadata(path)
    assert (facts["name"], facts["licence"], facts["scale"]) == (
        "compact-x4-real",
        "Apache-2.0",
        "4",
    )
    assert facts["outputs"]["sr"] == [1, 1, 3, "height * 4", "width * 4"]
    assert facts["min_size"] == "96"
    assert facts["state_start"] == "zeros; where a state has three channels, the first frame"
    assert found.difference is not None
    assert found.difference <= TOLERANCE


def test_a_cleaning_stage_begins_with_the_first_frame(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    name, _ = small(file, Compact, "compact", scale=2, channels=8, blocks=1, clean=True)
    path = tmp_path / "out.onnx"
    export_onnx(name, path, ExportOptions(window=1, lookahead=1, size="40x44"))
    film = pan(4, 44, 40)
    ours = by_engine(name, film, 1, 1)[:3]
    assert np.abs(by_onnxruntime(path, film) - ours).max() <= TOLERANCE
    assert metadata(path)["inputs"]["state_0"] == [1, 8, 44, 40]


def test_frames_stacked_as_channels_give_the_middle_one(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    name, network = small(
        file, RealBasicVSR, "realbasicvsr", channels=4, blocks=1, cleaning_blocks=1
    )
    path = tmp_path / "out.onnx"
    export_onnx(name, path, ExportOptions(around=1, size="72x64"))
    film = pan(3, 64, 72)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (sr,) = session.run(None, {"lq": film.view(1, 9, 64, 72).numpy()})
    with torch.inference_mode():
        wanted = network.eval()(film[None])[0][0, 1]
    assert sr.shape == (1, 3, 256, 288)
    assert np.abs(sr[0] - wanted.numpy()).max() <= TOLERANCE


def test_a_network_without_memory_is_one_for_pictures(tmp_path: Path) -> None:
    name, _ = small(tmp_path / "net.safetensors", Plain, "plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vsr.models.zoo.ARCHITECTURES, "plain", Plain)  # type: ignore[arg-type]
        patch.setitem(vsr.models.zoo._FACTS, "plain", vsr.models.zoo._FACTS["bicubic"])  # type: ignore[arg-type]
        found = export_onnx(name, tmp_path / "out.onnx", ExportOptions())
    assert found.inputs == {"lq": (1, 3, "height", "width")}


class Plain(nn.Module):
    """One convolution per frame."""

    scale, min_size = 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(
        self, lq: Tensor, state: tuple[Tensor, ...] | None = None, lookahead: int = 0
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        shown = lq[:, : lq.shape[1] - lookahead]
        return torch.stack([self.layer(x) for x in shown.unbind(1)], dim=1), ()


class Counting(Plain):
    """Computes something else for larger pictures, which a recording cannot show."""

    def forward(
        self, lq: Tensor, state: tuple[Tensor, ...] | None = None, lookahead: int = 0
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        sr, state = super().forward(lq, state, lookahead)
        return sr + (0.1 if lq.shape[-2] > 120 else 0.0), state


def test_a_file_that_computes_something_else_does_not_appear(tmp_path: Path) -> None:
    name, _ = small(tmp_path / "net.safetensors", Counting, "plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vsr.models.zoo.ARCHITECTURES, "plain", Counting)  # type: ignore[arg-type]
        patch.setitem(vsr.models.zoo._FACTS, "plain", vsr.models.zoo._FACTS["bicubic"])  # type: ignore[arg-type]
        with pytest.raises(ExportError, match=r"a difference of 0\.1 at 99x133"):
            export_onnx(name, tmp_path / "out.onnx", ExportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_state_that_cannot_be_an_input_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    name, _ = small(file, BasicVSRPlusPlus, "basicvsr_pp", channels=16, blocks=1)
    with pytest.raises(ConfigError, match="--around 3 exports it without state"):
        export_onnx(name, tmp_path / "out.onnx", ExportOptions(size="32x32"))


def test_safetensors_are_read_as_a_model(tmp_path: Path) -> None:
    file, again = tmp_path / "net.safetensors", tmp_path / "again.safetensors"
    name, network = small(file, Compact, "compact", scale=2, channels=8, blocks=1)
    assert main(["export", name, str(again)]) == 0
    lq = pan(2, 20, 24)[None]
    with torch.inference_mode():
        made, wanted = load_model(str(again))(lq)[0], network.eval()(lq)[0]
    assert torch.allclose(made, wanted, atol=1e-5)
    found = export_safetensors("compact-x2-real", tmp_path / "bundled.safetensors")
    assert found.facts["licence"] == "Apache-2.0"
    with pytest.raises(ConfigError, match="has no weights"):
        export_safetensors("bicubic", tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compact-x4", "out.pth"], "OUT must end in .onnx; got 'out.pth'"),
        (["compact-x4", "out.onnx", "--safetensors"], "must end in .safetensors"),
        (["compact-x4", "out.safetensors", "--window", "3"], "are for ONNX"),
        (["compact-x4", "out.onnx", "--around", "1", "--window", "3"], "--around goes without"),
        (["compact-x4", "out.onnx", "--size", "3"], "--size wants WIDTHxHEIGHT"),
        (["compact-x4", "there.onnx"], "exists; give another name, or --overwrite"),
        (["bicubic", "out.onnx"], "PyTorch cannot write this network as ONNX"),
    ],
)
def test_wrong_calls_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_text("")
    assert main(["export", *arguments]) in (1, 2)
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert not said.out
    assert not (tmp_path / "out.onnx").exists()


def test_without_the_extra_its_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:  # noqa: ANN401
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["export", "compact-x4", str(tmp_path / "out.onnx")]) == 2
    assert "pip install 'vsr-enhance[export]'" in capsys.readouterr().err
