"""The command line: exit codes, one line on stderr, output for people and for programs."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import pytest
from synthetic import make_video

from vsr import __version__
from vsr.cli.main import main

FAST = ["--model", "bicubic", "--preset", "ultrafast"]


def test_enhance_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, color=(6, 6, 6, 1))
    assert main(["enhance", str(source), str(tmp_path / "out.mp4"), *FAST]) == 0
    text = capsys.readouterr().out
    assert "out.mp4: 3 frames in" in text
    assert re.search(r"fidelity to the input \d+\.\d dB, lowest \d+\.\d dB \(frame [012], ", text)
    assert (tmp_path / "out.mp4").is_file()


def test_progress_for_programs_is_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    target = str(tmp_path / "out.mp4")
    assert main(["enhance", str(source), target, *FAST, "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"event": "done", "frames": 3, "target": target}
    progress = [line for line in lines if line["event"] == "progress"]
    assert progress[-1]["frames"] == progress[-1]["total"] == 3


def test_the_report_is_written(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    report = tmp_path / "report.json"
    arguments = [str(source), str(tmp_path / "out.mp4"), "--report", str(report)]
    assert main(["enhance", *arguments, *FAST]) == 0
    found = json.loads(report.read_text())
    assert found["frames"] == 3
    assert found["source"]["video"]["time_base"] == "1/24000"


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=4, audio=("aac",))
    assert main(["enhance", str(source), str(tmp_path / "out.mkv"), *FAST, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "64x48 -> 256x192" in text
    assert "audio: copy" in text
    assert "for 4 frames" in text
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_encoder_options_may_be_given_again(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    options = ["--encoder-option", "tune=film", "--encoder-option", "g=1"]
    assert main(["enhance", str(source), str(tmp_path / "out.mp4"), *FAST, *options]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["enhance", "none.mp4", "out.mp4"], 1, "none.mp4"),
        (["enhance", "in.mp4", "in.mp4"], 1, "in.mp4"),
        (["enhance", "in.mp4", "out.mp4", "--codec", "nothing"], 2, "nothing"),
        (["enhance", "in.mp4", "out.mp4", "--crf", "1000"], 2, "--crf must be 0 to 51"),
        (
            ["enhance", "in.mp4", "out.mp4", "--encoder-option", "zzzzzz=1"],
            2,
            "see ffmpeg -h encoder=libx264",
        ),
        (["enhance", "in.mp4", "out.mp4", "--preset", "nothing"], 2, "no --preset 'nothing'"),
        (["enhance", "in.mp4", "out.mp4", "--scale", "2", "--height", "9"], 2, "--scale"),
        (["enhance", "in.mp4", "out.mp4", "--tile", "3"], 2, "--tile must be at least 16; got 3"),
        (["enhance", "in.mp4", "out.mp4", "--preview", "0"], 2, "--preview must be at least 1"),
        (["batch", "in.mp4", "--output-dir", "o", "--workers", "0"], 2, "--workers must be at"),
        (["enhance", "in.mp4", "out.mp4", "--model", "edvr"], 2, "known: compact-x4"),
        (["info", "text.txt"], 1, "text.txt"),
        (["models", "edvr"], 2, "known: compact-x4"),
        (["train", "none.toml"], 2, "none.toml"),
        (["verify", "in.mp4", "none.mp4"], 1, "none.mp4"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "in.mp4", frames=2)
    (tmp_path / "text.txt").write_text("no film")
    assert main(arguments) == code
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("vsr: error:")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["enhance", "a.mp4"],
        ["enhance", "a.mp4", "b.mp4", "--scale", "5"],
        ["enhance", "a.mp4", "b.mp4", "--no-such-flag"],
        ["no-such-command"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_the_version_names_all_that_decides_what_comes_out() -> None:
    code = (
        "import sys, vsr.cli.main as m; m.main(['--version']); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
    lines = done.stdout.splitlines()
    assert lines[0] == f"vsr {__version__}"
    assert lines[1].startswith(f"torch {version('torch')}, PyAV {version('av')}, FFmpeg ")
    assert lines[2].startswith(f"Python {platform.python_version()}, ")
    assert len(lines) == 3


def test_info_shows_what_the_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, audio=("aac",), rotation=90)
    assert main(["info", str(source)]) == 0
    text = capsys.readouterr().out
    assert "64x48" in text
    assert "rotated 90 degrees" in text
    assert "audio: aac" in text


@pytest.mark.parametrize(
    ("color", "line"),
    [
        ((9, 18, 9, 1), "primaries BT.2020 (9), transfer HLG (18), matrix BT.2020 (9)"),
        ((5, 13, 6, 1), "primaries BT.601 625 (5), transfer sRGB (13), matrix BT.601 (6)"),
        ((2, 2, 2, 1), "primaries untagged, transfer untagged, matrix untagged"),
    ],
)
def test_info_names_colours_with_their_numbers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    color: tuple[int, int, int, int],
    line: str,
) -> None:
    source = make_video(tmp_path / "in.mkv", frames=2, color=color)
    assert main(["info", str(source)]) == 0
    assert line in capsys.readouterr().out


def test_info_tells_a_length_as_a_clock_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(
        tmp_path / "in.mkv", pts=[0, 7199_958], time_base=Fraction(1, 1000), frames=2
    )
    assert main(["info", str(source)]) == 0
    assert re.search(r"matroska, (1:59:59|2:00:00)\.\d{3} \((7199|7200)", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("pix_fmt", "told"), [("yuv420p", True), ("yuv444p", False), ("gray", False), ("bgr0", False)]
)
def test_info_tells_where_chroma_lies_if_pixels_share_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pix_fmt: str, told: bool
) -> None:
    source = make_video(tmp_path / "in.mkv", frames=1, codec="ffv1", pix_fmt=pix_fmt)
    assert main(["info", str(source)]) == 0
    text = capsys.readouterr().out
    assert ("bit, chroma" in text) == told
    assert ", 1 frames" not in text


def test_info_for_programs_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    assert main(["info", str(source), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["video"]["frame_rate"] == "24000/1001"


def test_verify_tells_a_good_file_from_a_wrong_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=6)
    wrong = make_video(tmp_path / "wrong.mp4", frames=5, size=(256, 192))
    assert main(["enhance", str(source), str(tmp_path / "out.mp4"), *FAST]) == 0
    assert main(["verify", str(source), str(tmp_path / "out.mp4")]) == 0
    assert "FAIL" not in capsys.readouterr().out
    assert main(["verify", str(source), str(wrong)]) == 1
    assert "FAIL frames: wanted 6 frames, found 5" in capsys.readouterr().out


def test_models_prints_a_list_and_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert "compact-x4" in capsys.readouterr().out
    assert main(["models", "compact-x4"]) == 0
    assert "sha256" in capsys.readouterr().out


def test_help_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for flag in ("--strength", "--height", "--crf", "--lookahead", "--dry-run"):
        assert flag in text


def test_ctrl_c_at_the_very_end_is_an_exit_code_too() -> None:
    """Python clears up for some time after the last word; a signal then would end it by itself."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "vsr", "verify", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.002)
        _, error = process.communicate()
    assert process.returncode in (0, 130)
    assert "Traceback" not in error


def test_ctrl_c_while_it_loads_is_exit_code_130() -> None:
    code = (
        "import os, signal, sys, importlib.abc\n"
        "class Press(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'vsr.cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        "from vsr.__main__ import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_interrupting_is_exit_code_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=300)
    command = [sys.executable, "-m", "vsr", "enhance", str(source), str(tmp_path / "o.mp4"), *FAST]
    command += ["--piece", "32"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / ".o.mp4.vsr" / "000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "finished frames are kept" in error
    assert "vsr: interrupted" in error
    assert "Traceback" not in error
    assert sorted(os.listdir(tmp_path)) == [".o.mp4.vsr", "in.mp4"]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "frames were finished by an earlier run" in again.stderr
    assert "300 frames in" in again.stdout
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "o.mp4"]


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    command = [sys.executable, "-m", "vsr", "info", str(source)]
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (run.returncode, run.stderr) == (1, b"")
