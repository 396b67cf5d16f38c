"""Frames keep their times and their order in every container."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from synthetic import make_video, read_number
from synthetic_streams import enhance_nearest, frame_times, packet_times

from vsr.errors import MuxError
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.verify import verify
from vsr.options import DecodeOptions, EncodeOptions

HALF_MILLISECOND = Fraction(1, 2000)


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as source:
        return [read_number(frame.to_ndarray(format="gray")) for frame in source.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("rate", "time_base", "pts"),
    [
        (Fraction(24000, 1001), None, None),
        (Fraction(25), Fraction(1, 90000), [0, 3600, 7300, 9000, 20001, 20002, 90000]),
        (Fraction(24), Fraction(1, 24000), [35555, 36555, 37555]),
        (Fraction(30), Fraction(1, 1000), [17, 50, 83, 117, 150]),
    ],
    ids=["constant rate", "variable rate", "late start", "milliseconds"],
)
def test_mp4_keeps_every_time_exactly(
    tmp_path: Path, suffix: str, rate: Fraction, time_base: Fraction | None, pts: list[int] | None
) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        rate=rate,
        time_base=time_base,
        pts=pts,
        container_options={"movie_timescale": "90000"},
        audio=["aac"],
    )
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    assert frame_times(target) == frame_times(source)
    assert packet_times(target, "audio") == packet_times(source, "audio")


@pytest.mark.parametrize("pts", [None, [35555, 36555, 37555], [0, 1000, 2500, 2600, 9999]])
def test_matroska_keeps_every_time_to_half_a_millisecond(
    tmp_path: Path, pts: list[int] | None
) -> None:
    base = Fraction(1, 24000) if pts else None
    source = make_video(tmp_path / "in.mp4", pts=pts, time_base=base, audio=["aac"])
    target = tmp_path / "out.mkv"
    enhance_nearest(source, target)
    for found, wanted in (
        (frame_times(target), frame_times(source)),
        (packet_times(target, "audio")[0], packet_times(source, "audio")[0]),
    ):
        assert len(found) == len(wanted)
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= HALF_MILLISECOND


def test_reordered_frames_keep_their_times_and_order(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target, options=EncodeOptions(preset="fast"))
    with av.open(str(target)) as made:
        decoding = [(p.dts, p.pts) for p in made.demux(video=0) if p.size]
    assert any(later[1] < earlier[1] for earlier, later in pairwise(decoding))
    assert frame_times(target) == frame_times(source)
    assert numbers(target) == list(range(30))


def test_the_duration_of_the_last_frame_is_kept(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        pts=[0, 100, 250],
        durations=[100, 150, 777],
        time_base=Fraction(1, 600),
    )
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target)
    with av.open(str(target)) as made:
        last = max((p for p in made.demux(video=0) if p.size), key=lambda p: p.pts)
    assert last.duration * last.time_base == Fraction(777, 600)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_films_are_written(tmp_path: Path, codec: str, frames: int) -> None:
    source = make_video(tmp_path / "in.mp4", frames=frames, size=(64, 64))
    target = tmp_path / "out.mkv"
    preset = {"libsvtav1": "10", "ffv1": None}.get(codec, "ultrafast")
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset=preset))
    assert numbers(target) == list(range(frames))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Python cannot see it")
def test_no_encoder_makes_this_process_a_real_time_one(tmp_path: Path) -> None:
    """SVT-AV1 does where it may, as root; threads that wait in a loop then never let others run."""
    script = """
import os, sys
from pathlib import Path
from synthetic_streams import enhance_nearest
from vsr.media.encoders import list_encoders
from vsr.options import EncodeOptions

def policies():
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}

enhance_nearest(
    Path(sys.argv[1]), Path(sys.argv[2]), options=EncodeOptions(codec="libsvtav1", preset="10")
)
print(policies())
assert not next(x for x in list_encoders() if x.name == "libsvtav1").trouble
print(policies())
"""
    source = make_video(tmp_path / "in.mp4", frames=2, size=(64, 64))
    ran = subprocess.run(
        [sys.executable, "-c", script, source, tmp_path / "out.mkv"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [f"{{{os.sched_getscheduler(0)}}}"] * 2


def test_variable_rates_do_not_go_into_avi(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", pts=[0, 40, 120, 130, 200], time_base=Fraction(1, 1000)
    )
    with pytest.raises(MuxError, match=r"constant frame rate.*write \.mkv or \.mp4"):
        enhance_nearest(source, tmp_path / "out.avi")


def test_an_avi_whose_frames_come_late_keeps_them_in_step_with_its_sound(tmp_path: Path) -> None:
    """H.264 with B-frames in AVI: all frames are later than their chunks, and than the sound."""
    source = make_video(
        tmp_path / "in.avi",
        frames=24,
        rate=Fraction(25),
        codec_options={"preset": "veryfast", "bf": "2", "g": "12"},
        audio=("mp3",),
    )
    enhance_nearest(source, tmp_path / "out.avi")
    with Decoder(probe(source), DecodeOptions()) as frames:
        assert next(iter(frames)).pts > 1
    result = verify(source, tmp_path / "out.avi")
    assert result.passed, result.problems
