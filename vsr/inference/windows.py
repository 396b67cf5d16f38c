"""Frames that show one picture, segments between scene cuts, windows of frames with lookahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

from vsr.media.timing import is_cut


class Scored(Protocol):
    """Anything that knows how much it differs from its predecessor."""

    @property
    def scene_score(self) -> float:
        """0 to 100, by libavfilter's `scdet`."""
        ...


class Repeating(Scored, Protocol):
    """Anything that also knows whether its picture is that of its predecessor."""

    @property
    def repeats(self) -> bool:
        """Whether it is."""
        ...


T = TypeVar("T", bound=Scored)
R = TypeVar("R", bound=Repeating)

# The network sees a picture that stays longer again: what waits for the pictures after it, and the
# work that an interruption may cost, would otherwise have no bound.
MOST_SHOWN = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Still(Generic[R]):
    """A picture, and the frames in a row that show it.

    Attributes:
        frames: The first one is no repeat, or the picture has stayed for `MOST_SHOWN` frames.
    """

    frames: tuple[R, ...]

    @property
    def scene_score(self) -> float:
        """How much it differs from the picture before."""
        return self.frames[0].scene_score


def stills(frames: Iterable[R]) -> Iterator[Still[R]]:
    """Join each frame with those that repeat it, lazily.

    Args:
        frames: In presentation order; the first one begins a picture whatever it says.
    """
    held: list[R] = []
    for frame in frames:
        if held and not (frame.repeats and len(held) < MOST_SHOWN):
            yield Still(frames=tuple(held))
            held.clear()
        held.append(frame)
    if held:
        yield Still(frames=tuple(held))


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Window(Generic[T]):
    """Frames given to the network at once.

    Attributes:
        frames: To be upscaled, followed by those that are only looked at.
        lookahead: How many of the last frames are only looked at.
        last: Its segment ends with it.
    """

    frames: tuple[T, ...]
    lookahead: int
    last: bool = False

    @property
    def count(self) -> int:
        """How many frames are to be upscaled."""
        return len(self.frames) - self.lookahead

    def part(self, start: int, size: int, lookahead: int) -> Window[T]:
        """Return a smaller window that begins at frame `start` of this one.

        Where all that is left fits into `size + lookahead` frames, it is taken together: no tiny
        window remains, and no frame is looked at twice.
        """
        rest = self.frames[start:]
        if len(rest) <= size + lookahead:
            return Window(frames=rest, lookahead=self.lookahead, last=self.last)
        return Window(frames=rest[: size + lookahead], lookahead=lookahead)


def windows(segment: Iterable[T], size: int, lookahead: int) -> Iterator[Window[T]]:
    """Draw windows from one segment.

    They are anchored at its first frame, so they depend on nothing that came before it. Near the
    end the lookahead is what is left; the last window takes up to `size + lookahead` frames.

    Args:
        segment: Frames between two cuts.
        size: Frames to upscale per window, from 1 up.
        lookahead: Frames to look at beyond them, from 0 up.

    Yields:
        Windows whose upscaled frames, in a row, are the segment. At most `size + lookahead + 1`
        frames are held.

    Raises:
        ValueError: If a size is out of range.
    """
    if size < 1 or lookahead < 0:
        raise ValueError(f"window must be 1 or more and lookahead 0 or more: {size}, {lookahead}")
    held: list[T] = []
    for frame in segment:
        held.append(frame)
        if len(held) > size + lookahead:
            yield Window(frames=tuple(held[: size + lookahead]), lookahead=lookahead)
            del held[:size]
    if held:
        yield Window(frames=tuple(held), lookahead=0, last=True)
