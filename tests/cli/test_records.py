"""Reports, summaries and tables never take the place of a film."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.main import main

FAST = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]
EVALUATE = ["evaluate", "--model", "bicubic", "--data", ".", "--protocol", "folder-bi"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["enhance", "in.mpg", "out.mp4", "--report", "in.mpg", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "link.json", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "out.mp4", *FAST], "name of a film"),
        (["enhance", "in.mpg", "out/", "--report", "out/000000.png", *FAST], "name of a film"),
        (["enhance", "in.mpg", "out.mp4", "--report", "my.srt", *FAST], "holds something else"),
        (["enhance", "in.mpg", "out.mp4", "--report", "in.mpg", "--dry-run"], "something else"),
        (["batch", "in.mpg", "--output-dir", "o", "--summary", "in.mpg", *FAST], "something else"),
        (["batch", "in.mpg", "--output-dir", "o", "--summary", "o/in.mkv", *FAST], "name of a"),
        (["batch", "--status", "o", "--summary", "in.mpg"], "holds something else"),
        ([*EVALUATE, "--markdown", "in.mpg"], "--markdown writes text"),
    ],
)
def test_a_record_is_not_written_over_a_film(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    film = make_video(tmp_path / "in.mpg", frames=2, codec="mpeg2video", rate=Fraction(25))
    before = film.read_bytes()
    (tmp_path / "link.json").symlink_to("in.mpg")
    (tmp_path / "my.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert film.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("held", ["", '{"frames": 1}\n'])
def test_an_earlier_report_or_an_empty_file_is_replaced(tmp_path: Path, held: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    report = tmp_path / "report"
    report.write_text(held)
    arguments = ["enhance", str(source), str(tmp_path / "out.mp4"), "--report", str(report)]
    assert main([*arguments, *FAST]) == 0
    assert json.loads(report.read_text())["frames"] == 2
