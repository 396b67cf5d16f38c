"""Several films side by side: what a player would show of each at the same moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsr.data.pictures import color_layout, to_rgb8
from vsr.evaluation.metrics import luma
from vsr.media.decode import Decoder
from vsr.media.frames import PlanarFrame
from vsr.media.options import DecodeOptions
from vsr.media.probe import SourceInfo
from vsr.ops.color import ColorLayout

Luma = NDArray[np.float32]


class Timed(Protocol):
    """What is shown from some time on."""

    @property
    def seconds(self) -> Fraction:
        """Since the film's first frame."""


T = TypeVar("T", bound=Timed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The brightness of a frame.

    Attributes:
        luma: (H, W), 16 for black to 235 for white, whatever the file's range and depth.
        seconds: Since the film's first frame.
        scene_score: libavfilter `scdet` score, 0 to 100.
    """

    luma: Luma
    seconds: Fraction
    scene_score: float


def read_luma(info: SourceInfo, *, start: Fraction, by_rgb: bool) -> Iterator[Shown]:
    """Decode the brightness of a film; one frame is held.

    Args:
        info: The film.
        start: Seconds after its first frame to begin at; times count from there.
        by_rgb: Take it from RGB by BT.601, so that files of different matrices compare; otherwise
            the luma planes as they are.

    Raises:
        MediaError: If it cannot be decoded.
    """
    with Decoder(info, DecodeOptions(start=start)) as decoder:
        layout, _ = color_layout(info, decoder.format)
        origin: Fraction | None = None
        for frame in decoder:
            seconds = frame.pts * decoder.time_base
            origin = seconds if origin is None else origin
            yield Shown(
                luma=luma(to_rgb8(frame, layout)).astype(np.float32)
                if by_rgb
                else _normalised(frame, layout),
                seconds=seconds - origin,
                scene_score=frame.scene_score,
            )


def matrices_differ(films: Sequence[SourceInfo]) -> bool:
    """Tell whether the luma planes of films mean different things."""
    kinds = set()
    for info in films:
        with Decoder(info) as decoder:
            layout, _ = color_layout(info, decoder.format)
        kinds.add("rgb" if layout.chroma == "rgb" else layout.matrix)
    return len(kinds) > 1 or "rgb" in kinds


def in_step(
    reference: Iterator[T], outputs: Sequence[Iterator[T]], interval: Fraction
) -> Iterator[tuple[T, ...]]:
    """Give each frame of the reference with what the others show then.

    Ends with the shortest of them.

    Args:
        reference: Sets the pace.
        outputs: The others.
        interval: Seconds between frames of the reference, about; times closer than a quarter of
            it are the same, since containers round them.

    Yields:
        The reference's frame, then one per output.
    """
    cursors = [_Cursor(frames) for frames in outputs]
    for frame in reference:
        shown = [cursor.at(frame.seconds, interval) for cursor in cursors]
        found = [other for other in shown if other is not None]
        if len(found) < len(cursors):
            return
        yield (frame, *found)


class _Cursor(Generic[T]):
    """Moves through a film, forwards only."""

    def __init__(self, frames: Iterator[T]) -> None:
        self._frames = frames
        self._now = next(frames, None)
        self._next = next(frames, None)

    def at(self, seconds: Fraction, interval: Fraction) -> T | None:
        """Give the frame shown at a time; None after the end."""
        while self._next is not None and self._next.seconds <= seconds + interval / 4:
            self._now, self._next = self._next, next(self._frames, None)
        if self._now is None:
            return None
        ended = self._next is None and self._now.seconds + interval * 3 / 4 < seconds
        return None if ended else self._now


def _normalised(frame: PlanarFrame, layout: ColorLayout) -> Luma:
    plane = frame.planes[0].astype(np.float32)
    if layout.full_range:
        return plane * np.float32(219 / ((1 << layout.bit_depth) - 1)) + np.float32(16)
    return plane / np.float32(1 << (layout.bit_depth - 8))
