"""`vsr train --options` lists what a configuration may say."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsr.cli.main import main
from vsr.training.options import TrainOptions, read_options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# What stands after "default", with a row below it that goes on with numbers.
DEFAULT = re.compile(r"^  (\w+): [^;]*; default ((?:.|\n      (?=\d))*)", re.M)


@pytest.fixture
def listing(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["train", "--options"]) == 0
    return capsys.readouterr().out


def sections(text: str) -> list[tuple[str, str]]:
    parts = re.split(r"^\[([a-z.]+)\]", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def keys(section: str, value: DataclassInstance) -> set[tuple[str, str]]:
    found = set()
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            found |= keys(f"{section}.{field.name}".strip("."), inner)
        else:
            found.add((section, field.name))
    return found


def read(folder: Path, *overrides: str) -> TrainOptions:
    path = folder / "run.toml"
    path.write_text('[data]\ntrain = "a"\nval = "b"\n')
    return read_options(path, overrides)


def test_every_key_is_listed_with_its_help_in_80_columns(listing: str, tmp_path: Path) -> None:
    listed = {
        (section, key)
        for section, text in sections(listing)
        for key in re.findall(r"^  (\w+): .*;", text, re.M)
    }
    assert keys("", read(tmp_path)) <= listed
    assert max(map(len, listing.splitlines())) <= 80
    helps = re.findall(r"^  \w+: [^\n]*\n(?:      (.*)\n)?", listing, re.M)
    assert all(helps)
    assert not re.search(r"\d{10}", listing)  # what fits into 64 bits is no bound to tell


def test_the_defaults_told_are_those_that_go(listing: str, tmp_path: Path) -> None:
    told = []
    for section, text in sections(listing):
        if section == "network" and "compact" not in text:
            continue
        for key, value in re.findall(
            r'^  (\w+): [^;]*; default ((?:.|\n      (?=[\d"]))*)', text, re.M
        ):
            told.append(f"{section}.{key}={' '.join(value.split())}")
    assert len(told) > 80
    assert read(tmp_path, *told) == read(tmp_path)


def test_networks_are_told_apart(listing: str) -> None:
    text = "".join(text for section, text in sections(listing) if section == "network")
    for name in ("compact", "basicvsr", "basicvsr_pp", "realbasicvsr"):
        assert f'name: {name}; default "{name}"' in text


def test_without_a_configuration_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "wants a TOML file" in capsys.readouterr().err
