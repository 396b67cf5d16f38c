"""The log of a run that was killed and goes on: each step once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vsr.training.record import Record


def noted(folder: Path) -> list[tuple[int, float]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [(entry["step"], entry["loss"]) for entry in map(json.loads, lines)]


@pytest.mark.parametrize("half", ["", '{"time": 1.0, "st', "{}\n"])
def test_steps_that_are_taken_again_are_noted_once(half: str, tmp_path: Path) -> None:
    with Record(tmp_path, tensorboard=False) as record:
        for step in (1, 2, 3):
            record.add(step, "training", loss=step / 10)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(half)  # the run was killed here; its checkpoint is of step 2
    with Record(tmp_path, after=2, tensorboard=False) as record:
        record.add(3, "training", loss=0.5)
    assert noted(tmp_path) == [(1, 0.1), (2, 0.2), (3, 0.5)]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_the_log_of_a_run_without_a_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    with Record(tmp_path, tensorboard=False) as record:
        record.add(1, "training", loss=0.1)
    with Record(tmp_path, tensorboard=False) as record:
        record.add(1, "training", loss=0.2)
    assert noted(tmp_path) == [(1, 0.2)]


def test_tensorboard_forgets_them_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Record(tmp_path, tensorboard=True) as record:
        for step in (1, 2, 3):
            record.add(step, "training", loss=step / 10)
    with Record(tmp_path, after=2, tensorboard=True) as record:
        record.add(3, "training", loss=0.5)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("training/loss")] == [1, 2, 3]
    assert events.Scalars("training/loss")[-1].value == pytest.approx(0.5)
