"""What is said of a finished file: the report, its fidelity, the warnings."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import make_video
from torch import Tensor

from vsr.media.probe import probe
from vsr.models.bicubic import Bicubic
from vsr.models.contract import State
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import enhance
from vsr.report.measure import measure
from vsr.reporting import Warnings

BICUBIC = EnhanceOptions(model="bicubic", encode=EncodeOptions(preset="ultrafast", crf=10))


def test_the_report_holds_what_was_verified(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, audio=("aac",))
    report = enhance(source, tmp_path / "out.mp4", BICUBIC).report
    assert report["frames"] == 3
    for name, path in (("source", source), ("target", tmp_path / "out.mp4")):
        assert report[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["model"]["name"] == "bicubic"
    assert report["options"]["encode"]["crf"] == 10
    assert report["verification"]["target"] == report["target"]["path"]
    assert all(found["passed"] for found in report["verification"]["checks"])
    assert {"frames", "timestamps", "audio 1 packets"} <= {
        found["name"] for found in report["verification"]["checks"]
    }


def test_fidelity_is_what_comparing_the_finished_file_finds(tmp_path: Path) -> None:
    lossless = {"codec": "ffv1", "pix_fmt": "yuv444p", "color": (6, 6, 6, 1)}
    source = make_video(tmp_path / "in.mkv", frames=6, **lossless)
    options = EnhanceOptions(model="bicubic", encode=EncodeOptions(codec="ffv1"))
    found = enhance(source, tmp_path / "out.mkv", options).report["fidelity"]
    curve = measure([probe(source), probe(tmp_path / "out.mkv")]).curves[0].psnr
    # The finished file is rounded to 8 bit.
    assert found["mean_db"] == pytest.approx(np.mean(curve), abs=0.2)
    assert found["lowest_db"] == pytest.approx(min(curve), abs=0.2)


def test_the_worst_frames_are_named_with_their_times(tmp_path: Path) -> None:
    class Flash(Bicubic):
        """Adds a twentieth to the brightness of the frame that begins with a white corner."""

        def forward(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            sr, state = super().forward(lq, state, lookahead)
            white = lq[:, : sr.shape[1], :, :1, :1].mean(2, keepdim=True) > 0.5
            return sr + 0.05 * white, state

    def grey(index: int, width: int, height: int) -> NDArray[np.uint8]:
        return np.full((height, width, 3), 180 if index == 3 else 90, np.uint8)

    ticks = [1000, 1040, 1080, 1500, 1540]
    source = make_video(
        tmp_path / "in.mkv", pts=ticks, time_base=Fraction(1, 1000), picture=grey, codec="ffv1",
        pix_fmt="yuv444p",
    )  # fmt: skip
    target = tmp_path / "out.mkv"
    report = enhance(source, target, BICUBIC, load=lambda info, device: Flash()).report
    worst = report["fidelity"]["worst_frames"][0]
    assert (worst["frame"], worst["pts"], worst["seconds"]) == (3, 1500, 1.5)
    assert worst["db"] == pytest.approx(20 * np.log10(255 / (0.05 * 219)), abs=0.01)
    assert report["fidelity"]["lowest_db"] == worst["db"]


def test_a_result_that_is_unlike_its_input_is_said(tmp_path: Path) -> None:
    class Stripes(Bicubic):
        """Adds stripes as wide as eight pixels of the input."""

        def forward(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            sr, state = super().forward(lq, state, lookahead)
            light = torch.arange(sr.shape[-1]) // (8 * self.scale) % 2
            return sr + (0.4 * light - 0.2), state

    source = make_video(tmp_path / "in.mkv", frames=4)
    usual = enhance(source, tmp_path / "usual.mkv", BICUBIC)
    assert not any("unlike" in warning for warning in usual.warnings)
    striped = enhance(
        source, tmp_path / "striped.mkv", BICUBIC, load=lambda info, device: Stripes()
    )
    (said,) = (warning for warning in striped.warnings if "unlike the input" in warning)
    assert said.startswith("4 frames are unlike the input (fidelity below 20 dB), the first at 0.0")


def test_a_warning_is_told_once_and_kept() -> None:
    told: list[str] = []
    warn = Warnings(told.append)
    for sentence in ("a", "b", "a"):
        warn(sentence)
    assert told == warn.said == ["a", "b"]
