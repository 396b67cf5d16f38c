"""Colours of codecs and containers that cannot tag all of them: what a player shows is the same."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_video, rgb_to_planes

from vsr.errors import ConfigError, EncodeError
from vsr.media.probe import probe
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import enhance
from vsr.plan import plan_job

GREEN = (20, 200, 60)
HD, SD, BT2020_PQ = (1, 1, 1, 1), (6, 6, 6, 1), (9, 16, 9, 1)
SD_MATRIX_ALONE, FULL_HD = (2, 2, 5, 1), (1, 1, 1, 2)


def green(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREEN, np.uint8)


def as_players_read(path: Path) -> NDArray[np.float64]:
    """Mean R, G, B of a file, its planes read by its tags, or by its size."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    stated = frame.colorspace
    matrix = (1 if frame.height > 576 or frame.width > 1024 else 6) if stated == 2 else stated
    full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
    corners = np.array([[[0, 0, 0]], [[255, 0, 0]], [[0, 255, 0]], [[0, 0, 255]]], np.uint8)
    bits = frame.format.components[0].bits
    name = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    basis = np.array(rgb_to_planes(corners, name, (2, 2, matrix, 2 if full else 1)), float)[..., 0]
    planes = [
        np.frombuffer(plane, np.uint8 if bits == 8 else "<u2").reshape(plane.height, -1)
        for plane in frame.planes
    ]
    means = np.array([plane[:, : plane.shape[1] // 2].mean() for plane in planes])
    # Affine, so the planes of black and of the three primaries tell all of it.
    shares = np.linalg.solve(basis[:, 1:] - basis[:, :1], means - basis[:, 0])
    return np.asarray(255 * shares)


@pytest.mark.parametrize(
    ("codec", "suffix", "color", "said"),
    [
        ("mpeg4", ".avi", HD, "mpeg4 in .avi.*: converted to BT.601, without tags of primaries"),
        ("mpeg4", ".avi", None, None),
        ("mpeg4", ".mp4", SD_MATRIX_ALONE, None),
        ("mpeg4", ".mov", FULL_HD, "converted to limited range"),
        ("mpeg4", ".ts", SD, "without tags of primaries and transfer"),
        ("mpeg2video", ".avi", FULL_HD, "converted to limited range"),
        ("mjpeg", ".mkv", HD, "converted to BT.601"),
        ("ffv1", ".mp4", None, None),
        ("ffv1", ".avi", FULL_HD, "converted to BT.601, converted to limited range, without"),
        ("ffv1", ".mkv", FULL_HD, None),
        ("libvpx", ".webm", HD, "converted to BT.601"),
        ("prores_ks", ".mov", FULL_HD, "converted to limited range"),
    ],
)
def test_players_show_the_colors_of_the_source(
    tmp_path: Path,
    codec: str,
    suffix: str,
    color: tuple[int, int, int, int] | None,
    said: str | None,
) -> None:
    source = make_video(tmp_path / "in.mkv", frames=12, codec="ffv1", color=color, picture=green)
    target = tmp_path / f"out{suffix}"
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(codec=codec))
    result = enhance(source, target, options)
    assert as_players_read(target) == pytest.approx(GREEN, abs=4)
    notes = [warning for warning in result.warnings if "cannot tag" in warning]
    assert bool(notes) == bool(said)
    assert all(re.search(said or "", note) for note in notes)


def test_untagged_sd_that_becomes_hd_is_converted_to_what_hd_is_taken_for(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mkv", frames=1, size=(320, 180), codec="ffv1", picture=green)
    target = tmp_path / "out.avi"
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(codec="mpeg4"))
    result = enhance(source, target, options)
    assert probe(target).video.color.matrix == 2
    assert as_players_read(target) == pytest.approx(GREEN, abs=4)
    assert any("converted to BT.709" in warning for warning in result.warnings)


def test_hdr_goes_only_where_it_can_be_tagged(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv", frames=1, codec="ffv1", pix_fmt="yuv420p10le", color=BT2020_PQ
    )
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(codec="ffv1"))
    assert plan_job(source, tmp_path / "out.mkv", options).encode.told.transfer == 16
    with pytest.raises(ConfigError, match=r"HDR .* and BT.2020 primaries, which ffv1 in .avi"):
        plan_job(source, tmp_path / "out.avi", options)


def test_an_encoder_that_opens_but_refuses_every_frame_is_an_error_in_words(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=1)
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(codec="vc2"))
    with pytest.raises(EncodeError, match=r"vc2 cannot be used for .* choose another --codec"):
        plan_job(source, tmp_path / "out.mov", options)
