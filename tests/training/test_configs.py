"""Each configuration of the project: the network it says, and a step of it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from synthetic import make_video

from vsr.models.catalogue import PUBLISHED
from vsr.models.zoo import ARCHITECTURES, gmac
from vsr.training.loop import train
from vsr.training.options import TrainOptions, read_options

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("*.toml"))
# Entry of the catalogue that each one trains.
PUBLISHED_AS = {
    "basicvsr_reds": "basicvsr-reds4",
    "basicvsr_vimeo_bi": "basicvsr-vimeo-bi",
    "basicvsr_vimeo_bd": "basicvsr-vimeo-bd",
    "basicvsr_pp_reds": "basicvsr-pp-reds4",
    "basicvsr_pp_vimeo_bi": "basicvsr-pp-vimeo-bi",
    "basicvsr_pp_vimeo_bd": "basicvsr-pp-vimeo-bd",
    "realbasicvsr_stage1": "realbasicvsr-wogan",
    "realbasicvsr_stage2": "realbasicvsr",
}


def shrunk(options: TrainOptions, videos: Path, output: Path) -> TrainOptions:
    """The same run, small: one step of a narrow network on a short clip, from no weights."""
    narrow: dict[str, object] = {"channels": 16, "blocks": 1}
    if options.network.name == "realbasicvsr":
        narrow["cleaning_blocks"] = 1
    return replace(
        options,
        data=replace(
            options.data,
            train=str(videos),
            val=str(videos),
            layout="folder",
            val_layout="folder",
            cache=str(videos / "cache"),
            crop=10,
            length=2,
            batch=1,
            workers=0,
            val_frames=1,
        ),
        network=replace(options.network, **narrow),
        optimizer=replace(options.optimizer, steps=1, init="", clean_init="", flow_init=""),
        loss=replace(options.loss, perceptual=0.0),
        adversarial=replace(options.adversarial, channels=4),
        run=replace(options.run, output=str(output), device="cpu", precision="fp32", keep=True),
    )


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4", frames=4, size=(64, 48))
    return folder


@pytest.mark.parametrize(
    ("name", "most"),
    [("clean_x1", 10), ("compact_x4", 60), ("compact_x4_real", 65), ("base_x4", 100)],
)
def test_the_projects_own_networks_keep_their_budget(name: str, most: float) -> None:
    shape = asdict(read_options(FOLDER / f"{name}.toml").network)
    assert most / 2 < gmac(shape.pop("name"), shape, size=(64, 36)) <= most


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_step_of_it_can_be_taken(path: Path, videos: Path, tmp_path: Path) -> None:
    options = shrunk(read_options(path), videos, tmp_path)
    train(options, say=lambda line: None)
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    wanted = {"loss"}
    others = ("photometric", "temporal", "cleaning")
    wanted |= {name for name in others if getattr(options.loss, name)}
    if options.adversarial.weight:
        wanted |= {"adversarial", "discriminator"}
    wanted |= {"total"} if len(wanted) > 1 else set()
    wanted |= {"grad_norm", "step_seconds", "data_wait", "lr", "skipped", "pixels"}
    assert first.keys() == wanted | {"time", "step"}
    assert first["skipped"] == 0
    assert all(math.isfinite(value) for value in first.values())


@pytest.mark.parametrize(("config", "name"), PUBLISHED_AS.items())
def test_it_is_the_published_network(config: str, name: str) -> None:
    options, published = read_options(FOLDER / f"{config}.toml"), PUBLISHED[name]
    hyper_parameters = asdict(options.network)
    assert hyper_parameters.pop("name") == published.architecture
    with torch.device("meta"):
        network = ARCHITECTURES[published.architecture](**hyper_parameters)
    assert sum(p.numel() for p in network.parameters()) == published.parameters
    assert options.network.scale == 4
    wanted = {"bicubic": "bicubic", "blur": "bd", "real": "real"}[published.degradation]
    assert options.data.degradation == wanted


def test_every_published_recipe_is_named_here() -> None:
    others = {"smoke", "base_x4", "clean_x1"} | {
        path.stem for path in CONFIGS if path.stem.startswith("compact")
    }
    assert {path.stem for path in CONFIGS} - others == PUBLISHED_AS.keys()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_source_is_cited(path: Path) -> None:
    head = path.read_text().partition("[data]")[0]
    if path.stem in PUBLISHED_AS:
        assert "Source: Chan et al." in head
        assert "mmagic" in head
