"""Timecodes of a part of a film: counted on, those that drop numbers too, or named."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic_streams import enhance_nearest, make_rich_video

from vsr.media.copying import TimeRange
from vsr.media.probe import probe
from vsr.media.timecode import advanced, at_start, timecode_warnings
from vsr.media.verify import verify

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
