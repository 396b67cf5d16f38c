"""Account for every frame: which packets never became one, and where the clock skips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush

KEPT_GAPS = 1000


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


def describe_lost(lost: Iterable[LostFrames]) -> Iterator[str]:
    """Put losses into sentences."""
    for run in lost:
        yield (
            f"frames lost between {float(run.start):.3f} s and {float(run.end):.3f} s: "
            f"{run.count}, {run.reason}"
        )


class FrameLedger:
    """Match the packets sent to a decoder with the frames that came out, by pts.

    Frames come in presentation order, so a packet whose pts lies before that of a frame just
    received, and was not matched, is lost. Packets without a pts cannot be matched one by one;
    `unmatched_packets` compares their numbers.

    A skip of whole frame durations between packets that all decoded is a gap, not a loss: variable
    frame rate looks the same. `gaps` keeps them; the caller decides by what else went wrong. Empty
    packets (QuickTime writes them where a screen stands still) explain the skip they leave.

    Attributes:
        packets, frames: Sent and received.
        last_sent: Latest time of a packet, empty ones included.
        lasts_until: When the packet that lasts longest ends, by what the packets themselves say.
        empties, first_empty, empty_until: How many packets were empty, the time of the first, and
            when the last of them ends.
        gaps: (pts before, pts after, frames skipped).

    Args:
        step: Nominal frame duration in ticks, exact.
        first, end: Only packets with first <= pts < end count.
    """

    def __init__(self, step: Fraction, first: int | None = None, end: int | None = None) -> None:
        self.packets = 0
        self.frames = 0
        self.last_sent: int | None = None
        self.lasts_until: int | None = None
        self.empties = 0
        self.first_empty: int | None = None
        self.empty_until: int | None = None
        self.gaps: list[tuple[int, int, int]] = []
        self._empty: list[int] = []
        self._off_grid = False
        self._single_steps = 0
        self._intervals = 0
        self._step = step
        self._first = first
        self._end = end
        self._sent_with_pts = 0
        self._pending: list[int] = []
        self._lost: dict[int, int] = {}  # pts: frames received before it
        self._last_pts: int | None = None
        self._last_shown: int | None = None
        self._last_interlaced = False

    def sent(
        self, pts: int | None, dts: int | None, *, duration: int = 0, hidden: bool = False
    ) -> None:
        """Note a packet; `hidden` ones (cut off by an edit list) are not meant to be seen."""
        self.packets += 1
        self._reached(pts if pts is not None else dts, duration)
        if pts is None:
            return
        self._sent_with_pts += 1
        if not hidden and not self._outside(pts):
            heappush(self._pending, pts)

    def empty(self, pts: int | None, dts: int | None, duration: int) -> None:
        """Note a packet without content, which is not for the decoder."""
        time = pts if pts is not None else dts
        self._reached(time, duration)
        if time is None or self._outside(time):
            return
        self.empties += 1
        heappush(self._empty, time)
        self.first_empty = time if self.first_empty is None else min(self.first_empty, time)
        until = time + (duration or round(self._step))
        self.empty_until = until if self.empty_until is None else max(self.empty_until, until)

    def received(self, pts: int | None, shown: int, *, interlaced: bool = False) -> None:
        """Note a frame: the pts it brought along, and the one it is shown at after repair."""
        lost_before = len(self._lost)
        if pts is not None:
            self._lost.pop(pts, None)  # out of order after all
            while self._pending and self._pending[0] <= pts:
                expected = heappop(self._pending)
                if expected != pts and not self._is_second_field(expected):
                    self._lost[expected] = self.frames
            self._last_pts, self._last_interlaced = pts, interlaced
        if self._last_shown is not None and len(self._lost) == lost_before:
            self._judge_gap(self._last_shown, shown)
        self._last_shown = shown
        self.frames += 1

    def lost(self) -> list[LostFrames]:
        """List what was sent and never came, neighbours together; call after the last frame."""
        while self._pending:
            expected = heappop(self._pending)
            if not self._is_second_field(expected):
                self._lost[expected] = self.frames
        runs: dict[int, list[int]] = {}
        for pts in sorted(self._lost):
            runs.setdefault(self._lost[pts], []).append(pts)
        return [
            LostFrames(
                count=len(run),
                start=Fraction(run[0]),
                end=run[-1] + self._step,
                reason="before the first frame that decodes" if not before else "undecodable",
            )
            for before, run in runs.items()
        ]

    @property
    def constant_rate(self) -> bool:
        """Whether all frames lie on the grid of the nominal rate, and most are neighbours."""
        return not self._off_grid and self._single_steps * 2 >= self._intervals

    def unmatched_packets(self) -> int:
        """Count packets without a pts that gave no frame; 0 where packets have pts."""
        return max(0, self.packets - self.frames) if not self._sent_with_pts else 0

    def _reached(self, time: int | None, duration: int) -> None:
        if time is not None:
            self.last_sent = time if self.last_sent is None else max(self.last_sent, time)
            until = time + duration
            self.lasts_until = until if self.lasts_until is None else max(self.lasts_until, until)

    def _outside(self, pts: int) -> bool:
        early = self._first is not None and pts < self._first
        return early or (self._end is not None and pts >= self._end)

    def _is_second_field(self, pts: int) -> bool:
        """Tell fields coded as packets of their own: the second gives no frame."""
        if self._last_pts is None or not self._last_interlaced:
            return False
        return 0 < pts - self._last_pts < self._step * 3 / 4

    def _judge_gap(self, before: int, after: int) -> None:
        steps = round((after - before) / self._step)
        empty = self._empties_between(before, after)
        self._intervals += 1
        self._single_steps += steps - empty == 1
        if abs(after - before - steps * self._step) > 1 or steps < 1:
            self._off_grid = True
        elif steps - empty > 1 and len(self.gaps) < KEPT_GAPS:
            self.gaps.append((before, after, steps - empty - 1))

    def _empties_between(self, before: int, after: int) -> int:
        count = 0
        while self._empty and self._empty[0] < after:
            count += heappop(self._empty) > before
        return count
