"""The first pass of a comparison: films side by side, numbers per frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import nan
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.data.pictures import color_layout, to_rgb8
from vsr.evaluation.metrics import luma
from vsr.evaluation.temporal import flicker
from vsr.inference.runner import decibels
from vsr.media.decode import Decoder
from vsr.media.probe import SourceInfo
from vsr.media.timing import is_cut
from vsr.media.types import PlanarFrame
from vsr.ops.color import ColorLayout
from vsr.ops.resize import resize
from vsr.options import DecodeOptions

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


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Numbers of one output, one per frame of the reference.

    Attributes:
        psnr: dB against the reference; of the output brought to its size where sizes differ.
        flicker: Mean absolute change of the error, in 8-bit levels; not a number for the first
            frame of a scene.
    """

    psnr: array[float] = field(default_factory=lambda: array("f"))
    flicker: array[float] = field(default_factory=lambda: array("f"))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the first pass found.

    Attributes:
        times: Per frame compared: seconds of what each film shows, since its first frame; the
            reference first.
        difference: How much the films differ, per frame, in 8-bit levels of full size.
        cuts: Numbers of frames that begin a scene.
        curves: Of each output.
    """

    times: tuple[list[Fraction], ...]
    difference: array[float]
    cuts: list[int]
    curves: tuple[Curves, ...]

    @property
    def frames(self) -> int:
        """How many were compared."""
        return len(self.difference)


def measure(
    films: Sequence[SourceInfo],
    *,
    start: Fraction = Fraction(0),
    progress: Callable[[int], None] = lambda frames: None,
) -> Measured:
    """Decode all films in lockstep; a few frames of each are held.

    Args:
        films: The reference, then the outputs.
        start: Where in the reference the outputs begin, in seconds after its first frame.
        progress: Told the number of frames done.

    Raises:
        MediaError: One of them cannot be decoded.
    """
    by_rgb = matrices_differ(films)
    reference = read_luma(films[0], start=start, by_rgb=by_rgb)
    outputs = [read_luma(info, start=Fraction(0), by_rgb=by_rgb) for info in films[1:]]
    found = Measured(
        times=tuple([] for _ in films),
        difference=array("f"),
        cuts=[],
        curves=tuple(Curves() for _ in outputs),
    )
    errors: list[Luma | None] = [None] * len(outputs)
    for shown in in_step(reference, outputs, 1 / films[0].video.frame_rate):
        since = found.frames - (found.cuts[-1] if found.cuts else 0)
        if is_cut(shown[0].scene_score, since):
            found.cuts.append(found.frames)
            errors = [None] * len(outputs)
        for times, frame in zip(found.times, shown, strict=True):
            times.append(frame.seconds)
        for i, frame in enumerate(shown[1:]):
            error = _brought_to(frame.luma, shown[0].luma) - shown[0].luma
            before = errors[i]
            found.curves[i].psnr.append(decibels(float(np.mean(np.square(error)))))
            found.curves[i].flicker.append(nan if before is None else flicker(before, error))
            errors[i] = error
        found.difference.append(_difference([frame.luma for frame in shown]))
        progress(found.frames)
    return found


def choose_moments(
    difference: Sequence[float], cuts: Iterable[int], count: int, *, apart: int | None = None
) -> list[int]:
    """Choose the frames that differ most, well apart from each other.

    Args:
        difference: Per frame.
        cuts: Frames that begin a scene; the frame before a cut is left out: it is the one that
            an off-by-one would show, and the least typical.
        count: Wanted at most.
        apart: Frames between two moments at least; by default half of an even spacing.

    Returns:
        Frame numbers in order.
    """
    frames = len(difference)
    apart = max(1, frames // (2 * count)) if apart is None else apart
    avoided = {cut - 1 for cut in cuts} if frames > 2 * count else set()
    chosen: list[int] = []
    for index in sorted(range(frames), key=lambda i: -difference[i]):
        if len(chosen) == count:
            break
        if index not in avoided and all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
    return sorted(chosen)


def nearest_frame(times: Sequence[Fraction], seconds: Fraction) -> int:
    """Give the frame shown nearest to a time."""
    return min(range(len(times)), key=lambda i: abs(times[i] - seconds))


def _brought_to(picture: Luma, like: Luma) -> Luma:
    if picture.shape == like.shape:
        return picture
    tensor = torch.from_numpy(picture)[None]
    return resize(tensor, like.shape[0], like.shape[1])[0].numpy()


def _difference(pictures: Sequence[Luma]) -> float:
    """Compare the outputs with each other, or a single one with the reference, at full size."""
    others = pictures[1:] if len(pictures) > 2 else pictures
    height, width = max((p.shape for p in others), key=lambda shape: shape[0] * shape[1])
    full = [
        p
        if p.shape == (height, width)
        else cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC)
        for p in others
    ]
    return max(float(np.abs(p - full[0]).mean()) for p in full[1:])
