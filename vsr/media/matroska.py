"""Elements of Matroska and WebM that PyAV neither reads nor writes: cropping, the display size.

Source: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

DISPLAY_SIZED = ("matroska", "webm")  # FFmpeg's names of muxers
SEGMENT, CLUSTER, TRACKS, TRACK_ENTRY = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
TRACK_TYPE, VIDEO_TRACK, VIDEO = 0x83, 1, 0xE0
CROP_SIDES = {"left": 0x54CC, "top": 0x54BB, "right": 0x54DD, "bottom": 0x54AA}
PIXEL_WIDTH, PIXEL_HEIGHT = 0xB0, 0xBA
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
PIXELS, ASPECT_RATIO = 0, 3  # values of the unit
SEEK_HEAD, SEEK, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AC
VOID, CRC = 0xEC, 0xBF
LARGEST_HEADER = 1 << 24  # bytes; a list of tracks that claims more is damage


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """Pixels of the coded picture that players hide at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __str__(self) -> str:
        sides = [(side, getattr(self, side)) for side in CROP_SIDES]
        return ", ".join(f"{pixels} px {side}" for side, pixels in sides if pixels)

    @property
    def as_filter(self) -> str:
        """The libavfilter filter that does the same."""
        width, height = self.left + self.right, self.top + self.bottom
        return f"crop=iw-{width}:ih-{height}:{self.left}:{self.top}"


def read_crops(path: Path) -> tuple[Crop | None, ...]:
    """Cropping of each video track, in order; () if unreadable."""
    try:
        with path.open("rb") as file:
            found = {place.kind: place for place in _top_level(file)}
            tracks = _content(file, found[TRACKS]) if TRACKS in found else b""
    except OSError:
        return ()
    entries = (dict(_elements(data)) for kind, data in _elements(tracks) if kind == TRACK_ENTRY)
    return tuple(_crop(entry) for entry in entries if _is_video(entry))


def set_display_size(path: Path, video: int, aspect: Fraction) -> bool:
    """Write the display size of a video track into a file of FFmpeg's muxer.

    PyAV 18 does not hand a pixel aspect to the muxer, which leaves free room (a Void) behind the
    list of places at the file's start. The track grows into that room: what lies between moves
    towards the start by as much, and nothing behind the tracks moves.

    Args:
        path: A finished file.
        video: Number of the track among the video tracks, from 0.
        aspect: Width over height of a pixel.

    Returns:
        Whether it could be written; a file of another structure is left untouched.
    """
    with path.open("r+b") as file:
        places = _top_level(file)
        kinds = [place.kind for place in places]
        if kinds[:2] != [SEEK_HEAD, VOID] or TRACKS not in kinds:
            return False
        seek_head, void, tracks = *places[:2], places[kinds.index(TRACKS)]
        new = tracks.filled(_with_display_size(_content(file, tracks), video, aspect))
        growth = len(new) - (tracks.end - tracks.begin)
        room = void.end - void.begin - growth
        if room < 0 or room == 1:  # the smallest Void has two bytes
            return False
        head = seek_head.filled(_moved(_content(file, seek_head), void.end, tracks.end, growth))
        file.seek(places[0].segment + void.end)
        moved = file.read(tracks.begin - void.end)
        file.seek(places[0].segment + seek_head.begin)
        file.write(head + _void(room) + moved + new)
    return True


def display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int, int]:
    """Display width, height and unit: pixels where they are whole, else the picture's aspect."""
    if (width * aspect).denominator == 1:
        return int(width * aspect), height, PIXELS
    if aspect < 1 and (height / aspect).denominator == 1:
        return width, int(height / aspect), PIXELS
    shape = width * aspect / height
    return shape.numerator, shape.denominator, ASPECT_RATIO


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an element of a segment lies, in bytes from the segment's first."""

    kind: int
    begin: int
    content: int
    end: int
    segment: int  # the segment's first byte in the file

    def filled(self, data: bytes) -> bytes:
        """The element with other content, its size in as many bytes as before."""
        kind = self.kind.to_bytes((self.kind.bit_length() + 7) // 8)
        return kind + _size(len(data), self.content - self.begin - len(kind)) + data


def _top_level(file: BinaryIO) -> list[_Place]:
    """Walk the elements of the segment up to the tracks, which come before the first cluster."""
    places: list[_Place] = []
    segment = 0
    while True:
        begin = file.tell() - segment
        head = _head(file)
        if head is None:
            return places
        kind, size = head
        if kind == SEGMENT:  # go on with what it holds
            places, segment = [], file.tell()
            continue
        if kind == CLUSTER or size is None:
            return places
        content = file.tell() - segment
        if segment:
            places.append(_Place(kind, begin, content, content + size, segment))
        if kind == TRACKS:
            return places
        file.seek(size, 1)


def _content(file: BinaryIO, place: _Place) -> bytes:
    size = place.end - place.content
    file.seek(place.segment + place.content)
    return file.read(size) if size <= LARGEST_HEADER else b""


def _with_display_size(tracks: bytes, video: int, aspect: Fraction) -> bytes:
    """Tracks in which one video track has a display size."""
    children, count = [], 0
    for kind, data in _elements(tracks):
        if kind == TRACK_ENTRY and _is_video(dict(_elements(data))):
            if count == video:
                data = b"".join(
                    _element(k, _displayed(d, aspect) if k == VIDEO else d)
                    for k, d in _elements(data)
                )
            count += 1
        children.append((kind, data))
    return _checked(children)


def _displayed(video: bytes, aspect: Fraction) -> bytes:
    fields = dict(_elements(video))
    size = _number(fields[PIXEL_WIDTH]), _number(fields[PIXEL_HEIGHT])
    values = dict(
        zip((DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT), display_size(*size, aspect), strict=True)
    )
    if values[DISPLAY_UNIT] == PIXELS:
        del values[DISPLAY_UNIT]  # the default
    replaced = (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT)
    kept = [_element(k, d) for k, d in _elements(video) if k not in replaced]
    return b"".join([*kept, *(_element(k, _unsigned(v)) for k, v in values.items())])


def _moved(seek_head: bytes, begin: int, end: int, growth: int) -> bytes:
    """List of places in which those of the elements from `begin` to `end` are earlier."""
    children = []
    for kind, data in _elements(seek_head):
        if kind == SEEK:
            parts = []
            for part, value in _elements(data):
                place = _number(value)
                if part == SEEK_POSITION and begin <= place < end:
                    value = (place - growth).to_bytes(len(value))
                parts.append(_element(part, value))
            data = b"".join(parts)
        children.append((kind, data))
    return _checked(children)


def _checked(children: list[tuple[int, bytes]]) -> bytes:
    """Join children; the checksum, if there is one, is made anew."""
    data = b"".join(_element(kind, data) for kind, data in children if kind != CRC)
    if all(kind != CRC for kind, _ in children):
        return data
    return _element(CRC, zlib.crc32(data).to_bytes(4, "little")) + data


def _void(size: int) -> bytes:
    """Padding of so many bytes in all: none, or two and more."""
    if size == 0:
        return b""
    width = 1 if size <= 128 else 8
    content = size - 1 - width
    return bytes([VOID]) + _size(content, width) + bytes(content)


def _element(kind: int, data: bytes) -> bytes:
    """Encode an element; the size of a track in 8 bytes, as by FFmpeg: rewritten, it only grows."""
    least = 8 if kind == TRACK_ENTRY else 1
    width = next(w for w in range(least, 9) if len(data) < (1 << 7 * w) - 1)
    return kind.to_bytes((kind.bit_length() + 7) // 8) + _size(len(data), width) + data


def _size(size: int, width: int) -> bytes:
    return (size | 1 << 7 * width).to_bytes(width)


def _unsigned(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8))


def _is_video(entry: dict[int, bytes]) -> bool:
    return _number(entry.get(TRACK_TYPE, b"")) == VIDEO_TRACK


def _crop(entry: dict[int, bytes]) -> Crop | None:
    video = dict(_elements(entry.get(VIDEO, b"")))
    sides = {side: _number(video.get(kind, b"")) for side, kind in CROP_SIDES.items()}
    return Crop(**sides) if any(sides.values()) else None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    file = BytesIO(data)
    while (head := _head(file)) is not None:
        kind, size = head
        yield kind, file.read(size if size is not None else -1)


def _head(file: BinaryIO) -> tuple[int, int | None] | None:
    """Read identifier and size (None if unknown) of an element; None at the end."""
    kind, size = _variable(file), _variable(file)
    if kind is None or size is None:
        return None
    value, width = size
    marker = 1 << (7 * width)
    unknown = value == 2 * marker - 1
    return kind[0], None if unknown else value - marker


def _variable(file: BinaryIO) -> tuple[int, int] | None:
    """Read an integer of variable length (RFC 8794, 4): (value with its marker, bytes)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    return int.from_bytes(first + file.read(width - 1)), width


def _number(data: bytes) -> int:
    return int.from_bytes(data)
