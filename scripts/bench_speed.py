"""The parts of `bench.py` about the speed of the network on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from measuring import table

ROOT = Path(__file__).parents[1]
KINDS = ("convolutions", "sampling", "copies", "arithmetic")


def profile(
    *,
    model: str = "vsr/models/weights/compact-x4.safetensors",
    commit: str = "",
    precisions: tuple[Literal["fp32", "bf16", "int8"], ...] = ("bf16", "fp32", "int8"),
    height: int = 180,
    width: int = 320,
    repeats: int = 3,
) -> None:
    """Print what a frame costs on one thread of the CPU, by kind of operator.

    With `commit` this code is compared with that of the commit, both with the weights it had; the
    error is that of the picture against the commit's in fp32. int8, which older code has not, is
    compared with the commit's fp32.

    Args:
        model: Weight file, within the project.
        commit: To compare with.
        precisions: To measure.
        height, width: Of the input.
        repeats: Runs, of which the fastest counts.
    """
    size = ["--height", str(height), "--width", str(width), "--repeats", str(repeats)]
    with tempfile.TemporaryDirectory() as folder, _tree(commit) as old:
        weights = (old or ROOT) / model
        trees = {"this": ROOT} if old is None else {commit[:8]: old, "this": ROOT}
        exact = Path(folder) / "exact.pt"
        _run(old or ROOT, weights, [*size, "--precision", "fp32", "--pictures", str(exact)], 1)
        for precision in precisions:
            found = {}
            for name, tree in trees.items():
                pictures = Path(folder) / f"{name}-{precision}.pt"
                known = "fp32" if precision == "int8" and tree == old else precision
                asked = ["--precision", known, "--pictures", str(pictures)]
                found[name] = _run(tree, weights, [*size, *asked])
                found[name]["error"] = _decibels(pictures, exact)
            _print(precision, found)


def _print(precision: str, found: dict[str, dict[str, Any]]) -> None:
    rows = []
    for kind in KINDS:
        times = [run["milliseconds"].get(kind, 0.0) for run in found.values()]
        rows.append((kind, *(f"{ms:.1f} ms" for ms in times)))
    outside = [
        sum(ms for kind, ms in run["milliseconds"].items() if kind != "convolutions")
        for run in found.values()
    ]
    whole = [run["whole"] for run in found.values()]
    rows.append(("all but convolutions", *(f"{ms:.1f} ms" for ms in outside)))
    rows.append(("a frame", *(f"{ms:.1f} ms" for ms in whole)))
    rows.append(("error", *(f"{run['error']:.1f} dB" for run in found.values())))
    table((precision, *found), rows)
    if len(found) == 2:
        print(
            f"\n{precision}: {whole[0] / whole[1]:.2f} times as fast; time outside convolutions "
            f"{100 * outside[1] / outside[0]:.0f} % of what it was\n"
        )


def _run(tree: Path, weights: Path, options: list[str], repeats: int = 0) -> dict[str, Any]:
    again = ["--repeats", str(repeats)] if repeats else []
    script = str(ROOT / "scripts" / "profile_network.py")
    done = subprocess.run(
        [sys.executable, script, str(weights), *options, *again],
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _decibels(pictures: Path, exact: Path) -> float:
    """PSNR of two files of pictures, of range 0 to 1."""
    made, wanted = (torch.load(path, weights_only=True).double() for path in (pictures, exact))
    return float(-10 * torch.log10((made - wanted).square().mean()))


@contextmanager
def _tree(commit: str) -> Iterator[Path | None]:
    """Check a commit out beside the project; None for no commit."""
    if not commit:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
