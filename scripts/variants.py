"""Train variants of a configuration for the same work and print the gain of each.

    python scripts/variants.py configs/compact_x4.toml "" "network.channels=64 network.blocks=2"

A variant is a list of overrides as for `vsr train --set`, "" the unchanged configuration. All run
for the multiplications of --steps steps of the first: twice the cost per step, half the steps.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import tyro
from bench_training import Overrides
from measuring import table

from vsr.models.zoo import gmac
from vsr.training.loop import train
from vsr.training.options import NetworkOptions, TrainOptions, read_options


def main(
    config: tyro.conf.Positional[Path],
    variants: tyro.conf.Positional[tuple[str, ...]],
    *,
    set_: Overrides = (),
    steps: int = 500,
) -> None:
    """Train and print.

    Args:
        config: A training configuration.
        variants: Overrides of each, separated by spaces.
        set_: Overrides of all.
        steps: Of the first variant.
    """
    runs = [read_options(config, (*set_, *variant.split())) for variant in variants]
    costs = [work(options.network) for options in runs]
    budget = steps * costs[0] * pixels(runs[0])
    rows = []
    for variant, options, each in zip(variants, runs, costs, strict=True):
        count = max(1, round(budget / (each * pixels(options))))
        with tempfile.TemporaryDirectory() as folder:
            found = train(limited(options, count, folder))
        cost = (f"{each:.1f}", str(count))
        got = (f"{found[name]:.3f}" for name in ("gain", "neighbours"))
        rows.append((variant or "as configured", *cost, *got))
    table(("variant", "GMAC per frame", "steps", "gain (dB)", "of it neighbours"), rows)


def limited(options: TrainOptions, steps: int, folder: str) -> TrainOptions:
    """Options for that many steps, one validation, and an own folder."""
    schedule = replace(options.optimizer, steps=steps)
    run = replace(options.run, output=folder, validate_every=steps, save_every=steps)
    return replace(options, optimizer=schedule, run=run)


def pixels(options: TrainOptions) -> float:
    """Input pixels of a step, on average; two thirds of its work are the backward pass."""
    data = options.data
    length = data.length * (2 if data.mirror else 1)
    # Twice on average, forward only.
    replayed = 2 * (2 * length - 2) / 3 / data.replay_every if data.replay_every else 0
    return data.batch * (length + replayed) * data.crop**2


def work(network: NetworkOptions) -> float:
    """Billions of multiplications per frame of 320x180."""
    shape = asdict(network)
    return gmac(shape.pop("name"), shape)


if __name__ == "__main__":
    tyro.cli(main)
