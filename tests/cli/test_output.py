"""What goes to stdout and stderr where no terminal is: JSON alone, or lines alone."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_video

from vsr.cli.main import main
from vsr.options import EnhanceOptions
from vsr.plan import describe, plan_job

FAST = ["--model", "bicubic", "--preset", "ultrafast"]


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_batch_for_programs_prints_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "a.mp4", frames=2)
    (tmp_path / "b.mp4").write_bytes(b"")
    out = tmp_path / "out"
    command = ["batch", str(tmp_path), "--output-dir", str(out), *FAST, "--progress", "json"]
    assert main(command) == 1
    counts = {"done": 1, "failed": 1, "running": 0, "interrupted": 0, "queued": 0}
    assert json_lines(capsys)[-1] == {"event": "finished", "counts": counts}
    assert main(command) == 1
    text = capsys.readouterr()
    assert [json.loads(line)["event"] for line in text.out.splitlines()] == ["finished"]
    assert "b.mp4: the file is empty" in text.err  # an earlier failure is told again
    assert main(["batch", "--status", str(out), "--progress", "json"]) == 1
    lines = json_lines(capsys)
    assert [line["event"] for line in lines] == ["done", "failed", "status"]
    assert "empty" in lines[1]["error"]


def test_a_dry_run_for_programs_prints_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=4, audio=("aac",))
    arguments = ["enhance", str(source), str(tmp_path / "out.mkv"), *FAST, "--dry-run"]
    assert main([*arguments, "--progress", "json"]) == 0
    (plan,) = json_lines(capsys)
    assert plan["event"] == "plan"
    assert plan["frames"] == 4
    assert plan["seconds"] >= 0
    assert (plan["target"]["width"], plan["target"]["codec"]) == (256, "libx264")
    assert [stream["action"] for stream in plan["streams"]] == ["enhance", "copy"]


def test_without_a_terminal_there_are_no_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "in.mp4", frames=2)  # untagged colours, which is noted
    assert main(["enhance", "none.mp4", "x.mp4"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("vsr: error: none.mp4: ")
    assert main(["enhance", "in.mp4", "out.mp4", *FAST]) == 0
    text = capfd.readouterr()
    assert "out.mp4: 2 frames in" in text.out
    assert text.err
    assert all(line.startswith("vsr: note: ") for line in text.err.splitlines())
    assert main(["compare", "in.mp4", "out.mp4", "--output", "page.html"]) == 0
    assert main(["batch", "in.mp4", "--output-dir", "o", *FAST]) == 0
    assert "%|" not in capfd.readouterr().err


def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "a.mp4")

    monkeypatch.setattr("vsr.media.verify.verify", refused)
    assert main(["verify", str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")]) == 1
    error = capsys.readouterr().err
    assert error == (
        "vsr: error: a.mp4: could not be read or written: Permission denied; check its path and "
        "permissions\n"
    )


STEERING = "a\x1b[2Jb\x07c\x7fd\x9be\u202ef\u2066g"
ESCAPED = r"a\x1b[2Jb\x07c\x7fd\x9be\u202ef\u2066g"


def test_texts_of_files_are_shown_with_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mkv", frames=2, tags={"title": STEERING, "artist": "Zoë 子"})
    assert main(["info", str(source)]) == 0
    text = capsys.readouterr().out
    assert f"title: {ESCAPED}\n" in text
    assert "ARTIST: Zoë 子\n" in text
    assert main(["info", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"]["title"] == STEERING


def test_names_of_files_are_shown_with_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2).rename(tmp_path / "i\n\x1b[1mn.mp4")
    target = tmp_path / "o\x1b[31mut.mp4"
    assert main(["enhance", str(tmp_path / "no\x1bne.mp4"), str(target)]) == 1
    assert r"vsr: error: " in (error := capsys.readouterr().err)
    assert r"no\x1bne.mp4: no such file" in error
    assert main(["enhance", str(source), str(target), *FAST]) == 0
    assert r"o\x1b[31mut.mp4: 2 frames in" in capsys.readouterr().out
    assert (
        main(["batch", str(source), "--output-dir", str(tmp_path / "o"), *FAST, "--dry-run"]) == 0
    )
    said = capsys.readouterr()
    assert r"i\n\x1b[1mn.mp4" in said.out
    assert "\x1b" not in said.out + said.err


def test_a_run_says_what_it_will_do_before_its_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "in.mp4", frames=4, audio=("aac",))
    assert main(["enhance", "in.mp4", "out.mkv", *FAST, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "in.mp4: 64x48, 23.976 fps, 4 frames, h264"
    begins = [line.split()[0] for line in lines[2:]]
    ends = begins.index("out.mkv:")
    assert begins[:ends] == ["picture", "model", "runs", "windows", "encoder", "stream", "stream"]
    assert "64x48 -> 256x192, 4 frames" in lines[2]
    assert main(["enhance", "in.mp4", "other.mkv", *FAST, "--progress", "json"]) == 0
    events = [event for event in json_lines(capsys) if event["event"] != "warning"]
    assert [event["event"] for event in events[:3]] == ["source", "start", "progress"]
    assert events[0]["frames"] == 4
    assert events[2]["waits_for"] in ("decoder", "network", "encoder")
    assert main(["enhance", "in.mp4", "none.mkv", *FAST, "--progress", "none"]) == 0
    assert capsys.readouterr().out == ""


def test_the_first_line_of_a_run_needs_no_torch(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    script = (
        "import sys\nfrom vsr.cli.enhance import _print_source\n"
        f"_print_source({str(source)!r}, 'bar')\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{source}: 64x48")


def test_an_interlaced_film_is_said_to_be_deinterlaced(tmp_path: Path) -> None:
    film = tmp_path / "tape.mpg"
    make_video(film, frames=4, codec="mpeg2video", field_order="tff", rate=Fraction(25))
    job = plan_job(film, tmp_path / "out.mkv", EnhanceOptions(model="bicubic"))
    assert "  fields    deinterlaced by bwdif, a picture for each frame" in list(describe(job))


def test_encoders_are_listed_at_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("libx264 ") and "8/10 bit" in line for line in lines)
    assert any(line.startswith("h264_nvenc ") and "hardware" in line for line in lines)
    assert all(len(line) <= 80 for line in lines if line.startswith(" "))
    assert main(["info"]) == 2
    assert "FILE, --encoders or --profiles" in capsys.readouterr().err
