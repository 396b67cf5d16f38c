"""Moments of films: chosen by how they look, packed as pictures inside a page."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.color import HDR_TRANSFERS
from vsr.data.pictures import Picture, read_pictures
from vsr.errors import DecodeError
from vsr.media.probe import SourceInfo
from vsr.media.reading import SEEKABLE
from vsr.options import CUT_SCORE, DecodeOptions
from vsr.report.facts import clock

# Places looked at; at each, some seconds of film are decoded.
PLACES = 40
# Pictures with less contrast than this, in 8-bit levels, show nothing.
_FLAT = 4.0
_LOOKED_AT = 3  # frames at a place


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
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
    """A short part of a film: why it was chosen, and where it begins."""

    why: str
    start: Fraction


KINDS: Sequence[tuple[str, Callable[[Place], float]]] = (
    ("sharpest motion", lambda look: look.motion),
    ("darkest", lambda look: -look.light),
    ("most detail", lambda look: look.detail),
)


def look_around(
    info: SourceInfo, options: DecodeOptions, total: Fraction | None, length: Fraction
) -> list[Place]:
    """Look at places spread evenly over a film, at least the length of a stretch apart.

    Seekable files are entered at each place, others are decoded once from end to end.

    Args:
        info: The film.
        options: The part that counts, and how it is decoded.
        total: Seconds of that part; None if unknown.
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


def choose_stretches(looks: Sequence[Place], count: int) -> list[Stretch]:
    """Choose places by each kind in turn, well apart from each other if there is room.

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
        # Better near to another one than flat, better flat than none.
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


def _look(start: Fraction, frames: Sequence[Picture]) -> Place:
    greys = [_grey(frame) for frame in frames]
    steps = [
        float(np.abs(b - a).mean())
        for (a, b), frame in zip(pairwise(greys), frames[1:], strict=True)
        if frame.scene_score < CUT_SCORE
    ]
    return Place(
        start=start,
        motion=max(steps, default=0.0),
        light=float(greys[0].mean()),
        detail=float(np.abs(cv2.Laplacian(greys[0], cv2.CV_32F)).mean()),
        contrast=float(greys[0].std()),
    )


def _grey(picture: Picture) -> NDArray[np.float32]:
    return cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _whole_milliseconds(seconds: Fraction) -> Fraction:
    """Round down: command lines take decimals, and no frame may be missed."""
    return Fraction(int(seconds * 1000), 1000)


# Bytes of all pictures of a page, small enough for mail; base64 adds a third.
PICTURE_BYTES = 3_500_000
_QUALITIES = (95, 90, 84, 76, 68, 58)
_HDR_NOTE = "HDR pictures are shown as stored, without tone mapping: paler than on an HDR display."


def packed_moment(
    pictures: Sequence[NDArray[np.uint8]], budget: int, *, seconds: Fraction, note: str
) -> dict[str, Any]:
    """A moment as the page draws it.

    Args:
        pictures: Of each film, (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.
        seconds: Its time.
        note: A word or two beside the time, or "".
    """
    packed, quality, factor = pack(pictures, budget)
    return {
        "time": float(seconds),
        "clock": clock(seconds),
        "note": note,
        "quality": quality,
        "factor": factor,
        "images": [f"data:image/webp;base64,{base64.b64encode(p).decode()}" for p in packed],
    }


def hdr_notes(films: Sequence[SourceInfo]) -> list[str]:
    """How HDR is shown, if a film is HDR."""
    return [_HDR_NOTE] if any(f.video.color.transfer in HDR_TRANSFERS for f in films) else []


def read_moment(info: SourceInfo, seconds: Fraction) -> NDArray[np.uint8]:
    """Decode one frame, turned as a player turns it."""
    for picture in read_pictures(info.path, DecodeOptions(start=seconds)):
        return np.rot90(picture.rgb, info.video.rotation // 90)
    raise DecodeError(info.path, f"no frame at {float(seconds):.3f} s any more: it has changed")


def pack(pictures: Sequence[NDArray[np.uint8]], budget: int) -> tuple[list[bytes], int, float]:
    """Encode pictures as WebP, all in the best quality that fits.

    Args:
        pictures: (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.

    Returns:
        The files, the quality (0 to 100), and the factor of their sizes: 1 unless even the lowest
        quality was too large.
    """
    factor = 1.0
    while True:
        for quality in _QUALITIES:
            packed = [_webp(picture, quality, factor) for picture in pictures]
            if sum(map(len, packed)) <= budget or factor < 1 / 8:
                return packed, quality, factor
        factor /= 2


def _webp(picture: NDArray[np.uint8], quality: int, factor: float) -> bytes:
    bgr = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2BGR)
    if factor < 1:
        bgr = cv2.resize(bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not good:
        raise ValueError(f"no WebP of a picture of {picture.shape}")
    return data.tobytes()
