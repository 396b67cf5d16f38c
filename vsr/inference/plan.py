"""How much the network gets at once: the plan, and how it shrinks when memory runs out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from vsr.errors import ConfigError
from vsr.inference.device import Precision, choose_device, choose_precision, free_memory
from vsr.inference.options import InferenceOptions

_SHARE_OF_FREE_MEMORY = 0.7  # the rest is for decoding, encoding and the allocator's gaps
_HALF_SAVES = 0.65  # measured: only part of what a network holds is in half precision
_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """What planning needs to know about a network.

    Attributes:
        window: Default number of frames to upscale at once.
        lookahead: Default number of frames to look at beyond them.
        margin: Pixels of lq at a tile's edge that lack context.
        bytes_per_pixel: Peak memory per lq pixel and frame in float32, the output included.
    """

    window: int = 16
    lookahead: int = 4
    margin: int = 32
    bytes_per_pixel: float = 4000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How frames are given to the network.

    Attributes:
        window: Frames to upscale at once; the last window of a segment may take `lookahead` more.
        lookahead: Frames to look at beyond them.
        tile: Longest side of a tile in lq pixels, margins included; None for whole frames.
        margin: Pixels at inner edges of tiles that are blended away.
        device: "cpu" or "cuda:N".
        precision: What the network computes in.
        scene_threshold: Score that counts as a cut.
        notes: What was made smaller than usual, and why, as sentences.
    """

    window: int
    lookahead: int
    tile: int | None
    margin: int
    device: str
    precision: Precision
    scene_threshold: float
    notes: tuple[str, ...] = ()

    @property
    def smallest_tile(self) -> int:
        """A tile below this would be mostly margin."""
        return max(16, 3 * self.margin)


def make_plan(height: int, width: int, options: InferenceOptions, facts: NetworkFacts) -> Plan:
    """Plan for frames of a size.

    What the options leave open is made smaller, the window first, then the tile, until the
    estimate fits in `memory_limit` or most of what is free.

    Args:
        height, width: Of a frame, lq.
        options: What was asked for; what is given is obeyed.
        facts: About the network.

    Raises:
        ConfigError: If an option is out of range, or the device does not exist.
    """
    _check(options)
    device = choose_device(options.device)
    plan = Plan(
        window=options.window or facts.window,
        lookahead=facts.lookahead if options.lookahead is None else options.lookahead,
        tile=None if options.tile is None else options.tile,
        margin=facts.margin,
        device=str(device),
        precision=choose_precision(options.precision, device),
        scene_threshold=options.scene_threshold,
    )
    if options.tile is not None:
        plan = replace(plan, margin=min(plan.margin, options.tile // 3))
    if options.memory_limit is None:
        budget = int(free_memory(device) * _SHARE_OF_FREE_MEMORY)
    else:
        budget = options.memory_limit * _MIB
    return _fit(plan, height, width, options, facts, budget)


def estimate_bytes(plan: Plan, height: int, width: int, facts: NetworkFacts) -> int:
    """Estimate the peak memory of one call of the network."""
    side = plan.tile or max(height, width)
    pixels = min(height, side) * min(width, side) * (plan.window + plan.lookahead)
    saved = 1.0 if plan.precision == "fp32" else _HALF_SAVES
    return int(pixels * facts.bytes_per_pixel * saved)


def smaller(plan: Plan, height: int, width: int) -> Plan | None:
    """Return the next smaller plan: half the window, then tiles, then half the tile.

    None where nothing smaller makes sense. The lookahead stays: it is what keeps windows alike.
    """
    if plan.window > 1:
        return replace(plan, window=plan.window // 2)
    return _smaller_tile(plan, height, width)


def describe(plan: Plan) -> str:
    """Say what a plan gives the network at once."""
    tiles = "whole frames" if plan.tile is None else f"tiles of {plan.tile}"
    return f"window {plan.window}, lookahead {plan.lookahead}, {tiles}"


def _smaller_tile(plan: Plan, height: int, width: int) -> Plan | None:
    side = min(plan.tile or max(height, width), max(height, width))
    tile = max(plan.smallest_tile, -(-side // 16) * 8)
    return replace(plan, tile=tile) if tile < side else None


def _fit(
    plan: Plan,
    height: int,
    width: int,
    options: InferenceOptions,
    facts: NetworkFacts,
    budget: int,
) -> Plan:
    wanted = plan
    while estimate_bytes(plan, height, width, facts) > budget:
        if options.window is None and plan.window > 1:
            less: Plan | None = replace(plan, window=plan.window // 2)
        else:
            less = None if options.tile is not None else _smaller_tile(plan, height, width)
        if less is None:
            break
        plan = less
    needed = estimate_bytes(plan, height, width, facts)
    notes = []
    if plan != wanted:
        notes.append(
            f"{describe(plan)} instead of {describe(wanted)}, to fit in {budget // _MIB} MiB."
        )
    if needed > budget:
        notes.append(
            f"{describe(plan)} is estimated at {needed // _MIB} MiB, {budget // _MIB} MiB are to "
            "be used: memory may run out."
        )
    return replace(plan, notes=tuple(notes))


def _check(options: InferenceOptions) -> None:
    for name, value, least in (
        ("window", options.window, 1),
        ("lookahead", options.lookahead, 0),
        ("tile", options.tile, 16),
        ("memory_limit", options.memory_limit, 1),
    ):
        if value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")


def torch_device(plan: Plan) -> torch.device:
    """Return the plan's device as PyTorch's own type."""
    return torch.device(plan.device)
