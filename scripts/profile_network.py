"""Print what operators of a network cost on one thread of the CPU, as JSON.

    python scripts/profile_network.py WEIGHTS --precision bf16

Imports the `vsr` that Python finds, so that `bench.py profile` can run it on the code of another
commit: it uses nothing that changes from one to the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vsr.models.zoo import find_model, load_network

KINDS = {
    "convolutions": ("conv",),
    "sampling": ("grid_sampler", "embedding_bag", "upsample"),
    "copies": ("cat", "stack", "copy", "to.", "clone", "contiguous", "shuffle", "pad", "select"),
}
"""Parts of the names of operators; all others count as arithmetic."""


class Clock(TorchDispatchMode):
    """Note name and processor seconds of each operator."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, float]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        begin = time.thread_time()
        result = func(*args, **(kwargs or {}))
        self.taken.append((str(func), time.thread_time() - begin))
        return result


def kind(operator: str) -> str:
    """Its kind, as `KINDS` has it."""
    for name, parts in KINDS.items():
        if any(part in operator for part in parts):
            return name
    return "arithmetic"


def moving_clip(frames: int, height: int, width: int) -> Tensor:
    """A smooth random picture that moves by a pixel and a half per frame, (1, T, 3, H, W)."""
    torch.manual_seed(0)
    size = (height + 2 * frames, width + 2 * frames)
    wide = F.interpolate(torch.rand(1, 3, size[0] // 8, size[1] // 8), size=size, mode="bicubic")
    views = [
        F.interpolate(
            wide[..., i : i + height + 1, 2 * i : 2 * i + width + 1],
            size=(height, width),
            mode="bilinear",
        )
        for i in range(frames)
    ]
    return torch.stack(views, dim=1).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16", "int8"))
    parser.add_argument("--shown", type=int, default=12, help="frames of a window")
    parser.add_argument("--lookahead", type=int, default=4)
    parser.add_argument("--height", type=int, default=180)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--pictures", type=Path, help="file for the result, as a tensor")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network: Any = load_network(find_model(options.weights), torch.device("cpu"))
    lq = moving_clip(options.shown + options.lookahead, options.height, options.width)

    computing: Any = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16")
    if options.precision == "int8":
        from vsr.inference import runner
        from vsr.models.layers import calibrate

        calibrate(network)

    def run() -> Tensor:
        context = computing
        if options.precision == "int8":
            context = runner.computing("int8", torch.device("cpu"))
        with torch.inference_mode(), context:
            sr: Tensor = network(lq, None, options.lookahead)[0]
            return sr

    if options.pictures:
        torch.save(run().float(), options.pictures)
    whole, runs = [], []
    for _ in range(options.repeats):
        begin = time.thread_time()
        run()
        whole.append(time.thread_time() - begin)
        with Clock() as clock:
            run()
        runs.append(clock.taken)
    # Of each operator the fastest of all runs: what other programs do to the cache falls away.
    kinds: Counter[str] = Counter()
    for operator in zip(*runs, strict=True):
        kinds[kind(operator[0][0])] += min(seconds for _, seconds in operator)
    each = {name: 1000 * seconds / options.shown for name, seconds in kinds.items()}
    print(json.dumps({"milliseconds": each, "whole": 1000 * min(whole) / options.shown}))


if __name__ == "__main__":
    main()
