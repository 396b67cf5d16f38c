"""Clips decoded once into memory-mapped frame stores, from which training reads any frame at once.

A store is two files in the cache folder: `KEY.rgb`, the frames as raw uint8 (T, H, W, 3), and
`KEY.json`, which says how many there are and where scenes change. KEY is made from the content and
the options of decoding, so a renamed video is found again and a changed one is not.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vsr.data.pictures import read_pictures
from vsr.errors import DatasetError, MediaError
from vsr.files import whole, write_durably
from vsr.media.source import PICTURE_SUFFIXES
from vsr.media.timing import is_cut
from vsr.ops.resize import resize

# Of what a store says; those of other versions are made anew. 2: a scene's second frame is no cut.
_VERSION = 2
# Bytes hashed at the start, middle and end of a video; reading all of a terabyte would take hours.
_SAMPLE = 1 << 20
_FEW = 4  # clips that are named one by one
_PAIRS, _GRID, _UNLIKE = 5, 16, 0.5  # films of quick motion have 0.9
_ABANDONED = 3600  # seconds since the last byte was written


class Frames(Protocol):
    """Frames (T, H, W, 3), uint8 RGB: an array, or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""

    def __len__(self) -> int:
        """T."""

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[np.uint8]:
        """Cut a block."""


@dataclass(frozen=True)
class Stored:
    """Frames of a store, mapped for each read.

    Nothing is held open: a folder may have more clips than a process may open files. On the way to
    a worker process it goes as a path.

    Attributes:
        pixels: The file of raw uint8 frames.
        shape: (T, H, W, 3).
    """

    pixels: Path
    shape: tuple[int, ...]

    def __len__(self) -> int:
        """T."""
        return self.shape[0]

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[np.uint8]:
        """Cut a block; read-only."""
        return np.memmap(self.pixels, dtype=np.uint8, mode="r", shape=self.shape)[key]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip to learn from or to measure on.

    Attributes:
        name: Of the file or folder.
        frames: The truth; read-only.
        cuts: Indices of frames that begin a new scene.
        lq: The low-quality side, where the data set has one.
    """

    name: str
    frames: Frames
    cuts: tuple[int, ...]
    lq: Frames | None = None


def below(folder: Path) -> list[Path]:
    """List all files and folders below a folder, in a fixed order, links to folders followed.

    Sets are put together of links to what lies elsewhere. One to a folder above it ends there.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = [x for x in folders if os.path.realpath(os.path.join(place, x)) not in seen]
        found += [Path(place, name) for name in (*folders, *files)]
    return sorted(found)


def open_all(
    paths: Sequence[Path],
    cache: Path,
    *,
    half_size: Sequence[str] = (),
    shrink: Sequence[int] = (1,),
    progress: Callable[[str], None] = lambda line: None,
) -> list[Clip]:
    """Open videos and folders of pictures; those that are damaged are named and left out.

    Args:
        paths: What to open.
        cache: Where the stores are kept; made if need be.
        half_size: Name patterns of those to shrink to half.
        shrink: Factors; every clip is opened once for each.
        progress: Told of each one decoded or left out, one line each, and how many were.
    """
    clips, left_out = [], 0
    sweep(cache)
    for path in paths:
        half = 2 if any(fnmatch(path.name, pattern) for pattern in half_size) else 1
        try:
            for factor in shrink:
                clips.append(open_clip(path, cache, shrink=half * factor, progress=progress))
        except MediaError as error:
            left_out += 1
            progress(f"left out: {error}")
    if left_out:
        progress(f"{left_out} of {len(paths)} clips left out")
    return clips


def sweep(cache: Path) -> None:
    """Remove what killed processes left half written: a whole film takes many gigabytes.

    Whoever still writes has done so within the hour.
    """
    for part in cache.glob("*.part"):
        with suppress(OSError):  # gone by now, or of somebody else
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()


def open_clip(
    video: Path,
    cache: Path,
    *,
    shrink: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> Clip:
    """Open one video or folder of pictures, decoding it into the cache if it is not there.

    Args:
        video: The file or folder.
        cache: Folder of the stores.
        shrink: Divide width and height by this (bicubic, antialiased).
        progress: Told when the video is decoded.

    Raises:
        MediaError: If it cannot be decoded.
        DatasetError: If the cache cannot be written.
    """
    pixels, facts = store(video, cache, shrink=shrink, progress=progress)
    return Clip(name=video.name, frames=Stored(pixels, facts.shape), cuts=facts.cuts)


def in_both(one: Sequence[Clip], other: Sequence[Clip]) -> list[str]:
    """Name the clips of `other` whose content, under whatever name, is in `one` too."""
    stores = {clip.frames for clip in one if isinstance(clip.frames, Stored)}
    theirs = ((clip.name, clip.frames) for clip in other)
    return [name for name, x in theirs if isinstance(x, Stored) and x in stores]


def why_no_film(clip: Clip, length: int) -> str | None:
    """Why a clip may have been taken up by mistake, such as the pictures of a page.

    Args:
        clip: Any.
        length: Frames that a training clip has.

    Returns:
        A clause; None for what looks like a film.
    """
    count = len(clip.frames)
    longest = max(b - a for a, b in pairwise([0, *clip.cuts, count]))
    if longest < min(length, count):
        return f"no more than {longest} of its {count} frames are without a cut"
    if count > 1 and _likeness(clip) < _UNLIKE:
        return "its frames have little in common"
    return None


def _likeness(clip: Clip) -> float:
    """Median correlation of the brightness of neighbouring frames, over a few pairs of them."""
    found = []
    for index in np.unique(np.linspace(0, len(clip.frames) - 2, _PAIRS).astype(int)):
        pair = clip.frames[slice(index, index + 2),]
        grids = [cv2.resize(frame, (_GRID, _GRID), interpolation=cv2.INTER_AREA) for frame in pair]
        cells = np.stack(grids).mean(axis=3).reshape(2, -1)
        even = not cells.std(axis=1).all()
        found.append(1.0 if even else float(np.corrcoef(cells)[0, 1]))
    return float(np.median(found))


def described(clips: Sequence[Clip]) -> str:
    """Name the clips with their lengths; of more than a few, their number and the shortest two.

    Those are the ones that are there by mistake, if any is.
    """
    each = [
        f"{c.name} ({len(c.frames)} frames)" for c in sorted(clips, key=lambda c: len(c.frames))
    ]
    if len(each) <= _FEW:
        return ", ".join(each)
    lengths = [len(clip.frames) for clip in clips]
    text = f"{len(each)} clips, {sum(lengths)} frames"
    return text if min(lengths) == max(lengths) else f"{text}, the shortest {each[0]}, {each[1]}"


@dataclass(frozen=True, kw_only=True)
class StoreFacts:
    """What a store says about its frames.

    Attributes:
        shape: (T, H, W, 3).
        cuts: Indices of frames that begin a new scene.
    """

    shape: tuple[int, ...]
    cuts: tuple[int, ...]


def store(
    video: Path,
    cache: Path,
    *,
    shrink: int = 1,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Path, StoreFacts]:
    """Decode a clip into the cache if it is not there, without opening it.

    Args, Raises: See `open_clip`.

    Returns:
        The file of raw uint8 frames, and what is in it.
    """
    key = content_key(video) + (f"-{shrink}" if shrink > 1 else "")
    facts_path, pixels_path = cache / f"{key}.json", cache / f"{key}.rgb"
    facts = _read_facts(pixels_path, facts_path)
    if facts is None:
        progress(f"decoding {video.name}")
        _decode_into(video, pixels_path, facts_path, shrink)
        facts = _read_facts(pixels_path, facts_path)
    if facts is None:
        raise DatasetError(
            f"'{pixels_path}' was written for '{video}' and does not hold its frames; something "
            "else removes files there, or the disk is failing: choose another data.cache"
        )
    return pixels_path, facts


def _read_facts(pixels_path: Path, facts_path: Path) -> StoreFacts | None:
    """Read what a store says of itself; None where none of this version is there, or not whole.

    A power cut may leave less than was written, and whoever makes room removes the large file.
    """
    try:
        facts = json.loads(facts_path.read_text())
        version = facts["version"]
        found = StoreFacts(shape=tuple(facts["shape"]), cuts=tuple(facts["cuts"]))
        size = pixels_path.stat().st_size
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return found if version == _VERSION and size == prod(found.shape) else None


def content_key(path: Path) -> str:
    """Make a key of the content: by size and samples of a file, or of a folder's pictures.

    Of pictures the first and the last are sampled, of the others names and sizes count, which tell
    compressed ones apart; those as large as the one before are sampled too.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
        sizes = [file.stat().st_size for file in files]
        digest = hashlib.sha256()
        for file, size in zip(files, sizes, strict=True):
            digest.update(f"{file.name} {size}\n".encode())
        kept = {0, len(files) - 1, *(i for i, (a, b) in enumerate(pairwise(sizes), 1) if a == b)}
        files = [files[index] for index in sorted(kept)] if files else []
    else:
        digest = hashlib.sha256(str(path.stat().st_size).encode())
        files = [path]
    for file in files:
        _sample(file, digest.update)
    return digest.hexdigest()[:24]


def _sample(path: Path, update: Callable[[bytes], None]) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
            file.seek(start)
            update(file.read(_SAMPLE))


def _decode_into(video: Path, pixels_path: Path, facts_path: Path, shrink: int) -> None:
    """Write a store; the facts come last, so a store without them is not there."""
    try:
        pixels_path.parent.mkdir(parents=True, exist_ok=True)
        _write_store(video, pixels_path, facts_path, shrink)
    except OSError as error:
        raise DatasetError(
            f"'{pixels_path.parent}' wanted for the decoded frames of '{video}', which cannot be "
            f"written ({error.strerror}); make room or choose another data.cache"
        ) from error


def _write_store(video: Path, pixels_path: Path, facts_path: Path, shrink: int) -> None:
    size: tuple[int, ...] = ()
    cuts: list[int] = []
    count = 0
    with whole(pixels_path) as part, part.open("wb") as file:
        for rgb, score in _rgb_frames(video, shrink):
            if is_cut(score, count - (cuts[-1] if cuts else 0)):
                cuts.append(count)
            size = rgb.shape
            file.write(rgb.tobytes())
            count += 1
    facts = StoreFacts(shape=(count, *size), cuts=tuple(cuts))
    said = {"version": _VERSION, "video": video.name, **asdict(facts)}
    write_durably(facts_path, json.dumps(said).encode())


def _rgb_frames(video: Path, shrink: int) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Decode to 8-bit RGB (H, W, 3) with the scene score of each frame."""
    for picture in read_pictures(video, undamaged=True):
        rgb = picture.rgb
        if shrink > 1:
            height, width = (side // shrink for side in rgb.shape[:2])
            whole_pixels = rgb[: height * shrink, : width * shrink]
            small = resize(torch.from_numpy(whole_pixels).permute(2, 0, 1), height, width)
            rgb = small.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
        yield rgb, picture.scene_score
