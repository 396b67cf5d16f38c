"""Batches carry what the options ask for, the same for the same step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vsr.data.clips import Clip
from vsr.data.datasets import Shot, shots
from vsr.data.degrade import bicubic_down, blur_down
from vsr.data.recipe import RealRecipe
from vsr.errors import ConfigError
from vsr.models.compact import Compact
from vsr.training.batches import Batch, Batches
from vsr.training.loop import check
from vsr.training.objective import Objective
from vsr.training.options import (
    CompactOptions,
    DataOptions,
    LossOptions,
    TrainOptions,
    read_options,
)
from vsr.training.world import World

ALONE = World(rank=0, size=1, device=torch.device("cpu"))


def options(scale: int = 2, **data: object) -> TrainOptions:
    return TrainOptions(
        data=DataOptions(train="t", val="v", crop=16, length=3, batch=2, **data),  # type: ignore[arg-type]
        network=CompactOptions(scale=scale, channels=8, blocks=1),
        real=RealRecipe(clean=0),
    )


def found(*, paired: bool = False) -> list[Shot]:
    frames = np.random.default_rng(0).integers(0, 255, (5, 40, 48, 3), dtype=np.uint8)
    lq = np.ascontiguousarray(frames[:, ::2, ::2]) if paired else None
    return shots([Clip(name="c", frames=frames, cuts=(), lq=lq)], length=3, side=32)


def batch(chosen: TrainOptions, step: int = 5, *, paired: bool = False) -> Batch:
    return Batches(found(paired=paired), chosen, ALONE)[step]


def test_bicubic_is_left_to_the_device() -> None:
    made = batch(options())
    assert made.gt.shape == (2, 3, 3, 32, 32)
    assert made.lq is None


def test_the_low_quality_side_of_a_data_set_is_taken_where_it_is_bicubic() -> None:
    made = batch(options(), paired=True)
    assert made.lq is not None
    assert torch.equal(made.lq[0, 0], made.gt[0, 0, :, ::2, ::2]) or torch.equal(
        made.lq[0, 0], made.gt[0, 0, :, 1::2, 1::2]
    )
    assert batch(replace(options(4), network=CompactOptions(scale=2))).lq is None


@pytest.mark.parametrize("paired", [False, True])
def test_real_batches_are_degraded_by_their_step(paired: bool) -> None:
    chosen = options(degradation="real")
    first, again, other = (batch(chosen, step, paired=paired) for step in (5, 5, 6))
    assert first.lq is not None
    assert again.lq is not None
    assert other.lq is not None
    assert first.lq.shape == (2, 3, 3, 16, 16)
    assert first.lq.dtype == torch.uint8
    assert torch.equal(first.lq, again.lq)
    assert not torch.equal(first.lq, other.lq)
    assert not torch.equal(first.lq, (bicubic_down(first.gt.float() / 255, 2) * 255).byte())


def test_mirrored_clips_are_played_forth_and_back() -> None:
    for data in ({"mirror": True}, {"mirror": True, "degradation": "real"}):
        made = batch(options(**data))
        assert made.gt.shape[1] == 6
        assert torch.equal(made.gt, made.gt.flip(1))
        assert made.lq is None or made.lq.shape[1] == 6
    both = batch(options(mirror=True), paired=True).lq
    assert both is not None
    assert torch.equal(both, both.flip(1))


def test_bd_input_is_what_the_network_is_given() -> None:
    network = Compact(scale=4, channels=8, blocks=1)
    objective = Objective(network, LossOptions(), degradation="bd")
    gt = torch.rand(1, 2, 3, 64, 64)
    made, given = objective(gt)[0], objective(gt, blur_down(gt))[0]
    assert torch.equal(made, given)
    assert not torch.equal(made, objective(gt, bicubic_down(gt, 4))[0])


def test_bd_at_another_scale_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.scale = 4; got 2"):
        check(options(degradation="bd"))


def test_options_that_films_would_ignore_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.sharpen = true is for other degradations"):
        check(options(degradation="footage", sharpen=True))
    with pytest.raises(
        ConfigError, match=r"data\.shrink = \[2, 4\] is for data\.layout = 'folder'"
    ):
        check(options(degradation="footage", shrink=(2, 4), layout="reds"))


def test_the_recipe_is_read_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    text = '[data]\ntrain = "a"\nval = "b"\n[real]\nclean = 0.5\nquantiser = [20, 22]\n'
    path.write_text(text)
    read = read_options(path)
    assert (read.real.clean, read.real.quantiser) == (0.5, (20, 22))
    path.write_text(text + "sharpness = 1\n")
    with pytest.raises(ConfigError, match=r"unknown key 'real\.sharpness'.*archive"):
        read_options(path)
