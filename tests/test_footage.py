"""A network for clean pictures says so when it meets visibly compressed ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_video

from vsr.media.probe import probe
from vsr.models.zoo import find_model, published_model
from vsr.options import EnhanceOptions
from vsr.planning import footage_warnings, plan_job


def texture(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


def video(path: Path, crf: int, **more: object) -> Path:
    options = {"crf": str(crf), "preset": "ultrafast"}
    size = (320, 176)
    return make_video(path, size=size, picture=texture, codec_options=options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["compact-x4", "basicvsr-pp-vimeo-bi", "basicvsr-vimeo-bd"])
def test_a_strongly_compressed_file_is_warned_of(tmp_path: Path, model: str) -> None:
    info = probe(video(tmp_path / "in.mp4", crf=51))
    known = find_model(model) if model == "compact-x4" else published_model(model)
    (warning,) = footage_warnings(info, known)
    assert f"'{model}' is made for clean video" in warning
    assert "h264 at 0." in warning


@pytest.mark.parametrize(
    "model", ["realbasicvsr", "basicvsr-pp-decompress-3", "basicvsr-pp-denoise"]
)
def test_a_network_that_is_not_for_clean_pictures_is_silent(tmp_path: Path, model: str) -> None:
    info = probe(video(tmp_path / "in.mp4", crf=51))
    assert not footage_warnings(info, published_model(model))


def test_interpolation_is_silent(tmp_path: Path) -> None:
    assert not footage_warnings(probe(video(tmp_path / "in.mp4", crf=51)), find_model("bicubic"))


def test_a_well_coded_file_is_not_warned_of(tmp_path: Path) -> None:
    assert not footage_warnings(probe(video(tmp_path / "in.mp4", crf=18)), find_model("compact-x4"))


def test_lossless_files_are_not_warned_of(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mkv", codec="ffv1", rate=Fraction(25))
    assert not footage_warnings(probe(path), find_model("compact-x4"))


def test_the_plan_carries_the_warning(tmp_path: Path) -> None:
    job = plan_job(
        video(tmp_path / "in.mp4", crf=51), tmp_path / "out.mp4", EnhanceOptions(model="compact-x4")
    )
    assert any("made for clean video" in warning for warning in job.warnings)


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "compact-x4-real"),
        ({"scale": 4}, "compact-x4-real"),
        ({"scale": 2}, "compact-x2-real"),
        ({"height": 96}, "compact-x2-real"),
        ({"height": 98}, "compact-x4-real"),
        ({"size": "100x96"}, "compact-x2-real"),
        ({"size": "130x96"}, "compact-x4-real"),
        ({"scale": 2, "model": "compact-x4"}, "compact-x4"),
    ],
)
def test_the_default_network_fits_the_size_asked_for(
    tmp_path: Path, options: dict[str, object], model: str
) -> None:
    source = make_video(tmp_path / "in.mp4", size=(64, 48), frames=2)
    job = plan_job(source, tmp_path / "out.mp4", EnhanceOptions(**options))  # type: ignore[arg-type]
    assert job.model.name == model
