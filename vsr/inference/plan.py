"""The inference plan: what the network gets at once, and less when memory runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vsr.devices import (
    Precision,
    best_float,
    choose_device,
    choose_precision,
    free_memory,
    works_apart,
)
from vsr.models.contract import NetworkFacts
from vsr.ops.tiling import tile_grid
from vsr.options import InferenceOptions, validated

_SHARE_OF_FREE_MEMORY = 0.7  # the rest is for decoding, encoding and the allocator's gaps
_HALF_SAVES = 0.85  # measured: flow, sums and pictures stay in float32
_FLOAT_RGB = 12  # bytes per pixel
MIB = 2**20
# The C library keeps freed blocks of up to 32 MiB, which tiles come in. To measure it: `bench.py
# limits --model compact-x4-real --mebibytes 200 400 --height 270 --width 480`, less the estimate.
_KEPT_FREE = 128 * MIB
_REPORTED = 1.05  # times the work: less is 1.0 as it is printed
_LESS = 0.75  # of the frames at once: half a window leaves more than half, the lookahead stays


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How frames are given to the network.

    Attributes:
        window: Frames to upscale at once; the last window of a segment may take `lookahead` more.
        lookahead: Frames to look at beyond them.
        tile: Longest side of a tile in lq pixels, margins included; None for whole frames.
        margin: Pixels at inner edges of tiles that are blended away.
        device: Such as "cpu" or "cuda:0".
        precision: What the network computes in.
        scene_threshold: Score that counts as a cut.
        grid: Tiles start at multiples of so many pixels.
        notes: What was made smaller than usual, and why, as sentences.
    """

    window: int
    lookahead: int
    tile: int | None
    margin: int
    device: str
    precision: Precision
    scene_threshold: float
    grid: int = 4
    notes: tuple[str, ...] = ()

    @property
    def smallest_tile(self) -> int:
        """A tile below this would be mostly margin."""
        return max(16, 3 * self.margin)


def make_plan(height: int, width: int, options: InferenceOptions, facts: NetworkFacts) -> Plan:
    """Plan for frames of a size.

    Where the estimate does not fit in `memory_limit` or most of what is free, what the options
    leave open is made smaller: of all windows and tiles that fit, those that cost the least work.

    Args:
        height, width: Of a frame, lq.
        options: What was asked for; what is given is obeyed.
        facts: About the network.

    Raises:
        ConfigError: If an option is out of range, or the device does not exist.
    """
    options = validated(InferenceOptions, options)
    device = choose_device(options.device)
    precision, note = _precision(options, device, facts)
    plan = Plan(
        window=options.window or facts.window,
        lookahead=facts.lookahead if options.lookahead is None else options.lookahead,
        tile=None if options.tile is None else options.tile,
        margin=facts.margin,
        device=str(device),
        precision=precision,
        scene_threshold=options.scene_threshold,
        grid=facts.grid,
        notes=note,
    )
    if options.tile is not None:
        plan = replace(plan, margin=min(plan.margin, options.tile // 3))
    return _fit(plan, height, width, options, facts, share_of_memory(options) * MIB)


def _precision(
    options: InferenceOptions, device: torch.device, facts: NetworkFacts
) -> tuple[Precision, tuple[str, ...]]:
    """What the network computes in, and a note where that is not what was asked for."""
    chosen = choose_precision(options.precision, device, int8=facts.int8)
    floats = best_float(device) if chosen == "int8" else chosen
    if floats == "fp32" or floats in facts.half:
        return chosen, ()
    note = f"this network is not precise enough in {floats}: it is computed in fp32"
    return "fp32", () if options.precision == "auto" else (note,)


def share_of_memory(options: InferenceOptions, sharers: int = 1) -> int:
    """Memory that each of several processes on a device may use, in MiB.

    To be called before they start, since later what is free depends on the others. A limit given
    by the user holds for each.

    Raises:
        ConfigError: If the device does not exist.
    """
    if options.memory_limit is not None:
        return options.memory_limit
    free = free_memory(choose_device(options.device))
    return max(1, int(free * _SHARE_OF_FREE_MEMORY / sharers) // MIB)


def estimate_bytes(plan: Plan, height: int, width: int, facts: NetworkFacts) -> int:
    """Estimate the peak memory of one call of the network, and of its tiles put together."""
    frames = plan.window + plan.lookahead
    saved = _HALF_SAVES if plan.precision in ("bf16", "fp16") else 1.0
    each = saved * (facts.bytes_per_call + facts.bytes_per_frame * frames)
    side = plan.tile or max(height, width)
    needed = min(height, side) * min(width, side) * each
    if side < max(height, width):
        needed += height * width * _FLOAT_RGB * facts.scale**2 * frames + _KEPT_FREE
    if works_apart(torch.device(plan.device)):  # the pictures of the window before wait behind it
        needed += height * width * _FLOAT_RGB * facts.scale**2 * plan.window
    return int(needed)


def smaller(plan: Plan, height: int, width: int) -> Plan | None:
    """Return the plan for when memory ran out: the cheapest that gives clearly less at once.

    None where nothing smaller makes sense. The lookahead stays: it is what keeps windows alike.
    """
    now = pixels_at_once(plan, height, width)
    less = [p for p in _shrunk(plan, height, width) if pixels_at_once(p, height, width) < now]
    enough = [p for p in less if pixels_at_once(p, height, width) <= now * _LESS]
    if enough:
        return _cheapest(enough, height, width)
    return min(less, key=lambda p: pixels_at_once(p, height, width), default=None)


def work_per_frame(plan: Plan, height: int, width: int) -> float:
    """Pixels the network sees for each frame it gives, in frames, at most.

    1 with nothing done twice: no lookahead, whole frames.
    """
    tiles = 1.0
    if plan.tile is not None:
        grid = tile_grid(height, width, plan.tile, plan.margin, plan.grid)
        rows, columns = (sum(stop - start for start, stop in x) for x in (grid.rows, grid.columns))
        tiles = rows * columns / (height * width)
    return (plan.window + plan.lookahead) / plan.window * tiles


def describe(plan: Plan) -> str:
    """What a plan gives the network at once, in words."""
    tiles = "whole frames" if plan.tile is None else f"tiles of {plan.tile}"
    return f"window {plan.window}, lookahead {plan.lookahead}, {tiles}"


def _shrunk(plan: Plan, height: int, width: int) -> list[Plan]:
    """List the plan and all with smaller windows, smaller tiles, or both; each halves the last."""
    windows, tiles = [plan.window], [plan.tile]
    while windows[-1] > 1:
        windows.append(windows[-1] // 2)
    side = min(plan.tile or max(height, width), max(height, width))
    while side > (half := max(plan.smallest_tile, -(-side // 16) * 8)):
        tiles.append(half)
        side = half
    return [replace(plan, window=window, tile=tile) for window in windows for tile in tiles]


def pixels_at_once(plan: Plan, height: int, width: int) -> int:
    """Lq pixels that one call of the network sees, of all frames of its window."""
    side = plan.tile or max(height, width)
    return (plan.window + plan.lookahead) * min(height, side) * min(width, side)


def _cheapest(plans: Sequence[Plan], height: int, width: int) -> Plan:
    """Return the plan with the least work; among equals the one with the longest window."""
    return min(plans, key=lambda p: (work_per_frame(p, height, width), -p.window))


def _fit(
    plan: Plan,
    height: int,
    width: int,
    options: InferenceOptions,
    facts: NetworkFacts,
    budget: int,
) -> Plan:
    wanted = plan
    allowed = [
        p
        for p in _shrunk(plan, height, width)
        if (options.window is None or p.window == plan.window)
        and (options.tile is None or p.tile == plan.tile)
    ]
    fitting = [p for p in allowed if estimate_bytes(p, height, width, facts) <= budget]
    if wanted not in fitting:
        smallest = min(allowed, key=lambda p: estimate_bytes(p, height, width, facts))
        plan = _cheapest(fitting, height, width) if fitting else smallest
    needed = estimate_bytes(plan, height, width, facts)
    notes = list(plan.notes)
    if plan != wanted:
        more = work_per_frame(plan, height, width) / work_per_frame(wanted, height, width)
        if more >= _REPORTED:
            notes.append(
                f"{describe(plan)} instead of {describe(wanted)}, to fit in {budget // MIB} MiB: "
                f"up to {more:.1f} times the work"
            )
    if needed > budget:
        notes.append(
            f"{describe(plan)} is estimated at {needed // MIB} MiB, {budget // MIB} MiB are to "
            "be used: memory may run out"
        )
    if not facts.tiles and plan.tile is not None and plan.tile < max(height, width):
        notes.append(
            f"tiles do not suit this network, and it gets {describe(plan)}: look for seams; a "
            "smaller picture or more memory avoids them"
        )
    return replace(plan, notes=tuple(notes))
