"""What only a GPU can show; skipped where PyTorch sees none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import known_networks
import numpy as np
import pytest
import torch
from decoded import decode
from pretended import CPU
from synthetic import make_video

from vsr.devices import usable_gpus
from vsr.inference.plan import Plan
from vsr.inference.queues import Copies
from vsr.inference.runner import LqFrame, SrFrame, upscale
from vsr.models.zoo import load_model
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

GPUS = usable_gpus()
pytestmark = pytest.mark.skipif(not GPUS, reason="no GPU")

PLAN = replace(known_networks.PLAN, margin=8)


def on_gpu(**changes: object) -> Plan:
    return replace(PLAN, device=str(GPUS[0]), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_copies_there_and_back_are_equal(dtype: torch.dtype) -> None:
    copies = Copies(GPUS[0])
    given = [torch.randint(0, 256, (50, 70)).to(dtype) * 1 for _ in range(40)]
    sent = [copies.up([tensor]) for tensor in given]
    made = [copies.down(each.tensors()) for each in sent]
    for tensor, back in zip(given, made, strict=True):
        np.testing.assert_array_equal(back.arrays()[0], tensor.numpy())


def pictures(plan: Plan) -> Iterator[SrFrame[None]]:
    clip = torch.rand(14, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(clip, 5, stride=1, padding=2)
    frames = [
        LqFrame(source=None, lq=rgb.to(plan.device), pts=n, scene_score=50.0 if n == 9 else 0.0)
        for n, rgb in enumerate(smooth)
    ]
    network = load_model("compact-x4", plan.device)
    return upscale(frames, network, plan, warn=pytest.fail)


@pytest.mark.parametrize("tile", [None, 40])
@pytest.mark.parametrize(("precision", "error"), [("fp32", 1 / 255), ("fp16", 4 / 255)])
def test_pictures_are_those_of_the_cpu(precision: str, error: float, tile: int | None) -> None:
    with torch.inference_mode():
        expected = torch.stack([done.sr for done in pictures(replace(PLAN, tile=tile))])
        found = [done.sr.to(CPU) for done in pictures(on_gpu(precision=precision, tile=tile))]
    torch.testing.assert_close(torch.stack(found), expected, atol=error, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only CUDA reports it")
def test_nothing_waits_while_pictures_are_made() -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.inference_mode():
            assert sum(1 for _ in pictures(on_gpu(precision="fp16"))) == 14
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_film_is_that_of_the_cpu(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", frames=20, pix_fmt="yuv420p10le", codec="libx265")
    films = []
    for device in ("cpu", str(GPUS[0])):
        inference = InferenceOptions(device=device, precision="fp32", window=4)
        encode = EncodeOptions(codec="ffv1")
        target = tmp_path / f"{len(films)}.mkv"
        options = EnhanceOptions(model="compact-x4", encode=encode, inference=inference)
        enhance(tmp_path / "in.mp4", target, options)
        films.append(np.stack([x.planes[0] for x in decode(target)[0]]).astype(np.int32))
    assert films[0].shape == (20, 192, 256)
    assert np.abs(films[0] - films[1]).max() <= 8  # of 1023
