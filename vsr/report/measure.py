"""The first pass of a comparison: films side by side, numbers per frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import nan

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A decoded frame.

    Attributes:
        frame: Its planes.
        layout: What they mean.
        seconds: Since the first frame asked for.
        begins: Where that one lies, seconds after the film's first.
    """

    frame: PlanarFrame
    layout: ColorLayout
    seconds: Fraction
    begins: Fraction = Fraction(0)

    def luma(self, *, by_rgb: bool) -> Luma:
        """(H, W), 16 for black to 235 for white, whatever the file's range and depth.

        Args:
            by_rgb: From RGB by BT.601, so that files of different matrices compare; otherwise the
                luma plane.
        """
        if by_rgb:
            return luma(to_rgb8(self.frame, self.layout)).astype(np.float32)
        plane = self.frame.planes[0].astype(np.float32)
        if self.layout.full_range:
            return plane * np.float32(219 / ((1 << self.layout.bit_depth) - 1)) + np.float32(16)
        return plane / np.float32(1 << (self.layout.bit_depth - 8))


def timed(info: SourceInfo, options: DecodeOptions) -> Iterator[Shown]:
    """Decode a film; one frame is held.

    Raises:
        MediaError: It cannot be decoded.
    """
    with Decoder(info, options) as decoder:
        layout, _ = color_layout(info, decoder.format)
        begins = decoder.first_pts * decoder.time_base - decoder.origin
        for frame in decoder:
            seconds = (frame.pts - decoder.first_pts) * decoder.time_base
            yield Shown(frame=frame, layout=layout, seconds=seconds, begins=begins)


def matrices_differ(films: Sequence[SourceInfo]) -> bool:
    """Whether the luma planes of films mean different things."""
    kinds = set()
    for info in films:
        with Decoder(info) as decoder:
            layout, _ = color_layout(info, decoder.format)
        kinds.add("rgb" if layout.chroma == "rgb" else layout.matrix)
    return len(kinds) > 1 or "rgb" in kinds


def in_step(
    reference: Iterator[Shown], outputs: Sequence[Iterator[Shown]], interval: Fraction
) -> Iterator[tuple[Shown, ...]]:
    """Pair each frame of the reference with what the others show then, up to the first end.

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


class _Cursor:
    """A place in a film that moves forwards only."""

    def __init__(self, frames: Iterator[Shown]) -> None:
        self._frames = frames
        self._now = next(frames, None)
        self._next = next(frames, None)

    def at(self, seconds: Fraction, interval: Fraction) -> Shown | None:
        """The frame shown at a time; None after the end."""
        while self._next is not None and self._next.seconds <= seconds + interval / 4:
            self._now, self._next = self._next, next(self._frames, None)
        if self._now is None:
            return None
        ended = self._next is None and self._now.seconds + interval * 3 / 4 < seconds
        return None if ended else self._now


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
    """The result of the first pass.

    Attributes:
        times: Per frame compared: seconds of what each film shows, since its first frame compared;
            the reference first.
        begins: Where that first frame lies in each film, seconds after the film's own first.
        difference: How much the films differ, per frame, in 8-bit levels of full size.
        cuts: Numbers of frames that begin a scene.
        curves: Of each output.
    """

    times: tuple[list[Fraction], ...]
    difference: array[float]
    cuts: list[int]
    curves: tuple[Curves, ...]
    begins: list[Fraction] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Compared."""
        return len(self.difference)

    def places(self, index: int) -> list[Fraction]:
        """Where each film has what it shows at a frame compared, for `moments.read_moment`."""
        times = (times[index] for times in self.times)
        return [begin + time for begin, time in zip(self.begins, times, strict=True)]


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
        progress: Called with the number of frames done.

    Raises:
        MediaError: One of them cannot be decoded.
    """
    by_rgb = matrices_differ(films)
    reference = timed(films[0], DecodeOptions(start=start))
    outputs = [timed(info, DecodeOptions()) for info in films[1:]]
    found = Measured(
        times=tuple([] for _ in films),
        difference=array("f"),
        cuts=[],
        curves=tuple(Curves() for _ in outputs),
    )
    errors: list[Luma | None] = [None] * len(outputs)
    for shown in in_step(reference, outputs, 1 / films[0].video.frame_rate):
        if not found.frames:
            found.begins.extend(frame.begins for frame in shown)
        since = found.frames - (found.cuts[-1] if found.cuts else 0)
        if is_cut(shown[0].frame.scene_score, since):
            found.cuts.append(found.frames)
            errors = [None] * len(outputs)
        for times, frame in zip(found.times, shown, strict=True):
            times.append(frame.seconds)
        # Turned as players turn them, and as `moments.read_moment` does.
        truth, *others = lumas = [
            np.ascontiguousarray(np.rot90(frame.luma(by_rgb=by_rgb), info.video.rotation // 90))
            for frame, info in zip(shown, films, strict=True)
        ]
        for i, other in enumerate(others):
            error = _brought_to(other, truth) - truth
            before = errors[i]
            found.curves[i].psnr.append(decibels(float(np.mean(np.square(error)))))
            found.curves[i].flicker.append(nan if before is None else flicker(before, error))
            errors[i] = error
        found.difference.append(_difference(lumas))
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
    """Number of the frame shown nearest to a time."""
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
