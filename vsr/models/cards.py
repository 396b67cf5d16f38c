"""What `vsr models` prints: the list of networks, and the card of each."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from math import prod
from typing import Any

from safetensors import safe_open

from vsr.models.catalogue import PUBLISHED
from vsr.models.checkpoints import is_own, read_metadata, sha256
from vsr.models.published import is_optional, read_published
from vsr.models.work import gmac
from vsr.models.zoo import MODELS, ModelInfo, find_model, published_model

_MADE_FOR = {
    "bicubic": "Clean video, shrunk bicubically",
    "blur": "Clean video, blurred and then subsampled",
    "compression": "Compressed video",
    "noise": "Noisy video",
    "motion blur": "Video blurred by motion",
    "real": "Real footage, degraded in unknown ways",
}
# As a card tells them; what else a file knows comes after.
_ORDER = ("validation", "degradation", "data", "step", "hours", "hardware", "note")
_SHA256 = 64  # hex digits
_QUICK = (64, 36)  # of what is run to count the work: (width, height)
_NOTE = (
    "* bundled: Y-PSNR over bicubic on validation clips; others: as published, in dB",
    "`vsr models NAME` tells more; `vsr models download NAME` fetches its weights.",
)


def table() -> str:
    """List the networks, one line each, and what they are made for, in 80 columns."""
    rows = [("name", "scale", "parameters", "licence", "weights", "measured*")]
    infos = [*MODELS.values(), *(published_model(name) for name in PUBLISHED)]
    for info in infos:
        count = parameters(info)
        size = f"{count / 1e6:.2f} M" if count else "0"
        rows.append((info.name, f"x{info.scale}", size, info.licence, _where(info), _score(info)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines = [line.rstrip() for line in lines]
    for degradation in dict.fromkeys(info.degradation for info in infos):
        names = [info.name for info in infos if info.degradation == degradation]
        if degradation in _MADE_FOR:
            text = f"{_MADE_FOR[degradation]}: {', '.join(names)}"
            lines += ["", *textwrap.wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)]
    return "\n".join([*lines, "", *_NOTE])


def card(name: str) -> str:
    """Tell all that is known of one network.

    Raises:
        ConfigError, WeightsError: If there is no such network.
    """
    info = published_model(name) if name in PUBLISHED else find_model(name)
    lines = [
        *textwrap.wrap(f"{info.name}: {info.purpose}", 80, subsequent_indent="  "),
        f"  architecture  {info.architecture} {json.dumps(dict(info.hyper_parameters))}",
        f"  parameters    {parameters(info):,}",
        f"  licence       {info.licence}",
        f"  lookahead     {info.facts.lookahead} frames",
    ]
    if name in PUBLISHED:
        entry = PUBLISHED[name]
        scores = ", ".join(f"{data} {score:.2f}" for data, score in entry.scores.items())
        lines += [
            f"  work          {entry.gmac:g} GMAC per frame of 320x180",
            *([f"  published     PSNR in dB: {scores}"] if scores else []),
            f"  sha256        {_digest(entry.digest)}",
            f"  address       {entry.address}",
            f"  file          {info.weights} ({_where(info)})",
        ]
        return "\n".join(lines)
    if info.weights is not None:
        lines.append(f"  work          {_work(info):.3g} GMAC per frame of 320x180")
        lines.append(f"  sha256        {sha256(info.weights)}")
    known = facts(info)
    if isinstance(options := known.get("options"), dict):
        known["options"] = _used(options)
    for key in sorted(known, key=_place):
        lines += _item(key, known[key], depth=1)
    return "\n".join(lines)


def _work(info: ModelInfo) -> float:
    """Count what a frame costs, or take what is known of a published network of this shape."""
    for entry in PUBLISHED.values():
        if (entry.architecture, entry.hyper_parameters) == (
            info.architecture,
            info.hyper_parameters,
        ):
            return entry.gmac
    return gmac(info.architecture, info.hyper_parameters, size=_QUICK)


def _digest(known: str) -> str:
    """Say what of a hash was published; a file is checked by that."""
    return known if len(known) == _SHA256 else f"begins with {known} (no more was published)"


def _used(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a run's options what it did not use, and count its patterns of files."""
    used = dict(options)
    data = dict(used.get("data", {}))
    if data.get("half_size"):
        data["half_size"] = f"{len(data['half_size'])} patterns of file names"
    if data.get("degradation") != "real":
        used.pop("real", None)
    if not used.get("adversarial", {}).get("weight"):
        used.pop("adversarial", None)
    # All but the name of the picture's loss are weights.
    loss = {name: value for name, value in used.get("loss", {}).items() if value}
    return {**used, "data": data, "loss": loss}


def _where(info: ModelInfo) -> str:
    if info.name not in PUBLISHED:
        return "none" if info.weights is None else "bundled"
    return "here" if info.weights is not None and info.weights.is_file() else "download"


def _score(info: ModelInfo) -> str:
    if info.name in PUBLISHED:
        scores = iter(PUBLISHED[info.name].scores.items())
        data, score = next(scores, ("", 0.0))
        return f"{score:.2f} {data}" if data else "-"
    gain = facts(info).get("validation", {}).get("gain")
    return "-" if gain is None else f"{gain:+.2f} dB"


def facts(info: ModelInfo) -> dict[str, Any]:
    """Read what the weight file says of its making; empty where there is none."""
    if info.weights is None or not is_own(info.weights):
        return {}
    return {key: value for key, value in read_metadata(info.weights).items() if key != "network"}


def parameters(info: ModelInfo) -> int:
    """Count the values that training has set."""
    if info.name in PUBLISHED:
        return PUBLISHED[info.name].parameters
    if info.weights is None:
        return 0
    if is_own(info.weights):
        with safe_open(info.weights, framework="pt") as file:
            names = file.keys()
            return sum(prod(file.get_slice(name).get_shape()) for name in names)
    weights = read_published(info.weights).weights.items()
    return sum(value.numel() for name, value in weights if not is_optional(name))


def _place(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _item(key: str, value: Any, depth: int) -> list[str]:  # noqa: ANN401
    if isinstance(value, dict):
        inner = [line for name, item in value.items() for line in _item(name, item, depth + 1)]
        return [f"{'  ' * depth}{key}", *inner]
    return textwrap.wrap(
        _plain(value),
        width=80,
        initial_indent=f"{'  ' * depth}{key:<13} ",
        subsequent_indent=" " * (14 + 2 * depth),
    )


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
