"""Read how Matroska asks players to crop a track; FFmpeg's demuxer tells PyAV nothing of it.

Only headers are read: the elements of RFC 9559 up to the list of tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from vsr.media.probe import SourceInfo

SEGMENT, CLUSTER, TRACKS, TRACK_ENTRY = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
TRACK_TYPE, VIDEO_TRACK, VIDEO = 0x83, 1, 0xE0
CROP_BOTTOM, CROP_TOP, CROP_LEFT, CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD
LARGEST_HEADER = 1 << 24  # bytes; a list of tracks that claims more is damage


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """Pixels of the coded picture that players hide at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __str__(self) -> str:
        sides = zip(
            (self.left, self.top, self.right, self.bottom),
            ("left", "top", "right", "bottom"),
            strict=True,
        )
        return ", ".join(f"{pixels} px {side}" for pixels, side in sides if pixels)

    @property
    def as_filter(self) -> str:
        """Give the libavfilter that does the same."""
        width, height = self.left + self.right, self.top + self.bottom
        return f"crop=iw-{width}:ih-{height}:{self.left}:{self.top}"


def crop_of(info: SourceInfo) -> Crop | None:
    """Tell how players crop the video that is enhanced; None where they do not."""
    if info.format != "matroska":
        return None
    videos = [stream.index for stream in info.streams if stream.kind == "video"]
    place = videos.index(info.video.index)
    return dict(enumerate(read_crops(info.path))).get(place)


def crop_notes(info: SourceInfo, chain: str | None) -> tuple[str, ...]:
    """Say that the cropping is not carried over, unless the user's filters crop."""
    crop = crop_of(info)
    if crop is None or "crop=" in (chain or ""):
        return ()
    return (
        f"players hide {crop} of the input's picture, as its container asks; the output shows "
        f"them again: add --filter {crop.as_filter} to cut them off",
    )


def read_crops(path: Path) -> tuple[Crop | None, ...]:
    """Read the cropping of each video track of a Matroska file, in order; () where unreadable."""
    try:
        with path.open("rb") as file:
            tracks = _find_tracks(file)
    except OSError:
        return ()
    entries = [dict(_elements(data)) for kind, data in _elements(tracks) if kind == TRACK_ENTRY]
    return tuple(
        _crop(entry) for entry in entries if _number(entry.get(TRACK_TYPE, b"")) == VIDEO_TRACK
    )


def _crop(entry: dict[int, bytes]) -> Crop | None:
    video = dict(_elements(entry.get(VIDEO, b"")))
    left, top, right, bottom = (
        _number(video.get(kind, b"")) for kind in (CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM)
    )
    if not (left or top or right or bottom):
        return None
    return Crop(left=left, top=top, right=right, bottom=bottom)


def _find_tracks(file: BinaryIO) -> bytes:
    """Walk the top level of the file; the tracks come before the first cluster."""
    while (head := _head(file)) is not None:
        kind, size = head
        if kind == SEGMENT:  # go on with what it holds
            continue
        if kind == CLUSTER or size is None:
            break
        if kind == TRACKS:
            return file.read(size) if size <= LARGEST_HEADER else b""
        file.seek(size, 1)
    return b""


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    file = BytesIO(data)
    while (head := _head(file)) is not None:
        kind, size = head
        yield kind, file.read(size if size is not None else -1)


def _head(file: BinaryIO) -> tuple[int, int | None] | None:
    """Read identifier and size of an element; a size of None is not known; None at the end."""
    kind, size = _variable(file), _variable(file)
    if kind is None or size is None:
        return None
    value, width = size
    marker = 1 << (7 * width)
    unknown = value == 2 * marker - 1
    return kind[0], None if unknown else value - marker


def _variable(file: BinaryIO) -> tuple[int, int] | None:
    """Read an integer with its length marker (RFC 8794, 4): (value with marker, bytes)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    return int.from_bytes(first + file.read(width - 1)), width


def _number(data: bytes) -> int:
    return int.from_bytes(data)
