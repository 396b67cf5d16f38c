"""When a frame is shown in the output: its time in the source, moved, and on AVI's grid."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.errors import MuxError
from vsr.media.copying import TimeRange
from vsr.media.encode import EncodePlan
from vsr.media.probe import SourceInfo

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


def output_range(
    info: SourceInfo, plan: EncodePlan, time_range: TimeRange | None
) -> TimeRange | None:
    """Give the part of the source that is kept: AVI starts at zero, with the first frame."""
    if time_range is None and plan.constant_interval and info.video.start_pts:
        first = info.video.start_pts * info.video.time_base
        return TimeRange(start=round(first / plan.time_base) * plan.time_base)
    return time_range


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
