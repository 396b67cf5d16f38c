"""A batch rehearses all of its files before it enhances the first."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest
from synthetic import make_video
from synthetic_streams import Cues, Sound, make_rich_video

from vsr.cli.main import main
from vsr.jobs.forecast import rehearse_file
from vsr.jobs.journal import open_journal
from vsr.media.containers import work_path
from vsr.options import EnhanceOptions, InferenceOptions

FAST = ["--model", "bicubic", "--scale", "2", "--preset", "ultrafast"]


def uneven(path: Path) -> Path:
    """A film whose times fit no constant rate, which AVI cannot hold."""
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time in (0, 40, 53, 120, 133):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.fixture
def tapes(tmp_path: Path) -> Path:
    folder = tmp_path / "tapes"
    folder.mkdir()
    make_rich_video(folder / "a.mkv", sounds=[Sound()], cues=[Cues()])
    uneven(folder / "b.mkv")
    make_video(folder / "c.mkv", frames=3, size=(32, 24))
    return folder


def events(text: str) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return [(line["event"], Path(line.get("source", "")).name) for line in lines]


def test_all_are_rehearsed_first_and_one_that_is_refused_stops_no_other(
    tapes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tapes.parent / "out"
    command = ["batch", str(tapes), "--output-dir", str(out), "--container", "avi", *FAST]
    assert main([*command, "--progress", "json"]) == 1
    said = capfd.readouterr()
    found = events(said.out)
    first = found.index(("running", "a.mkv"))
    before = [event for event in found[:first] if event[0] != "warning"]
    assert before == [("rehearsed", "a.mkv"), ("failed", "b.mkv"), ("rehearsed", "c.mkv")]
    assert ("warning", "a.mkv") in found[:first]
    assert "subtitle" in said.out[: said.out.index('"running"')]
    after = [event for event in found[first:] if event[0] not in ("warning", "progress")]
    assert after[:-1] == [
        ("running", "a.mkv"),
        ("done", "a.mkv"),
        ("running", "c.mkv"),
        ("done", "c.mkv"),
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        ".vsr-batch.lock",
        ".vsr-batch.sqlite",
        "a.avi",
        "c.avi",
    ]
    with open_journal(out) as journal:
        refused = journal.jobs()[1]
    assert (refused.state, refused.attempts) == ("failed", 1)
    assert "constant frame rate" in (refused.error or "")


def test_what_is_done_is_not_rehearsed_again(
    tapes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tapes.parent / "out"
    command = ["batch", "--output-dir", str(out), *FAST, "--progress", "json"]
    assert main([*command, str(tapes / "a.mkv")]) == 0
    capfd.readouterr()
    assert main([*command, str(tapes)]) == 0
    found = [event for event in events(capfd.readouterr().out) if event[0] == "rehearsed"]
    assert found == [("rehearsed", "b.mkv"), ("rehearsed", "c.mkv")]


def test_losses_and_refusals_are_printed_once_and_in_words(
    tapes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tapes.parent / "out"
    command = ["batch", str(tapes), "--output-dir", str(out), "--container", "avi", *FAST]
    assert main([*command, "--progress", "none"]) == 1
    lines = capfd.readouterr().err.splitlines()
    lost = [line for line in lines if "subtitle track 2" in line]
    assert len(lost) == 1
    assert lost[0].startswith("vsr: note: ")
    assert f"{tapes / 'a.mkv'}: subtitle track 2" in lost[0]
    refused = [line for line in lines if line.startswith("vsr: note: refused before the work: ")]
    assert len(refused) == 1
    assert f"{tapes / 'b.mkv'}: " in refused[0]


def test_a_rehearsal_keeps_what_an_earlier_run_finished(tapes: Path) -> None:
    source, target = tapes / "c.mkv", tapes.parent / "c.mkv"
    folder = work_path(target)
    folder.mkdir()
    options = EnhanceOptions(model="bicubic", inference=InferenceOptions(device="cpu"))
    piece = folder / "000000.json"
    piece.write_text('{"pts": [0, 1]}')
    rehearse_file(source, target, options, lambda text: None)
    assert piece.exists()
    assert not any(path.is_dir() for path in folder.iterdir())
    piece.unlink()
    rehearse_file(source, target, options, lambda text: None)
    assert not folder.exists()
