"""Models by name and by file; weights that say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.models.catalogue import PUBLISHED
from vsr.models.checkpoints import read_metadata, save_weights
from vsr.models.compact import Compact
from vsr.models.zoo import (
    ARCHITECTURES,
    MODELS,
    card,
    facts_of,
    find_model,
    gmac,
    load_model,
    parameters,
    published_model,
    table,
)

SHAPE = {"name": "compact", "scale": 2, "channels": 8, "blocks": 1}


def saved(path: Path, **changes: object) -> Compact:
    torch.manual_seed(0)
    network = Compact(scale=2, channels=8, blocks=1)
    torch.nn.init.normal_(network.tail[2].weight, std=0.1)
    save_weights(path, network.state_dict(), SHAPE | changes, {"step": 7})
    return network


def test_a_weight_file_gives_the_network_that_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    network = saved(path)
    loaded = load_model(str(path))
    lq = torch.rand(1, 2, 3, 8, 8)
    assert loaded.scale == 2
    torch.testing.assert_close(loaded(lq)[0], network(lq)[0])
    assert read_metadata(path)["step"] == 7


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_loads_and_upscales_by_its_scale(name: str) -> None:
    sr, _ = load_model(name)(torch.rand(1, 1, 3, 6, 5))
    scale = MODELS[name].scale
    assert sr.shape == (1, 1, 3, 6 * scale, 5 * scale)


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("compact-x4", {"gain": 2.2, "neighbours": 0.5}),
        ("compact-x4-real", {"gain": 0.7, "gain_clean": 2.0, "gain_dark": 0.1, "worst": -0.1}),
        ("compact-x2-real", {"gain": 1.0, "neighbours": 0.15}),
    ],
)
def test_bundled_weights_say_where_they_come_from(name: str, measured: dict[str, float]) -> None:
    facts = read_metadata(MODELS[name].weights)  # type: ignore[arg-type]
    for figure, least in measured.items():
        assert facts["validation"][figure] > least
    assert {"data", "degradation", "step", "hours", "hardware", "options"} <= facts.keys()
    assert "/" not in str(facts["options"]["data"].get("train", ""))
    assert "/" not in facts["options"]["optimizer"]["init"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"known: compact-x4, .*bicubic"):
        find_model("edvr")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 4}, "text or a path wanted for a model, got int"),
        ({"device": 0}, "device must be text or a torch.device, got int"),
        ({"device": "tpu"}, "device must be auto, cpu, cuda, cuda:N, xpu, xpu:N or mps, got 'tpu'"),
        ({"device": torch.device("cuda", 99)}, "device cuda:99 wanted"),
    ],
)
def test_what_no_model_can_be_loaded_from_is_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model(**arguments)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weight file"):
        find_model(str(tmp_path / "none.safetensors"))


def test_a_file_that_is_no_weight_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(CheckpointFormatError, match=r"film\.safetensors"):
        find_model(str(path))


def test_weights_of_another_shape_are_refused_by_tensor(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    saved(path, channels=16)
    with pytest.raises(
        CheckpointFormatError, match=r"backward_trunk\.0\.bias is \(8,\), wanted \(16"
    ):
        load_model(str(path))


def test_a_missing_and_a_surplus_tensor_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    saved(path, blocks=2)
    with pytest.raises(CheckpointFormatError, match=r"missing backward_trunk\.3"):
        load_model(str(path))


def test_the_list_names_every_model_and_fits_a_terminal() -> None:
    text = table()
    assert all(name in text for name in MODELS)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", [name for name, info in MODELS.items() if info.weights])
def test_a_card_tells_what_a_run_used_and_no_more(name: str) -> None:
    text = card(name)
    degraded = find_model(name).degradation == "real"
    of_films = name in ("clean-x1", "compact-x4-real")
    assert ("    real\n" in text) == (degraded and not of_films)
    assert ("    footage\n" in text) == of_films
    assert ("13 patterns of file names" in text) != of_films
    assert "adversarial" not in text
    assert "photometric   0" not in text
    assert degraded or len(text.splitlines()) < 70


@pytest.mark.parametrize(
    ("name", "work"), [("compact-x4", 31.1), ("compact-x2-real", 29.9), ("clean-x1", 8.99)]
)
def test_a_card_tells_the_work_of_bundled_networks(name: str, work: float) -> None:
    assert f"  work          {work:.3g} GMAC per frame of 320x180" in card(name)


def test_the_work_is_counted_as_that_of_published_networks() -> None:
    entry = PUBLISHED["basicvsr-reds4"]
    found = gmac(entry.architecture, entry.hyper_parameters, size=(128, 64))
    assert found == pytest.approx(entry.gmac, rel=0.05)


def test_a_card_tells_parameters_and_hash() -> None:
    info = find_model("compact-x4")
    text = card("compact-x4")
    assert f"{parameters(info):,}" in text
    assert info.weight_hash is not None
    assert info.weight_hash in text


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_memory_of_a_network_is_planned_alike_by_name_and_when_it_is_loaded(name: str) -> None:
    info = published_model(name)
    with torch.device("meta"):
        network = ARCHITECTURES[info.architecture](**info.hyper_parameters)
    assert facts_of(network) == info.facts  # type: ignore[arg-type]
    assert info.facts.scale == info.scale == PUBLISHED[name].hyper_parameters.get("scale", 4)


def test_bicubic_needs_far_less_memory_than_a_network() -> None:
    bicubic, compact = MODELS["bicubic"].facts, MODELS["compact-x4"].facts
    assert bicubic.lookahead == 0
    assert bicubic.bytes_per_call < compact.bytes_per_call / 2
    assert bicubic.bytes_per_frame < compact.bytes_per_frame / 2
