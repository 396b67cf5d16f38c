"""A batch of files of every kind: good ones done and right, bad ones named, nothing twice."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from synthetic import break_packets, cut_file, make_video, splice

from vsr.cli.main import main
from vsr.media.verify import verify

SIZE = (32, 24)
TICKS = [500, 540, 580, 700, 740, 780]
MILLISECONDS = Fraction(1, 1000)

# What has to be said of files that are done although something is wrong with them.
GOOD: dict[str, str | None] = {
    "steady.mp4": None,
    "uneven.mkv": None,
    "old.avi": None,
    "phone.mov": None,
    "tape.mpg": None,
    "broadcast.ts": None,
    "spliced.ts": None,
    "raw.h264": None,
    "deep.mkv": None,
    "cut off.ts": None,
    "cut off.mkv": "the file ends early",
    "scratched.mkv": "1, undecodable",
}
BAD = {
    "empty.mp4": "the file is empty",
    "noise.mp4": "or is no video",
    "text.avi": "FFmpeg cannot read the file",
    "cut off.mp4": "the mp4/mov has no index",
    "sound only.mkv": "no video stream, only audio",
}


def make_files(folder: Path) -> None:
    """Write all of them."""
    make_video(folder / "steady.mp4", frames=5, size=SIZE, audio=("aac",))
    make_video(folder / "uneven.mkv", pts=TICKS, time_base=MILLISECONDS, size=SIZE)
    make_video(folder / "old.avi", frames=5, size=SIZE, codec="mpeg4", audio=("mp3",))
    make_video(folder / "phone.mov", frames=5, size=SIZE, rotation=90, color=(1, 1, 1, 1))
    make_video(folder / "tape.mpg", frames=5, size=(32, 32), codec="mpeg2video", rate=Fraction(25),
               field_order="tff", audio=("mp2",))  # fmt: skip
    make_video(folder / "broadcast.ts", frames=9, size=SIZE, audio=("mp2",))
    splice(folder / "spliced.ts", folder / "broadcast.ts", folder / "broadcast.ts")
    make_video(folder / "raw.h264", frames=5, size=SIZE)
    make_video(folder / "deep.mkv", frames=5, size=SIZE, codec="libx265", pix_fmt="yuv420p10le")
    cut_file(make_video(folder / "cut off.ts", frames=24, size=SIZE), 0.6)
    cut_file(make_video(folder / "cut off.mkv", frames=60, size=SIZE), 0.92)
    break_packets(
        make_video(folder / "scratched.mkv", frames=12, size=SIZE, codec_options={"g": "3"}), [4]
    )
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    (folder / "text.avi").write_text("no film\n" * 400)
    cut_file(make_video(folder / "cut off.mp4", frames=24, size=SIZE), 0.3)
    with av.open(str(folder / "sound only.mkv"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))


def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """Run the batch: exit code, what the summary says of each file, and standard error."""
    summary = folder / "summary.json"
    code = main(
        ["batch", str(folder / "tapes"), "--output-dir", str(folder / "out"), "--summary",
         str(summary), "--model", "bicubic", "--preset", "ultrafast", "--progress", "none",
         "--window", "4", "--lookahead", "0"]
    )  # fmt: skip
    jobs = json.loads(summary.read_text())["jobs"]
    return code, {Path(job["source"]).name: job for job in jobs}, capsys.readouterr().err


def test_every_good_file_is_done_every_bad_one_named_and_nothing_is_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tapes").mkdir()
    make_files(tmp_path / "tapes")
    code, jobs, error = run(tmp_path, capsys)
    assert {name for name, job in jobs.items() if job["state"] == "done"} == GOOD.keys()
    assert {name for name, job in jobs.items() if job["state"] == "failed"} == BAD.keys()
    assert code == 1
    for name, said in GOOD.items():
        job = jobs[name]
        checked = verify(job["source"], job["target"])
        assert checked.passed, (name, checked.problems)
        if said is not None:
            assert any(said in warning for warning in job["warnings"]), (name, job["warnings"])
    for name, reason in BAD.items():
        assert reason in jobs[name]["error"]
        assert f"vsr: failed: {tmp_path / 'tapes' / name}: " in error

    out = tmp_path / "out"
    before = {path: path.stat() for path in out.iterdir() if path.name[0] != "."}
    assert len(before) == len(GOOD)
    assert run(tmp_path, capsys)[:2] == (code, jobs)
    assert {path: path.stat() for path in out.iterdir() if path.name[0] != "."} == before
