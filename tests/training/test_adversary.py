"""The adversarial loss: off by default, and resumed exactly where it is on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic import make_video

from vsr.errors import CheckpointFormatError
from vsr.training.adversary import Adversary, UNetDiscriminator
from vsr.training.loop import train
from vsr.training.options import (
    AdversarialOptions,
    CompactOptions,
    DataOptions,
    OptimizerOptions,
    RunOptions,
    TrainOptions,
)
from vsr.training.world import World

ALONE = World(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "clip.mp4", frames=4, size=(64, 48))
    return folder


def tiny(videos: Path, output: Path, *, weight: float = 0.05, steps: int = 4) -> TrainOptions:
    folder = str(videos)
    return TrainOptions(
        data=DataOptions(
            train=folder, val=folder, cache=f"{folder}/cache", crop=10, length=2, batch=1,
            val_frames=1,
        ),
        network=CompactOptions(scale=2, channels=8, blocks=1),
        optimizer=OptimizerOptions(steps=steps, warmup=1),
        adversarial=AdversarialOptions(weight=weight, channels=4),
        run=RunOptions(output=str(output), device="cpu", precision="bf16", log_every=1),
    )  # fmt: skip


def quiet(line: str) -> None:
    del line


def test_the_discriminator_is_the_published_one() -> None:
    with torch.device("meta"):
        network = UNetDiscriminator(64)
    assert sum(p.numel() for p in network.parameters()) == 4_376_897


@torch.no_grad()
def test_spectral_norms_are_one() -> None:
    network = UNetDiscriminator(4)
    for _ in range(30):
        network(torch.rand(1, 3, 16, 16))
    network.eval()
    layers = [*network.down, *network.up, *network.smooth]
    assert len(layers) == 8
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert float(norm) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("size", [(16, 24), (13, 30), (3, 5)])
def test_every_pixel_is_judged(size: tuple[int, int]) -> None:
    assert UNetDiscriminator(4)(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_it_learns_to_tell_and_its_judgement_pulls_towards_truth() -> None:
    adversary = Adversary(
        AdversarialOptions(weight=1, channels=8, lr=2e-3), betas=(0.9, 0.99), world=ALONE,
        fp16=False,
    )  # fmt: skip
    plain = torch.autocast("cpu", enabled=False)
    gt, sr = torch.full((1, 2, 3, 16, 16), 0.7), torch.full((1, 2, 3, 16, 16), 0.3)
    losses = [adversary.learn(sr, gt, plain) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    sr.requires_grad_()
    adversary.judge(sr).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert sr.grad.sum() < 0
    learnt = [p.grad.clone() for p in adversary.network.parameters() if p.grad is not None]
    assert learnt
    adversary.judge(sr).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close([p.grad for p in adversary.network.parameters()], learnt)


def test_stop_and_resume_equals_straight_bit_for_bit(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path / "straight"), say=quiet)
    part = tiny(videos, tmp_path / "parts")
    stopping = replace(part, run=replace(part.run, max_minutes=1e-9))
    train(stopping, say=quiet)
    train(stopping, resume=True, say=quiet)
    train(part, resume=True, say=quiet)
    straight, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("straight", "parts")
    )
    assert parts["step"] == 4
    for name in ("network", "optimizer", "ema", "adversary"):
        torch.testing.assert_close(parts[name], straight[name], rtol=0, atol=0)


def test_weight_zero_is_off(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path, weight=0, steps=1), say=quiet)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert "adversary" not in saved
    assert "discriminator" not in json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])


def test_resuming_without_it_is_refused(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path, steps=1), say=quiet)
    with pytest.raises(CheckpointFormatError, match=r"adversary.*adversarial\.weight"):
        train(tiny(videos, tmp_path, weight=0), resume=True, say=quiet)
