"""`vsr batch --dry-run`: what a batch would do and take."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vsr.cli.batch import shown
from vsr.cli.enhance import ProgressKind
from vsr.estimate import Estimate
from vsr.jobs.forecast import Forecast, forecast
from vsr.jobs.local import count_devices
from vsr.options import EnhanceOptions
from vsr.planning import Job
from vsr.report.facts import clock, in_bytes
from vsr.reporting import describe_plan


def show_forecast(
    files: Sequence[tuple[Path, Path]],
    output_dir: Path,
    options: EnhanceOptions,
    workers: int | None,
    retries: int,
    progress: ProgressKind,
) -> int:
    """Print a line per file that is left to do, and the sum; return the exit code."""
    from tqdm import tqdm

    hidden = None if progress == "bar" else True
    with tqdm(total=len(files), unit="file", desc="planning", leave=False, disable=hidden) as bar:
        found = forecast(files, output_dir, options, retries=retries, tick=bar.update)
    # On a CPU workers share what one would have; each GPU adds its own.
    gpus = count_devices(options.inference.device)
    at_once = min(workers or gpus, gpus)
    if progress == "json":
        _print_lines(found, options, at_once)
    else:
        _print_table(found, options, at_once)
    return 1 if found.failed else 0


def _print_lines(found: Forecast, options: EnhanceOptions, at_once: int) -> None:
    for job, each in zip(found.jobs, found.estimates, strict=True):
        seconds, size = _taken(job, each, options)
        reckoned = {
            "seconds": None if seconds is None else round(seconds, 1),
            "size_bytes": size,
        }
        print(json.dumps({"event": "plan", **describe_plan(job), **reckoned}))
    for source, reason in found.failed:
        print(json.dumps({"event": "failed", "source": source, "error": reason}))
    frames, seconds, size, unknown = _sums(found, options)
    counts = {"planned": len(found.jobs), "failed": len(found.failed), "done": found.done}
    total = {"frames": frames, "seconds": round(seconds / at_once, 1), "size_bytes": size}
    print(json.dumps({"event": "planned", "counts": counts, **total, "unknown": unknown}))


def _print_table(found: Forecast, options: EnhanceOptions, at_once: int) -> None:
    """Print names last: they may be of any length."""
    if found.jobs:
        print(f"{'frames':>10} {'time':>11} {'size':>10}  {'picture':<21}  file")
    for job, each in zip(found.jobs, found.estimates, strict=True):
        seconds, size = _taken(job, each, options)
        width, height = job.input_size
        picture = f"{width}x{height} to {job.encode.width}x{job.encode.height}"
        print(
            f"{'?' if job.frames is None else format(job.frames, ','):>10} "
            f"{'?' if seconds is None else clock(seconds, digits=0):>11} "
            f"{'?' if size is None else in_bytes(size):>10}  {picture:<21}  "
            f"{shown(str(job.info.path))}"
        )
    notes = Counter(note for job in found.jobs for note in dict.fromkeys(job.warnings))
    for note, count in notes.items():
        print(f"vsr: note: {_files(count)}: {note}", file=sys.stderr)
    for source, reason in found.failed:
        why = reason.removeprefix(source).removeprefix(": ")
        print(f"vsr: failed: {shown(source)}: {why}", file=sys.stderr)
    frames, seconds, size, unknown = _sums(found, options)
    others = f", {found.done} done already" * bool(found.done)
    others += f", {len(found.failed)} failed" * bool(found.failed)
    print(f"{_files(len(found.jobs))} to do{others}: {frames:,} frames,")
    several = f" on {at_once} GPUs" if at_once > 1 else ""
    print(f"about {clock(seconds / at_once, digits=0)}{several}, very roughly {in_bytes(size)}")
    if unknown:
        print(f"(without {_files(unknown)} of unknown length or size)")


def _sums(found: Forecast, options: EnhanceOptions) -> tuple[int, float, int, int]:
    """Add up frames, seconds and bytes, and count the files of which one of them is unknown."""
    frames, seconds, size, unknown = 0, 0.0, 0, 0
    for job, each in zip(found.jobs, found.estimates, strict=True):
        its_seconds, its_size = _taken(job, each, options)
        frames += job.frames or 0
        seconds += its_seconds or 0
        size += its_size or 0
        unknown += its_size is None
    return frames, seconds, size, unknown


def _taken(
    job: Job, each: Estimate | None, options: EnhanceOptions
) -> tuple[float | None, int | None]:
    """Give seconds and bytes of a file, where they are known."""
    if each is None:
        return None, None
    return each.seconds_for(job), each.bytes_for(job, options.piece)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
