"""`vsr batch`: many files, one after the other or several at once."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import tyro

from vsr.cli.enhance import ProgressKind
from vsr.errors import ConfigError
from vsr.files import check_place, write_text
from vsr.media.containers import check_record
from vsr.options import EnhanceOptions, check

if TYPE_CHECKING:
    from vsr.estimate import Estimate
    from vsr.jobs.forecast import Forecast
    from vsr.jobs.journal import Entry
    from vsr.jobs.local import Event
    from vsr.plan import Job


def batch(
    inputs: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    output_dir: Path | None = None,
    options: Annotated[
        EnhanceOptions,
        tyro.conf.arg(name=""),
        tyro.conf.OmitArgPrefixes,
        tyro.conf.UseAppendAction,
    ] = EnhanceOptions(),  # noqa: B008
    container: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    retries: int = 0,
    summary: Path | None = None,
    progress: ProgressKind = "bar",
    status: Path | None = None,
    dry_run: bool = False,
) -> int:
    """Enhance files, folders and patterns; given again, it does what is left.

    Args:
        inputs: Videos, folders (searched through, their tree is kept) or patterns such as "*.mpg";
            required unless --status is given.
        output_dir: Where the outputs go, and the journal of the batch; required unless --status is
            given.
        container: Extension of all outputs, such as mp4; by default each one's own, or .mkv.
        workers: Processes; by default one per GPU, or one; with --ray as many as there is room for.
        ray: Address of a Ray cluster (HOST:PORT, or auto), or local for one on this machine: films
            are parted at cuts, the parts done anywhere. All nodes must share the storage.
        retries: How often a file that failed is tried again.
        summary: Write what became of each file as JSON.
        progress: bar for people, json for programs (lines on stdout), or none.
        status: Say how the batch of this output folder stands, and do nothing.
        dry_run: Print what is left to do, its frames, time and size, and stop; nothing is written.
    """
    if dry_run and (summary is not None or status is not None):
        other = "--summary" if status is None else "--status"
        raise ConfigError(f"--dry-run and {other} contradict each other; give one of them")
    if summary is not None:
        check_record(summary, "--summary", is_json=True)
        check_place(summary)
    if status is not None:
        return _tell_status(status, summary, progress)
    if output_dir is None or not inputs:
        raise ConfigError("vsr batch wants files or folders, and --output-dir")
    for name, value, least in (("workers", workers, 1), ("retries", retries, 0)):
        if value is not None and value < least:
            raise ConfigError(f"--{name} must be at least {least}, got {value}")
    from vsr.jobs.files import plan_files
    from vsr.media.encode import check_choices
    from vsr.models.zoo import find_model

    if container is not None and not container.startswith("."):
        container = f".{container}"
    check(options)
    find_model(options.model)
    files = plan_files(inputs, output_dir, container, _warn)
    check_choices(options.encode, container)
    if dry_run:
        return _show_forecast(files, output_dir, options, workers, retries, progress)
    run = _on_this_machine(options, workers) if ray is None else _on_cluster(ray, workers)
    return _work(run, files, output_dir, options, retries, summary, progress)


def _work(
    run: Callable[..., None],
    files: Sequence[tuple[Path, Path]],
    output_dir: Path,
    options: EnhanceOptions,
    retries: int,
    summary: Path | None,
    progress: ProgressKind,
) -> int:
    from vsr.jobs.files import enqueue
    from vsr.jobs.journal import claim, open_journal

    with claim(output_dir, _warn), open_journal(output_dir) as journal:
        waiting, refused = enqueue(journal, files, options, retries=retries)
        try:
            with _display(progress, files, waiting) as tell:
                run(journal, waiting, options, retries=retries, tell=tell)
        finally:
            names = {str(source) for source, _ in files}
            now = {entry.source: entry for entry in (*journal.entries(), *refused)}
            entries = [entry for source, entry in now.items() if source in names]
            begun = {entry.source for entry in waiting}
            code = _report(entries, summary, progress, begun=begun, folder=output_dir)
        return code


def _tell_status(folder: Path, summary: Path | None, progress: ProgressKind) -> int:
    from vsr.jobs.journal import is_claimed, open_journal

    with open_journal(folder, create=False) as journal:
        running = "running" if is_claimed(folder) else "interrupted"
        return _report(journal.entries(), summary, progress, status=running)


def _on_this_machine(options: EnhanceOptions, workers: int | None) -> Callable[..., None]:
    from vsr.jobs.local import count_devices, run_batch

    return partial(run_batch, workers=workers or count_devices(options.inference.device))


def _on_cluster(address: str, workers: int | None) -> Callable[..., None]:
    try:
        from vsr.jobs.ray_cluster import run_cluster
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ConfigError("--ray needs Ray: pip install ray") from error
    return partial(run_cluster, address=address, workers=workers)


def _report(
    entries: Sequence[Entry],
    summary: Path | None,
    progress: ProgressKind,
    *,
    status: str | None = None,
    begun: Collection[str] = (),
    folder: Path | None = None,
) -> int:
    """Say what runs, what failed or was left and why, and count; return the exit code.

    Args:
        entries: Of all files.
        summary: Where all of it goes as JSON.
        progress: How it is said.
        status: Given where only that is asked for: the word for what the journal knows as running.
        begun: Sources that this run had to do.
        folder: Where the outputs are, if that is to be said.
    """
    running = status or "interrupted"  # no batch may be at work any more
    states = [running if entry.state == "running" else entry.state for entry in entries]
    counts = {state: states.count(state) for state in _STATES}
    if progress == "json" and status is not None:
        for entry, state in zip(entries, states, strict=True):
            print(json.dumps({"event": state, "source": entry.source, "error": entry.error}))
    else:
        _name(entries, states, sys.stderr if status is None else sys.stdout)
    if progress == "json":
        print(json.dumps({"event": "finished" if status is None else "status", "counts": counts}))
    else:
        said = [f"{count} {state}" for state, count in counts.items() if count or state == "done"]
        if folder is not None:
            done = [entry for entry in entries if entry.state == "done"]
            now = sum(entry.source in begun for entry in done)
            noted = sum(bool(entry.result.get("warnings")) for entry in done)
            said[0] += f" ({now} now)" * (now != len(done))
            said[-1] += f"; in {folder}" + f", {noted} with notes" * bool(noted)
        print(", ".join(said))
    if summary is not None:
        jobs = [
            {
                "source": entry.source,
                "target": entry.target,
                "state": state,
                "attempts": entry.attempts,
                "error": entry.error,
                **entry.result,
            }
            for entry, state in zip(entries, states, strict=True)
        ]
        write_text(summary, json.dumps({"counts": counts, "jobs": jobs}, indent=2) + "\n")
    return 1 if any(map(_is_unfinished, entries)) else 0


def _is_unfinished(entry: Entry) -> bool:
    """Tell what failed, and what was left for a reason that may pass."""
    return entry.state == "failed" or (entry.state == "queued" and entry.error is not None)


def _name(entries: Sequence[Entry], states: Sequence[str], to: TextIO) -> None:
    """Name what is at work or was interrupted, and what failed or was left."""
    for entry, state in zip(entries, states, strict=True):
        if entry.state == "running":
            print(f"vsr: {state}: {shown(entry.source)}", file=to)
    for entry in filter(_is_unfinished, entries):
        reason = (entry.error or "").removeprefix(entry.source).removeprefix(": ")
        print(f"vsr: {entry.state}: {shown(entry.source)}: {reason}", file=to)


_STATES = ("done", "failed", "running", "interrupted", "queued")


class _Share:
    """How much of the batch is done, reckoned by the size of the sources."""

    def __init__(self, files: Sequence[tuple[Path, Path]], waiting: Sequence[Entry]) -> None:
        self._sizes = {str(source): float(max(1, _size(source))) for source, _ in files}
        left = {entry.source for entry in waiting}
        self._parts = {source: float(source not in left) for source in self._sizes}
        self.failed = 0
        self.done = sum(self._parts.values())

    def follow(self, event: Event) -> None:
        """Take in what happened."""
        entry, now = event.entry, event.progress
        if now is not None and now.total:
            self._parts[entry.source] = min(1.0, now.frames / now.total)
        elif event.warning is None and entry.state in ("done", "failed"):
            self._parts[entry.source] = 1.0
            self.done += 1
            self.failed += entry.state == "failed"

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        done = sum(size * self._parts[source] for source, size in self._sizes.items())
        return done / sum(self._sizes.values())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it fails, with its reason
        return 1


@contextmanager
def _display(
    kind: ProgressKind, files: Sequence[tuple[Path, Path]], waiting: Sequence[Entry]
) -> Iterator[Callable[[Event], None]]:
    share = _Share(files, waiting)
    if kind == "bar":
        from tqdm import tqdm

        line = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"
        with tqdm(
            total=1.0,
            bar_format=line,
            dynamic_ncols=True,
            initial=share.fraction,
            disable=None,
        ) as bar:

            def show(event: Event) -> None:
                share.follow(event)
                bar.set_description_str(
                    f"{share.done:.0f}/{len(files)} files, {share.failed} failed", refresh=False
                )
                bar.update(share.fraction - bar.n)
                if event.warning is not None:
                    bar.write(_note(event), file=sys.stderr)

            yield show
        return
    if kind == "none":
        yield lambda event: print(_note(event), file=sys.stderr) if event.warning else None
        return
    last, out = float("-inf"), sys.stdout

    def lines(event: Event) -> None:
        nonlocal last
        share.follow(event)
        facts: dict[str, Any] = {"source": event.entry.source, "done": round(share.fraction, 6)}
        if event.warning is not None:
            facts |= {"event": "warning", "text": event.warning}
        elif event.progress is None:
            facts |= {"event": event.entry.state, "error": event.entry.error}
        elif time.monotonic() - last < 1:
            return
        else:
            last = time.monotonic()
            facts |= {"event": "progress", "frames": event.progress.frames}
        print(json.dumps(facts), file=out, flush=True)

    yield lines


def _warn(text: str) -> None:
    print(f"vsr: note: {text}", file=sys.stderr)


def _note(event: Event) -> str:
    return f"vsr: note: {shown(event.entry.source)}: {event.warning}"


def shown(path: str) -> str:
    """Name a file from here, if it lies below; the journal has whole paths."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _show_forecast(
    files: Sequence[tuple[Path, Path]],
    output_dir: Path,
    options: EnhanceOptions,
    workers: int | None,
    retries: int,
    progress: ProgressKind,
) -> int:
    """Print a line per file that is left to do, and the sum; return the exit code."""
    from tqdm import tqdm

    from vsr.jobs.forecast import forecast
    from vsr.jobs.local import count_devices

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
    from vsr.reporting import describe_plan

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
    from vsr.report.facts import clock, in_bytes

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
