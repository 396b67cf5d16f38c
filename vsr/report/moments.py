"""Moments of films: chosen, enhanced, as pictures inside a page."""

from __future__ import annotations

import base64
import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.color import HDR_TRANSFERS
from vsr.data.pictures import Picture, read_pictures
from vsr.errors import DecodeError
from vsr.media.probe import SourceInfo, probe
from vsr.media.reading import SEEKABLE
from vsr.media.weigh import Weight, weigh
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, loader
from vsr.options import CUT_SCORE, DecodeOptions, EnhanceOptions
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.report.facts import clock

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A stretch that was enhanced.

    Attributes:
        stretch: Why and where.
        result: Of its enhancement.
        seconds: It took, from the first frame asked for to the verified file.
        info: Of the file that came out.
        weight: Of its packets.
    """

    stretch: Stretch
    result: EnhanceResult
    seconds: float
    info: SourceInfo
    weight: Weight


def enhance_stretches(
    info: SourceInfo,
    stretches: Sequence[Stretch],
    length: Fraction,
    options: EnhanceOptions,
    folder: Path,
    suffix: str,
    progress: Callable[[Progress], None],
) -> list[Sample]:
    """Enhance each stretch into a file of its own; the network is loaded once.

    Args:
        info: The source.
        stretches: Where they begin.
        length: Seconds of each.
        options: As for the whole.
        folder: Where the files go.
        suffix: Of their names: the container.
        progress: Told after each frame.

    Raises:
        VsrError: As `enhance`.
    """
    load = loader()
    samples: list[Sample] = []
    expected = len(stretches) * round(length * info.video.frame_rate)
    for index, stretch in enumerate(stretches):
        before = sum(sample.result.frames for sample in samples)

        def advance(now: Progress, before: int = before) -> None:
            progress(replace(now, frames=before + now.frames, total=expected))

        wanted = replace(
            options,
            start=_decimal(stretch.start),
            duration=_decimal(length),
            overwrite=False,
            resume=False,
        )
        target = folder / f"{index}{suffix}"
        samples.append(_enhance_one(info, stretch, target, wanted, load, advance))
    return samples


def _enhance_one(
    info: SourceInfo,
    stretch: Stretch,
    target: Path,
    options: EnhanceOptions,
    load: Callable[[ModelInfo, str], VideoNetwork],
    progress: Callable[[Progress], None],
) -> Sample:
    """Enhance a stretch by the clock, which starts when its first frame is asked for."""
    begin = time.monotonic()

    def advance(now: Progress) -> None:
        nonlocal begin
        if now.frames == 1:
            begin = time.monotonic() - now.seconds
        progress(now)

    result = enhance(info.path, target, options, progress=advance, load=load)
    seconds = time.monotonic() - begin
    made = probe(target)
    return Sample(stretch=stretch, result=result, seconds=seconds, info=made, weight=weigh(made))


def _decimal(seconds: Fraction) -> str:
    """Write for the command line; rounded up to a microsecond."""
    return f"{math.ceil(seconds * 10**6) / 10**6:.6f}"


# A page is to be sent by mail: bytes of all pictures together, before base64 adds a third.
PICTURE_BYTES = 3_500_000
_QUALITIES = (95, 90, 84, 76, 68, 58)
_HDR_NOTE = "HDR pictures are shown as stored, without tone mapping: paler than on an HDR display."


def packed_moment(
    pictures: Sequence[NDArray[np.uint8]], budget: int, *, seconds: Fraction, note: str
) -> dict[str, Any]:
    """Put a moment into what the page draws.

    Args:
        pictures: Of each film, (H, W, 3) uint8 RGB.
        budget: Bytes for all of them.
        seconds: When it is.
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
    """Say how HDR is shown, if there is some."""
    return [_HDR_NOTE] if any(f.video.color.transfer in HDR_TRANSFERS for f in films) else []


def read_moment(info: SourceInfo, seconds: Fraction) -> NDArray[np.uint8]:
    """Decode one frame, turned as a player turns it."""
    for picture in read_pictures(info.path, DecodeOptions(start=seconds)):
        return np.rot90(picture.rgb, info.video.rotation // 90)
    raise DecodeError(info.path, f"the frame at {float(seconds):.3f} s was there once, now is not")


def pack(pictures: Sequence[NDArray[np.uint8]], budget: int) -> tuple[list[bytes], int, float]:
    """Encode pictures as WebP, all alike, as well as fits.

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
