"""The files that README and docs/ talk about, small, under the names they use there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path

import golden
import numpy as np
import torch
from markdown import ROOT, blocks
from synthetic import draw_number, hdr10_options, make_pictures, make_video
from synthetic_streams import Cues, Sound, make_rich_video

from vsr.models.basicvsr import BasicVSR
from vsr.models.published import published_name
from vsr.models.zoo import WEIGHTS

PAL = Fraction(25)
NTSC = Fraction(30000, 1001)


def make_named_files(folder: Path, page: str) -> None:
    """Make those that a page names, and what the repository has."""
    for name in ("configs", "samples", "scripts", "vsr"):
        (folder / name).symlink_to(ROOT / name)
    for name, make in FILES.items():
        if re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w-])", page):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            make(folder / name)


def _film(path: Path) -> None:
    """Two languages, subtitles and chapters."""
    quarter = Fraction(1, 4)
    make_rich_video(
        path,
        frames=16,
        sounds=[Sound(language="eng"), Sound(codec="ac3", language="ger")],
        cues=[Cues(language="eng", lines=[(100, 400, "Hello")])] if path.suffix == ".mkv" else [],
        chapters=[(Fraction(0), quarter, "One"), (quarter, 2 * quarter, "Two")],
    )


def _phone(path: Path) -> None:
    """HLG in ten bits, at a variable rate, to be turned, with a time."""
    make_video(
        path,
        size=(96, 64),
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=(9, 18, 9, 1),
        time_base=Fraction(1, 90000),
        pts=[0, 3003, 6006, 9500, 12012, 15015, 18600, 21021, 24024, 27500, 30030, 33033],
        rotation=90,
        audio=("aac",),
        tags={"creation_time": "2024-05-01T10:00:00Z"},
    )


def _tape(path: Path, frames: int = 8) -> None:
    """PAL as a recorder writes it: interlaced, 4:3 by the shape of its pixels."""
    make_video(
        path,
        frames=frames,
        size=(80, 64),
        codec="mpeg2video",
        rate=PAL,
        field_order="tff",
        sample_aspect_ratio=Fraction(16, 15),
        audio=("mp2",),
    )


def _dvd(path: Path) -> None:
    """16:9 by the shape of its pixels, with AC-3."""
    shape = Fraction(64, 45)
    make_video(
        path,
        frames=8,
        size=(80, 64),
        codec="mpeg2video",
        rate=PAL,
        sample_aspect_ratio=shape,
        audio=("ac3",),
        format="vob",
    )


def _telecined(path: Path) -> None:
    """Film carried at the rate of NTSC: of five frames the last repeats the one before it."""
    make_video(
        path,
        frames=20,
        size=(80, 64),
        codec="mpeg2video",
        rate=NTSC,
        field_order="tff",
        picture=lambda index, width, height: draw_number(
            index // 5 * 4 + min(index % 5, 3), width, height
        ),
    )


def _hdr(path: Path) -> None:
    make_video(
        path,
        frames=5,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=(9, 16, 9, 1),
        codec_options=hdr10_options(),
    )


def _tapes(folder: Path) -> None:
    (folder / "1998").mkdir(parents=True)
    for name in ("1998/wedding.mpg", "garden.mpg"):
        _tape(folder / name, frames=3)


def _clips(folder: Path, count: int = 2) -> None:
    """Films to train and measure on."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        make_video(folder / f"clip{number}.mp4", frames=10, size=(96, 80))


def _test_set(folder: Path, clips: tuple[str, ...]) -> None:
    for clip in clips:
        make_pictures(folder / clip, frames=3, first=0, name="%08d.png", size=(64, 48))


def _own_weights(path: Path) -> None:
    shutil.copy(WEIGHTS / "compact-x4.safetensors", path)


def _basicsr_weights(path: Path) -> None:
    """A small BasicVSR as BasicSR saves it."""
    network = golden.fill(BasicVSR(channels=8, blocks=1), "basicsr")
    weights = network.state_dict().items()
    named = {published_name(name, "basicsr", network): value for name, value in weights}
    torch.save({"params": named}, path)


def _from_page(language: str, path: Path) -> None:
    """The first block of a language in the page on networks of one's own."""
    page = (ROOT / "docs" / "own_network.md").read_text()
    path.write_text(next(block.text for block in blocks(page) if block.language == language))


def _old(path: Path) -> None:
    """Black and white, stored in colour."""

    def grey(index: int, width: int, height: int) -> np.ndarray:
        shown = draw_number(index, width, height).mean(axis=2, keepdims=True)
        return np.repeat(shown, 3, axis=2).astype(np.uint8)

    make_video(path, frames=6, size=(48, 36), picture=grey)


def _held(path: Path, times: int) -> None:
    """Each picture is shown several times."""
    make_video(
        path,
        frames=6,
        size=(64, 36),
        picture=lambda index, width, height: draw_number(index // times, width, height),
    )


FILES: Mapping[str, Callable[[Path], object]] = {
    "in.mp4": _film,
    "copied.mkv": _film,
    "phone.mov": _phone,
    "tape.mpg": _tape,
    "more.avi": partial(make_video, frames=3, codec="mpeg4", audio=("pcm_s16le",)),
    "dvd.vob": _dvd,
    "telecined.mpg": _telecined,
    "hdr.mkv": _hdr,
    "old.mp4": _old,
    "screen.mp4": partial(_held, times=3),
    "drawn.mp4": partial(_held, times=2),
    "tapes": _tapes,
    "frames": partial(make_pictures, frames=3),
    "clips": _clips,
    "held-out": partial(_clips, count=1),
    "FOLDER": _clips,
    "DATA": partial(_clips, count=1),
    "Vid4": partial(
        _test_set, clips=tuple(f"GT/{c}" for c in ["calendar", "city", "foliage", "walk"])
    ),
    "REDS": partial(
        _test_set,
        clips=(
            "train_sharp/000",
            "train_sharp/011",
            "train_sharp/015",
            "train_sharp/020",
            "train_sharp/100",
        ),
    ),
    "mine.safetensors": _own_weights,
    "BasicVSR_REDS4-543c8261.pth": _basicsr_weights,
    "my_network.py": partial(_from_page, "python"),
    "my_network.toml": partial(_from_page, "toml"),
}
