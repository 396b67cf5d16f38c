"""The part of `bench.py` that follows one process through a long film."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measuring import table
from torture import make_film

from vsr.estimate import estimate
from vsr.options import EnhanceOptions, InferenceOptions
from vsr.plan import plan_job
from vsr.rehearsal import rehearse

MOMENTS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Sample:
    """Resources of a process at a moment."""

    frames: int
    resident: float  # MiB
    files: int
    threads: int


def long(*, model: str = "compact-x4", minutes: int = 20) -> None:
    """Print memory, open files and threads of `vsr enhance` at moments of a long film.

    Args:
        model: Name or weight file.
        minutes: Length of the generated film: 64x36, about 25 frames/s, variable rate, cuts, sound.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
        make_film(source, minutes * 60 * 25, height=36)
        begin = time.monotonic()
        samples = follow(source, target, model)
        seconds = time.monotonic() - begin
        total = samples[-1].frames
    chosen = [min(samples, key=lambda s: abs(s.frames - part * total)) for part in MOMENTS]
    last = [sample for sample in samples if sample.frames == total]
    peak = max(last, key=lambda sample: sample.resident)
    rows = [
        (name, str(s.frames), f"{s.resident:.0f} MiB", str(s.files), str(s.threads))
        for name, s in (
            *((f"{part:.0%} of the film", s) for part, s in zip(MOMENTS, chosen, strict=True)),
            ("joined and verified", peak),
        )
    ]
    table(("", "frames", "resident", "open files", "threads"), rows)
    growth = chosen[-1].resident - chosen[0].resident
    print(f"\nfrom first to last {growth:+.0f} MiB, {chosen[-1].files - chosen[0].files:+d} files")
    print(f"{model}, {total} frames in {seconds:.0f} s")


def rehearsal(*, model: str = "compact-x4", minutes: int = 10, height: int = 180) -> None:
    """Print what the rehearsal of a film with copied sound costs beside the whole job.

    Args:
        model: Name or weight file.
        minutes, height: Length and size of the generated film: 16:9, about 25 frames/s, sound.
    """
    options = EnhanceOptions(model=model, inference=InferenceOptions(device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.mp4"
        make_film(source, minutes * 60 * 25, height=height)
        begin = time.monotonic()
        job = plan_job(source, Path(folder) / "out.mp4", options)
        planned = time.monotonic()
        rehearsed = rehearse(job, Path(folder))
        ended = time.monotonic()
        whole = estimate(job, options).seconds_for(job)
    assert whole is not None
    spent, allowed = ended - planned, max(2, whole / 100)
    table(
        ("", "seconds", "of the job"),
        [
            ("plan", f"{planned - begin:.2f}", f"{(planned - begin) / whole:.3%}"),
            ("rehearsal", f"{spent:.2f}", f"{spent / whole:.3%}"),
            ("whole job, estimated", f"{whole:.0f}", "100%"),
        ],
    )
    print(f"\nallowed {allowed:.1f} s; the plan was {'kept' if rehearsed == job else 'mended'}")


def follow(source: Path, target: Path, model: str) -> list[Sample]:
    """Run `vsr enhance` and sample its process at each line it writes, then until it ends."""
    command = [sys.executable, "-m", "vsr", "enhance", str(source), str(target), "--model", model]
    command += ["--preset", "ultrafast", "--progress", "json"]
    samples: list[Sample] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        frames = total = 0
        for line in process.stdout:
            said = json.loads(line)
            if said["event"] == "progress":
                frames, total = said["frames"], said["total"]
                samples.append(look(process.pid, frames))
            while frames == total > 0 and process.poll() is None:
                samples.append(look(process.pid, frames))
                time.sleep(0.1)
    if process.returncode:
        sys.exit(f"vsr enhance ended with {process.returncode}")
    return [sample for sample in samples if sample.resident]


def look(process: int, frames: int) -> Sample:
    """Resources of a process from /proc; None if it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        files = len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return Sample(frames, 0, 0, 0)
    found = {key: re.search(rf"^{key}:\s+(\d+)", status, re.M) for key in ("VmRSS", "Threads")}
    resident, threads = (int(match[1]) if match else 0 for match in found.values())
    return Sample(frames, resident / 1024, files, threads)
