"""The `real` degradation: each stage does what it says, and all is a function of the seed."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from vsr.data.codecs import compress, compress_with_any, jpeg
from vsr.data.degrade import (
    bicubic_down,
    bleed,
    comb,
    film_grain,
    flicker,
    gaussian_noise,
    poisson_noise,
    scratch,
    walk,
)
from vsr.data.real import degrade_clip, degrade_real
from vsr.data.recipe import Order, RealRecipe, opened
from vsr.errors import EncodeError
from vsr.media.roundtrip import CodecSettings

SIGMA = torch.tensor([0.02, 0.05, 0.1])


def photograph(frames: int = 4, height: int = 96, width: int = 128) -> Tensor:
    """A pan, (T, 3, H, W)."""
    picture = data.astronaut()
    cut = [picture[20 : 20 + height, 150 + 2 * i : 150 + 2 * i + width] for i in range(frames)]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255


def nothing() -> Order:
    return Order(
        blur=0, blur_sigma=(0.1, 0.1), resize=(1, 1), noise=0, gaussian_sigma=(1, 1),
        poisson_scale=(1, 1), jpeg=0, jpeg_quality=(90, 90),
    )  # fmt: skip


def test_what_is_measured_hangs_on_the_name_alone() -> None:
    gt = photograph(5, 160, 240)
    # With these names rounding shows: unguarded, other threads give other pixels.
    for name in ("clip-20.mp4", "clip-48.mp4", "clip-53.mp4"):
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(degrade_clip(gt, 4, "real", name=name))
            assert torch.get_num_threads() == threads
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])
        assert not torch.equal(found[0], bicubic_down(gt, 4))
    assert not torch.equal(found[0], degrade_clip(gt, 4, "real", name="a.mp4"))


def test_a_measured_clip_has_as_many_draws_as_are_asked_for() -> None:
    gt = photograph(3)
    first, again, second = (degrade_clip(gt, 4, "real", name="a.mp4", draw=i) for i in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first, degrade_clip(gt, 4, "real", name="a.mp4"))


def ranges(recipe: RealRecipe) -> dict[str, tuple[float, float]]:
    """All ranges and chances by name, a chance as the range from 0."""
    found = {}
    for part in (recipe, recipe.first, recipe.second):
        for name, value in vars(part).items():
            if isinstance(value, tuple) and len(value) == 2:
                found[name, part is recipe.second] = value
            elif isinstance(value, float):
                found[name, part is recipe.second] = (0.0, value)
    return found


def test_ranges_open_with_severity() -> None:
    recipe = RealRecipe()
    whole = opened(recipe, 1.0)
    assert replace(whole, severity=recipe.severity) == recipe
    narrower = ranges(opened(recipe, 0.0))
    for severity in (0.3, 0.7, 1.0):
        wider = ranges(opened(recipe, severity))
        for name, (low, high) in narrower.items():
            assert wider[name][0] <= low <= high <= wider[name][1], name
        narrower = wider
    gentle = opened(recipe, 0.0)
    assert gentle.first_codec == gentle.second.noise == gentle.second.blur == 0
    assert gentle.first.resize == (1, recipe.first.resize[1])
    assert gentle.first.jpeg_quality == (95, 95)
    assert gentle.quantiser == (16, 16)


def test_a_severe_clip_is_further_from_clean() -> None:
    gt = photograph(3)[None]
    clean = bicubic_down(gt, 4)
    errors = []
    for severity in (0.0, 0.5, 1.0):
        recipe = RealRecipe(clean=0, severity=(severity, severity))
        found = [degrade_real(gt, 4, seed=(seed,), recipe=recipe) - clean for seed in range(8)]
        errors.append(float(torch.cat(found).square().mean()))
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("scale", [2, 4])
def test_shape_and_levels_are_those_of_an_8_bit_file(scale: int) -> None:
    gt = torch.stack((photograph(3), photograph(3).flip(-1)))
    for seed in range(4):
        lq = degrade_real(gt, scale, seed=(seed,))
        assert lq.shape == (2, 3, 3, 96 // scale, 128 // scale)
        codes = lq * 255
        assert 0 <= float(codes.min()) <= float(codes.max()) <= 255
        torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    gt = photograph()[None].expand(2, -1, -1, -1, -1)
    recipe = RealRecipe(clean=0, archive=0.5)
    for seed in range(3):
        first, again, other = (
            degrade_real(gt, 4, seed=number, recipe=recipe)
            for number in ((7, seed), (7, seed), (8, seed))
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert not torch.equal(first[0], first[1])


def test_the_number_of_threads_changes_nothing() -> None:
    gt = F.interpolate(photograph(3), scale_factor=2)[None]
    usual = torch.get_num_threads()
    made = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made.append([degrade_real(gt, 2, seed=(0, seed, 0)) for seed in (0, 2)])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(usual)
    assert all(torch.equal(one, two) for one, two in zip(*made, strict=True))


def test_blurs_that_ring_have_a_cutoff_of_their_own() -> None:
    gt = photograph()[None]
    ringing = replace(RealRecipe().first, blur=1, noise=0, jpeg=0, resize=(4.0, 4.0))
    recipe = RealRecipe(
        clean=0,
        severity=(1, 1),
        kernels=(0, 0, 0, 0, 0, 0, 1),
        second=replace(ringing, blur=0),
        first_codec=0,
        last_codec=0,
        final_sinc=0,
        archive=0,
    )
    sharp, soft = (
        degrade_real(
            gt, 4, seed=(3,), recipe=replace(recipe, first=replace(ringing, sinc_cutoff=(x, x)))
        )
        for x in (4 * math.pi, 1.0)
    )
    none = degrade_real(gt, 4, seed=(3,), recipe=replace(recipe, first=replace(ringing, blur=0)))
    # A cutoff of pi at the picture's own pixels is no low-pass at all, but for the corners.
    assert (sharp - none).abs().mean() < 0.01 < 0.02 < (soft - none).abs().mean()


def test_the_picture_stays_in_its_place() -> None:
    """What has been done to it, no shift of it fits the bicubic picture better."""
    gt = photograph(3)[None]
    clean = bicubic_down(gt, 4)
    recipe = RealRecipe(clean=0, archive=0)
    errors = np.zeros((3, 3))
    for seed in range(6):
        lq = degrade_real(gt, 4, seed=(seed,), recipe=recipe)
        for y in (-1, 0, 1):
            for x in (-1, 0, 1):
                shifted = lq.roll((y, x), (-2, -1))[..., 2:-2, 2:-2]
                errors[y + 1, x + 1] += float((shifted - clean[..., 2:-2, 2:-2]).square().mean())
    assert errors.argmin() == 4
    # Shifts to both sides are equally bad: nothing lies half a pixel off.
    assert errors[1, 0] == pytest.approx(errors[1, 2], rel=0.35)
    assert errors[0, 1] == pytest.approx(errors[2, 1], rel=0.35)


def test_a_clean_clip_is_the_bicubic_one() -> None:
    gt = photograph()[None]
    lq = degrade_real(gt, 4, seed=(0,), recipe=RealRecipe(clean=1))
    assert torch.equal(lq, bicubic_down(gt, 4))


def test_a_recipe_without_stages_only_resizes() -> None:
    recipe = RealRecipe(
        clean=0, first=nothing(), second=nothing(), first_codec=0, last_codec=0, final_sinc=0,
        archive=0,
    )  # fmt: skip
    gt = photograph()[None]
    for seed in range(3):
        difference = degrade_real(gt, 2, seed=(seed,), recipe=recipe) - bicubic_down(gt, 2)
        assert difference.square().mean().sqrt() < 0.03


def test_a_side_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        degrade_real(torch.zeros(1, 2, 3, 30, 32), 4, seed=(0,))


def test_walks_keep_to_limits_and_step_and_reach_all_values() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([walk(rng, (2.0, 5.0), 0.25, 200) for _ in range(50)])
    assert values.min() >= 2
    assert values.max() <= 5
    assert np.abs(np.diff(values)).max() <= 0.25
    assert np.abs(np.diff(values)).mean() == pytest.approx(0.125, rel=0.1)
    counts, _ = np.histogram(values, bins=6, range=(2, 5))
    assert counts.min() > 0.5 * counts.max()


def test_a_walk_without_room_stands_still() -> None:
    rng = np.random.default_rng(0)
    assert walk(rng, (3.0, 3.0), 1.0, 4).tolist() == [3.0] * 4


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_the_sigma_of_its_frame(gray: bool) -> None:
    clip = torch.full((3, 3, 64, 64), 0.5)
    noise = gaussian_noise(clip, SIGMA, gray=gray, seed=1) - clip
    torch.testing.assert_close(noise.std((1, 2, 3)), SIGMA, rtol=0.05, atol=0)
    assert torch.equal(noise[:, 0], noise[:, 1]) == gray


@pytest.mark.parametrize("gray", [False, True])
def test_poisson_noise_grows_with_the_root_of_light(gray: bool) -> None:
    light = torch.tensor([0.1, 0.4, 0.9]).view(3, 1, 1, 1).expand(3, 3, 64, 64)
    noise = poisson_noise(light, torch.tensor([1.0, 0.5, 2.0]), gray=gray, seed=1) - light
    expected = torch.tensor([1.0, 0.5, 2.0]) * (light[:, 0, 0, 0] / 255).sqrt()
    torch.testing.assert_close(noise.std((1, 2, 3)), expected, rtol=0.05, atol=0)
    assert noise.mean((1, 2, 3)).abs().max() < 0.005


def test_grain_is_gray_soft_and_strongest_in_middle_tones() -> None:
    light = torch.tensor([0.02, 0.5]).view(2, 1, 1, 1).expand(2, 3, 96, 96)
    noise = film_grain(light, 0.04, 1.0, seed=1) - light
    assert float(noise[1].std()) == pytest.approx(0.04, rel=0.15)
    assert noise[0].std() < 0.4 * noise[1].std()
    torch.testing.assert_close(noise[:, 0], noise[:, 2], atol=1e-6, rtol=0)
    neighbours = (noise[1, 0, :, 1:] * noise[1, 0, :, :-1]).mean() / noise[1, 0].var()
    assert float(neighbours) == pytest.approx(np.exp(-0.25), abs=0.1)


def test_jpeg_is_the_codec_at_the_quality_of_each_frame() -> None:
    clip = photograph(2)
    done = jpeg(clip, [30, 90])
    for frame, quality, original in zip(done, (30, 90), clip, strict=True):
        bgr = (original * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
        packed = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        back = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal((frame * 255).round().permute(1, 2, 0).numpy(), back)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (63, 97), (15, 40)])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "mpeg2video"])
def test_a_codec_takes_any_size_and_keeps_frames(codec: str, height: int, width: int) -> None:
    clip = photograph(4, height, width)
    done = compress(clip, CodecSettings(codec=codec, quantiser=20))
    assert done.shape == clip.shape
    luma = [x.mean(1) for x in (clip, done)]
    errors = [[float((a - b).square().mean()) for b in luma[0]] for a in luma[1]]
    assert np.argmin(errors, axis=1).tolist() == [0, 1, 2, 3]


def test_an_encoder_that_refuses_is_followed_by_another() -> None:
    clip = photograph(2, 96, 130)  # H.263 knows five sizes, and this is none of them
    refusing = ("h263", "mpeg4")
    for seed in range(4):
        done = compress_with_any(clip, refusing, (20, 20), (9, 9), np.random.default_rng(seed))
        assert torch.equal(done, compress(clip, CodecSettings(codec="mpeg4", quantiser=20, gop=9)))


def test_encoders_that_all_refuse_are_an_error() -> None:
    with pytest.raises(EncodeError, match=r"130x96.*h263"):
        compress_with_any(
            photograph(2, 96, 130), ("h263",), (20, 20), (9, 9), np.random.default_rng(0)
        )


def test_a_comb_mixes_every_other_row_with_the_next_frame() -> None:
    clip = torch.rand(3, 3, 6, 4)
    done = comb(clip, 0.25)
    assert torch.equal(done[:, :, ::2], clip[:, :, ::2])
    assert torch.equal(done[2], clip[2])
    expected = 0.75 * clip[:2, :, 1::2] + 0.25 * clip[1:, :, 1::2]
    torch.testing.assert_close(done[:2, :, 1::2], expected)


def test_bleeding_colour_leaves_luma_and_moves_to_the_right() -> None:
    clip = torch.zeros(1, 3, 16, 64)
    clip[:, 0, :, 24:40] = 0.6
    clip += 0.2
    done = bleed(clip, "411", 1)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    before, after = (clip * weights).sum(1), (done * weights).sum(1)
    assert (before - after)[..., 48:].abs().max() < 0.01
    red = done[0, 0, 8] - done[0, 1, 8]
    centre = (red * torch.arange(64)).sum() / red.sum()
    assert float(centre) == pytest.approx(31.5 + 4, abs=1.0)


def test_flicker_changes_brightness_alone() -> None:
    clip = torch.rand(2, 3, 4, 4)
    done = flicker(clip, torch.tensor([0.9, 1.1], dtype=torch.float64))
    torch.testing.assert_close(done, torch.stack((clip[0] * 0.9, clip[1] * 1.1)))


def test_scratches_are_vertical_and_stay_near_their_column() -> None:
    clip = torch.full((5, 3, 8, 64), 0.5)
    done = scratch(clip, 1, 1.0, np.random.default_rng(3)) - clip
    assert torch.equal(done, done[:, :1, :1].expand_as(done))
    places = done[:, 0, 0].abs().argmax(-1)
    assert (places[1:] - places[:-1]).abs().max() <= 2
    assert done.abs().max() > 0.01


def test_an_archive_clip_differs_in_what_archives_add() -> None:
    gt = torch.full((1, 6, 3, 64, 64), 0.5)
    plain = RealRecipe(
        clean=0, first=nothing(), second=nothing(), first_codec=0, last_codec=0, final_sinc=0,
        archive=0,
    )  # fmt: skip
    aged = replace(plain, archive=1, scratches=0, comb=0, bleed=0)
    assert degrade_real(gt, 2, seed=(1,), recipe=plain).std() < 1e-6
    lq = degrade_real(gt, 2, seed=(1,), recipe=aged)[0]
    assert lq.mean((1, 2, 3)).std() > 1e-3
    assert lq.std((2, 3)).min() > 1e-3
