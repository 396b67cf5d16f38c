"""Films of the `footage` degradation."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from vsr.data.clips import Clip
from vsr.data.datasets import Shot, shots
from vsr.data.degrade import bicubic_down, quantise
from vsr.data.footage import CASES, degrade_film, deinterlaced, named_film, open_film, sample_film
from vsr.data.recipe import FootageRecipe
from vsr.errors import DatasetError


def film(frames: int = 4, height: int = 96, width: int = 128, step: int = 2) -> Tensor:
    """A pan, (T, 3, H, W), 0 to 1."""
    picture = data.astronaut()
    cut = [
        picture[20 : 20 + height, 150 + step * i : 150 + step * i + width] for i in range(frames)
    ]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255


def shot(frames: int = 6) -> Shot:
    rgb = (film(frames) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return Shot(clip=Clip(name="pan", frames=rgb, cuts=()), first=0, last=frames)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_films_are_functions_of_the_draw_and_of_the_size_asked_for(scale: int) -> None:
    gt = film()
    for seed in range(8):
        one, look = degrade_film(gt, scale, np.random.default_rng(seed), FootageRecipe())
        other, _ = degrade_film(gt, scale, np.random.default_rng(seed), FootageRecipe())
        assert one.shape == (4, 3, 96 // scale, 128 // scale)
        assert torch.equal(one, other)
        assert torch.equal(one, quantise(one))
        assert 0.1 < look.gain <= 1


def test_clean_films_are_shrunk_bicubically_and_dark_ones_keep_to_a_dark_truth() -> None:
    recipe = replace(FootageRecipe(), clean=1.0, dark=1.0, grey=1.0)
    lq, look = degrade_film(film(), 2, np.random.default_rng(0), recipe)
    assert look.gain < 1
    assert torch.equal(lq, quantise(bicubic_down(look.of(film()), 2)))
    assert torch.equal(look.of(film())[:, 0], look.of(film())[:, 2])


def test_severity_decides_how_bad_a_film_is() -> None:
    clean = bicubic_down(film(), 2)
    errors = []
    for severity in ((1.0, 60.0), (60.0, 1.0)):
        recipe = replace(FootageRecipe(), clean=0.0, dark=0.0, grey=0.0, severity_beta=severity)
        films = [degrade_film(film(), 2, np.random.default_rng(i), recipe)[0] for i in range(10)]
        errors.append(np.mean([float((x - clean).square().mean()) for x in films]))
    assert errors[1] > 3 * errors[0]


def test_a_film_is_made_once_and_a_crop_of_it_lies_over_its_truth(tmp_path: Path) -> None:
    recipe = replace(FootageRecipe(), clean=1.0, dark=0.0, grey=0.0)
    made = open_film(shot(), 2, recipe, seed=0, variant=0, folder=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.film")}
    again = open_film(shot(), 2, recipe, seed=0, variant=0, folder=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.film")} == files
    assert np.array_equal(made.lq[slice(6),], again.lq[slice(6),])
    for seed in range(4):
        gt, lq = sample_film(
            [shot()], recipe, length=2, side=48, scale=2, seed=(0, seed, 0), variants=range(1),
            folder=tmp_path,
        )  # fmt: skip
        expected = bicubic_down(gt.float() / 255, 2)
        # Away from the border, where the crop's own shrinking sees less.
        inner = (..., slice(4, -4), slice(4, -4))
        torch.testing.assert_close(lq.float()[inner] / 255, expected[inner], atol=2 / 255, rtol=0)


def test_variants_differ(tmp_path: Path) -> None:
    one, other = (
        open_film(shot(), 2, FootageRecipe(), seed=0, variant=i, folder=tmp_path) for i in (0, 1)
    )
    assert not np.array_equal(one.lq[slice(6),], other.lq[slice(6),])


def test_long_shots_are_divided_and_none_gets_too_short() -> None:
    frames = np.zeros((100, 16, 16, 3), np.uint8)
    clip = Clip(name="long", frames=frames, cuts=(30,))
    found = shots([clip], length=20, side=16, longest=48)
    assert [(x.first, x.last) for x in found] == [(0, 30), (30, 65), (65, 100)]
    found = shots([clip], length=40, side=16, longest=48)
    assert [(x.first, x.last) for x in found] == [(30, 100)]


@pytest.mark.parametrize("longest", [None, 48])
def test_a_clip_that_gives_no_shot_changes_nothing_for_others(longest: int | None) -> None:
    few, many = (Clip(name="", frames=np.zeros((n, 16, 16, 3), np.uint8), cuts=()) for n in (9, 90))
    found = shots([few, many], length=20, side=16, longest=longest)
    assert found == shots([many], length=20, side=16, longest=longest)


def test_films_of_clips_that_begin_alike_are_their_own(tmp_path: Path) -> None:
    recipe = replace(FootageRecipe(), clean=1.0, dark=0.0, grey=0.0)
    for level in (40, 200):
        frames = np.full((6, 32, 32, 3), level, np.uint8)
        frames[0] = 0  # both fade in from black
        faded = Shot(clip=Clip(name="", frames=frames, cuts=()), first=0, last=6)
        made = open_film(faded, 2, recipe, seed=0, variant=0, folder=tmp_path)
        assert np.array_equal(made.lq[slice(1, 6),], frames[1:, ::2, ::2])


def test_what_a_killed_run_left_of_films_is_removed(tmp_path: Path) -> None:
    left = [tmp_path / name for name in ("0.film", "1.film", "1.film.json", ".2.part")]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    open_film(shot(), 2, FootageRecipe(), seed=0, variant=0, folder=tmp_path)
    assert not any(path.exists() for path in left)


def test_films_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    (tmp_path / "films").touch()
    with pytest.raises(DatasetError, match=r"degraded films of 'pan'.*data\.cache"):
        open_film(shot(), 2, FootageRecipe(), seed=0, variant=0, folder=tmp_path / "films")


def test_a_blur_from_0_on_may_be_none() -> None:
    recipe = replace(
        FootageRecipe(), clean=0.0, blur=1.0, blur_sigma=(0.0, 0.0), sampling=0.0, codec=0.0,
        again=0.0, dark=0.0, grey=0.0, tape=0.0, noise=0.0, archive=0.0, sharpen=0.0,
    )  # fmt: skip
    lq, _ = degrade_film(film(), 2, np.random.default_rng(0), recipe)
    torch.testing.assert_close(lq, bicubic_down(film(), 2), atol=1 / 255, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"qscale": (0, 16)}, {"severity_beta": (0, 1)}, {"codec_odds": (-1, 1, 1, 1, 1, 1)}]
)
def test_ranges_that_nothing_can_be_drawn_from_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted"):
        replace(FootageRecipe(), **wrong)


@pytest.mark.parametrize("case", CASES)
def test_named_films_repeat_and_keep_the_truth_but_for_dark(case: str) -> None:
    gt = quantise(film())
    lq, truth = named_film(gt, 2, case)  # type: ignore[arg-type]
    again, _ = named_film(gt, 2, case)  # type: ignore[arg-type]
    assert lq.shape == (4, 3, 48, 64)
    assert torch.equal(lq, again)
    assert torch.equal(truth, quantise(gt * 0.4) if case == "dark" else gt)
    clean = bicubic_down(truth, 2)
    assert torch.equal(lq, clean) == (case == "clean")
    assert float((lq - clean).abs().mean()) < 0.08


def test_deinterlacing_a_still_film_leaves_it_nearly_alone() -> None:
    still = film(1).expand(4, -1, -1, -1)
    found = deinterlaced(still)
    assert float((found - still).abs().mean()) < 2.5 / 255


def test_a_recipe_that_cannot_be_drawn_from_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise is 1\.5; wanted a chance"):
        FootageRecipe(noise=1.5)
    with pytest.raises(ValueError, match="codecs has 1 names and codec_odds 6"):
        FootageRecipe(codecs=("libx264",))
