"""Enhance a folder of good and bad files as one batch, twice, and print what became of each.

    python scripts/batch_table.py FOLDER [--model NAME] [--scale 2|4] [--workers N] [--keep DIR]
        [any option of vsr batch]

The rule: every file is done, and passes `vsr verify` on its own, or failed with a reason; the exit
code is 1 if one failed, else 0; the second run touches nothing and prints the same.
Exits with 1 if the rule is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

VSR = [sys.executable, "-m", "vsr"]
WIDTH = 100


def main() -> int:
    """Run the batch twice and judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="bicubic")
    parser.add_argument("--scale", default="2")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the outputs here and leave them")
    given, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        output = given.keep or Path(folder) / "out"
        command = [*VSR, "batch", str(given.folder), "--output-dir", str(output), "--preset"]
        command += ["ultrafast", "--model", given.model, "--scale", given.scale]
        command += ["--workers", str(given.workers), *options]
        first, code, seconds = run(command, Path(folder) / "first.json")
        before = files(output)
        second, code_again, seconds_again = run(command, Path(folder) / "second.json")
        same = files(output) == before and second == first
        sound = [show(job, given.folder) for job in first]
    failed = sum(job["state"] == "failed" for job in first)
    print(f"\nfirst run: {len(first) - failed} done, {failed} failed, exit {code}, {seconds:.0f} s")
    print(
        f"second run: exit {code_again}, {seconds_again:.0f} s, "
        + ("nothing touched" if same else "SOMETHING CHANGED")
    )
    good = all(sound) and same and code == code_again == int(failed > 0)
    print("the rule holds" if good else "THE RULE IS BROKEN")
    return 0 if good else 1


def run(command: list[str], summary: Path) -> tuple[list[dict[str, Any]], int, float]:
    """Run the batch; the jobs of its summary, the exit code, and seconds."""
    begin = time.monotonic()
    done = subprocess.run(
        [*command, "--progress", "none", "--summary", str(summary)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if not summary.exists():
        sys.exit(done.stderr)
    jobs: list[dict[str, Any]] = json.loads(summary.read_text())["jobs"]
    return jobs, done.returncode, time.monotonic() - begin


def files(folder: Path) -> dict[str, int]:
    """All outputs and when they were written."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def show(job: dict[str, Any], folder: Path) -> bool:
    """Print what became of a file; whether that is as it should be."""
    name = os.path.relpath(job["source"], folder)
    if "report" in job:  # of a damaged output, too, though its job failed
        again = subprocess.run([*VSR, "verify", job["source"], job["target"]],
                               capture_output=True, text=True, check=False)  # fmt: skip
        sound = again.returncode == 0
        worst = job["report"]["fidelity"]["lowest_db"]
        print(
            f"{name:<24} {job['state']:<7} {job['frames']:>5} frames, {worst:5.1f} dB or better, ",
            end="",
        )
        print("verified" if sound else "NOT VERIFIED: " + again.stdout)
        notes = [*filter(None, [job["error"]]), *job["warnings"]]
    else:
        sound = bool(job["error"]) and not Path(job["target"]).exists()
        print(f"{name:<24} {job['state']}" + ("" if sound else " WITHOUT A REASON"))
        notes = [job["error"]]
    for note in notes:
        text = re.sub(re.escape(job["source"]) + ": ", "", note)
        print(textwrap.indent(textwrap.fill(text, WIDTH - 10), " " * 10))
    hidden = [path.name for path in Path(job["target"]).parent.glob(f".{Path(name).name}*")]
    if hidden:
        print(f"          LEFT BEHIND: {hidden}")
    return sound and not hidden


if __name__ == "__main__":
    sys.exit(main())
