"""The runner: frames in, the same frames with their upscaled pictures out, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import log10
from typing import Generic, TypeVar

import torch
from torch import Tensor

from vsr.devices import DTYPES, Precision, best_float, release_memory, works_apart
from vsr.errors import OutOfMemoryError, VsrError
from vsr.inference.plan import Plan, describe, smaller
from vsr.inference.queues import Copies, Download
from vsr.inference.windows import Window, segments, windows
from vsr.models.contract import State, VideoNetwork, check_output
from vsr.models.layers import calibrate, in_half
from vsr.ops.int8 import int8_blocks
from vsr.ops.resize import resize
from vsr.ops.tiling import Merger, cut_tile, tile_grid
from vsr.ops.warp import without_autocast

S = TypeVar("S")

_HALF_FAILURES_ALLOWED = 3
_BLACK = 0.02  # brightest value of a frame that counts as black
_NOT_BLACK = 0.1
_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "ALLOC_FAILED",  # cuDNN and cuBLAS
)


@dataclass(frozen=True, kw_only=True, slots=True, weakref_slot=True, eq=False)
class LqFrame(Generic[S]):
    """A frame on its way into the network.

    Attributes:
        source: What the picture was made from; passed through unread.
        lq: (3, H, W), float32, nominally 0 to 1, on any device.
        pts: Ticks of the stream's time base; named in messages.
        scene_score: libavfilter `scdet` score against the previous frame, 0 to 100.
    """

    source: S
    lq: Tensor
    pts: int
    scene_score: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Position:
    """Where the runner stands between two windows: all that later pictures depend on.

    Attributes:
        state: The network's state; None at the start of a segment.
        frames: Frames of the segment that are done, without repeats.
        plan: How the network is called by now: smaller than planned after running out of memory.
        half_failures: How often half precision has failed.
    """

    state: State | None
    frames: int
    plan: Plan
    half_failures: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SrFrame(Generic[S]):
    """A frame that the network has upscaled.

    Attributes:
        source, pts: As in the `LqFrame`.
        lq: (3, H, W), the picture the network saw, on the plan's device.
        sr: (3, H * scale, W * scale), float32, on the plan's device; not clamped.
        position: Where the runner stands after this frame, if it ends a window.
    """

    source: S
    pts: int
    lq: Tensor
    sr: Tensor
    position: Position | None


def upscale(
    frames: Iterable[LqFrame[S]],
    network: VideoNetwork,
    plan: Plan,
    *,
    warn: Callable[[str], None],
    start: Position | None = None,
) -> Iterator[SrFrame[S]]:
    """Upscale frames, one out for each one in, in order.

    The network's state is passed from window to window and dropped at cuts. After running out of
    memory the same frames are done again with a smaller plan, which is kept; broken pictures in
    half precision are done again in float32. `warn` reports both.

    Args:
        frames: In presentation order, all of one size. Drawn as needed: at most
            `plan.window + plan.lookahead + 1` are held, on a GPU also those of the window before,
            whose pictures come out once the next window is queued.
        network: On the plan's device, in evaluation mode.
        plan: How frames are given to the network.
        warn: Called with one sentence per deviation from the plan.
        start: Where an earlier run stopped; `frames` then are those after it, and the pictures
            equal those the earlier run would have made.

    Raises:
        OutOfMemoryError: The smallest window and tile do not fit.
        ConfigError: The network returns other shapes than its contract says.
        VsrError: The network gives non-finite values even in float32.
    """
    start = start or Position(state=None, frames=0, plan=plan, half_failures=0)
    engine: _Engine[S] = _Engine(network, start.plan, warn, start.half_failures)
    state, before = start.state, start.frames
    behind: _Made[S] | None = None  # in the GPU's queue, not waited for yet
    for segment in segments(frames, plan.scene_threshold, before):
        for window in windows(segment, plan.window, plan.lookahead):
            done, ends = 0, 0 if window.last else before + window.count
            while done < window.count:
                made = engine.queue(window, done, state, ends, patient=behind is not None)
                if behind is not None:
                    settled, again = engine.settle(behind), state is behind.after
                    if again and settled[-1] is not behind:
                        made, state = None, settled[-1].after
                    behind = None
                    yield from engine.pictures(settled)
                    made = made or engine.queue(window, done, state, ends)
                assert made is not None
                done += made.part.count
                if engine.queues_ahead:
                    behind, state = made, made.after
                else:
                    settled = engine.settle(made)
                    state = settled[-1].after
                    yield from engine.pictures(settled)
                # The next window needs the room that these pictures take.
                made = None
                settled = []
            before = ends
    if behind is not None:
        yield from engine.pictures(engine.settle(behind))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Made(Generic[S]):
    """What the network made of a part of a window, or will have made once the device gets there.

    Attributes:
        part: Its frames.
        given: The state before it.
        lq: (3, H, W) each, the pictures the network saw.
        sr: (count, 3, H * scale, W * scale).
        state: After it.
        broken: Whether anything is: see `_is_broken`.
        precision: It was computed in.
        frames: Frames of the segment that are done with it, 0 where the segment ends; None within a
            window.
    """

    part: Window[LqFrame[S]]
    given: State | None
    lq: list[Tensor]
    sr: Tensor
    state: State
    broken: Download
    precision: Precision
    frames: int | None = None

    @property
    def after(self) -> State | None:
        """The state for the frames after it."""
        return None if self.frames == 0 else self.state


class _Engine(Generic[S]):
    """Call the network; keep what was learned: a smaller plan, failures of half precision.

    Attributes:
        queues_ahead: The device works on a window while the next one is queued.
    """

    def __init__(
        self, network: VideoNetwork, plan: Plan, warn: Callable[[str], None], half_failures: int
    ) -> None:
        device = torch.device(plan.device)
        self.queues_ahead = works_apart(device)
        self._network = network
        self._in_half = network if device.type == "cpu" else in_half(network, plan.precision)
        self._copies = Copies(device)
        self._plan = plan
        self._warn = warn
        self._half_failures = half_failures
        if plan.precision == "int8" and not calibrate(network):
            floats = best_float(device)
            warn(f"no part of this network can be computed in int8: it is computed in {floats}")

    def queue(
        self,
        window: Window[LqFrame[S]],
        done: int,
        state: State | None,
        ends: int,
        *,
        patient: bool = False,
    ) -> _Made[S] | None:
        """Begin to upscale as much of the window, from frame `done` on, as fits at once.

        Args:
            window: The frames.
            done: How many of them are done.
            state: After these.
            ends: Frames of the segment that are done when the window is, 0 where the segment ends.
            patient: Where memory runs out, give None instead of planning smaller: what is held may
                be let go first.

        Raises:
            OutOfMemoryError: The smallest window and tile do not fit.
        """
        while True:
            part = window.part(done, self._plan.window, self._plan.lookahead)
            made = self._attempt(part, state, self._plan.precision)
            if made is not None:
                return replace(made, frames=ends) if done + part.count == window.count else made
            if patient:
                return None
            self._shrink(part)

    def settle(self, made: _Made[S]) -> list[_Made[S]]:
        """Wait for the verdict on a part; do it again in float32 where half precision failed.

        Raises:
            OutOfMemoryError: The smallest window and tile do not fit.
            VsrError: The network gives non-finite values even in float32.
        """
        if not made.broken.arrays()[0]:
            return [made]
        again: list[_Made[S]] = []
        if made.precision != "fp32":
            self._distrust_half(made.part)
        done, state = 0, made.given
        while done < made.part.count:
            part = made.part.part(done, self._plan.window, self._plan.lookahead)
            one = None if made.precision == "fp32" else self._attempt(part, state, "fp32")
            if one is None and made.precision != "fp32":
                self._shrink(part)
                continue
            if one is None or one.broken.arrays()[0]:
                raise VsrError(
                    f"the network gave values that are not finite in float32, at frames with pts "
                    f"{_pts(part)}; its weights do not fit this input: try another --model"
                )
            done, state = done + part.count, one.state
            again.append(one)
        return [*again[:-1], replace(again[-1], frames=made.frames)]

    def pictures(self, settled: list[_Made[S]]) -> Iterator[SrFrame[S]]:
        """The pictures of parts in a row; what is done with is let go."""
        while settled:
            made = settled.pop(0)
            position = None
            if made.frames is not None:
                position = Position(
                    state=made.after,
                    frames=made.frames,
                    plan=self._plan,
                    half_failures=self._half_failures,
                )
            for index in range(made.part.count):
                frame = made.part.frames[index]
                yield SrFrame(
                    source=frame.source,
                    pts=frame.pts,
                    lq=made.lq[index],
                    sr=made.sr[index],
                    position=position if index == made.part.count - 1 else None,
                )

    def _attempt(
        self, part: Window[LqFrame[S]], state: State | None, precision: Precision
    ) -> _Made[S] | None:
        """Call the network; None where memory ran out."""
        plan, device = self._plan, torch.device(self._plan.device)
        network = self._network if precision == "fp32" else self._in_half
        try:
            with torch.inference_mode():
                pictures = [frame.lq.to(device, non_blocking=True) for frame in part.frames]
                lq = torch.stack(pictures)[None]
                with computing(precision, device):
                    sr, new_state = _call(network, plan, lq, state, part.lookahead)
                sr, half = sr[0].float(), precision != "fp32"
                new_state = tuple(layer.float() for layer in new_state)
                broken = _is_broken(sr, lq[0, : part.count], new_state, half=half)
                return _Made(
                    part=part,
                    given=state,
                    lq=pictures[: part.count],
                    sr=sr,
                    state=new_state,
                    broken=self._copies.down([broken]),
                    precision=precision,
                )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler: its error's traceback kept tensors alive.
        release_memory(device)
        return None

    def _shrink(self, part: Window[LqFrame[S]]) -> None:
        height, width = part.frames[0].lq.shape[-2:]
        less = smaller(self._plan, height, width)
        if less is None:
            raise OutOfMemoryError(
                f"{width}x{height} frames with {describe(self._plan)}, margin {self._plan.margin} "
                f"and {self._plan.precision} do not fit into the memory of {self._plan.device}, "
                "and nothing smaller makes sense; lower --lookahead, or use another --model or "
                "--device"
            )
        self._warn(
            f"out of memory with {describe(self._plan)} at pts {_pts(part)}: "
            f"going on with {describe(less)}"
        )
        self._plan = less

    def _distrust_half(self, part: Window[LqFrame[S]]) -> None:
        half = self._plan.precision
        self._half_failures += 1
        self._warn(
            f"the network gave black or non-finite pictures in {half} at frames with pts "
            f"{_pts(part)}: done again in fp32"
        )
        if self._half_failures == _HALF_FAILURES_ALLOWED:
            self._plan = replace(self._plan, precision="fp32")
            self._warn(f"{half} failed {self._half_failures} times: staying in fp32")


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Let a network compute in a precision: autocast, and int8 for blocks calibrated for it."""
    floats = best_float(device) if precision == "int8" else precision
    exact = floats == "fp32"
    half = without_autocast(device) if exact else torch.autocast(device.type, DTYPES[floats])
    with half, int8_blocks(precision == "int8"):
        yield


def _call(
    network: VideoNetwork, plan: Plan, lq: Tensor, state: State | None, lookahead: int
) -> tuple[Tensor, State]:
    """Call the network on whole frames or tile by tile; the state always covers whole frames."""
    height, width = lq.shape[-2:]
    if plan.tile is None or plan.tile >= max(height, width):
        return _checked(network, lq, state, lookahead)
    grid = tile_grid(height, width, plan.tile, plan.margin, plan.grid)
    picture = Merger(grid, network.scale)
    layers: list[Merger] = []
    for tile in grid.tiles:
        own = None if state is None else tuple(cut_tile(layer, tile) for layer in state)
        sr, after = _checked(network, cut_tile(lq, tile).contiguous(), own, lookahead)
        picture.add(tile, sr.float())
        layers = layers or [Merger(grid) for _ in after]
        for layer, part in zip(layers, after, strict=True):
            layer.add(tile, part.float())
    assert picture.merged is not None
    return picture.merged, tuple(layer.merged for layer in layers if layer.merged is not None)


def _checked(
    network: VideoNetwork, lq: Tensor, state: State | None, lookahead: int
) -> tuple[Tensor, State]:
    found = network(lq, state, lookahead)
    check_output(network, lq, lookahead, found)
    return found


def _is_broken(sr: Tensor, lq: Tensor, state: State, *, half: bool) -> Tensor:
    """Whether anything is non-finite or, in half precision, black where the input is not."""
    darkest, brightest = sr.amin(dim=(1, 2, 3)), sr.amax(dim=(1, 2, 3))
    broken = ~(darkest.isfinite() & brightest.isfinite())
    if half:
        broken |= (brightest < _BLACK) & (lq.amax(dim=(1, 2, 3)) > _NOT_BLACK)
    unsound = [broken.any(), *(~layer.isfinite().all() for layer in state)]
    return torch.stack(unsound).any()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or a CPU.

    The CPU allocator and the CUDA libraries raise plain `RuntimeError`s with differing texts.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(phrase.lower() in text for phrase in _OUT_OF_MEMORY_TEXTS)


def _pts(part: Window[LqFrame[S]]) -> str:
    first, last = part.frames[0].pts, part.frames[part.count - 1].pts
    return f"{first}" if first == last else f"{first} to {last}"


def finish(sr: Tensor, lq: Tensor, *, height: int, width: int, strength: float = 1.0) -> Tensor:
    """Bring a picture to its final size and mix it with the bicubic one.

    Args:
        sr: (..., 3, H * scale, W * scale), the network's output; may be changed in place.
        lq: (..., 3, H, W), its input, on the same device.
        height, width: Wanted size; any.
        strength: 1 for the network's picture, 0 for the bicubic one, a mixture in between.

    Returns:
        (..., 3, height, width), clamped to 0 to 1, or to the input's own range where that is
        wider: highlights above white and colours outside the RGB cube are kept.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be 0 to 1, got {strength}")
    if strength == 1:
        picture = resize(sr, height, width)
    elif strength == 0:
        picture = resize(lq, height, width)
    else:
        bicubic = resize(lq, height, width)
        picture = bicubic.lerp(resize(sr, height, width), strength)
    low, high = torch.aminmax(lq)
    # In place: fresh memory for every frame of the output costs more than the clamping. The bounds
    # stay on the device: as numbers they would be waited for.
    out = None if picture is lq else picture
    above = torch.maximum(picture, low.clamp(max=0), out=out)
    return torch.minimum(above, high.clamp(min=1), out=out)


# dB; equal pictures have no finite PSNR.
HIGHEST = 100.0
# Luma of 8-bit video spans 16 to 235, so figures match `vsr compare`, apart from coding loss.
_SPAN = 219.0


def squared_errors(picture: Tensor, lq: Tensor, luma_weights: tuple[float, float]) -> Tensor:
    """Squared difference of luma between a picture, scaled down, and its input, at each pixel.

    Args:
        picture: (3, H, W), RGB, 0 to 1.
        lq: (3, h, w), likewise, on the same device.
        luma_weights: (Kr, Kb) of H.273, such as (0.299, 0.114).

    Returns:
        (h, w), of 8-bit values.
    """
    small = resize(_luma(picture, luma_weights), *lq.shape[-2:])
    return (small - _luma(lq, luma_weights)).mul_(_SPAN).square_()[0]


def decibels(mean: float) -> float:
    """PSNR of a mean squared error of 8-bit values, at most `HIGHEST`."""
    return HIGHEST if mean == 0 else min(HIGHEST, 10 * log10(255**2 / mean))


def _luma(rgb: Tensor, weights: tuple[float, float]) -> Tensor:
    red, blue = weights
    return (red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2])[None]
