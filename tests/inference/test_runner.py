"""The runner with networks whose right answer is known."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from known_networks import PLAN, Accumulator, Blurring, LookingAhead, clip, pictures, run, whole
from torch import Tensor

from vsr.inference.runner import LqFrame, finish, upscale
from vsr.models.bicubic import Bicubic
from vsr.models.contract import State
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes
from vsr.ops.resize import resize


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("lookahead", [0, 1, 3])
@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 11])
def test_each_frame_comes_out_once_in_order_at_its_own_time(
    count: int, window: int, lookahead: int
) -> None:
    frames = clip(count, cuts=[3, 4, 9])
    plan = replace(PLAN, window=window, lookahead=lookahead)
    out, said = run(frames, Bicubic(scale=2), plan)
    assert [(f.pts, f.source) for f in out] == [(f.pts, f.source) for f in frames]
    assert all(torch.equal(a.lq, b.lq) for a, b in zip(out, frames, strict=True))
    assert all(frame.sr.shape == (3, 12, 16) for frame in out)
    assert said == []


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("lookahead", [2, 3])
@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_windows_with_their_state_equal_the_whole(window: int, lookahead: int) -> None:
    frames = clip(13)
    plan = replace(PLAN, window=window, lookahead=lookahead)
    out, _ = run(frames, LookingAhead(), plan)
    assert torch.equal(pictures(out), whole(frames, LookingAhead()))


def test_too_little_lookahead_shows() -> None:
    frames = clip(13)
    out, _ = run(frames, LookingAhead(), replace(PLAN, lookahead=0))
    assert not torch.equal(pictures(out), whole(frames, LookingAhead()))


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_after_a_cut_pictures_are_those_of_the_second_shot_alone(
    tile: int | None, precision: str
) -> None:
    frames = clip(17, 20, 24, cuts=[6])
    plan = replace(PLAN, tile=tile, precision=precision)
    joined, _ = run(frames, LookingAhead(), plan)
    alone, _ = run(frames[6:], LookingAhead(), plan)
    assert torch.equal(pictures(joined[6:]), pictures(alone))


@pytest.mark.usefixtures("_ahead")
def test_the_state_is_dropped_at_cuts_only() -> None:
    network = Accumulator()
    run(clip(12, cuts=[7]), network, replace(PLAN, window=3, lookahead=1))
    assert network.calls == [(4, 1, True), (4, 0, False), (4, 1, True), (2, 0, False)]


def test_frames_are_drawn_as_needed_and_few_are_held() -> None:
    references: list[weakref.ref[LqFrame[None]]] = []

    def source() -> Iterator[LqFrame[None]]:
        for number in range(60):
            frame = LqFrame(source=None, lq=torch.rand(3, 4, 4), pts=number)
            references.append(weakref.ref(frame))
            yield frame
            del frame

    drawn, held = [], []
    for _ in upscale(source(), Accumulator(), PLAN, warn=pytest.fail):
        drawn.append(len(references))
        held.append(sum(reference() is not None for reference in references))
    assert drawn[0] == 7
    assert max(held) <= 4 + 2 + 2  # those of the window, one to see the end, the one being drawn


@pytest.mark.usefixtures("_ahead")
def test_pictures_that_were_given_away_are_not_kept() -> None:
    storages: list[weakref.ref[Tensor]] = []
    most = 0

    upscaled = upscale(clip(30), Accumulator(), PLAN, warn=pytest.fail)
    for final in (done.sr.clone() for done in upscaled):
        storages.append(weakref.ref(final))
        most = max(most, sum(reference() is not None for reference in storages))
    assert most <= 2


@pytest.mark.usefixtures("_ahead")
def test_each_picture_comes_with_its_own_input() -> None:
    frames = clip(9)
    final = partial(finish, height=9, width=10, strength=0.0)
    out, _ = run(frames, Accumulator())
    expected = [final(frame.lq, frame.lq) for frame in frames]
    assert torch.equal(torch.stack([final(f.sr, f.lq) for f in out]), torch.stack(expected))


def test_results_may_be_computed_with_outside() -> None:
    out, _ = run(clip(2), Accumulator())
    assert not out[0].sr.requires_grad
    assert (out[0].sr * 2 + torch.ones(())).isfinite().all()


def test_half_precision_computes_in_it() -> None:
    seen: list[torch.dtype] = []

    class Watching(Accumulator):
        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            seen.append(torch.matmul(torch.eye(2), torch.eye(2)).dtype)
            return super().__call__(lq, state, lookahead)

    run(clip(2), Watching(), replace(PLAN, precision="bf16"))
    run(clip(2), Watching(), PLAN)
    assert seen == [torch.bfloat16, torch.float32]


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("tile", [None, 16])
def test_from_any_border_the_pictures_are_those_of_one_run(tile: int | None) -> None:
    plan = replace(PLAN, tile=tile)
    frames = clip(31, height=24, width=32, cuts=[9, 10, 17])
    network = Blurring()
    whole = list(upscale(frames, network, plan, warn=print))
    borders = [(number, done.position) for number, done in enumerate(whole, 1) if done.position]
    assert borders[-1][0] == 31
    assert len({number for number, _ in borders}) == len(borders) == 7
    for number, position in borders:
        rest = list(upscale(frames[number:], network, plan, warn=print, start=position))
        assert [frame.pts for frame in rest] == [frame.pts for frame in whole[number:]]
        for again, once in zip(rest, whole[number:], strict=True):
            assert torch.equal(again.sr, once.sr)


@pytest.mark.usefixtures("_ahead")
def test_a_border_at_a_cut_remembers_nothing_and_others_do() -> None:
    def borders(cuts: list[int]) -> list[tuple[bool, int]]:
        out, _ = run(clip(10, cuts=cuts), Accumulator())
        return [(f.position.state is None, f.position.frames) for f in out if f.position]

    assert borders([6]) == [(True, 0), (True, 0)]
    assert borders([]) == [(False, 4), (True, 0)]


@pytest.mark.parametrize(("height", "width"), [(24, 32), (17, 23), (48, 64), (5, 90)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_size_is_exactly_the_one_asked_for(height: int, width: int, strength: float) -> None:
    sr, lq = torch.rand(3, 24, 32), torch.rand(3, 12, 16)
    out = finish(sr, lq, height=height, width=width, strength=strength)
    assert out.shape == (3, height, width)


def test_full_strength_at_network_size_is_the_networks_picture() -> None:
    sr = torch.rand(3, 24, 32)
    assert torch.equal(finish(sr, torch.rand(3, 12, 16), height=24, width=32), sr)


def test_no_strength_is_the_bicubic_picture() -> None:
    lq = torch.rand(3, 12, 16)
    out = finish(torch.rand(3, 24, 32), lq, height=30, width=40, strength=0.0)
    assert torch.equal(out, resize(lq, 30, 40).clamp(0, 1))


def test_strength_mixes_linearly() -> None:
    sr, lq = torch.rand(3, 24, 32) * 0.5 + 0.25, torch.full((3, 12, 16), 0.5)
    weak, half, full = (finish(sr, lq, height=20, width=30, strength=s) for s in (0.0, 0.25, 1.0))
    torch.testing.assert_close(half, 0.75 * weak + 0.25 * full)


def test_overshoot_is_clamped() -> None:
    out = finish(torch.randn(3, 8, 8) * 3, torch.rand(3, 4, 4), height=8, width=8)
    assert out.min() >= 0
    assert out.max() <= 1


def test_highlights_above_white_survive() -> None:
    lq = torch.full((3, 4, 4), 1.08)
    lq[0] = -0.05
    sr = torch.full((3, 8, 8), 1.08)
    sr[0] = -0.05
    assert torch.equal(finish(sr, lq, height=8, width=8), sr)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_outside_0_to_1_is_refused(strength: float) -> None:
    picture = torch.rand(3, 4, 4)
    with pytest.raises(ValueError, match="strength must be 0 to 1"):
        finish(picture, picture, height=4, width=4, strength=strength)


def test_an_unchanged_picture_keeps_every_luma_code() -> None:
    layout = ColorLayout(matrix="bt709", full_range=False, bit_depth=8, chroma="420")
    luma = torch.arange(256, dtype=torch.uint8).view(16, 16)
    planes = [luma, *(torch.randint(0, 256, (8, 8), dtype=torch.uint8) for _ in range(2))]
    rgb = planes_to_rgb(planes, layout)
    final = finish(rgb, rgb, height=16, width=16)
    assert torch.equal(rgb_to_planes(final, layout)[0], luma)
