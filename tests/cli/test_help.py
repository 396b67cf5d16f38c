"""What `--help` and wrong usage show on a terminal of 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise

import pytest

from vsr.cli.main import COMMANDS, main
from vsr.media.encoders import DEFAULT_CRF, DEFAULT_PRESET
from vsr.options import EncodeOptions

COMMAND = pytest.mark.parametrize("command", COMMANDS)


@cache
def help_of(command: str) -> str:
    """Run it as at a terminal of 80 columns that can draw frames."""
    environment = {**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"}
    code = [sys.executable, "-m", "vsr", command, "--help"]
    return subprocess.run(
        code, capture_output=True, encoding="utf-8", check=True, env=environment
    ).stdout


@COMMAND
def test_it_fits_and_no_row_is_empty(command: str) -> None:
    text = help_of(command)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"^│ +│$", text, re.M)


@COMMAND
def test_sentences_are_not_broken_where_the_next_word_fits(command: str) -> None:
    text = help_of(command)
    rows = [row[2:-1] for row in text.splitlines() if row[0:1] == "│"]
    indent = max(len(row) - len(row.lstrip()) for row in rows if row.strip())
    for row, below in pairwise(rows):
        if row[:indent].strip() or below[:indent].strip():
            continue  # a row with the name of an option, or before one
        word = below.split()[0]
        assert len(row.rstrip()) + 1 + len(word) > 76, f"{row.strip()} / {below.strip()}"


@COMMAND
def test_values_and_defaults_say_something(command: str) -> None:
    text = help_of(command)
    assert not re.search(r"\{None|\bNone\}|\b(STR|INT|FLOAT|PATH)\b", text)
    assert not re.search(r"default: *(None|True|False)?\)", text)


def test_defaults_that_the_encoder_sets_are_told() -> None:
    text = " ".join(help_of("enhance").replace("│", " ").split())
    for codec in ("libx264", "libx265", "libvpx-vp9", "libsvtav1"):
        assert f"{DEFAULT_CRF[codec]} for {codec}" in text
    assert f"{DEFAULT_PRESET['libx264']} for libx264 and libx265" in text
    assert f"{DEFAULT_PRESET['libsvtav1']} for libsvtav1" in text
    assert EncodeOptions().crf is None


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("verify", "[OPTIONS] IN OUT"),
        ("info", "[FILE] [--encoders] [--profiles] [--json]"),
        ("train", "CONFIG.toml"),
        ("batch", "[OPTIONS] IN..."),
        ("compare", "[OPTIONS] REFERENCE OUTPUT..."),
    ],
)
def test_usage_names_what_is_wanted(command: str, usage: str) -> None:
    assert usage in help_of(command).splitlines()[0]


def test_flags_of_what_is_on_say_what_they_do() -> None:
    assert "Start over" in help_of("enhance")
    assert "--metrics" in help_of("evaluate")


def test_a_wrong_choice_names_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", "a.mp4", "b.mp4", "--scale", "5"]) == 2
    assert "('1', '2', '3'" in capsys.readouterr().err


def test_a_mistyped_option_is_explained_by_its_own_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["enhance", "a.mp4", "b.mp4", "--windwo", "3"]) == 2
    error = capsys.readouterr().err
    assert "--window N" in error
    assert "vsr enhance --help" in error
    assert "vsr batch" not in error


def test_a_word_is_a_word_though_it_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", "a.mp4", "b.mp4", "--model", "None"]) == 2
    assert "None" in capsys.readouterr().err
