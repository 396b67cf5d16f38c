"""Times of the output's frames, and timecodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
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

# Matroska and MP4 count from zero on: earlier packets are lost, or hidden by an edit list.
FROM_ZERO = ("mp4", "mov", "matroska", "webm")
TIMED = ("video", "audio", "subtitle")
# Packets before zero in these only prime the decoder, and are copied as such.
PRIMED = ("mov", "matroska", "ogg")
GRID_TOLERANCE = Fraction(1, 4)  # frames between a time and AVI's grid, which has no timestamps


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputClock:
    """Convert times of decoded frames to those of the encoder.

    Attributes:
        time_base: Seconds per tick of the frames.
        shift: Ticks between the source's clock and the output's.
        interval: Seconds between frames, and per tick of the encoder, where the container holds no
            timestamps.
    """

    time_base: Fraction
    shift: int
    interval: Fraction | None

    @property
    def encoder_base(self) -> Fraction:
        """Seconds per tick of the encoder."""
        return self.interval or self.time_base

    def place(self, pts: int, duration: int, target: Path) -> tuple[int, int]:
        """Convert pts and duration to ticks of the encoder.

        Raises:
            MuxError: For AVI, the time is too far from a frame of its constant rate.
        """
        pts -= self.shift
        if self.interval is None:
            return pts, duration
        exact = pts * self.time_base / self.interval
        place = round(exact)
        if abs(exact - place) > GRID_TOLERANCE:
            raise MuxError(
                target,
                f"AVI holds only a constant frame rate, and the frame at "
                f"{float(pts * self.time_base):.4f} s does not fit "
                f"{float(1 / self.interval):.5g} frames/s; write .mkv or .mp4 instead",
            )
        return place, max(1, round(duration * self.time_base / self.interval))


# Seconds per tick of containers whose clock may be coarser than that of the frames.
TICKS = {
    "matroska": Fraction(1, 1000),
    "webm": Fraction(1, 1000),
    "mpegts": Fraction(1, 90000),
}


def held_times(times: Iterable[Fraction], muxer: str) -> list[Fraction]:
    """Times at which a container can hold frames: those that share a tick are spread upwards.

    Both the writer and the check of the finished file take them from here.

    Args:
        times: Increasing, in seconds.
        muxer: Of the target.
    """
    tick = TICKS.get(muxer)
    if tick is None:
        return list(times)
    held: list[Fraction] = []
    last: int | None = None
    for time in times:
        place = floor(time / tick + Fraction(1, 2))
        moved = last is not None and place <= last
        last = last + 1 if moved and last is not None else place
        held.append(last * tick if moved else time)
    return held


def kept_range(decoder: Decoder, options: DecodeOptions, muxer: str) -> TimeRange | None:
    """Part of the source's clock that is kept, in whole ticks of the frames to come.

    For AVI, whose constant rate counts from zero, it starts with the first frame.
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
    """Part of the source that is kept; AVI starts at zero (`avi_range`).

    The others start with the source, but not before zero (`early_range`).
    """
    if time_range is not None:
        return time_range
    if plan.constant_interval:
        return avi_range(info, plan.constant_interval, plan.time_base)
    return early_range(info, plan.muxer, plan.time_base)


def avi_range(info: SourceInfo, interval: Fraction, tick: Fraction) -> TimeRange | None:
    """The whole of a source as AVI holds it: from zero on, its frames on the grid.

    It starts with the first frame, or as many places before it as earlier sound takes.

    Args:
        info: The source.
        interval: Seconds between frames.
        tick: Seconds per tick of the frames.

    Returns:
        The range; None if the source's times can stay.
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
    """The whole of a source that starts before zero, as a range: it is moved to zero.

    MPEG-TS does so if its clock of 33 bits wraps soon after the start.

    Args:
        info: The source.
        muxer: Of the target.
        tick: Seconds per tick of the frames.

    Returns:
        The range; None if the target holds the source's times.
    """
    video = (info.video.start_pts or 0) * info.video.time_base
    pictures_early = info.format == "matroska" and video < 0
    if muxer not in FROM_ZERO or (info.format in PRIMED and not pictures_early):
        return None
    streams = [stream for stream in info.streams if stream.kind in TIMED]
    starts = [stream.start for stream in streams if stream.start is not None]
    if info.video.start_pts is not None:
        starts.append(info.video.start_pts * info.video.time_base)
    first = min(starts, default=Fraction(0))
    return TimeRange(start=floor(first / tick) * tick) if first < 0 else None


def early_warnings(
    info: SourceInfo, muxer: str, tick: Fraction, time_range: TimeRange | None
) -> tuple[str, ...]:
    """Sentence about streams moved by `early_range`."""
    moved = early_range(info, muxer, tick) if time_range is None else None
    if moved is None:
        return ()
    return (
        f"the input's clock starts {float(-moved.start):.3f} s before zero, which {muxer} files "
        "cannot hold: picture, sound and text are all moved later by that",
    )


def output_clock(plan: EncodePlan, time_range: TimeRange | None) -> OutputClock:
    """Make the clock for the range of `output_range`.

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
ROUNDING = Fraction(1, 20)  # of a frame, by which containers may round a time down


def at_start(info: SourceInfo, time_range: TimeRange | None) -> SourceInfo:
    """Source with the timecodes in its tags moved to the first kept frame.

    Unknown forms of timecode are removed (`timecode_warnings`).
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
    """Sentences about the timecodes that `at_start` removes."""
    skipped, rate = _skipped_frames(info, time_range), info.video.frame_rate
    tags = [info.tags, *(stream.tags for stream in info.streams)]
    known = {value for some in tags for key, value in some.items() if key.lower() == "timecode"}
    return tuple(
        f"the timecode {value!r} is left out: it is invalid at {float(rate):.5g} frames/s, so it "
        "cannot be moved to the first kept frame"
        for value in sorted(known)
        if skipped and advanced(value, skipped, rate) is None
    )


def advanced(timecode: str, frames: int, rate: Fraction) -> str | None:
    """Add frames to a timecode.

    Drop-frame timecodes (with ";" or ".") leave out the first two numbers (at 60 frames/s four) of
    every minute but each tenth.

    Args:
        timecode: "01:00:00:00"; starts again after 24 hours.
        frames: To count, not negative.
        rate: Frames per second of the film; timecodes count in the nearest whole number.

    Returns:
        None if it is no timecode of that rate.
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
    # The first minute of ten is whole; the others are shorter by the dropped numbers.
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
