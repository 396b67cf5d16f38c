"""Validation gives the numbers that `vsr evaluate` gives of the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import make_pictures

from vsr.benchmark import Measuring, evaluate
from vsr.data.clips import Clip
from vsr.errors import DatasetError, EncodeError
from vsr.evaluation.metrics import SSIM_WINDOW
from vsr.models.compact import Compact
from vsr.options import InferenceOptions
from vsr.training.loop import train
from vsr.training.options import (
    CompactOptions,
    DataOptions,
    OptimizerOptions,
    RunOptions,
    TrainOptions,
)
from vsr.training.validation import measure, strip, validate


def quiet(line: str) -> None:
    del line


def coloured(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose luma and RGB are not equally hard."""
    y, x = np.mgrid[0:height, 0:width]
    parts = (x * 5 + 8 * index, y * 7, (x * y) // 4 + 20 * index)
    return np.stack([part % 256 for part in parts], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def reds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip to train on and REDS4, whose low-quality side is not what would be made."""
    folder = tmp_path_factory.mktemp("reds")
    for name in ("000", "001", "011", "015", "020"):
        for side, size in (("train_sharp", (64, 48)), ("train_sharp_bicubic/X4", (16, 12))):
            (folder / side / name).mkdir(parents=True)
            for index in range(3):
                path = folder / side / name / f"{index:08d}.png"
                assert cv2.imwrite(str(path), coloured(index, *size)[..., ::-1])
    return folder


def on_reds(reds: Path, output: Path) -> TrainOptions:
    return TrainOptions(
        data=DataOptions(
            train=str(reds), val=str(reds), layout="reds", val_layout="reds4",
            cache=str(reds / "cache"), crop=8, length=3, batch=1,
        ),
        network=CompactOptions(scale=4, channels=8, blocks=1),
        optimizer=OptimizerOptions(steps=1),
        run=RunOptions(output=str(output), device="cpu", precision="fp32"),
    )  # fmt: skip


def test_reds4_is_measured_as_papers_measure_it(reds: Path, tmp_path: Path) -> None:
    numbers = train(on_reds(reds, tmp_path), say=quiet)
    weights = str(tmp_path / "weights.safetensors")
    measuring = Measuring(
        protocol="reds4",
        whole_clip=True,
        metrics=("psnr", "ssim"),
        inference=InferenceOptions(device="cpu", precision="fp32"),
    )
    results = evaluate([weights], reds, measuring)
    assert results.on_luma is False
    assert numbers["psnr_bicubic"] == pytest.approx(results.mean("bicubic").psnr, abs=0.02)
    assert numbers["psnr"] == pytest.approx(results.mean(weights).psnr, abs=0.02)
    assert numbers["ssim"] == pytest.approx(results.mean(weights).ssim, abs=1e-3)


def test_a_black_frame_leaves_the_others_to_be_measured() -> None:
    frames = np.stack([np.zeros((24, 32, 3), np.uint8), coloured(1, 32, 24), coloured(2, 32, 24)])
    network = Compact(scale=2, channels=8, blocks=1)
    clips = [Clip(name="x", frames=part, cuts=()) for part in (frames, frames[1:])]
    found, alone = (
        measure(network, clip, frames=9, scale=2, device=torch.device("cpu")) for clip in clips
    )
    assert np.isfinite(list(found.values())).all()
    assert found["psnr_bicubic"] == pytest.approx(alone["psnr_bicubic"])


def test_clips_of_one_name_have_a_strip_each(tmp_path: Path) -> None:
    names = ("clip.mp4", "other", "clip.mkv")
    clips = [
        Clip(name=name, frames=coloured(i, 32, 24)[None], cuts=()) for i, name in enumerate(names)
    ]
    network = Compact(scale=2, channels=8, blocks=1)
    shown: dict[str, NDArray[np.uint8]] = {}
    validate(network, clips, frames=1, scale=2, device=torch.device("cpu"), show=shown.__setitem__)
    assert list(shown) == ["clip", "other", "clip-2"]
    truths = [picture[-24:, -32:] for picture in shown.values()]
    np.testing.assert_array_equal(truths, [clip.frames[0] for clip in clips])


def test_a_strip_is_the_middle_of_the_middle_frame_below_its_names() -> None:
    films = [np.stack([coloured(i + n, 40, 30) for i in range(3)]) for n in range(2)]
    picture = strip(films, ("one", "two"), side=20)
    head = picture.shape[0] - 20
    assert picture.shape == (head + 20, 40, 3)
    crops = [film[1, 5:25, 10:30] for film in films]
    np.testing.assert_array_equal(picture[head:], np.concatenate(crops, axis=1))
    names = picture[:head, :20], picture[:head, 20:]
    assert names[0].any()
    assert names[1].any()
    assert not np.array_equal(*names)


def test_a_validation_clip_that_cannot_be_decoded_is_refused_before_training(
    reds: Path, tmp_path: Path
) -> None:
    data = tmp_path / "reds"
    shutil.copytree(reds, data, ignore=shutil.ignore_patterns("cache"))
    (data / "train_sharp" / "015" / "00000002.png").unlink()
    with pytest.raises(DatasetError, match=r"015': wanted 3 pictures .* got 2"):
        train(on_reds(data, tmp_path / "run"), say=quiet)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_validation_that_fails_does_so_before_training(
    reds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> float:
        raise EncodeError("x", "no encoder")

    monkeypatch.setattr("vsr.training.validation.ssim", fail)
    with pytest.raises(EncodeError):
        train(on_reds(reds, tmp_path), say=quiet)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_side_of_another_scale_is_refused_before_training(reds: Path, tmp_path: Path) -> None:
    options = on_reds(reds, tmp_path)
    other = replace(options, network=replace(options.network, scale=2))
    with pytest.raises(DatasetError, match=r"'000' of data.val: wanted \(3, 24, 32\).*x2"):
        train(other, say=quiet)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_what_is_too_small_to_measure_is_refused_before_training(
    reds: Path, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "val" / "small", frames=2, size=(64, SSIM_WINDOW))
    options = on_reds(reds, tmp_path / "run")
    data = replace(options.data, val=str(tmp_path / "val"), val_layout="folder")
    with pytest.raises(DatasetError, match=r"'small' of data.val is 64x11.*SSIM"):
        train(replace(options, data=data), say=quiet)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
