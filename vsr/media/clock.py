"""When a frame is shown in the output, and its timecode."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from vsr.errors import MuxError
from vsr.media.copying import TimeRange
from vsr.media.decode import Decoder
from vsr.media.probe import SourceInfo
from vsr.media.types import EncodePlan
from vsr.options import DecodeOptions

# Matroska and MP4 count from zero on: what comes earlier is lost, or hidden by an edit list.
FROM_ZERO = ("mp4", "mov", "matroska", "webm")
TIMED = ("video", "audio", "subtitle")
# What these have before zero is there for the decoder alone, and is copied as such.
PRIMED = ("mov", "matroska", "ogg")
# AVI has no timestamps: how far from its grid of frames, in frames, a time may lie.
GRID_TOLERANCE = Fraction(1, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputClock:
    """Turns times of decoded frames into those that the encoder is given.

    Attributes:
        time_base: Seconds per tick of the frames.
        shift: Ticks between the source's clock and the output's.
        interval: Seconds between frames where the container knows no timestamps; the encoder
            counts in these.
    """

    time_base: Fraction
    shift: int
    interval: Fraction | None

    @property
    def encoder_base(self) -> Fraction:
        """Seconds per tick of the encoder."""
        return self.interval or self.time_base

    def place(self, pts: int, duration: int, target: Path) -> tuple[int, int]:
        """Give pts and duration in ticks of the encoder.

        Raises:
            MuxError: AVI, and the time lies too far from where its constant rate has a frame.
        """
        pts -= self.shift
        if self.interval is None:
            return pts, duration
        exact = pts * self.time_base / self.interval
        place = round(exact)
        if abs(exact - place) > GRID_TOLERANCE:
            raise MuxError(
                target,
                f"AVI knows only a constant frame rate; the frame at "
                f"{float(pts * self.time_base):.4f} s does not fit "
                f"{float(1 / self.interval):.5g} frames/s; write .mkv or .mp4 instead",
            )
        return place, max(1, round(duration * self.time_base / self.interval))


def kept_range(decoder: Decoder, options: DecodeOptions, muxer: str) -> TimeRange | None:
    """Give the part of the source's clock that is kept, in whole ticks of the frames to come.

    That of AVI, whose constant rate counts from zero on, begins with the first frame.
    """
    if options.start == 0 and options.duration is None:
        return None
    tick = decoder.time_base
    start = ceil((decoder.origin + options.start) / tick) * tick
    if muxer == "avi":
        start = decoder.first_pts * tick
    if options.duration is None:
        return TimeRange(start=start)
    return TimeRange(start=start, stop=decoder.origin + options.start + options.duration)


def output_range(
    info: SourceInfo, plan: EncodePlan, time_range: TimeRange | None
) -> TimeRange | None:
    """Give the part of the source that is kept; AVI begins at zero (`avi_range`).

    The others start where the source does, but not before zero (`early_range`).
    """
    if time_range is not None:
        return time_range
    if plan.constant_interval:
        return avi_range(info, plan.constant_interval, plan.time_base)
    return early_range(info, plan.muxer, plan.time_base)


def avi_range(info: SourceInfo, interval: Fraction, tick: Fraction) -> TimeRange | None:
    """Give the whole of a source as AVI holds it: from zero on, its frames on the grid.

    That is from the first frame on, or as many places before it as earlier sound takes.

    Args:
        info: The source.
        interval: Seconds between frames.
        tick: Seconds per tick of the frames.

    Returns:
        The range; None where the source's times can stay as they are.
    """
    first = (info.video.start_pts or 0) * info.video.time_base
    sounds = [stream.start for stream in info.streams if stream.kind == "audio"]
    earliest = min((start for start in sounds if start is not None), default=first)
    if info.format in PRIMED:
        earliest = max(earliest, Fraction(0))
    early = first - earliest
    places = ceil(early / interval) if early > interval / 2 else 0
    start = round((first - places * interval) / tick) * tick
    return TimeRange(start=start, whole=True) if start else None


def early_range(info: SourceInfo, muxer: str, tick: Fraction) -> TimeRange | None:
    """Give the whole of a source that begins before zero, as a range: it is moved to zero.

    That of MPEG-TS does where its clock of 33 bits wraps soon after the start.

    Args:
        info: The source.
        muxer: Of the target.
        tick: Seconds per tick of the frames.

    Returns:
        The range; None where the target holds the source's times as they are.
    """
    if muxer not in FROM_ZERO or info.format in PRIMED:
        return None
    told = [stream.start for stream in info.streams if stream.kind in TIMED]
    starts = [start for start in told if start is not None]
    if info.video.start_pts is not None:
        starts.append(info.video.start_pts * info.video.time_base)
    first = min(starts, default=Fraction(0))
    return TimeRange(start=floor(first / tick) * tick) if first < 0 else None


def early_warnings(
    info: SourceInfo, muxer: str, tick: Fraction, time_range: TimeRange | None
) -> tuple[str, ...]:
    """Say that all streams are moved, where `early_range` has it so."""
    moved = early_range(info, muxer, tick) if time_range is None else None
    if moved is None:
        return ()
    return (
        f"the input's clock begins {float(-moved.start):.3f} s before zero, which {muxer} files "
        "do not hold: picture, sound and text are all moved later by that",
    )


def output_clock(plan: EncodePlan, time_range: TimeRange | None) -> OutputClock:
    """Make the clock for what `output_range` gave.

    Raises:
        ValueError: The range starts between two ticks.
    """
    ticks = time_range.start / plan.time_base if time_range else Fraction(0)
    if ticks.denominator != 1:
        raise ValueError(f"the start {ticks} is no whole number of ticks of {plan.time_base} s")
    return OutputClock(
        time_base=plan.time_base, shift=ticks.numerator, interval=plan.constant_interval
    )


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
