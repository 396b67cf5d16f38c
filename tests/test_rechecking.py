"""`vsr verify` of files that are right by the options that made them, and by their reports."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.main import main

FAST = ["--model", "bicubic", "--progress", "none"]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(
        tmp_path_factory.mktemp("recheck") / "tape.mpg",
        frames=12,
        size=(80, 64),
        codec="mpeg2video",
        rate=Fraction(25),
        field_order="tff",
        sample_aspect_ratio=Fraction(16, 15),
        audio=("mp2",),
    )


def made(source: Path, target: Path, *options: str) -> Path:
    report = target.with_suffix(".json")
    arguments = ["enhance", str(source), str(target), "--report", str(report)]
    assert main([*arguments, *options, *FAST]) == 0
    return report


@pytest.mark.parametrize(
    "options",
    [
        ["--start", "0.12"],
        ["--start", "0.08", "--duration", "0.24"],
        ["--deinterlace", "field"],
        ["--filter", "fps=12"],
        ["--filter", "transpose=1,crop=iw:40"],
        ["--filter", "negate"],
        ["--deinterlace", "field", "--duration", "0.2", "--filter", "hflip"],
    ],
    ids=" ".join,
)
def test_a_right_file_passes_by_the_options_that_made_it(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    target = tmp_path / "out.mkv"
    report = made(tape, target, *options)
    for told in (options, ["--report", str(report)]):
        assert main(["verify", str(tape), str(target), *told]) == 0
        assert "FAIL" not in capsys.readouterr().out


def test_without_the_options_a_part_is_no_whole(tape: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    made(tape, target, "--duration", "0.2")
    assert main(["verify", str(tape), str(target)]) == 1


def test_a_part_that_lacks_a_frame_fails_by_its_options(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mkv"
    made(tape, target, "--duration", "0.2")
    assert main(["verify", str(tape), str(target), "--duration", "0.24"]) == 1
    assert "FAIL frames: wanted 6 frames, found 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--codec", "mjpeg"],  # cannot say that pixels are not square
        ["--codec", "mpeg4", "--start", "0.2"],  # tags no colours in AVI
        ["--pix-fmt", "gray", "--height", "100"],
    ],
    ids=" ".join,
)
def test_a_right_file_passes_by_its_report(tape: Path, tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / ("out.avi" if "mpeg4" in options else "out.mkv")
    report = made(tape, target, *options)
    assert main(["verify", str(tape), str(target), "--report", str(report)]) == 0


def test_what_the_report_says_is_held_against_the_file(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(tape, tmp_path / "large.mkv", "--height", "128")
    small = tmp_path / "small.mkv"
    made(tape, small, "--height", "96")
    assert main(["verify", str(tape), str(small), "--report", str(report)]) == 1
    assert "FAIL size: wanted 160x128, found 120x96" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["--size=160x120", "--height=98", "--size=100x128"])
def test_another_size_is_right_if_it_shows_the_same_shape(
    tape: Path, tmp_path: Path, size: str
) -> None:
    made(tape, tmp_path / "out.mkv", size)
    assert main(["verify", str(tape), str(tmp_path / "out.mkv")]) == 0


def test_the_summary_of_a_batch_is_a_report_of_each(tape: Path, tmp_path: Path) -> None:
    summary = tmp_path / "all.json"
    to = ["--output-dir", str(tmp_path / "out"), "--summary", str(summary)]
    assert main(["batch", str(tape), *to, "--deinterlace", "field", *FAST]) == 0
    told = ["--report", str(summary)]
    (target,) = (tmp_path / "out").glob("tape.*")
    assert main(["verify", str(tape), str(target), *told]) == 0
    assert main(["verify", str(tape), str(tape), *told]) == 2


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"options": {"start": []}}'])
def test_what_is_no_report_is_wrong_usage(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    report = tmp_path / "report.json"
    report.write_text(text)
    assert main(["verify", str(tape), str(tape), "--report", str(report)]) == 2
    assert "report.json" in capsys.readouterr().err


def test_a_report_and_options_are_one_too_many(tape: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({}))
    told = ["--report", str(report), "--start", "1"]
    assert main(["verify", str(tape), str(tape), *told]) == 2


def test_the_options_are_those_of_enhance(capsys: pytest.CaptureFixture[str]) -> None:
    helps = []
    for command in ("enhance", "verify"):
        assert main([command, "--help"]) == 0
        helps.append(" ".join(capsys.readouterr().out.replace("│", " ").split()))
    for flag in ("--start", "--duration", "--deinterlace", "--filter"):
        enhance, verify = (text.partition(f" {flag} ")[2] for text in helps)
        assert enhance.partition("(default")[0] == verify.partition("(default")[0] != ""
