"""Steadiness: known motion, known flicker."""

from __future__ import annotations

from math import inf

import cv2
import numpy as np
import pytest

from vsr.evaluation.scores import average, of_clip, score_frames
from vsr.evaluation.temporal import flicker, flow, flow_difference, visible, warping_error


def texture(dx: int = 0) -> np.ndarray:
    """A smooth texture, 96x128, moved dx pixels to the right."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255
    return smooth[:, 16 - dx : 144 - dx].astype(np.uint8)


INNER = (slice(16, -16), slice(16, -16))


def test_flow_points_to_where_a_pixel_lies_in_the_other_frame() -> None:
    found = flow(texture(0), texture(3))[INNER]
    assert np.abs(found - (3, 0)).mean() < 0.2


@pytest.mark.parametrize(("height", "width"), [(12, 64), (64, 12), (11, 11), (1, 40)])
def test_tiny_pictures_have_a_flow(height: int, width: int) -> None:
    picture = np.ascontiguousarray(texture()[:height, :width])
    assert flow(picture, picture).shape == (height, width, 2)


def test_a_film_that_moves_otherwise_has_a_flow_difference() -> None:
    still, moving = flow(texture(0), texture(0)), flow(texture(0), texture(2))
    assert flow_difference(moving, moving) == 0
    assert flow_difference(still[INNER], moving[INNER]) == pytest.approx(2, abs=0.2)


def test_pure_motion_warps_without_error() -> None:
    before, now = texture(0), texture(2)
    to_previous = np.broadcast_to(np.float32([-2, 0]), (96, 128, 2)).copy()
    seen = visible(to_previous, -to_previous)
    assert warping_error(before, now, to_previous, seen) == (0, 0)
    assert warping_error(before, texture(4), to_previous, seen).squared > 1e-4


def test_a_film_that_brightens_warps_with_just_that_error() -> None:
    before = np.full((40, 40, 3), 100, np.uint8)
    still = np.zeros((40, 40, 2), np.float32)
    error = warping_error(before, before + np.uint8(5), still, visible(still, still))
    assert error == pytest.approx(((5 / 255) ** 2, 5))


def test_pixels_that_were_outside_or_hidden_are_not_visible() -> None:
    to_previous = np.broadcast_to(np.float32([-2, 0]), (96, 128, 2)).copy()
    seen = visible(to_previous, -to_previous)
    assert not seen[:, :2].any()
    assert seen[:, 2:].all()
    assert not visible(to_previous, to_previous).any()


def test_a_constant_error_does_not_flicker_a_changing_one_does() -> None:
    error = np.full((8, 8), 7.0)
    assert flicker(error, error) == 0
    assert flicker(error, -error) == 14


def clip(count: int) -> list[np.ndarray]:
    return [texture(i) for i in range(count)]


def test_the_first_frame_has_no_scores_over_time() -> None:
    scores = score_frames([(f, f) for f in clip(3)])
    assert scores[0].tof is None
    assert scores[0].flicker is None
    assert [s.tof for s in scores[1:]] == [0, 0]
    assert [s.flicker for s in scores[1:]] == [0, 0]
    assert scores[1].warping == scores[1].warping_of_truth
    assert scores[1].warping_absolute == scores[1].warping_absolute_of_truth


def test_a_clip_names_its_worst_frames() -> None:
    gt = clip(5)
    sr = [f.copy() for f in gt]
    for index, levels in ((3, 40), (1, 20), (0, 9), (2, 3), (4, 1)):
        sr[index][:10] ^= np.uint8(levels)
    found = of_clip(score_frames(zip(sr, gt, strict=True), steadiness=()))
    assert found.worst == {"psnr": (3, 1, 0)}
    assert found.tof is None


def test_the_worst_frames_over_time_are_those_after_a_jolt() -> None:
    gt = clip(6)
    sr = [f.copy() for f in gt]
    # A shift is seen by all three, at its frame and as it goes.
    sr[3] = np.roll(sr[3], 4, axis=1)
    found = of_clip(score_frames(zip(sr, gt, strict=True)))
    assert found.worst["psnr"][0] == 3
    for measure in ("tof", "warping", "flicker"):
        assert set(found.worst[measure][:2]) == {3, 4}
        assert 0 not in found.worst[measure]


def test_means_are_over_frames_then_over_clips() -> None:
    gt = clip(3)
    noisy = [np.clip(f.astype(int) + 5, 0, 255).astype(np.uint8) for f in gt]
    worse = [np.clip(f.astype(int) + 9, 0, 255).astype(np.uint8) for f in gt]
    one = of_clip(score_frames(zip(noisy, gt, strict=True), steadiness=()))
    two = of_clip(score_frames(zip(worse[:1], gt[:1], strict=True), steadiness=()))
    assert average([one, two]).psnr == pytest.approx((one.psnr + two.psnr) / 2)
    assert average([one, two]).frames == 4


def test_a_black_frame_does_not_make_the_mean_infinite() -> None:
    black = np.zeros_like(clip(1)[0])
    gt = [black, *clip(2)]
    sr = [black, *(np.clip(frame.astype(int) + 4, 0, 255).astype(np.uint8) for frame in gt[1:])]
    frames = score_frames(zip(sr, gt, strict=True), steadiness=())
    assert frames[0].psnr == inf
    assert of_clip(frames).psnr == pytest.approx(np.mean([frame.psnr for frame in frames[1:]]))
    assert of_clip(frames[:1]).psnr == inf
