"""Sources whose clock begins before zero: everything is moved together, and that is said."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic_streams import (
    Sound,
    enhance_nearest,
    frame_times,
    make_rich_video,
    packet_hashes,
    packet_times,
)

from vsr.media.clock import advanced, at_start, early_range, early_warnings, timecode_warnings
from vsr.media.copying import TimeRange
from vsr.media.probe import probe
from vsr.media.verify import verify

TICK = Fraction(1, 90000)
# Two seconds, and what the muxer puts before, less than the 2**33 ticks at which MPEG-TS wraps.
BEFORE_WRAP = 2**33 * TICK - 4


@pytest.fixture(scope="module")
def wrapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clock") / "in.ts"
    return make_rich_video(path, start=BEFORE_WRAP, frames=12, sounds=[Sound(codec="mp2")])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_clock_that_wraps_is_moved_to_zero_with_all_streams(
    wrapping: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    before, sounds = frame_times(wrapping), packet_times(wrapping, "audio")[0]
    assert before[0] < 0
    expected, _ = enhance_nearest(wrapping, target)
    shift = frame_times(target)[0] - before[0]
    assert abs(min(before[0], *sounds) + shift) < Fraction(1, 1000)
    tolerance = pytest.approx(0, abs=0.001 if suffix == ".mkv" else 1e-9)
    moved = [*frame_times(target), *packet_times(target, "audio")[0]]
    for after, time in zip(moved, [*before, *sounds], strict=True):
        assert float(after - time - shift) == tolerance
    assert packet_hashes(target) == packet_hashes(wrapping)
    for found in (verify(wrapping, target, expected), verify(wrapping, target)):
        assert not found.problems
        assert "before zero" in " ".join(found.warnings)


def test_only_targets_that_count_from_zero_and_whole_films_are_moved(wrapping: Path) -> None:
    info = probe(wrapping)
    moved = early_range(info, "mp4", TICK)
    assert moved is not None
    assert moved.start == min(packet_times(wrapping, "audio")[0][0], frame_times(wrapping)[0])
    assert early_range(info, "mpegts", TICK) is None
    assert "mp4 files cannot hold" in early_warnings(info, "mp4", TICK, None)[0]
    assert early_warnings(info, "mp4", TICK, TimeRange(start=Fraction(0))) == ()


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_the_delay_of_a_sound_encoder_moves_nothing(tmp_path: Path, name: str) -> None:
    source = make_rich_video(tmp_path / name, frames=4, sounds=[Sound(codec="aac")])
    assert min(packet_times(source, "audio")[0]) < 0
    assert early_range(probe(source), "mp4", TICK) is None


NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("before", "frames", "rate", "after"),
    [
        ("01:00:00:00", 5, Fraction(25), "01:00:00:05"),
        ("00:59:59:23", 1, Fraction(24000, 1001), "01:00:00:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:00:00;00", 107892, NTSC, "01:00:00;00"),
        ("23:59:59;29", 1, NTSC, "00:00:00;00"),
        ("00:00:59.59", 1, 2 * NTSC, "00:01:00.04"),
        ("10:00", 1, NTSC, None),
        ("00:00:00:25", 1, Fraction(25), None),
        ("00:00:00;10", 1, Fraction(25), None),
    ],
)
def test_timecodes_are_counted_on(
    before: str, frames: int, rate: Fraction, after: str | None
) -> None:
    assert advanced(before, frames, rate) == after


def test_dropped_numbers_never_come() -> None:
    made = [advanced("00:00:00;00", frames, NTSC) for frames in range(1790, 19000)]
    assert len(set(made)) == len(made)
    first = {str(code)[3:] for code in made if str(code)[6:] in ("00;00", "00;01")}
    assert first == {"10:00;00", "10:00;01"}


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_a_part_begins_with_the_timecode_of_its_first_frame(tmp_path: Path, suffix: str) -> None:
    tags = {"timecode": "01:00:00:22"}
    source = make_rich_video(tmp_path / "in.mov", frames=8, tags=tags, start=Fraction(1))
    target = tmp_path / f"out{suffix}"
    kept = TimeRange(start=Fraction(1) + 4 / Fraction(24))
    expected, _ = enhance_nearest(source, target, time_range=kept)
    made = probe(target)
    found = [made.tags, *(stream.tags for stream in made.streams)]
    codes = {value for some in found for key, value in some.items() if key.lower() == "timecode"}
    assert codes == {"01:00:01:02"}
    result = verify(source, target, expected)
    assert not result.problems
    assert not [warning for warning in result.warnings if "tags" in warning]


def test_what_cannot_be_counted_on_is_taken_out_and_named(tmp_path: Path) -> None:
    info = probe(make_rich_video(tmp_path / "in.mkv", frames=4, tags={"TIMECODE": "10:00"}))
    late = TimeRange(start=Fraction(1, 24))
    assert "TIMECODE" not in at_start(info, late).tags
    assert "'10:00' is left out" in timecode_warnings(info, late)[0]
    for kept in (None, TimeRange(start=Fraction(0)), TimeRange(start=Fraction(-1))):
        assert at_start(info, kept) == info
        assert timecode_warnings(info, kept) == ()


def test_rounded_times_do_not_count_a_frame_too_many(tmp_path: Path) -> None:
    info = probe(make_rich_video(tmp_path / "in.mkv", frames=4, tags={"timecode": "00:00:00:00"}))
    film = replace(info, video=replace(info.video, frame_rate=Fraction(24000, 1001)))
    kept = TimeRange(start=Fraction(209, 1000))  # the fifth, at 0.20854 s, by Matroska's clock
    assert {value for key, value in at_start(film, kept).tags.items() if key == "TIMECODE"} == {
        "00:00:00:05"
    }
