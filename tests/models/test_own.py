"""Networks, losses and metrics of the user's own, named as package.module:name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch
from markdown import ROOT, blocks
from synthetic import make_pictures, make_video

import vsr
from vsr.benchmark import evaluate
from vsr.cli.main import main
from vsr.errors import CheckpointFormatError, ConfigError
from vsr.models.contract import NetworkFacts
from vsr.models.zoo import build, card, facts_of, find_model, load_model
from vsr.results import markdown
from vsr.training.checkpoint import start_from
from vsr.training.loop import train
from vsr.training.options import read_options

WEIGHTS = "runs/mine/weights.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and name.startswith("my_"):
            del sys.modules[name]


def page_example(folder: Path) -> None:
    for block in blocks((ROOT / "docs" / "own_network.md").read_text()):
        name = {"python": "my_network.py", "toml": "my_network.toml"}.get(block.language)
        if name:
            (folder / name).write_text(block.text)


def module(folder: Path, body: str) -> None:
    """Write my_module.py: torch, nn and a network `Fine` of scale 2, and more."""
    (folder / "my_module.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "from vsr.ops.resize import resize\n\n"
        "class Fine(nn.Module):\n"
        "    scale = 2\n"
        "    def __init__(self, gain=1.0):\n"
        "        super().__init__()\n"
        "        self.gain = nn.Parameter(torch.tensor(gain))\n"
        "    def forward(self, lq, state=None, lookahead=0):\n"
        "        shown = lq[:, : lq.shape[1] - lookahead]\n"
        "        return resize(shown, *(2 * x for x in lq.shape[-2:])) * self.gain, ()\n\n" + body
    )


def test_the_example_of_the_page_trains_evaluates_and_enhances(folder: Path) -> None:
    page_example(folder)
    for name in ("clips", "held-out"):
        (folder / name).mkdir()
        make_video(folder / name / "clip.mp4", frames=8, size=(96, 64))
    cuts = ["optimizer.steps=10", "data.cache=cache", "data.crop=16", "data.length=3"]
    cuts += ["data.val_frames=3", "run.log_every=5", "run.device=cpu", "optimizer.warmup=1"]
    numbers = train(read_options(Path("my_network.toml"), cuts), say=lambda line: None)
    assert numbers["my_network:bias"] >= 0
    assert '"my_network:edges":' in Path("runs/mine/log.jsonl").read_text()
    model = f"my_network:Net@{WEIGHTS}"
    network = load_model(model)
    assert network.channels == 24  # type: ignore[attr-defined]

    measuring = vsr.Measuring(protocol="folder-bi", metrics=("psnr", "my_network:bias"))
    measured = evaluate([model], "held-out", measuring, results=folder / "results.json")
    assert measured.mean(model).psnr == pytest.approx(measured.mean("bicubic").psnr, abs=2)
    assert 0 <= measured.mean(model).own["my_network:bias"] < 5
    again = evaluate([model], "held-out", measuring, results=folder / "results.json")
    assert again.mean(model) == measured.mean(model)
    assert "my_network:bias" in markdown(again)

    make_pictures(folder / "in", frames=5)
    options = ["--model", model, "--precision", "fp32", "--window", "2", "--scene-threshold", "101"]
    assert main(["enhance", "in", "out/", *options]) == 0
    wanted = network(read_clip(folder / "in"))[0].clamp(0, 1)
    assert (read_clip(folder / "out") - wanted).abs().max() < 0.51 / 255


def read_clip(folder: Path) -> torch.Tensor:
    pictures = [cv2.imread(str(path))[..., ::-1].copy() for path in sorted(folder.glob("*.png"))]
    return torch.stack([torch.from_numpy(x).permute(2, 0, 1) for x in pictures])[None] / 255


def test_weights_that_name_a_class_run_no_code_unless_it_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module(folder, "")
    from vsr.models.checkpoints import save_weights

    shape = {"name": "my_module:Fine", "scale": 2, "arguments": {"gain": 0.5}}
    save_weights(folder / "w.safetensors", {"gain": torch.tensor(0.25)}, shape, {})
    with pytest.raises(CheckpointFormatError, match=r"--model my_module:Fine@w\.safetensors"):
        find_model("w.safetensors")
    assert "my_module" not in sys.modules
    white = torch.ones(1, 1, 3, 4, 4)
    assert load_model("my_module:Fine@w.safetensors")(white)[0].mean() == 0.25
    assert load_model("my_module:Fine")(white)[0].mean() == 1
    with pytest.raises(CheckpointFormatError, match=r"for my_module:Fine, not for my_other:Fine"):
        find_model("my_other:Fine@w.safetensors")


def test_weights_of_ones_own_code_are_read_by_their_names(folder: Path) -> None:
    module(folder, "")
    torch.save({"state_dict": {"module.gain": torch.tensor(0.75)}}, folder / "w.pth")
    assert load_model("my_module:Fine@w.pth")(torch.ones(1, 1, 3, 4, 4))[0].mean() == 0.75
    torch.save({"state_dict": {"other": torch.tensor(0.75)}}, folder / "w.pth")
    with pytest.raises(CheckpointFormatError, match="does not fit Fine: missing gain"):
        load_model("my_module:Fine@w.pth")


def test_training_starts_from_weights_of_ones_own_code(folder: Path) -> None:
    page_example(folder)
    network = build("my_network:Net", {"channels": 4})
    torch.save(network.state_dict(), folder / "start.pth")
    other = build("my_network:Net", {"channels": 4})
    assert not torch.equal(other.first.weight, network.first.weight)
    start_from(other, folder / "start.pth", lambda line: None)
    assert torch.equal(other.first.weight, network.first.weight)


def test_an_edited_class_is_another_network(folder: Path) -> None:
    module(folder, "")
    before = find_model("my_module:Fine").weight_hash
    assert find_model("my_module:Fine").weight_hash == before
    module(folder, "# edited\n")
    assert find_model("my_module:Fine").weight_hash != before


def test_what_a_class_says_of_itself_is_taken_and_its_memory_measured(folder: Path) -> None:
    module(folder, "class Said(Fine):\n    window = 3\n    lookahead = 1\n    margin = 8\n")
    facts = find_model("my_module:Said").facts
    assert (facts.window, facts.lookahead, facts.margin, facts.scale) == (3, 1, 8, 2)
    # A picture of twice the size in float32 takes 48 bytes for each pixel of the input.
    assert 48 <= facts.bytes_per_frame <= 400
    assert facts_of(load_model("my_module:Said")) == facts
    assert "my_module:Said" in card("my_module:Said")


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ("", "my_nothing:Net", "no module 'my_nothing' for 'my_nothing:Net'"),
        ("import my_missing_part\n", "my_module:Fine", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0\n", "my_module:Fine", "cannot be imported: ZeroDivisionError"),
        ("", "my_module:Fein", "has no 'Fein'; did you mean 'Fine'?"),
        ("x = 3\n", "my_module:x", "'int' object is not callable"),
        ("def made():\n    return 3\n", "my_module:made", "makes a int; wanted a torch.nn.Module"),
        ("class A(Fine):\n    window = 0\n", "my_module:A", "window must be a whole number from 1"),
        ("class Bare(nn.Module):\n    pass\n", "my_module:Bare", "a network needs `scale`"),
        ("class A(Fine):\n    def __init__(self, x):\n        pass\n", "my_module:A", "required"),
        (
            "class A(Fine):\n    scale = 3\n",
            "my_module:A",
            r"sr of shape \(1, 2, 3, 144, 144\) wanted, got \(1, 2, 3, 96, 96\)",
        ),
        (
            "class A(Fine):\n    def forward(self, lq):\n        return lq\n",
            "my_module:A",
            "takes 2 positional arguments",
        ),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(
    body: str, name: str, said: str, folder: Path
) -> None:
    module(folder, body)
    with pytest.raises(ConfigError, match=said) as caught:
        find_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["network.name=my_module:Fine", "network.arguments={}"], "wanted a subclass of"),
        (["network.scale=4"], "network.scale = 4, and my_network:Net is for 2"),
        (
            ["network.channels=4"],
            r"goes into network.arguments, \{channels = ...\}; known here: name, scale, arg",
        ),
        (["loss.picture=my_network:huber"], "'my_network' has no 'huber'"),
        (["loss.picture=huber"], "'loss.picture' is 'huber': wanted charbonnier, l1, mse, log_mse"),
        (["loss.picture=my_module:one"], "loss my_module:one gives float; wanted a tensor"),
        (["run.metrics=['psnr']"], "wanted package.module:name"),
        (["network.name=compakt"], "'network.name' is 'compakt'; did you mean 'compact'"),
    ],
)
def test_wrong_names_in_a_configuration_are_said(
    changes: list[str], said: str, folder: Path
) -> None:
    page_example(folder)
    module(folder, "def one(sr, gt):\n    return 1.0\n")
    for name in ("clips", "held-out"):
        (folder / name).mkdir()
        make_video(folder / name / "clip.mp4", frames=4, size=(64, 48))
    cuts = ["optimizer.steps=1", "data.cache=cache", "data.crop=16", "data.length=3"]
    with pytest.raises(ConfigError, match=said):
        train(read_options(Path("my_network.toml"), [*cuts, *changes]), say=lambda line: None)


def test_facts_have_defaults_for_networks_that_were_not_loaded_by_name(folder: Path) -> None:
    module(folder, "")
    sys.path.append(str(folder))
    import my_module  # type: ignore[import-not-found]

    assert facts_of(my_module.Fine()).window == NetworkFacts().window
