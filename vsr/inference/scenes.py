"""From scene scores to segments. Detection itself is libavfilter's `scdet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol, TypeVar


class Scored(Protocol):
    """Anything that knows how much it differs from its predecessor."""

    @property
    def scene_score(self) -> float:
        """0 to 100, by libavfilter's `scdet`."""
        ...


T = TypeVar("T", bound=Scored)


def segments(frames: Iterable[T], threshold: float, done: int = 0) -> Iterator[Iterator[T]]:
    """Group frames into segments, lazily.

    A frame that scores at least `threshold` starts a segment, except the second of a segment.
    `scdet` compares the change to the change before it; there is none for the second frame of a
    file, and after a cut it is the cut, so the score is just how fast things move there (up to 12
    in a film without a cut). Scores were taken on 66 clips without a cut and on 400 joints of two
    of them: within clips the highest is 5.5, and 98 % of the joints score above 9.7, 99.5 % above
    7, the lowest 4.3.

    Args:
        frames: In presentation order.
        threshold: In the units of the score.
        done: How many frames of the first segment came before these.

    Yields:
        One iterator per segment, to be used up before the next is asked for; nothing is buffered.
    """
    segment, position = 0, done - 1

    def segment_of(frame: T) -> int:
        nonlocal segment, position
        position += 1
        if frame.scene_score >= threshold and position >= 2:
            segment, position = segment + 1, 0
        return segment

    for _, members in groupby(frames, segment_of):
        yield members
