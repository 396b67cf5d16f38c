"""Grey films keep their levels, tagged or not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_frame, make_video
from test_pipeline import bicubic, frames_of

from vsr.media.probe import probe
from vsr.media.verify import verify
from vsr.options import EncodeOptions
from vsr.pipeline import enhance


def steps(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Three flat bars, dark to bright, none of them black or white."""
    bars = np.array([40, 120, 200], np.uint8)[np.arange(width) * 3 // width]
    return np.broadcast_to(bars[None, :, None], (height, width, 3)).copy()


@pytest.mark.parametrize(
    ("name", "pix_fmt", "range_code"),
    [("out.mp4", "gray", 2), ("out.avi", "gray", 2), ("out.mkv", "gray16le", 2),
     ("out.webm", "gray", 1)],
)  # fmt: skip
def test_untagged_grey_looks_as_before(
    tmp_path: Path, name: str, pix_fmt: str, range_code: int
) -> None:
    source = make_video(
        tmp_path / "in.nut", codec="ffv1", pix_fmt=pix_fmt, frames=2, size=(48, 32),
        color=(2, 2, 2, 2), picture=steps,
    )  # fmt: skip
    assert probe(source).video.color.range == 0
    target = tmp_path / name
    quick = EncodeOptions(preset=None if name == "out.webm" else "ultrafast")
    enhance(source, target, bicubic(scale=2, encode=quick))
    for _, picture in frames_of(target):
        shown = [float(picture[8:-8, at : at + 8].mean()) for at in (12, 44, 76)]
        assert shown == pytest.approx([40, 120, 200], abs=3)
    assert probe(target).video.color.range == range_code
    assert verify(source, target).passed


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.ts", "out.avi", "out.mkv", "out.webm"])
def test_grey_of_limited_range_looks_as_before(tmp_path: Path, name: str) -> None:
    source = make_video(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt="gray", frames=2, size=(48, 32),
        color=(2, 2, 2, 1), picture=steps,
    )  # fmt: skip
    assert probe(source).video.color.range == 1
    target = tmp_path / name
    enhance(source, target, bicubic(scale=2, encode=EncodeOptions()))
    for _, picture in frames_of(target):
        shown = [float(picture[8:-8, at : at + 8].mean()) for at in (12, 44, 76)]
        assert shown == pytest.approx([40, 120, 200], abs=3)
    assert verify(source, target).passed


def test_grey_pictures_become_a_film(tmp_path: Path) -> None:
    """PNG says that its grey is RGB of full range."""
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = 48, 32, "gray"
    context.time_base = Fraction(1, 25)
    for number in range(3):
        packets = context.encode(make_frame(steps(number, 48, 32), "gray", (2, 2, 2, 2)))
        (tmp_path / f"{number}.png").write_bytes(bytes(packets[0]))
    target = tmp_path / "out.mp4"
    assert enhance(tmp_path, target, bicubic(scale=2)).frames == 3
    shown = [float(frames_of(target)[0][1][8:-8, at : at + 8].mean()) for at in (12, 44, 76)]
    assert shown == pytest.approx([40, 120, 200], abs=3)
