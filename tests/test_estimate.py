"""The trial that an estimate rests on, held against whole frames and a finished file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_video

from vsr import estimate
from vsr.media.formats import plane_format
from vsr.media.types import PlanarFrame
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import enhance
from vsr.plan import plan_job


@pytest.mark.parametrize(("name", "across"), [("yuv420p", 2), ("yuv411p", 4), ("yuv444p", 1)])
def test_chroma_is_cut_where_luma_is(name: str, across: int) -> None:
    width, height = 210, 150
    luma = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
    down = 2 if name == "yuv420p" else 1
    chroma = luma[::down, ::across]
    layout = plane_format(name)
    assert layout is not None
    frame = PlanarFrame(planes=(luma, chroma, chroma), format=layout, pts=0, duration=1)
    cut = estimate._cut(frame, (64, 64))
    assert cut.planes[0].shape == (64, 64)
    assert np.array_equal(cut.planes[1], cut.planes[0][::down, ::across])
    middle = (width - 64) / 2
    assert abs(int(cut.planes[0][0, 0]) - middle) <= estimate._SHARED


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "gbrp10le"])
def test_parts_weigh_what_whole_frames_weigh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pix_fmt: str
) -> None:
    film = make_video(tmp_path / "in.mkv", frames=6, size=(198, 134), rate=Fraction(24))
    options = EnhanceOptions(
        model="bicubic", scale=2, encode=EncodeOptions(codec="ffv1", pix_fmt=pix_fmt)
    )
    target = tmp_path / "out.mkv"
    job = plan_job(film, target, options)
    found = {}
    for seconds in (0.0, 1e9):  # the smallest part is enough; nothing but the whole is
        monkeypatch.setattr(estimate, "_LONG_ENOUGH", seconds)
        found[seconds] = estimate.estimate(job, options).bytes_for(job, options.piece)
    part, whole = found[0.0], found[1e9]
    assert part is not None
    assert whole is not None
    size = enhance(film, target, options).target
    assert 0.9 < whole / Path(size).stat().st_size < 1.1
    assert 0.3 < part / whole < 3
