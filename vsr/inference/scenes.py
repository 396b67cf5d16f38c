"""From scene scores to segments. Detection itself is libavfilter's `scdet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol, TypeVar

from vsr.cuts import is_cut


class Scored(Protocol):
    """Anything that knows how much it differs from its predecessor."""

    @property
    def scene_score(self) -> float:
        """0 to 100, by libavfilter's `scdet`."""
        ...


T = TypeVar("T", bound=Scored)


def segments(frames: Iterable[T], threshold: float, done: int = 0) -> Iterator[Iterator[T]]:
    """Group frames into segments, lazily.

    Where a segment starts, `is_cut` decides.

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
        if is_cut(frame.scene_score, position, threshold):
            segment, position = segment + 1, 0
        return segment

    for _, members in groupby(frames, segment_of):
        yield members
