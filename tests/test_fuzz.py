"""The fuzz bench repeats its damage, and knows a bad end from a good one."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import fuzz


def test_damage_depends_on_the_seed_alone() -> None:
    data = bytes(range(256)) * 8
    made = [fuzz.damaged(data, random.Random(f"1 {case}")) for case in (7, 7, 8)]
    assert made[0] == made[1] != data
    assert made[2] != made[0]


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, "vsr: note: all well\n", ""),
        (1, "vsr: note: so it is\nvsr: error: in.mp4: no video stream\n", "refused"),
        (1, "vsr: error: out.mp4: Invalid argument; joined returned 22\n", "unclear"),
        (1, "one line\nand another\n", "unclear"),
        (1, "Traceback (most recent call last):\nValueError: no\n", "traceback"),
        (None, "", "hang"),
        (-11, "", "crash"),
    ],
)
def test_an_end_is_judged_by_code_and_words(code: int | None, said: str, outcome: str) -> None:
    assert fuzz.judge(code, said, 60)[0] == outcome
