"""TOML into options: what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsr.errors import ConfigError
from vsr.training.config import read_options

GOOD = '[data]\ntrain = "a"\nval = "b"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_sections_are_read_and_overridden(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "[optimizer]\nlr = 1e-3\n")
    options = read_options(path, ["optimizer.steps=7", "data.val=other", "data.half_size=['x*']"])
    assert options.optimizer.lr == 1e-3
    assert options.optimizer.steps == 7
    assert options.data.val == "other"
    assert options.data.half_size == ("x*",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[optimizer]\nlearning_rate = 1\n", r"unknown key.*learning_rate.*known here.*lr"),
        (GOOD + "[optimiser]\nlr = 1\n", r"unknown key.*optimiser.*known here.*optimizer"),
        (GOOD + '[optimizer]\nsteps = "many"\n', r"optimizer\.steps.*many"),
        (GOOD + '[network]\nname = "edvr"\n', r"network\.name.*edvr.*compact"),
        ('[data]\ntrain = "a"\n', r"data\.val.*missing"),
        ("[data\n", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(write(tmp_path, text))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_options(tmp_path / "none.toml")


@pytest.mark.parametrize("override", ["steps=3", "optimizer.steps", "=", "optimizer.=3"])
def test_an_override_without_section_or_value_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.name=value"):
        read_options(write(tmp_path, GOOD), [override])


def test_the_configurations_of_the_project_are_valid() -> None:
    configs = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
    assert configs
    for path in configs:
        read_options(path)
