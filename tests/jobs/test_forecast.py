"""`vsr batch --dry-run`: what is left to do and what it takes, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.main import main

FAST = ["--model", "bicubic", "--preset", "ultrafast"]


@pytest.fixture
def tapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tapes" / "b").mkdir(parents=True)
    for name in ("one.mp4", "b/two.mkv"):
        make_video(tmp_path / "tapes" / name, frames=6, size=(32, 24), audio=("aac",))
    (tmp_path / "tapes" / "empty.mp4").write_bytes(b"")
    return tmp_path / "tapes"


def files_in(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_each_file_and_the_sum_are_told_and_nothing_is_written(
    tapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(tapes.parent)
    assert main(["batch", "tapes", "--output-dir", "out", *FAST, "--dry-run"]) == 1
    assert files_in(tapes.parent) == before
    text = capsys.readouterr()
    lines = text.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["6", "6"]
    assert [line.split()[-1] for line in lines[1:3]] == ["tapes/b/two.mkv", "tapes/one.mp4"]
    assert "32x24 to 128x96" in lines[1]
    assert lines[3] == "2 files to do, 1 failed: 12 frames,"
    assert lines[4].startswith("about 0:0")
    assert "vsr: failed: tapes/empty.mp4: the file is empty" in text.err
    assert text.err.count("untagged colour matrix") == 1
    assert "vsr: note: 2 files: " in text.err


def test_what_is_done_is_left_out(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", "tapes/one.mp4", "tapes/b", "--output-dir", "out", *FAST]
    assert main(["batch", "tapes/one.mp4", *command[3:]]) == 0
    capsys.readouterr()
    before = files_in(tapes.parent)
    assert main([*command, "--dry-run"]) == 0
    assert "1 file to do, 1 done already: 6 frames," in capsys.readouterr().out
    assert files_in(tapes.parent) == before


def test_an_output_in_the_way_is_told(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    Path("out/one.mp4").touch()
    command = ["batch", "tapes/one.mp4", "--output-dir", "out", *FAST, "--dry-run"]
    assert main(command) == 1
    assert "out/one.mp4: exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_for_programs_all_is_json(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["batch", "tapes", "--output-dir", "out", *FAST, "--dry-run", "--progress", "json"]
    assert main(command) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["plan", "plan", "failed", "planned"]
    assert lines[0]["target"]["path"].endswith("out/b/two.mkv")
    total = lines[-1]
    assert total["counts"] == {"planned": 2, "failed": 1, "done": 0}
    assert total["frames"] == sum(line["frames"] for line in lines[:2])
    assert total["size_bytes"] == sum(line["size_bytes"] for line in lines[:2]) > 0


def test_the_size_is_of_the_right_order(tapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tapes / "long.mp4", frames=40, size=(64, 48), audio=("aac",))
    arguments = ["enhance", str(source), "long.mp4", *FAST]
    assert main([*arguments, "--dry-run", "--progress", "json"]) == 0
    reckoned = json.loads(capsys.readouterr().out)["size_bytes"]
    assert main(arguments) == 0
    assert reckoned / 4 < Path("long.mp4").stat().st_size < reckoned * 4


@pytest.mark.parametrize(
    "other", [["--summary", "s.json"], ["--status", "out"], ["--ray", "local"]]
)
def test_it_contradicts_what_writes_or_asks_otherwise(tapes: Path, other: list[str]) -> None:
    assert main(["batch", "tapes", "--output-dir", "out", "--dry-run", *other]) == 2
