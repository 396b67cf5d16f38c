"""The runner where memory ends or half precision breaks: nothing is lost, and it is said."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace

import pytest
import torch
from known_networks import PLAN, Accumulator, Blurring, LookingAhead, clip, pictures, run, whole
from torch import Tensor

from vsr.errors import OutOfMemoryError, VsrError
from vsr.inference.runner import LqFrame, is_out_of_memory
from vsr.models.contract import State, VideoNetwork

pytestmark = pytest.mark.usefixtures("_ahead")

CPU_MESSAGE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"


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
    """A wrong value at every frame brighter than `above` while autocast is on."""

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
        LqFrame(source=None, lq=torch.full((3, 4, 4), 0.9 if 4 <= n < 6 else 0.5), pts=n)
        for n in range(14)
    ]
    network = BrokenInHalf(float("nan"), above=0.8)
    _, said = run(frames, network, replace(HALF, lookahead=0))
    assert said == [
        "the network gave black or non-finite pictures in bf16 at frames with pts 4 to 7: done "
        "again in fp32"
    ]


def test_after_three_failures_float32_stays_and_it_is_said() -> None:
    out, said = run(clip(40), BrokenInHalf(float("nan")), HALF)
    assert len(out) == 40
    assert len(said) == 4
    assert said[-1] == "bf16 failed 3 times: staying in fp32"


def test_black_from_black_is_right() -> None:
    frames = [LqFrame(source=None, lq=torch.zeros(3, 4, 4), pts=n) for n in range(8)]
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
