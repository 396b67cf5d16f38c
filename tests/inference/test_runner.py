"""The runner with networks whose right answer is known."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.errors import OutOfMemoryError, VsrError
from vsr.inference.finish import finish
from vsr.inference.plan import Plan
from vsr.inference.runner import Position, RgbFrame, enhance_frames, is_out_of_memory
from vsr.models.bicubic import Bicubic
from vsr.models.contract import State, VideoNetwork

PLAN = Plan(
    window=4,
    lookahead=2,
    tile=None,
    margin=4,
    device="cpu",
    precision="fp32",
    scene_threshold=7.0,
)
CPU_MESSAGE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"


def clip(count: int, height: int = 6, width: int = 8, cuts: Iterable[int] = ()) -> list[RgbFrame]:
    pictures = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    return [
        RgbFrame(
            rgb=picture,
            pts=1000 + 40 * number + number % 3,
            duration=40 - number % 2,
            scene_score=30.0 if number in cuts else 1.0,
        )
        for number, picture in enumerate(pictures)
    ]


@dataclass
class Accumulator:
    """Each picture is the sum of all since the start; nothing is known about those before."""

    scale: int = 1
    min_size: int = 1
    calls: list[tuple[int, int, bool]] = field(default_factory=list)

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        self.calls.append((lq.shape[1], lookahead, state is None))
        total = lq.new_zeros(lq[:, 0].shape) if state is None else state[0]
        pictures = []
        for frame in lq[:, : lq.shape[1] - lookahead].unbind(1):
            total = total + frame
            pictures.append(total)
        return torch.stack(pictures, 1), (total,)


class LookingAhead(Accumulator):
    """Adds to each picture the two that follow, as far as they are shown."""

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        sums, after = super().__call__(lq, state, lookahead)
        padded = F.pad(lq, (0, 0, 0, 0, 0, 0, 0, 2))
        count = sums.shape[1]
        return sums + padded[:, 1 : count + 1] + padded[:, 2 : count + 2], after


class Blurring(Accumulator):
    """Spreads by a pixel per frame and enlarges twice: what tiles must not show."""

    def __init__(self) -> None:
        super().__init__(scale=2)

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        hidden = lq.new_zeros(lq[:, 0].shape) if state is None else state[0]
        pictures = []
        for frame in lq[:, : lq.shape[1] - lookahead].unbind(1):
            mixed = F.pad(0.5 * hidden + 0.5 * frame, (1, 1, 1, 1), mode="replicate")
            hidden = F.avg_pool2d(mixed, 3, 1)
            pictures.append(hidden.repeat_interleave(2, -1).repeat_interleave(2, -2))
        return torch.stack(pictures, 1), (hidden,)


@dataclass
class Hungry:
    """Runs out of memory above a number of pixels; otherwise another network."""

    network: VideoNetwork
    limit: int
    error: Exception
    scale: int = 1
    min_size: int = 1
    refused: int = 0

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        if lq.shape[1] * lq.shape[-2] * lq.shape[-1] > self.limit:
            self.refused += 1
            raise self.error
        return self.network(lq, state, lookahead)


@dataclass
class BrokenInHalf:
    """Gives a wrong value at every frame brighter than `above` while autocast is on."""

    value: float
    above: float = 0.0
    in_state: bool = False
    scale: int = 1
    min_size: int = 1

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        sr, after = Accumulator()(lq, state, lookahead)
        if torch.is_autocast_enabled("cpu") and lq.amax() > self.above:
            if self.in_state:
                return sr, (after[0] * self.value,)
            return torch.full_like(sr, self.value), after
        return sr, after


def run(
    frames: Iterable[RgbFrame], network: VideoNetwork, plan: Plan = PLAN
) -> tuple[list[RgbFrame], list[str]]:
    said: list[str] = []
    return list(enhance_frames(frames, network, plan, warn=said.append)), said


def whole(frames: list[RgbFrame], network: VideoNetwork) -> Tensor:
    sr, _ = network(torch.stack([frame.rgb for frame in frames])[None])
    return sr[0]


def pictures(frames: list[RgbFrame]) -> Tensor:
    return torch.stack([frame.rgb for frame in frames])


@pytest.mark.parametrize("lookahead", [0, 1, 3])
@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 11])
def test_each_frame_comes_out_once_in_order_at_its_own_time(
    count: int, window: int, lookahead: int
) -> None:
    frames = clip(count, cuts=[3, 4, 9])
    plan = replace(PLAN, window=window, lookahead=lookahead)
    out, said = run(frames, Bicubic(scale=2), plan)
    times = [(f.pts, f.duration, f.scene_score) for f in frames]
    assert [(f.pts, f.duration, f.scene_score) for f in out] == times
    assert all(frame.rgb.shape == (3, 12, 16) for frame in out)
    assert said == []


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


def test_the_state_is_dropped_at_cuts_only() -> None:
    network = Accumulator()
    run(clip(12, cuts=[7]), network, replace(PLAN, window=3, lookahead=1))
    assert network.calls == [(4, 1, True), (4, 0, False), (4, 1, True), (2, 0, False)]


def test_frames_are_drawn_as_needed_and_few_are_held() -> None:
    references: list[weakref.ref[RgbFrame]] = []

    def source() -> Iterator[RgbFrame]:
        for number in range(60):
            frame = RgbFrame(rgb=torch.rand(3, 4, 4), pts=number, duration=1)
            references.append(weakref.ref(frame))
            yield frame
            del frame

    drawn, held = [], []
    for _ in enhance_frames(source(), Accumulator(), PLAN, warn=pytest.fail):
        drawn.append(len(references))
        held.append(sum(reference() is not None for reference in references))
    assert drawn[0] == 7
    assert max(held) <= 4 + 2 + 2  # those of the window, one to see the end, the one being drawn


def test_pictures_that_were_given_away_are_not_kept() -> None:
    storages: list[weakref.ref[Tensor]] = []
    most = 0

    def note(sr: Tensor, _: Tensor) -> Tensor:
        final = sr.clone()
        storages.append(weakref.ref(final))
        return final

    for _ in enhance_frames(clip(30), Accumulator(), PLAN, warn=pytest.fail, finish=note):
        most = max(most, sum(reference() is not None for reference in storages))
    assert most <= 2


def test_finishing_gets_each_picture_with_its_own_input() -> None:
    frames = clip(9)
    final = partial(finish, height=9, width=10, strength=0.0)
    out = list(enhance_frames(frames, Accumulator(), PLAN, warn=pytest.fail, finish=final))
    expected = [final(frame.rgb, frame.rgb) for frame in frames]
    assert torch.equal(pictures(out), torch.stack(expected))


def test_results_may_be_computed_with_outside() -> None:
    out, _ = run(clip(2), Accumulator())
    assert not out[0].rgb.requires_grad
    assert (out[0].rgb * 2 + torch.ones(())).isfinite().all()


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


# Memory

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(CPU_MESSAGE),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_out_of_memory_halves_the_window_and_loses_nothing(error: Exception) -> None:
    frames = clip(21)
    network = Hungry(LookingAhead(), limit=5 * 6 * 8, error=error)
    plan = replace(PLAN, window=8)
    out, said = run(frames, network, plan)
    assert torch.equal(pictures(out), whole(frames, LookingAhead()))
    assert [frame.pts for frame in out] == [frame.pts for frame in frames]
    assert network.refused == 2  # 8 and 4 do not fit, 2 and its lookahead do, from then on
    assert "window 8, lookahead 2, whole frames" in said[0]
    assert "going on with window 4" in said[0]
    assert "going on with window 2" in said[1]
    assert len(said) == 2


def test_out_of_memory_in_the_middle_goes_on_from_the_state_there() -> None:
    frames = clip(30)

    class Later(LookingAhead):
        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            if len(self.calls) >= 2 and lq.shape[1] > 4:
                raise torch.OutOfMemoryError("out of memory")
            return super().__call__(lq, state, lookahead)

    out, said = run(frames, Later(), replace(PLAN, window=5))
    assert torch.equal(pictures(out), whole(frames, LookingAhead()))
    assert len(said) == 1
    assert "pts 1401 to 1562" in said[0]


def test_what_a_failed_call_held_is_let_go_before_the_next() -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    class Failing(Accumulator):
        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            alive.extend(reference() is not None for reference in held)
            held.append(weakref.ref(lq))
            if len(held) == 1:
                raise torch.OutOfMemoryError("out of memory")
            return super().__call__(lq, state, lookahead)

    run(clip(2), Failing())
    assert alive == [False]


def test_after_windows_come_tiles() -> None:
    frames = clip(9, 40, 48)
    plan = replace(PLAN, window=2, lookahead=1)
    network = Hungry(Blurring(), limit=2 * 30 * 30, error=OUT_OF_MEMORY[0], scale=2)
    out, said = run(frames, network, plan)
    torch.testing.assert_close(pictures(out), whole(frames, Blurring()), atol=1e-6, rtol=0)
    assert "window 1, lookahead 1, whole frames" in said[1]
    assert "tiles of 24" in said[-1]


@pytest.mark.parametrize("window", [1, 2])
def test_tiles_with_enough_margin_equal_whole_frames(window: int) -> None:
    frames = clip(9, 40, 56)
    plan = replace(PLAN, window=window, lookahead=0, tile=24, margin=6)
    out, _ = run(frames, Blurring(), plan)
    torch.testing.assert_close(pictures(out), whole(frames, Blurring()), atol=1e-6, rtol=0)


def test_a_plan_too_large_at_the_smallest_is_an_error_that_names_the_settings() -> None:
    network = Hungry(Accumulator(), limit=10, error=OUT_OF_MEMORY[0])
    message = (
        "48x40 frames with window 1, lookahead 2, tiles of 16, margin 4 and fp32 do not fit into "
        "the memory of cpu"
    )
    with pytest.raises(OutOfMemoryError, match=message):
        run(clip(5, 40, 48), network)


def test_errors_that_are_not_about_memory_come_through() -> None:
    network = Hungry(Accumulator(), limit=0, error=RuntimeError("sizes of tensors must match"))
    with pytest.raises(RuntimeError, match="sizes of tensors must match"):
        run(clip(2), network)
    assert network.refused == 1


def test_pytorchs_own_failed_allocation_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


# Half precision

HALF = replace(PLAN, precision="bf16")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0])
def test_broken_pictures_in_half_are_done_again_in_float32_and_said(value: float) -> None:
    frames = clip(6)
    out, said = run(frames, BrokenInHalf(value), HALF)
    assert torch.equal(pictures(out), whole(frames, Accumulator()))
    assert len(said) == 1
    assert "black or non-finite pictures in bf16 at frames with pts 1000 to 1202" in said[0]


def test_a_broken_state_in_half_is_not_passed_on() -> None:
    frames = clip(16)
    out, said = run(frames, BrokenInHalf(float("inf"), in_state=True), HALF)
    assert torch.equal(pictures(out), whole(frames, Accumulator()))
    assert "done again in fp32" in said[0]


def test_only_the_broken_window_is_done_again() -> None:
    frames = [
        RgbFrame(rgb=torch.full((3, 4, 4), 0.9 if 4 <= n < 6 else 0.5), pts=n, duration=1)
        for n in range(14)
    ]
    network = BrokenInHalf(float("nan"), above=0.8)
    _, said = run(frames, network, replace(HALF, lookahead=0))
    assert said == [
        "The network gave black or non-finite pictures in bf16 at frames with pts 4 to 7: done "
        "again in fp32."
    ]


def test_after_three_failures_float32_stays_and_it_is_said() -> None:
    out, said = run(clip(40), BrokenInHalf(float("nan")), HALF)
    assert len(out) == 40
    assert len(said) == 4
    assert said[-1] == "bf16 failed 3 times: staying in fp32."


def test_black_from_black_is_right() -> None:
    frames = [RgbFrame(rgb=torch.zeros(3, 4, 4), pts=n, duration=1) for n in range(8)]
    out, said = run(frames, Accumulator(), HALF)
    assert said == []
    assert not pictures(out).any()


def test_non_finite_in_float32_is_an_error() -> None:
    class Damaged(Accumulator):
        def __call__(
            self, lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            sr, after = super().__call__(lq, state, lookahead)
            return sr * float("nan"), after

    with pytest.raises(VsrError, match=r"not finite in float32, at frames with pts 1000 to"):
        run(clip(8), Damaged(), HALF)


@pytest.mark.parametrize("tile", [None, 16])
def test_from_any_border_the_pictures_are_those_of_one_run(tile: int | None) -> None:
    plan = replace(PLAN, tile=tile)
    frames = clip(31, height=24, width=32, cuts=[9, 10, 17])
    network = Blurring()
    borders: list[tuple[int, Position]] = []
    whole: list[RgbFrame] = []
    for done in enhance_frames(
        frames, network, plan, warn=print, border=lambda at: borders.append((len(whole), at))
    ):
        whole.append(done)
    assert borders[-1][0] == 31
    assert len({number for number, _ in borders}) == len(borders) == 7
    for number, position in borders:
        rest = list(enhance_frames(frames[number:], network, plan, warn=print, start=position))
        assert [frame.pts for frame in rest] == [frame.pts for frame in whole[number:]]
        for again, once in zip(rest, whole[number:], strict=True):
            assert torch.equal(again.rgb, once.rgb)


def test_a_border_at_a_cut_remembers_nothing_and_others_do() -> None:
    borders: list[Position] = []
    frames = clip(10, cuts=[6])
    list(enhance_frames(frames, Accumulator(), PLAN, warn=print, border=borders.append))
    assert [(at.state is None, at.frames) for at in borders] == [(True, 0), (True, 0)]
    borders.clear()
    list(enhance_frames(clip(10), Accumulator(), PLAN, warn=print, border=borders.append))
    assert [(at.state is None, at.frames) for at in borders] == [(False, 4), (True, 0)]
