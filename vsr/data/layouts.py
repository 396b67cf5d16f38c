"""Training sets and test sets as people have them on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vsr.data.clips import Clip, Frames, Stored, below, open_all, store, sweep
from vsr.errors import DatasetError
from vsr.media.containers import VIDEO_SUFFIXES
from vsr.media.source import PICTURE_SUFFIXES

Degradation = Literal["bi", "bd", "real"]

# Folders that hold the truth, in the order they are looked for; "" is the folder itself.
_TRUTH = ("GT", "", "gt", "HR", "hr", "original", "truth")
_REDS_TRUTH = ("GT", "train_sharp", "train/train_sharp", "sharp", "")
_REDS4 = ("000", "011", "015", "020")
_VID4 = ("calendar", "city", "foliage", "walk")
_LQ: Mapping[Degradation, tuple[str, ...]] = {
    "bi": ("BIx4",),
    "bd": ("BDx4",),
    "real": (),
}
_REDS_LQ = ("sharp_bicubic", "train_sharp_bicubic/X4", "train/train_sharp_bicubic/X4", "BIx4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How a test set is measured.

    Attributes:
        name: As `--protocol` takes it.
        degradation: How the low-quality side is made where it is not there.
        on_luma: PSNR and SSIM on Y (of MATLAB's rgb2ycbcr) rather than RGB.
        layout: What the folder looks like.
        clips: Names of the clips, in the papers' order; () for whatever is there.
        center_only: Only the middle frame of each clip counts (Vimeo-90K).
        lists: Files that may hold the names of the clips (Vimeo-90K), relative to the folder.
    """

    name: str
    degradation: Degradation
    layout: Literal["clips", "reds", "vimeo", "folder"]
    on_luma: bool = True
    clips: tuple[str, ...] = ()
    center_only: bool = False
    lists: tuple[str, ...] = ("sep_testlist.txt", "meta_info_Vimeo90K_test_GT.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFiles:
    """A clip on disk.

    Attributes:
        name: For tables.
        gt: The truth: a folder of pictures or a video.
        lq: The low-quality side; None where it is to be made.
    """

    name: str
    gt: Path
    lq: Path | None = None


PROTOCOLS: Mapping[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(name="vid4-bi", degradation="bi", layout="clips", clips=_VID4),
        Protocol(name="vid4-bd", degradation="bd", layout="clips", clips=_VID4),
        Protocol(name="reds4", degradation="bi", layout="reds", clips=_REDS4, on_luma=False),
        Protocol(name="vimeo90k-bi", degradation="bi", layout="vimeo", center_only=True),
        Protocol(name="vimeo90k-bd", degradation="bd", layout="vimeo", center_only=True),
        Protocol(name="udm10-bd", degradation="bd", layout="clips"),
        Protocol(name="folder-bi", degradation="bi", layout="folder"),
        Protocol(name="folder-bd", degradation="bd", layout="folder"),
        Protocol(name="folder-real", degradation="real", layout="folder"),
    )
}


def find_clips(data: Path, protocol: Protocol) -> list[ClipFiles]:
    """Find the clips of a test set.

    Known layouts: clips in folders of pictures, right below DATA or below DATA/GT (or HR,
    original, truth), with DATA/BIx4 or DATA/BDx4 beside; the truth may also be in CLIP/truth and
    so on; REDS as published (train_sharp, train_sharp_bicubic/X4) or as BasicSR links it; Vimeo-90K
    as published (sequences, sep_testlist.txt) or as BasicSR and mmagic name it. The `folder`
    protocols take folders of pictures and videos alike, found below DATA.

    Raises:
        DatasetError: If the layout is another one; it names the file looked for.
    """
    if not data.is_dir():
        raise DatasetError(f"folder of a test set wanted, got '{data}', which is none")
    if protocol.layout == "vimeo":
        return _vimeo(data, protocol)
    if protocol.layout == "folder":
        return _folder(data)
    truths = _REDS_TRUTH if protocol.layout == "reds" else _TRUTH
    lqs = _REDS_LQ if protocol.layout == "reds" else _LQ[protocol.degradation]
    root = _truth_root(data, protocol, truths)
    names = protocol.clips or [p.name for p in sorted(root.iterdir()) if _pictures_of(p)]
    found = []
    for name in names:
        gt = _pictures_of(root / name)
        if gt is None:
            raise DatasetError(f"clip '{name}' of {protocol.name}: no pictures in '{root / name}'")
        found.append(ClipFiles(name=name, gt=gt, lq=_low_quality_folder(data, lqs, name)))
    return found


def _truth_root(data: Path, protocol: Protocol, folders: Sequence[str]) -> Path:
    """Find the folder that holds the folders of the clips."""
    for name in folders:
        root = data / name
        if not root.is_dir():
            continue
        if protocol.clips and (root / protocol.clips[0]).is_dir():
            return root
        if not protocol.clips and any(_pictures_of(p) for p in root.iterdir()):
            return root
    first = protocol.clips[0] if protocol.clips else "CLIP"
    looked = ", ".join(f"'{data / name / first}'" for name in folders)
    raise DatasetError(
        f"{protocol.name}: wanted a folder of pictures per clip; looked for {looked}; "
        "give the folder above them"
    )


def _pictures_of(clip: Path) -> Path | None:
    """Folder that holds the pictures of a clip: itself or its GT, truth or the like."""
    for name in ("", *(name for name in _TRUTH if name)):
        if (clip / name).is_dir() and _has_pictures(clip / name):
            return clip / name
    return None


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir())


def _low_quality_folder(data: Path, folders: Sequence[str], name: str) -> Path | None:
    for folder in folders:
        for place in (data / folder / name, data / name / folder):
            if place.is_dir() and _has_pictures(place):
                return place
    return None


def _vimeo(data: Path, protocol: Protocol) -> list[ClipFiles]:
    listed = next((data / name for name in protocol.lists if (data / name).is_file()), None)
    if listed is None:
        looked = " and ".join(f"'{data / name}'" for name in protocol.lists)
        raise DatasetError(f"{protocol.name}: wanted the list of clips; looked for {looked}")
    lines = [line.split() for line in listed.read_text().splitlines()]
    names = [line[0] for line in lines if line]
    if not names:
        raise DatasetError(f"{protocol.name}: '{listed}' names no clip")
    root = next((data / name for name in ("sequences", "GT") if (data / name).is_dir()), None)
    if root is None:
        raise DatasetError(
            f"{protocol.name}: wanted the clips; looked for '{data / 'sequences' / names[0]}' "
            f"and '{data / 'GT' / names[0]}'"
        )
    missing = next((name for name in names if not (root / name / "im1.png").is_file()), None)
    if missing is not None:
        raise DatasetError(
            f"{protocol.name}: '{listed.name}' lists {missing}; looked for "
            f"'{root / missing / 'im1.png'}'"
        )
    lqs = _LQ[protocol.degradation]
    return [ClipFiles(name=n, gt=root / n, lq=_low_quality_folder(data, lqs, n)) for n in names]


def _folder(data: Path) -> list[ClipFiles]:
    """Take every video and every folder of pictures, DATA itself too, as the truth.

    Pictures beside videos are previews of them, not a clip.
    """
    inside = below(data)
    videos = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
    beside = {video.parent for video in videos}
    folders = [data, *(path for path in inside if path.is_dir())]
    found = [ClipFiles(name=p.name, gt=p) for p in folders if p not in beside and _has_pictures(p)]
    found += [ClipFiles(name=path.stem, gt=path) for path in videos]
    if not found:
        raise DatasetError(
            f"no clip in '{data}': looked for videos by their extension (*.mp4, *.mkv, *.mpg and "
            "what else FFmpeg reads) and for folders of *.png or other pictures, in it and below"
        )
    names = [clip.name for clip in found]
    if len(set(names)) == len(names):
        return found
    return [ClipFiles(name=str(c.gt.relative_to(data)), gt=c.gt) for c in found]


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
        return self._stored[key]

    @cached_property
    def _stored(self) -> Stored:
        pixels, facts = store(self.folder, self.cache)
        if facts.shape != self.shape:
            raise DatasetError(
                f"'{self.folder}': wanted {_words(self.shape)} as the first clip has them, got "
                f"{_words(facts.shape)}; restore or remove the clip"
            )
        return Stored(pixels, facts.shape)


def find_training(data: Path, layout: Layout) -> list[ClipFiles]:
    """Find the clips of a training set.

    Layouts:
        folder: Videos and folders of pictures, below `data`; or `data` itself, one video.
        reds: `train_sharp` and, if it is there, `train_sharp_bicubic/X4`; the four clips of REDS4
            (000, 011, 015, 020), on which papers measure, are kept out.
        reds4: Those four.
        vimeo90k: `sequences` and `sep_trainlist.txt`.

    Raises:
        DatasetError: If the layout is another one; it names the file looked for.
    """
    if layout == "folder" and data.is_file():
        return [ClipFiles(name=data.stem, gt=data)]
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
    shrink: Sequence[int] = (1,),
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
        shrink: Factors; every video is opened once for each ("folder" only).
        progress: Told of each clip decoded or left out, one line each.

    Raises:
        DatasetError: If the layout is another one, or nothing can be decoded.
    """
    found = find_training(data, layout)
    if layout == "folder":
        paths = [clip.gt for clip in found]
        clips = open_all(paths, cache, half_size=half_size, shrink=shrink, progress=progress)
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
