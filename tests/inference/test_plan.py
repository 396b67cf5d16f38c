"""Plans fit the memory they are given, and say what they gave up for it."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from vsr.errors import ConfigError
from vsr.inference.plan import (
    Plan,
    describe,
    estimate_bytes,
    make_plan,
    smaller,
    work_per_frame,
)
from vsr.models.contract import NetworkFacts
from vsr.ops.tiling import tile_grid
from vsr.options import InferenceOptions

FACTS = NetworkFacts(window=16, lookahead=4, margin=16, bytes_per_call=0, bytes_per_frame=1000)
HEIGHT, WIDTH = 180, 320


def options(**changes: object) -> InferenceOptions:
    return InferenceOptions(**({"device": "cpu", "precision": "fp32"} | changes))


def ladder(plan: Plan) -> list[Plan]:
    steps = [plan]
    while (less := smaller(steps[-1], HEIGHT, WIDTH)) is not None:
        steps.append(less)
    return steps


def cost(plan: Plan) -> float:
    return work_per_frame(plan, HEIGHT, WIDTH)


def test_with_room_the_networks_own_defaults_are_used() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(memory_limit=100_000), FACTS)
    assert (plan.window, plan.lookahead, plan.tile, plan.margin) == (16, 4, None, 16)
    assert plan.notes == ()


def test_what_the_user_asks_for_is_obeyed() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(window=5, lookahead=0, tile=64), FACTS)
    assert (plan.window, plan.lookahead, plan.tile) == (5, 0, 64)
    assert plan.scene_threshold == InferenceOptions().scene_threshold


@pytest.mark.parametrize("limit", [250, 300, 400, 500, 1200])
def test_the_estimate_fits_in_the_limit(limit: int) -> None:
    plan = make_plan(HEIGHT, WIDTH, options(memory_limit=limit), FACTS)
    assert estimate_bytes(plan, HEIGHT, WIDTH, FACTS) <= limit * 2**20
    assert plan.lookahead == 4
    assert (plan.notes == ()) == (limit == 1200)


@pytest.mark.parametrize("limit", [250, 300, 400, 500])
def test_of_all_windows_and_tiles_that_fit_the_cheapest_are_taken(limit: int) -> None:
    plan = make_plan(HEIGHT, WIDTH, options(memory_limit=limit), FACTS)
    others = [
        replace(plan, window=w, tile=t) for w in (16, 8, 4, 2, 1) for t in (None, 160, 80, 48)
    ]
    fitting = [p for p in others if estimate_bytes(p, HEIGHT, WIDTH, FACTS) <= limit * 2**20]
    assert cost(plan) == min(map(cost, fitting))


def test_what_was_given_up_and_its_cost_are_said() -> None:
    medium = make_plan(HEIGHT, WIDTH, options(memory_limit=500), FACTS)
    # (4 + 4) / 4 against (16 + 4) / 16
    assert medium.notes == (
        "window 4, lookahead 4, whole frames instead of window 16, lookahead 4, whole frames, "
        "to fit in 500 MiB: up to 1.6 times the work",
    )


def test_what_costs_no_work_is_not_said() -> None:
    facts = replace(FACTS, lookahead=0)
    plan = make_plan(HEIGHT, WIDTH, options(memory_limit=500), facts)
    assert plan.window == 8
    assert plan.notes == ()


def test_work_counts_what_windows_and_tiles_see_twice() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(window=4, tile=80), FACTS)
    seen = sum(
        (tile.bottom - tile.top) * (tile.right - tile.left)
        for tile in tile_grid(HEIGHT, WIDTH, 80, plan.margin).tiles
    )
    assert cost(plan) == pytest.approx(8 / 4 * seen / (HEIGHT * WIDTH))


def test_large_frames_are_cut_into_tiles_before_windows_get_costly() -> None:
    plan = make_plan(1080, 1920, options(memory_limit=5600), NetworkFacts())
    assert (plan.window, plan.tile) == (4, 480)
    windows_alone = replace(plan, window=1, tile=None)
    assert work_per_frame(plan, 1080, 1920) < work_per_frame(windows_alone, 1080, 1920)


def test_a_window_that_was_asked_for_is_kept_and_tiles_are_used() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(window=8, memory_limit=300), FACTS)
    assert plan.window == 8
    assert plan.tile is not None


def test_what_cannot_fit_is_said() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(window=8, tile=320, memory_limit=10), FACTS)
    assert "memory may run out" in plan.notes[-1]


def test_half_precision_is_estimated_smaller() -> None:
    full = make_plan(HEIGHT, WIDTH, options(), FACTS)
    half = make_plan(HEIGHT, WIDTH, options(precision="bf16"), FACTS)
    whole, saved = (estimate_bytes(p, HEIGHT, WIDTH, FACTS) for p in (full, half))
    assert saved < whole


def test_tiles_are_reckoned_with_the_pictures_they_are_put_into() -> None:
    facts = NetworkFacts(scale=4, bytes_per_call=100, bytes_per_frame=10)
    plan = make_plan(100, 100, options(window=1, lookahead=0, tile=50), facts)
    assert estimate_bytes(plan, 100, 100, facts) == 50 * 50 * 110 + 400 * 400 * 12 + 2**27


def test_smaller_plans_give_less_at_once_until_tiles_are_mostly_margin() -> None:
    steps = ladder(make_plan(HEIGHT, WIDTH, options(memory_limit=100_000), FACTS))
    assert (steps[-1].window, steps[-1].tile) == (1, 48)
    assert {step.lookahead for step in steps} == {4}
    for more, less in pairwise(steps):
        assert (less.window, less.tile or WIDTH) != (more.window, more.tile or WIDTH)
        assert less.window <= more.window
        assert (less.tile or WIDTH) <= (more.tile or WIDTH)


def test_every_smaller_plan_is_estimated_smaller() -> None:
    steps = ladder(make_plan(HEIGHT, WIDTH, options(memory_limit=100_000), FACTS))
    sizes = [estimate_bytes(step, HEIGHT, WIDTH, FACTS) for step in steps]
    assert all(less < more for more, less in pairwise(sizes))


def test_frames_no_larger_than_the_smallest_tile_are_not_tiled() -> None:
    plan = make_plan(40, 48, options(window=1), FACTS)
    assert smaller(plan, 40, 48) is None


@pytest.mark.parametrize("tile", [16, 31, 48])
def test_a_small_tile_gets_a_margin_that_leaves_a_middle(tile: int) -> None:
    plan = make_plan(HEIGHT, WIDTH, options(tile=tile), FACTS)
    assert plan.margin <= tile // 3


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("window", 0, 1), ("lookahead", -1, 0), ("tile", 8, 16), ("memory_limit", 0, 1)],
)
def test_options_out_of_range_are_refused_by_name(name: str, value: int, least: int) -> None:
    flag = name.replace("_", "-")
    with pytest.raises(ConfigError, match=f"--{flag} must be at least {least}; got {value}"):
        make_plan(HEIGHT, WIDTH, options(**{name: value}), FACTS)


@pytest.mark.parametrize(
    ("value", "message"),
    [(-5.0, "at least 0; got -5"), (101.5, "at most 101; got 101.5"), (math.nan, "at most 101")],
)
def test_a_threshold_that_is_no_scene_score_is_refused(value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=f"--scene-threshold must be {message}"):
        make_plan(HEIGHT, WIDTH, options(scene_threshold=value), FACTS)
    make_plan(HEIGHT, WIDTH, options(scene_threshold=101.0), FACTS)


def test_a_plan_can_be_read() -> None:
    plan = make_plan(HEIGHT, WIDTH, options(window=3, tile=64), FACTS)
    assert describe(plan) == "window 3, lookahead 4, tiles of 64"
