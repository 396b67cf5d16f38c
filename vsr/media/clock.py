"""When a frame is shown in the output: its time in the source, moved, and on AVI's grid."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from vsr.errors import MuxError
from vsr.media.copying import TimeRange
from vsr.media.decode import Decoder
from vsr.media.encode import EncodePlan
from vsr.media.options import DecodeOptions
from vsr.media.probe import SourceInfo

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
