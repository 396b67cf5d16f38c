"""What `vsr models` prints: the list of networks, and the card of each."""

from __future__ import annotations

import json
import textwrap
from math import prod
from typing import Any

from safetensors import safe_open

from vsr.models.checkpoints import read_metadata, sha256
from vsr.models.zoo import MODELS, ModelInfo, find_model


def table() -> str:
    """List the networks, one line each, under 80 columns where the names allow it."""
    rows = [("name", "scale", "parameters", "licence", "weights", "gain*")]
    for info in MODELS.values():
        gain = facts(info).get("validation", {}).get("gain")
        rows.append(
            (
                info.name,
                f"x{info.scale}",
                f"{parameters(info):,}",
                info.licence,
                "none" if info.weights is None else "bundled",
                "-" if gain is None else f"{gain:+.2f} dB",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines = [line.rstrip() for line in lines]
    note = "* Y-PSNR over bicubic on its validation clips; `vsr models NAME` tells which."
    return "\n".join([*lines, "", note])


def card(name: str) -> str:
    """Tell all that is known of one network.

    Raises:
        ConfigError, WeightsError: If there is no such network.
    """
    info = find_model(name)
    lines = [
        f"{info.name}: {info.purpose}",
        f"  architecture  {info.architecture} {json.dumps(dict(info.hyper_parameters))}",
        f"  parameters    {parameters(info):,}",
        f"  licence       {info.licence}",
        f"  lookahead     {info.lookahead} frames",
    ]
    if info.weights is not None:
        lines.append(f"  sha256        {sha256(info.weights)}")
    for key, value in facts(info).items():
        lines += _item(key, value, depth=1)
    return "\n".join(lines)


def facts(info: ModelInfo) -> dict[str, Any]:
    """Read what the weight file says of its making; empty where there is none."""
    if info.weights is None:
        return {}
    return {key: value for key, value in read_metadata(info.weights).items() if key != "network"}


def parameters(info: ModelInfo) -> int:
    """Count the values in the weight file, without loading them."""
    if info.weights is None:
        return 0
    with safe_open(info.weights, framework="pt") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _item(key: str, value: Any, depth: int) -> list[str]:  # noqa: ANN401
    if isinstance(value, dict):
        inner = [line for name, item in value.items() for line in _item(name, item, depth + 1)]
        return [f"{'  ' * depth}{key}", *inner]
    return textwrap.wrap(
        _plain(value),
        width=80,
        initial_indent=f"{'  ' * depth}{key:<14}",
        subsequent_indent=" " * (14 + 2 * depth),
    )


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
