"""Decode a file to planes: every frame, in presentation order, at its exact time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Literal, Self

from vsr.media.frames import PlanarFrame, PlaneFormat
from vsr.media.probe import SourceInfo

Deinterlace = Literal["auto", "off", "frame", "field"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeOptions:
    """What part of a file is decoded, and through which filters.

    Attributes:
        start, duration: Seconds from the file's first frame: frames with
            start <= t < start + duration are given.
        deinterlace: "auto" runs bwdif on interlaced streams only, one frame per frame; "frame"
            on any stream; "field" makes one frame of each field, doubling the rate.
        filter_chain: Any libavfilter chain, run after deinterlacing.
        threads: Decoder threads; 0 takes all cores.
    """

    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    deinterlace: Deinterlace = "auto"
    filter_chain: str | None = None
    threads: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LostFrames:
    """Neighbouring frames that could not be had.

    Attributes:
        start, end: Seconds on the stream's own clock.
    """

    count: int
    start: Fraction
    end: Fraction
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeSummary:
    """What happened while a file was decoded; complete once the iteration has ended.

    Attributes:
        frames: Frames given out (after filters).
        packets: Video packets read.
        corrupt: pts of frames that the decoder marked as damaged.
        lost: Frames that are missing although the file has, or claims, packets for them.
        errors: What the decoder said, with times; at most 100 are kept.
        error_count: All of them.
        synthesised_pts, repaired_pts: Frames without a pts, and with one that went backwards.
        discontinuities: (seconds after repair, jump in seconds) of every splice in the clock.
        warnings: Whatever else the caller should say.
    """

    frames: int
    packets: int
    corrupt: tuple[int, ...]
    lost: tuple[LostFrames, ...]
    errors: tuple[str, ...]
    error_count: int
    synthesised_pts: int
    repaired_pts: int
    discontinuities: tuple[tuple[Fraction, Fraction], ...]
    warnings: tuple[str, ...]

    @property
    def lost_count(self) -> int:
        """Count the lost frames."""
        return sum(lost.count for lost in self.lost)


class Decoder:
    """Iterate over the frames of a file; a context manager that always closes it.

    Attributes:
        time_base, frame_rate, width, height, format, sample_aspect_ratio: Of the frames given
            out, after filters; known once constructed.
        origin: Seconds on the stream's clock that `DecodeOptions.start` counts from.
    """

    time_base: Fraction
    frame_rate: Fraction
    width: int
    height: int
    format: PlaneFormat
    sample_aspect_ratio: Fraction | None
    origin: Fraction

    def __init__(self, info: SourceInfo, options: DecodeOptions | None = None) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[PlanarFrame]:
        raise NotImplementedError

    @property
    def summary(self) -> DecodeSummary:
        """What happened so far."""
        raise NotImplementedError
