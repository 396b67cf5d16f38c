"""Choose short stretches of a film that tell most: sharp motion, darkness, detail."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.cuts import CUT_SCORE
from vsr.data.pictures import Picture, read_pictures
from vsr.errors import DecodeError
from vsr.media.options import DecodeOptions
from vsr.media.probe import SourceInfo
from vsr.media.reading import SEEKABLE

# Places looked at; at each, some seconds of film are decoded.
PLACES = 40
# Pictures with less contrast than this, in 8-bit levels, show nothing.
_FLAT = 4.0
_LOOKED_AT = 3  # frames at a place


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a place in a film looks like.

    Attributes:
        start: Seconds after the film's first frame.
        motion: Mean change from frame to frame, 8-bit levels: much where sharp things move.
        light: Mean brightness.
        detail: Mean size of the Laplacian.
        contrast: Standard deviation of brightness.
    """

    start: Fraction
    motion: float
    light: float
    detail: float
    contrast: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A part worth looking at: why, and where it begins."""

    why: str
    start: Fraction


KINDS: Sequence[tuple[str, Callable[[Look], float]]] = (
    ("sharpest motion", lambda look: look.motion),
    ("darkest", lambda look: -look.light),
    ("most detail", lambda look: look.detail),
)


def look_around(
    info: SourceInfo, options: DecodeOptions, total: Fraction | None, length: Fraction
) -> list[Look]:
    """Look at places spread evenly over a film, no nearer to each other than a stretch is long.

    Files that can be entered anywhere are, others are decoded once from end to end.

    Args:
        info: The film.
        options: The part that counts, and how it is decoded.
        total: Seconds of that part; None where nobody knows.
        length: Seconds of a stretch.

    Raises:
        DecodeError: No frame can be had.
    """
    if total is None:
        step, count = 2 * length, None
    else:
        count = max(1, min(PLACES, total // length))
        step = (total - length) / (count - 1) if count > 1 else max(total, length)
    if info.format in SEEKABLE and count is not None:
        places = _by_seeking(info, options, [i * step for i in range(count)])
    else:
        places = _in_one_pass(info, options, step)
    looks = [_look(start, frames) for start, frames in islice(places, count) if frames]
    if not looks:
        raise DecodeError(info.path, "no frame of it could be looked at")
    return looks


def choose_stretches(looks: Sequence[Look], count: int) -> list[Stretch]:
    """Choose places by each kind in turn, well apart from each other where there is room.

    Args:
        looks: In order of time.
        count: Wanted at most.

    Returns:
        In order of time.
    """
    apart = (looks[-1].start - looks[0].start) / (2 * count)
    worth = [look for look in looks if look.contrast >= _FLAT]
    chosen: list[Stretch] = []
    for index in range(min(count, len(looks))):
        taken = [stretch.start for stretch in chosen]
        free = [look for look in looks if look.start not in taken]
        far = [look for look in free if all(abs(look.start - at) >= apart for at in taken)]
        why, measure = KINDS[index % len(KINDS)]
        # Rather near to another one than flat, rather flat than none.
        near = [look for look in free if look in worth]
        best = max([look for look in far if look in worth] or near or free, key=measure)
        chosen.append(Stretch(why=why, start=best.start))
    return sorted(chosen, key=lambda stretch: stretch.start)


def _by_seeking(
    info: SourceInfo, options: DecodeOptions, places: Iterable[Fraction]
) -> Iterator[tuple[Fraction, list[Picture]]]:
    for place in places:
        start = _whole_milliseconds(options.start + place)
        frames: list[Picture] = []
        # Damage, or a header that claims more than there is: other places will do.
        with contextlib.suppress(DecodeError):
            frames = list(
                islice(read_pictures(info.path, replace(options, start=start)), _LOOKED_AT)
            )
        yield start, frames


def _in_one_pass(
    info: SourceInfo, options: DecodeOptions, step: Fraction
) -> Iterator[tuple[Fraction, list[Picture]]]:
    held: list[Picture] = []
    first: Fraction | None = None
    due = start = Fraction(0)
    for picture in read_pictures(info.path, options):
        first = picture.seconds if first is None else first
        since = picture.seconds - first
        if held or since >= due:
            if not held:
                start, due = since, since + step
            held.append(picture)
        if len(held) == _LOOKED_AT:
            yield _whole_milliseconds(options.start + start), held
            held = []
    if held:
        yield _whole_milliseconds(options.start + start), held


def _look(start: Fraction, frames: Sequence[Picture]) -> Look:
    greys = [_grey(frame) for frame in frames]
    steps = [
        float(np.abs(b - a).mean())
        for (a, b), frame in zip(pairwise(greys), frames[1:], strict=True)
        if frame.scene_score < CUT_SCORE
    ]
    return Look(
        start=start,
        motion=max(steps, default=0.0),
        light=float(greys[0].mean()),
        detail=float(np.abs(cv2.Laplacian(greys[0], cv2.CV_32F)).mean()),
        contrast=float(greys[0].std()),
    )


def _grey(picture: Picture) -> NDArray[np.float32]:
    return cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _whole_milliseconds(seconds: Fraction) -> Fraction:
    """Round down: what is asked for on a command line is decimal, and no frame is to be missed."""
    return Fraction(int(seconds * 1000), 1000)
