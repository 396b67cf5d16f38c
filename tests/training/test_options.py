"""TOML into options: what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vsr.data.recipe import RealRecipe
from vsr.errors import ConfigError
from vsr.training.options import read_options

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
        (GOOD + "[real]\nclean = 7\n", r"\[real\]: clean is 7.*from 0 to 1"),
        (GOOD + "[real]\nseverity = [0.0, 3.0]\n", r"\[real\]: severity is .*3.*from 0 to 1"),
        (GOOD + "[real]\nkernels = [1.0]\n", r"\[real\]: kernels is .*wanted 7"),
        (GOOD + "[real]\ncodecs = []\n", r"\[real\]: codecs is empty"),
        (GOOD + "[real]\ngop = [0, 0]\n", r"\[real\]: gop is .*from 1"),
        (GOOD + "[real.first]\njpeg_quality = [95, 30]\n", r"\[real\.first\]: jpeg_quality is"),
        (GOOD + "[real.second]\nblur_step = -1\n", r"\[real\.second\]: blur_step is -1"),
        ("[data\n", "not TOML"),
        ('[data]\ntrain = ""\nval = "b"\n', r"'data\.train' is '': wanted a name"),
        (GOOD + '[run]\noutput = ""\n', r"'run\.output' is '': wanted a name"),
        (GOOD + "[run]\noutput = 5\n", r"'run\.output' is 5: wanted text in quotes"),
        (GOOD + f"[run]\nseed = {2**70}\n", r"'run\.seed' is \d+: .*less than"),
        (GOOD + "[network]\nblocks = true\n", r"'network\.blocks' is True: wanted a number"),
        (GOOD + "[optimizer]\nlr = true\n", r"'optimizer\.lr' is True: wanted a number"),
        (GOOD + "[optimizer]\nlr = inf\n", r"'optimizer\.lr' is inf: .*finite"),
        (GOOD + "[optimizer]\nbetas = 0.9\n", r"'optimizer\.betas' is 0\.9: wanted a list"),
        (GOOD + "[real]\nfirst = 1\n", r"'real\.first' is 1: wanted a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(write(tmp_path, text))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("optimizer.stps=5", r"^--set optimizer\.stps=5: .*; did you mean 'optimizer\.steps'\?"),
        ("optimiser.lr=1", r"^--set optimiser\.lr=1: .*; did you mean 'optimizer'\?"),
        ("data.steps=5", r"unknown key 'data\.steps'; did you mean 'optimizer\.steps'\?"),
        ("data.blocks=5", r"unknown key 'data\.blocks'; did you mean 'network\.blocks'\?"),
        ("steps=5", r"got 'steps=5'; did you mean 'optimizer\.steps'\?"),
        ("real.first.jpg=1", r"did you mean 'real\.first\.jpeg'\?"),
        ("network.name=compct", r"'compct'; did you mean 'compact'\?; known: compact, "),
        ("loss.picture=mes", r"wanted charbonnier, .*; did you mean 'mse'\?"),
        ("run.seed=x", r"^--set run\.seed=x: 'run\.seed' is 'x': wanted a whole number$"),
        ("run.zebra=1", r"unknown key 'run\.zebra'; known here: output, "),
    ],
)
def test_what_was_meant_is_guessed_and_the_override_named(
    tmp_path: Path, given: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(write(tmp_path, GOOD), ["run.log_every=2", given])


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_options(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"film\.mp4' is not TOML: it is no text"):
        read_options(path)


def test_one_value_of_an_order_can_be_set_and_the_others_stay(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "[real.second]\nblur = 0.5\n")
    real = read_options(path, ["real.first.jpeg=0.25", "real.clean=0.5"]).real
    usual = RealRecipe()
    assert real.first == replace(usual.first, jpeg=0.25)
    assert real.second == replace(usual.second, blur=0.5)
    assert real == replace(usual, first=real.first, second=real.second, clean=0.5)


@pytest.mark.parametrize("override", ["real.clean.x=1", "data.val.x.y=1"])
def test_an_override_below_a_value_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"wanted a table|real"):
        read_options(write(tmp_path, GOOD + "[real]\nclean = 0.5\n"), [override])


def test_spaces_around_an_override_do_not_count(tmp_path: Path) -> None:
    options = read_options(write(tmp_path, GOOD), ["data.val = held out ", "run.seed = 3"])
    assert (options.data.val, options.run.seed) == ("held out", 3)


@pytest.mark.parametrize("override", ["steps=3", "optimizer.steps", "=", "optimizer.=3"])
def test_an_override_without_section_or_value_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"section\.name=value"):
        read_options(write(tmp_path, GOOD), [override])


def test_the_configurations_of_the_project_are_valid() -> None:
    configs = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
    assert configs
    for path in configs:
        read_options(path)
