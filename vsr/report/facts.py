"""Facts about films in words, row by row, for people who compare them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsr.color import MATRIX_NAMES, PRIMARIES_NAMES, RANGE_NAMES, TRANSFER_NAMES, UNSPECIFIED
from vsr.media.probe import SourceInfo, VideoInfo


def fact_rows(films: Sequence[SourceInfo], frames: Sequence[int | None]) -> list[list[str]]:
    """The facts of files side by side.

    Args:
        films: The files.
        frames: Of each, where known.

    Returns:
        Rows: the name of the fact, then its value for each file. Empty rows are left out.
    """
    rows = [
        ["Picture", *(f"{f.video.width} × {f.video.height}" for f in films)],
        ["Shape", *(_shape(f) for f in films)],
        ["Duration", *(_duration(f) for f in films)],
        ["Frames", *("" if n is None else f"{n:,}" for n in frames)],
        ["Frame rate", *(f"{_short(f.video.frame_rate)} per second" for f in films)],
        ["Video", *(f"{f.video.codec}, {f.video.pix_fmt}" for f in films)],
        ["Colour", *(_color(f) for f in films)],
        ["Scan", *(_scan(f) for f in films)],
        ["Audio", *(_streams(f, "audio") for f in films)],
        ["Subtitles", *(_streams(f, "subtitle") for f in films)],
        ["Attachments", *(_streams(f, "attachment", "cover", "data") for f in films)],
        ["Chapters", *(str(len(f.chapters) or "") for f in films)],
        ["Container", *(f.format for f in films)],
        ["Size on disk", *(in_bytes(f.size_bytes) for f in films)],
        ["Bit rate", *(_bit_rate(f) for f in films)],
    ]
    return [row for row in rows if any(row[1:])]


def shown_size(video: VideoInfo) -> tuple[Fraction, Fraction]:
    """Width and height of a picture as a player shows it: upright, with square pixels."""
    width = video.width * (video.sample_aspect_ratio or Fraction(1))
    height = Fraction(video.height)
    return (width, height) if video.rotation % 180 == 0 else (height, width)


def shown_film(info: SourceInfo) -> dict[str, Any]:
    """A film as the page draws it: name, size, shape."""
    width, height = shown_size(info.video)
    return {
        "name": Path(info.path).name,
        "size": f"{info.video.width} × {info.video.height}",
        "aspect": round(float(width / height), 5),
    }


def clock(seconds: Fraction | float, *, digits: int = 3) -> str:
    """A time as 1:02:03.456, without leading zeros."""
    unit = 10**digits
    whole = round(Fraction(seconds) * unit)
    minutes, rest = divmod(whole, 60 * unit)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest // unit:02d}" + (f".{rest % unit:0{digits}d}" if digits else "")
    return f"{hours}:{minutes:02d}:{text}" if hours else f"{minutes}:{text}"


def _shape(film: SourceInfo) -> str:
    aspect = film.video.sample_aspect_ratio
    parts = [] if aspect in (None, 1) else [f"pixel aspect {aspect}"]
    if film.video.rotation:
        parts.append(f"rotated {film.video.rotation}°")
    return ", ".join(parts)


def _duration(film: SourceInfo) -> str:
    length = film.video.duration or film.duration
    return "" if length is None else clock(length)


def _short(rate: Fraction) -> str:
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def _color(film: SourceInfo) -> str:
    tags = film.video.color
    codes = (
        (PRIMARIES_NAMES, tags.primaries),
        (TRANSFER_NAMES, tags.transfer),
        (MATRIX_NAMES, tags.matrix),
    )
    names = ["–" if code == UNSPECIFIED else known.get(code, str(code)) for known, code in codes]
    color = "untagged" if set(names) == {"–"} else " / ".join(dict.fromkeys(names))
    reach = f", {RANGE_NAMES[tags.range]} range" if tags.range in RANGE_NAMES else ""
    return color + reach + (", HDR10 metadata" if film.video.hdr else "")


def _scan(film: SourceInfo) -> str:
    order = film.video.field_order
    return f"interlaced, {order}" if order in ("top-first", "bottom-first") else ""


def _streams(film: SourceInfo, *kinds: str) -> str:
    found = [s for s in film.streams if s.kind in kinds]
    return "; ".join(
        " ".join(part for part in (s.codec, s.details, s.language) if part and part != "und")
        for s in found
    )


def in_bytes(size: int) -> str:
    """A size for people: 12.34 MB."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"


def _bit_rate(film: SourceInfo) -> str:
    length = film.duration or film.video.duration
    if not length:
        return ""
    return f"{film.size_bytes * 8 / float(length) / 1e6:.2f} Mbit/s"
