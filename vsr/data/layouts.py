"""Training sets in the layouts that people have on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vsr.data.clips import Clip, Frames, open_all, store, sweep
from vsr.data.protocols import PROTOCOLS, ClipFiles, Protocol, find_clips
from vsr.errors import DatasetError

Layout = Literal["folder", "reds", "reds4", "vimeo90k"]

_LISTS = ("sep_trainlist.txt", "meta_info_Vimeo90K_train_GT.txt")
_LAYOUTS: Mapping[Layout, Protocol] = {
    "folder": PROTOCOLS["folder-bi"],
    "reds": Protocol(name="REDS training set", degradation="bi", layout="reds"),
    "reds4": PROTOCOLS["reds4"],
    "vimeo90k": Protocol(
        name="Vimeo-90K training set", degradation="bi", layout="vimeo", lists=_LISTS
    ),
}


@dataclass(frozen=True)
class PictureFrames:
    """Frames of a folder of pictures, decoded into the store when first asked for.

    Nothing is held open: Vimeo-90K has more clips than a process may map.

    Attributes:
        folder: The pictures.
        cache: Folder of the stores.
        shape: (T, H, W, 3), which the pictures must have.
    """

    folder: Path
    cache: Path
    shape: tuple[int, ...]

    def __len__(self) -> int:
        """T."""
        return self.shape[0]

    def __getitem__(self, key: tuple[slice, ...], /) -> NDArray[np.uint8]:
        """Cut a block.

        Raises:
            DatasetError: The folder holds other pictures than its data set has.
            MediaError: They cannot be decoded.
        """
        pixels = np.memmap(self._pixels, dtype=np.uint8, mode="r", shape=self.shape)
        return pixels[key]

    @cached_property
    def _pixels(self) -> Path:
        pixels, facts = store(self.folder, self.cache)
        if facts.shape != self.shape:
            raise DatasetError(
                f"'{self.folder}': wanted {_words(self.shape)} as the first clip has them, got "
                f"{_words(facts.shape)}; restore or remove the clip"
            )
        return pixels


def find_training(data: Path, layout: Layout) -> list[ClipFiles]:
    """Find the clips of a training set.

    Layouts:
        folder: Videos and folders of pictures, below `data`.
        reds: `train_sharp` and, if it is there, `train_sharp_bicubic/X4`; the four clips of REDS4
            (000, 011, 015, 020), on which papers measure, are kept out.
        reds4: Those four.
        vimeo90k: `sequences` and `sep_trainlist.txt`.

    Raises:
        DatasetError: If the layout is another one; it names the file looked for.
    """
    if not data.is_dir():
        raise DatasetError(
            f"folder of training clips wanted, got '{data}', which is none; check the path"
        )
    found = find_clips(data, _LAYOUTS[layout])
    if layout == "reds":
        kept_out = PROTOCOLS["reds4"].clips
        found = [clip for clip in found if clip.name not in kept_out]
        if not found:
            raise DatasetError(
                f"'{data}' holds only the clips of REDS4, which are for measuring: "
                "wanted the other 266 of train_sharp"
            )
    return found


def open_training(
    data: Path,
    cache: Path,
    *,
    layout: Layout = "folder",
    half_size: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> list[Clip]:
    """Open a training set.

    Clips of a folder are decoded now, their cuts found, and those that cannot be are left out and
    named. Clips of the data sets, which have no cuts and one size, are decoded into the store when
    first cut from: REDS takes 74 GB there, Vimeo-90K 155 GB.

    Args:
        data: The folder.
        cache: Where the stores are kept; made if need be.
        layout: See `find_training`.
        half_size: File name patterns of videos to shrink to half ("folder" only).
        progress: Told of each clip decoded or left out, one line each.

    Raises:
        DatasetError: If the layout is another one, or nothing can be decoded.
    """
    found = find_training(data, layout)
    if layout == "folder":
        paths = [clip.gt for clip in found]
        clips = open_all(paths, cache, half_size=half_size, progress=progress)
        if not clips:
            raise DatasetError(f"none of the clips in '{data}' could be decoded")
        return clips
    sweep(cache)
    first = found[0]
    shape = store(first.gt, cache, progress=progress)[1].shape
    low = None if first.lq is None else store(first.lq, cache, progress=progress)[1].shape
    return [
        Clip(
            name=clip.name,
            frames=PictureFrames(clip.gt, cache, shape),
            cuts=(),
            lq=None if low is None else _low_quality(clip, first, cache, low),
        )
        for clip in found
    ]


def _low_quality(clip: ClipFiles, first: ClipFiles, cache: Path, shape: tuple[int, ...]) -> Frames:
    if clip.lq is None:
        assert first.lq is not None
        raise DatasetError(
            f"clip '{clip.name}' has no low-quality side as clip '{first.name}' has; looked for "
            f"'{first.lq.parent / clip.name}'"
        )
    return PictureFrames(clip.lq, cache, shape)


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} pictures of {shape[2]}x{shape[1]}"
