"""Videos decoded once into memory-mapped frame stores, from which training reads any frame at once.

A store is two files in the cache folder: `KEY.rgb`, the frames as raw uint8 (T, H, W, 3), and
`KEY.json`, which says how many there are and where scenes change. KEY is made from the video's
content and the options of decoding, so a renamed video is found again and a changed one is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vsr.data.layout import color_layout
from vsr.errors import DatasetError, MediaError
from vsr.media.decode import DecodeOptions, Decoder
from vsr.media.probe import probe
from vsr.ops.color import planes_to_rgb
from vsr.ops.resize import resize

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".ts", ".y4m")
# A cut, by libavfilter's scdet; frames on both sides never share a training clip. Its score of the
# second frame is not comparable: there is no difference before it to hold it against.
_CUT_SCORE = 7.0
_FIRST_JUDGED = 2
# Bytes hashed at the start, middle and end of a video; reading all of a terabyte would take hours.
_SAMPLE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One decoded video.

    Attributes:
        name: File name of the video.
        frames: (T, H, W, 3) uint8 RGB, memory-mapped, read-only.
        cuts: Indices of frames that begin a new scene.
    """

    name: str
    frames: NDArray[np.uint8]
    cuts: tuple[int, ...]


def find_videos(folder: Path) -> list[Path]:
    """List the videos below a folder, in a fixed order.

    Raises:
        DatasetError: If the folder does not exist or holds none.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"folder of videos wanted, got '{folder}', which is none; check the path"
        )
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise DatasetError(
            f"no video in '{folder}': looked for *{', *'.join(VIDEO_SUFFIXES)} in it and below"
        )
    return videos


def open_clips(
    folder: Path,
    cache: Path,
    *,
    half_size: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> list[Clip]:
    """Open all videos below a folder, decoding those that the cache does not hold yet.

    A video that cannot be decoded is left out and named through `progress`.

    Args:
        folder: Where the videos are.
        cache: Where the stores are kept; made if need be.
        half_size: File name patterns of videos to shrink to half.
        progress: Told of each video decoded or left out, one line each.

    Raises:
        DatasetError: If no video could be opened.
    """
    clips = []
    for video in find_videos(folder):
        half = any(fnmatch(video.name, pattern) for pattern in half_size)
        try:
            clips.append(open_clip(video, cache, half=half, progress=progress))
        except MediaError as error:
            progress(f"left out: {error}")
    if not clips:
        raise DatasetError(f"none of the videos in '{folder}' could be decoded")
    return clips


def open_clip(
    video: Path,
    cache: Path,
    *,
    half: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Clip:
    """Open one video, decoding it into the cache if it is not there.

    Args:
        video: The file.
        cache: Folder of the stores.
        half: Shrink to half width and height (bicubic, antialiased).
        progress: Told when the video is decoded.

    Raises:
        MediaError: If it cannot be decoded.
    """
    key = _content_key(video) + ("-half" if half else "")
    facts_path, pixels_path = cache / f"{key}.json", cache / f"{key}.rgb"
    if not facts_path.exists():
        progress(f"decoding {video.name}")
        _decode_into(video, pixels_path, facts_path, half)
    facts = json.loads(facts_path.read_text())
    frames = np.memmap(pixels_path, dtype=np.uint8, mode="r", shape=tuple(facts["shape"]))
    return Clip(name=video.name, frames=frames, cuts=tuple(facts["cuts"]))


def _content_key(video: Path) -> str:
    size = video.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with video.open("rb") as file:
        for start in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:24]


def _decode_into(video: Path, pixels_path: Path, facts_path: Path, half: bool) -> None:
    """Write a store; the facts come last, so a store without them is not there."""
    pixels_path.parent.mkdir(parents=True, exist_ok=True)
    part = pixels_path.with_suffix(f".{os.getpid()}.part")
    shape: tuple[int, ...] = ()
    count, cuts = 0, []
    try:
        with part.open("wb") as file:
            for rgb, score in _rgb_frames(video, half):
                if score >= _CUT_SCORE and count >= _FIRST_JUDGED:
                    cuts.append(count)
                shape = rgb.shape
                file.write(rgb.tobytes())
                count += 1
        os.replace(part, pixels_path)
    finally:
        part.unlink(missing_ok=True)
    temporary = facts_path.with_suffix(f".{os.getpid()}.part")
    temporary.write_text(json.dumps({"video": video.name, "shape": [count, *shape], "cuts": cuts}))
    os.replace(temporary, facts_path)


def _rgb_frames(video: Path, half: bool) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Decode to 8-bit RGB (H, W, 3) with the scene score of each frame."""
    info = probe(video)
    with Decoder(info, DecodeOptions()) as decoder:
        layout, _ = color_layout(info, decoder.format)
        for frame in decoder:
            planes = [torch.from_numpy(plane.copy()) for plane in frame.planes]
            rgb = planes_to_rgb(planes, layout)
            if half:
                rgb = resize(rgb, rgb.shape[-2] // 2, rgb.shape[-1] // 2)
            pixels = (rgb * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
            yield pixels.numpy(), frame.scene_score
