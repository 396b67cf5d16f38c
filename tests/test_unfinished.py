"""A film of what an interrupted run has finished: right as far as it goes, and the work goes on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from synthetic import draw_number, make_pictures, make_video

from vsr.cli.main import main
from vsr.errors import ConfigError, MuxError
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.unfinished import take_done

OPTIONS = EnhanceOptions(
    model="bicubic",
    scale=2,
    piece=6,
    encode=EncodeOptions(preset="ultrafast", crf=20),
    inference=InferenceOptions(window=3, precision="fp32"),
)
STOP = 17  # frames that the network has done


def film(path: Path, frames: int = 24) -> Path:
    """Frames at uneven times from 1 s on, under sound that begins at 0."""
    if path.suffix == ".avi":
        return make_video(path, frames=frames, size=(48, 32), audio=("pcm_s16le",), codec="mpeg4")
    return make_video(
        path,
        size=(48, 32),
        pts=[1000 + 40 * index + 7 * (index % 3) for index in range(frames)],
        time_base=Fraction(1, 1000),
        audio=("aac",),
    )


def interrupted(source: Path, target: str | Path, options: EnhanceOptions = OPTIONS) -> None:
    """Stop once some pieces are finished."""

    def watch(now: Progress) -> None:
        if now.frames >= STOP:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enhance(source, target, options, progress=watch)


def shown(path: Path) -> tuple[list[tuple[Fraction, bytes]], list[tuple[Fraction, bytes]]]:
    """Times and pictures, times and packets of sound."""
    with av.open(str(path)) as opened:
        tick = opened.streams.video[0].time_base
        frames = [(f.pts * tick, f.to_ndarray().tobytes()) for f in opened.decode(video=0)]
    with av.open(str(path)) as opened:
        sound = [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in opened.demux(audio=0)
            if packet.size
        ]
    return frames, sound


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("out.mp4", {}),
        ("out.mkv", {"sound": "pcm"}),
        ("out.avi", {}),
        ("out.mkv", {"start": "0.1", "duration": "0.8"}),
    ],
)
def test_the_part_is_the_beginning_of_the_whole(
    tmp_path: Path, name: str, changes: dict[str, str]
) -> None:
    options = replace(OPTIONS, **changes)
    source = film(tmp_path / ("in.avi" if name.endswith("avi") else "in.mp4"))
    target = tmp_path / name
    interrupted(source, target, options)
    part = take_done(source, target)
    whole = enhance(source, target, options)
    assert part.target == target.with_stem("out.part")
    done = part.frames
    assert 6 <= done == whole.resumed < whole.frames
    assert part.report["part"]["frames"] == done
    assert part.report["verified"] == "in full"
    (frames, sound), (all_frames, all_sound) = shown(Path(part.target)), shown(target)
    assert frames == all_frames[:done]
    assert sound == all_sound[: len(sound)]
    assert 0 <= sound[-1][0] - frames[-1][0] + Fraction(1, 10) < Fraction(1, 5)
    assert not list(tmp_path.glob(".*"))  # the work of the whole is done


def test_it_may_be_taken_while_the_work_goes_on(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    parts: list[EnhanceResult] = []

    def watch(now: Progress) -> None:
        if now.frames == 20 and not parts:
            parts.append(take_done(source, target))

    result = enhance(source, target, OPTIONS, progress=watch)
    assert 6 <= parts[0].frames <= 20
    assert result.frames == 24
    assert main(["verify", str(source), str(target)]) == 0


def test_after_an_interruption_the_command_says_how_to_watch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(Path("my film.mp4"))
    interrupted(Path("my film.mp4"), "out.mp4")
    flags = ["--model", "bicubic", "--scale", "2", "--piece", "6", "--crf", "20"]
    flags += ["--preset", "ultrafast", "--window", "3", "--precision", "fp32"]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vsr.pipeline.record", stop)
        assert main(["enhance", "my film.mp4", "out.mp4", *flags]) == 130
    error = capsys.readouterr().err
    kept = re.search(r"(\d+) finished frames are kept", error)
    assert kept
    command = "vsr enhance 'my film.mp4' out.mp4 --take-done"
    assert f"to watch what is finished: {command}" in error
    given = ["enhance", "my film.mp4", "out.mp4", "--take-done"]
    assert main([*given, "--report", "part.json"]) == 0
    text = capsys.readouterr().out
    assert f"out.part.mp4: the first {kept[1]} frames of 24, a part, in" in text
    assert json.loads(Path("part.json").read_text())["part"]["frames"] == int(kept[1])
    # Again: its own name is taken by now.
    assert main(given) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*given, *flags, "--overwrite"]) == 0
    assert main([*given, "--scale", "4", "--overwrite"]) == 2
    assert "options.scale was 2, is 4" in capsys.readouterr().err
    assert main(["verify", "my film.mp4", "out.part.mp4"]) == 1  # it is not the whole


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (lambda folder: None, "no run on it was interrupted"),
        (lambda folder: shutil.copy(folder / "in.mp4", folder / "out.mp4"), "it is finished"),
    ],
)
def test_without_unfinished_work_there_is_nothing_to_take(
    tmp_path: Path, before: Callable[[Path], object], said: str
) -> None:
    source = film(tmp_path / "in.mp4", frames=2)
    before(tmp_path)
    with pytest.raises(MuxError, match=said):
        take_done(source, tmp_path / "out.mp4")


def test_a_changed_source_is_refused(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    interrupted(source, target)
    make_video(source, frames=24, size=(48, 32), picture=draw_number)
    with pytest.raises(MuxError, match="has changed since"):
        take_done(source, target)


def test_pictures_lie_there_already(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=24, size=(32, 24))
    interrupted(source, f"{tmp_path}/out/", replace(OPTIONS, encode=EncodeOptions()))
    with pytest.raises(ConfigError, match="joined") as error:
        take_done(source, f"{tmp_path}/out/")
    place = Path(str(error.value).split(" lie in ")[1])
    assert len(list(place.iterdir())) >= 6
