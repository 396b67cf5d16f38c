"""Timecodes (SMPTE ST 12-1) of a film whose beginning is left out: they begin later."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from math import ceil

from vsr.media.copying import TimeRange
from vsr.media.probe import SourceInfo

_FORM = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")
# Containers round times; a frame that begins this much of itself too early begins in the range.
ROUNDING = Fraction(1, 20)


def at_start(info: SourceInfo, time_range: TimeRange | None) -> SourceInfo:
    """Give the source with the timecodes in its tags moved to the first frame that is kept.

    Timecodes of a form that is not known are taken out (`timecode_warnings`).
    """
    skipped = _skipped_frames(info, time_range)
    if not skipped:
        return info
    rate = info.video.frame_rate
    return replace(
        info,
        tags=_moved(info.tags, skipped, rate),
        streams=tuple(
            replace(stream, tags=_moved(stream.tags, skipped, rate)) for stream in info.streams
        ),
    )


def timecode_warnings(info: SourceInfo, time_range: TimeRange | None) -> tuple[str, ...]:
    """Name the timecodes that `at_start` takes out."""
    skipped, rate = _skipped_frames(info, time_range), info.video.frame_rate
    tags = [info.tags, *(stream.tags for stream in info.streams)]
    known = {value for some in tags for key, value in some.items() if key.lower() == "timecode"}
    return tuple(
        f"the timecode {value!r} is left out: it is none at {float(rate):.5g} frames/s that could "
        "be moved to the first frame that is kept"
        for value in sorted(known)
        if skipped and advanced(value, skipped, rate) is None
    )


def advanced(timecode: str, frames: int, rate: Fraction) -> str | None:
    """Count a timecode on by some frames.

    Drop-frame timecodes (with ";" or ".") leave out the first two numbers (at 60 frames/s four) of
    every minute but each tenth.

    Args:
        timecode: "01:00:00:00"; of a day of 24 hours, which it begins anew.
        frames: To count, not negative.
        rate: Frames per second of the film; timecodes count in the nearest whole number.

    Returns:
        None where it is no timecode of that rate.
    """
    form, base = _FORM.fullmatch(timecode.strip()), round(rate)
    if form is None:
        return None
    hours, minutes, seconds, number = (int(form[group]) for group in (1, 2, 3, 5))
    dropped = base // 15 if form[4] != ":" else 0
    if minutes > 59 or seconds > 59 or number >= base or (dropped and base % 30):
        return None
    total_minutes = hours * 60 + minutes
    count = (total_minutes * 60 + seconds) * base + number + frames
    count -= dropped * (total_minutes - total_minutes // 10)
    ten_minutes = 600 * base - 9 * dropped
    count %= 24 * 6 * ten_minutes
    tens, left = divmod(count, ten_minutes)
    # The first minute of ten is whole; the others are shorter by what they drop.
    whole = 60 * base
    ones = 0 if left < whole else 1 + (left - whole) // (whole - dropped)
    left += dropped * ones
    return (
        f"{tens // 6:02}:{tens % 6 * 10 + ones:02}:{left // base % 60:02}{form[4]}{left % base:02}"
    )


def _skipped_frames(info: SourceInfo, time_range: TimeRange | None) -> int:
    if time_range is None:
        return 0
    video = info.video
    cut = time_range.start - (video.start_pts or 0) * video.time_base
    return max(0, ceil(cut * video.frame_rate - ROUNDING))


def _moved(tags: dict[str, str], frames: int, rate: Fraction) -> dict[str, str]:
    moved = dict(tags)
    for key, value in tags.items():
        if key.lower() == "timecode":
            later = advanced(value, frames, rate)
            if later is None:
                del moved[key]
            else:
                moved[key] = later
    return moved
