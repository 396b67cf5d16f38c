"""`vsr batch`: many files, one after the other or several at once."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from vsr.cli.enhance import print_planned
from vsr.cli.terminal import (
    ProgressKind,
    bar,
    counted,
    each_second,
    note,
    print_above,
    print_event,
    print_line,
    say,
)
from vsr.cli.words import Options, ProfileFile, ProfileName, Variants, settled, variants_asked
from vsr.errors import ConfigError, VsrError
from vsr.files import check_place, write_text
from vsr.media.containers import check_record
from vsr.options import Count, EnhanceOptions, Positive, checked

if TYPE_CHECKING:
    from vsr.jobs.forecast import Forecast
    from vsr.jobs.journal import BatchJob
    from vsr.jobs.local import Event

Files = Sequence[tuple[Path, Path]]
_COLUMNS = (
    "source", "target", "state", "attempts", "error", "frames", "seconds", "source_bytes", "width",
    "height", "codec", "model", "verified", "fidelity_db", "lowest_db", "sha256", "warnings",
)  # fmt: skip
_STATES = ("done", "failed", "running", "interrupted", "queued")


def batch(
    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="IN...")] = (),
    *,
    output_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    profile: ProfileName = None,
    save_profile: ProfileFile = None,
    options: Options = EnhanceOptions(),  # noqa: B008
    container: Annotated[str | None, arg(metavar="EXT")] = None,
    workers: Positive | None = None,
    ray: Annotated[str | None, arg(metavar="ADDRESS")] = None,
    retries: Count = 0,
    summary: Annotated[Path | None, arg(metavar="FILE.json|.csv")] = None,
    report: bool = False,
    progress: ProgressKind = "bar",
    status: Annotated[Path | None, arg(metavar="DIR")] = None,
    dry_run: bool = False,
    preview: Positive | None = None,
    vary: Variants = None,
) -> int:
    """Enhance files, folders and patterns; repeated, the command does what is left.

    Before the first is enhanced, all are rehearsed: losses are reported then.

    Args:
        inputs: Videos, folders (searched recursively, their tree is kept) or patterns such as
            "*.mpg"; required unless --status is given.
        output_dir: Folder of the outputs and of the batch's journal; required unless --status is
            given.
        profile, save_profile: As for `vsr enhance`, whose help is shown.
        container: Extension of all outputs, such as mp4; by default each one's own, or .mkv.
        workers: Processes; by default one per GPU, or one (with --ray as many as fit).
        ray: Address of a Ray cluster (HOST:PORT or auto), or local for one on this machine. Films
            are parted at cuts and the parts run on any node; all nodes must share the storage.
        retries: How often a failed file is tried again.
        summary: Write the result of each file as JSON, or as a table (CSV).
        report: Write the report of each file beside its output, as NAME.EXT.json.
        progress: bar for people, json for programs (lines on stdout), or none.
        status: Print whether a batch is running in this output folder and the state of its files,
            and stop.
        dry_run: Print what is left to do, with frames, time and size, and stop; nothing is written.
        preview: Write a page for each file, as NAME.EXT.html in the output folder, with so many
            stretches, and stop; pages that exist stay.
        vary: As for `vsr enhance`, whose help is shown.
    """
    _check(summary, status, ray, report, dry_run, preview)
    if status is not None:
        return _print_status(status, summary, progress)
    if output_dir is None or not inputs:
        raise ConfigError("vsr batch wants files or folders, and --output-dir")
    from vsr.jobs.files import plan_files
    from vsr.media.encode import check_choices
    from vsr.models.zoo import find_model

    if container is not None and not container.startswith("."):
        container = f".{container}"
    options = checked(settled(options, profile, save_profile))
    find_model(options.model)
    files = plan_files(inputs, output_dir, container, note)
    check_choices(options.encode, container)
    if dry_run:
        return _print_forecast(files, output_dir, options, workers, retries, progress)
    variants = variants_asked(options, vary, preview, profile)
    if preview is not None:
        return _write_previews(files, options, preview, variants, progress)
    if report:
        for _, target in files:
            check_record(_report_path(target), "--report", is_json=True)
    run = _on_this_machine(options, workers) if ray is None else _on_cluster(ray, workers)
    return _work(run, files, output_dir, options, retries, summary, progress, report=report)


def _check(
    summary: Path | None,
    status: Path | None,
    ray: str | None,
    report: bool,
    dry_run: bool,
    preview: int | None,
) -> None:
    """Refuse options that contradict each other, and a summary with the name of a video.

    Raises:
        ConfigError: Naming them.
    """
    modes = {"--dry-run": dry_run, "--status": status is not None, "--preview": preview is not None}
    chosen = [name for name, given in modes.items() if given]
    if summary is not None and status is None:
        chosen += ["--summary"] * bool(chosen)
    if report:
        chosen += ["--report"] * bool(chosen)
    if ray is not None:
        chosen += ["--ray"] * bool(chosen)
    if len(chosen) > 1:
        raise ConfigError(f"{chosen[0]} and {chosen[1]} contradict each other; give one of them")
    if summary is not None:
        check_record(summary, "--summary", is_json=summary.suffix.lower() != ".csv")
        check_place(summary)


def _work(
    run: Callable[..., None],
    files: Files,
    output_dir: Path,
    options: EnhanceOptions,
    retries: int,
    summary: Path | None,
    progress: ProgressKind,
    *,
    report: bool,
) -> int:
    from vsr.jobs.files import enqueue
    from vsr.jobs.journal import claim, open_journal

    with claim(output_dir, note), open_journal(output_dir) as journal:
        waiting, refused = enqueue(journal, files, options, retries=retries)
        begun, names = {job.source for job in waiting}, {str(source) for source, _ in files}

        def jobs() -> list[BatchJob]:
            now = {job.source: job for job in (*journal.jobs(), *refused)}
            return [job for source, job in now.items() if source in names]

        earlier = [job for job in jobs() if job.source not in begun]
        if report:
            _write_reports(earlier)
        failed = sum(job.state == "failed" for job in earlier)
        try:
            with _display(progress, files, waiting, failed) as tell:
                tell = _reporting(tell) if report else tell
                run(journal, waiting, options, retries=retries, tell=_once(tell))
        finally:
            code = _report(jobs(), summary, progress, begun=begun, folder=output_dir)
        return code


def _report_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _write_reports(jobs: Iterable[BatchJob]) -> None:
    """Write the report of each finished file beside it, unless it is there."""
    for job in jobs:
        if "report" in job.result:
            path = _report_path(Path(job.result["target"]))
            if not path.exists():
                write_text(path, json.dumps(job.result["report"], indent=2) + "\n")


def _reporting(tell: Callable[[Event], None]) -> Callable[[Event], None]:
    """Pass events on; the report of a file is written once it is finished."""

    def pass_on(event: Event) -> None:
        if event.progress is None and event.warning is None and "report" in event.job.result:
            # An earlier one is of another film under the same name.
            _report_path(Path(event.job.result["target"])).unlink(missing_ok=True)
            _write_reports([event.job])
        tell(event)

    return pass_on


def _print_status(folder: Path, summary: Path | None, progress: ProgressKind) -> int:
    from vsr.jobs.journal import is_claimed, open_journal

    with open_journal(folder, create=False) as journal:
        is_running, jobs = is_claimed(folder), journal.jobs()
        left = [job for job in jobs if job.state in ("queued", "running")]
        if progress != "json" and is_running:
            say(f"a batch is running in {folder}")
        elif progress != "json":
            killed = any(job.state == "running" for job in jobs)
            end = "was killed or interrupted" if killed else "has stopped" if left else "has ended"
            rest = f"; the same command does the {counted(len(left), 'file')} left" if left else ""
            say(f"no batch is running in {folder}: it {end}{rest}")
        running = "running" if is_running else "interrupted"
        return _report(jobs, summary, progress, status=running)


def _on_this_machine(options: EnhanceOptions, workers: int | None) -> Callable[..., None]:
    from vsr.jobs.local import count_devices, run_batch

    return partial(run_batch, workers=workers or count_devices(options.inference.device))


def _on_cluster(address: str, workers: int | None) -> Callable[..., None]:
    try:
        from vsr.jobs.ray_cluster import run_cluster
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise ConfigError("--ray needs Ray: pip install 'vsr-enhance[ray]'") from error
    return partial(run_cluster, address=address, workers=workers)


def _report(
    jobs: Sequence[BatchJob],
    summary: Path | None,
    progress: ProgressKind,
    *,
    status: str | None = None,
    begun: Collection[str] = (),
    folder: Path | None = None,
) -> int:
    """Print what is running, what failed or was left and why, and the counts; the exit code.

    Args:
        jobs: All of them.
        summary: Where to write all of it, as JSON or CSV.
        progress: For whom it is printed.
        status: With --status: the word for what the journal has as running.
        begun: Sources that this run had to do.
        folder: Where the outputs are, if that is to be printed.
    """
    running = status or "interrupted"  # no batch may be at work any more
    states = [running if job.state == "running" else job.state for job in jobs]
    counts = {state: states.count(state) for state in _STATES}
    if progress == "json" and status is not None:
        for job, state in zip(jobs, states, strict=True):
            print_event(state, source=job.source, error=job.error)
    else:
        to = sys.stderr if status is None else sys.stdout
        for job in jobs:
            if job.state == "running":
                say(f"vsr: {running}: {name_of(job.source)}", to)
        for job in filter(_is_unfinished, jobs):
            say(f"vsr: {job.state}: {_reason(job.source, job.error or '')}", to)
    if progress == "json":
        event = "finished" if status is None else "status"
        more = {} if status is None else {"running": status == "running"}
        print_event(event, counts=counts, **more)
    else:
        parts = [f"{count} {state}" for state, count in counts.items() if count or state == "done"]
        if folder is not None:
            done = [job for job in jobs if job.state == "done"]
            now = sum(job.source in begun for job in done)
            noted = sum(bool(job.result.get("warnings")) for job in done)
            parts[0] += f" ({now} now)" * (now != len(done))
            parts[-1] += f"; in {folder}" + f", {noted} with notes" * bool(noted)
        say(", ".join(parts))
    if summary is not None:
        found = [
            {
                "source": job.source,
                "target": job.target,
                "state": state,
                "attempts": job.attempts,
                "error": job.error,
                **job.result,
            }
            for job, state in zip(jobs, states, strict=True)
        ]
        table = summary.suffix.lower() == ".csv"
        text = _as_csv(found) if table else json.dumps({"counts": counts, "jobs": found}, indent=2)
        write_text(summary, text if table else text + "\n")
    return 1 if any(map(_is_unfinished, jobs)) else 0


def _as_csv(jobs: Iterable[dict[str, Any]]) -> str:
    """A table of all files, a row each, with what spreadsheets can sort and sum up."""
    out = io.StringIO()
    table = csv.DictWriter(out, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for job in jobs:
        report = job.get("report", {})
        fidelity = report.get("fidelity", {})
        more = {
            "source_bytes": report.get("source", {}).get("size_bytes"),
            "width": report.get("target", {}).get("width"),
            "height": report.get("target", {}).get("height"),
            "codec": report.get("target", {}).get("codec"),
            "sha256": report.get("target", {}).get("sha256"),
            "model": report.get("model", {}).get("name"),
            "verified": report.get("verified"),
            "fidelity_db": fidelity.get("mean_db"),
            "lowest_db": fidelity.get("lowest_db"),
            "warnings": "; ".join(job.get("warnings", ())),
        }
        table.writerow(job | more)
    return out.getvalue()


def _is_unfinished(job: BatchJob) -> bool:
    """Whether a job failed, or was left for a reason that may pass."""
    return job.state == "failed" or (job.state == "queued" and job.error is not None)


def _reason(source: str, error: str) -> str:
    return f"{name_of(source)}: {error.removeprefix(source).removeprefix(': ')}"


class _Share:
    """How much of the batch is done, by the size of the sources."""

    def __init__(self, files: Files, waiting: Sequence[BatchJob], failed: int) -> None:
        self._sizes = {str(source): float(max(1, _size(source))) for source, _ in files}
        left = {job.source for job in waiting}
        self._parts = {source: float(source not in left) for source in self._sizes}
        self.rehearsed = 0
        self.failed = failed  # by earlier runs
        self.done = sum(self._parts.values())

    def follow(self, event: Event) -> None:
        """Count an event in."""
        job, now = event.job, event.progress
        self.rehearsed += event.passed
        if now is not None and now.total:
            self._parts[job.source] = min(1.0, now.frames / now.total)
        elif event.warning is None and job.state in ("done", "failed"):
            self._parts[job.source] = 1.0
            self.done += 1
            self.failed += job.state == "failed"

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        done = sum(size * self._parts[source] for source, size in self._sizes.items())
        return done / sum(self._sizes.values())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the job will fail, with the reason
        return 1


@contextmanager
def _display(
    kind: ProgressKind, files: Files, waiting: Sequence[BatchJob], failed: int
) -> Iterator[Callable[[Event], None]]:
    """A function that shows what happens."""
    share = _Share(files, waiting, failed)
    if kind == "json":
        yield _json_lines(share)
    elif kind == "none":
        yield _show_note
    else:
        line = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"
        with bar(total=1.0, bar_format=line, initial=share.fraction, leave=True) as shown:

            def show(event: Event) -> None:
                share.follow(event)
                rehearsed = f"{share.rehearsed}/{len(waiting)} rehearsed"
                done = f"{share.done:.0f}/{counted(len(files), 'file')}, {share.failed} failed"
                text = rehearsed if event.job.state == "queued" else done
                shown.set_description_str(text, refresh=False)
                shown.update(share.fraction - shown.n)
                _show_note(event)

            yield show


def _once(tell: Callable[[Event], None]) -> Callable[[Event], None]:
    """Pass events on; a warning of the rehearsal does not come again with the work."""
    said: set[tuple[str, str]] = set()

    def pass_on(event: Event) -> None:
        if event.warning is not None:
            if (event.job.source, event.warning) in said:
                return
            said.add((event.job.source, event.warning))
        tell(event)

    return pass_on


def _show_note(event: Event) -> None:
    """Print a warning, or why a file is refused: that shall not wait for the others."""
    if event.warning is not None:
        note(f"{name_of(event.job.source)}: {event.warning}")
    elif event.rehearsed and event.job.state == "failed":
        note(f"refused before the work: {_reason(event.job.source, event.job.error or '')}")


def _json_lines(share: _Share) -> Callable[[Event], None]:
    is_due, out = each_second(), sys.stdout

    def show(event: Event) -> None:
        share.follow(event)
        facts: dict[str, Any] = {
            "source": event.job.source,
            "done": round(share.fraction, 6),
            "failed": share.failed,
        }
        if event.warning is not None:
            facts |= {"event": "warning", "text": event.warning}
        elif event.progress is None:
            kind = "rehearsed" if event.passed else event.job.state
            facts |= {"event": kind, "error": event.job.error}
        elif is_due():
            facts |= {"event": "progress", "frames": event.progress.frames}
        else:
            return
        print(json.dumps(facts), file=out, flush=True)  # Ray's batch points sys.stdout elsewhere

    return show


def name_of(path: str) -> str:
    """A path relative to here if it lies below; the journal has whole paths."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _write_previews(
    files: Files,
    options: EnhanceOptions,
    count: int,
    variants: dict[str, EnhanceOptions] | None,
    progress: ProgressKind,
) -> int:
    """Write a page for each file that has none, one after the other; the exit code."""
    from vsr.report.facts import clock
    from vsr.report.preview import about_size, about_time, preview

    failed, seconds, there = 0, dict[str, list[float]](), 0
    with bar(total=len(files), unit="page", disable=None if progress == "bar" else True) as shown:
        for source, target in files:
            page = target.with_name(f"{target.name}.html")
            if page.exists() and not options.overwrite:
                there += 1
                shown.update()
                continue
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                found = preview(source, page, count, options, variants=variants)
            except (VsrError, OSError) as error:
                failed += 1
                if progress == "json":
                    print_event("failed", source=str(source), error=str(error))
                else:
                    note(f"failed: {_reason(str(source), str(error))}")
            else:
                for each in found.variants:
                    cost = each.cost
                    known = [] if cost.seconds is None else [cost.seconds]
                    seconds.setdefault(each.name, []).extend(known)
                    name = f", {each.name}" if variants else ""
                    if progress == "bar":
                        said = f"{about_time(cost)}, {about_size(cost)}".removesuffix(", ")
                        print_above(f"{name_of(str(page))}{name}: {said}")
                if progress == "json":
                    costs = [asdict(each.cost) | {"name": each.name} for each in found.variants]
                    print_event("preview", source=str(source), page=str(page), variants=costs)
            shown.update()
    counts = {"pages": len(files) - failed - there, "failed": failed, "there": there}
    if progress == "json":
        sums = {name: sum(known) for name, known in seconds.items()}
        print_event("previewed", counts=counts, seconds=sums)
    else:
        others = f", {there} there already" * bool(there) + f", {failed} failed" * bool(failed)
        say(f"{counted(counts['pages'], 'page')}{others}")
        for name, known in seconds.items():
            films = counted(len(known), "film")
            say(f"{films} by {name}: about {clock(sum(known), digits=0)}")
    return 1 if failed else 0


def _print_forecast(
    files: Files,
    output_dir: Path,
    options: EnhanceOptions,
    workers: int | None,
    retries: int,
    progress: ProgressKind,
) -> int:
    """Print a line per file that is left to do, and the sum; the exit code."""
    from vsr.jobs.forecast import forecast
    from vsr.jobs.local import count_devices

    hidden = None if progress == "bar" else True
    with bar(total=len(files), unit="file", desc="planning", disable=hidden) as shown:
        found = forecast(files, output_dir, options, retries=retries, tick=shown.update)
    # Workers on a CPU share its time; each GPU adds its own.
    gpus = count_devices(options.inference.device)
    at_once = min(workers or gpus, gpus)
    if progress == "json":
        for each in found.planned:
            print_planned(each.job, each.seconds, each.size)
        for source, reason in found.failed:
            print_event("failed", source=source, error=reason)
        counts = {"planned": len(found.planned), "failed": len(found.failed), "done": found.done}
        total = {"frames": found.frames, "seconds": round(found.seconds / at_once, 1)}
        rest = {"size_bytes": found.size, "unknown": found.unknown}
        print_event("planned", counts=counts, **total, **rest)
    else:
        _print_table(found, at_once)
    return 1 if found.failed else 0


def _print_table(found: Forecast, at_once: int) -> None:
    """Print names last: they may be of any length."""
    from vsr.report.facts import clock, in_bytes

    if found.planned:
        print(f"{'frames':>10} {'time':>11} {'size':>10}  {'picture':<21}  file")
    for each in found.planned:
        job = each.job
        width, height = job.input_size
        picture = f"{width}x{height} to {job.encode.width}x{job.encode.height}"
        print_line(
            f"{'?' if job.frames is None else format(job.frames, ','):>10} "
            f"{'?' if each.seconds is None else clock(each.seconds, digits=0):>11} "
            f"{'?' if each.size is None else in_bytes(each.size):>10}  {picture:<21}  "
            f"{name_of(str(job.info.path))}"
        )
    notes = Counter(text for each in found.planned for text in dict.fromkeys(each.job.warnings))
    for text, count in notes.items():
        note(f"{counted(count, 'file')}: {text}")
    for source, reason in found.failed:
        say(f"vsr: failed: {_reason(source, reason)}", sys.stderr)
    others = f", {found.done} done already" * bool(found.done)
    others += f", {len(found.failed)} failed" * bool(found.failed)
    print(f"{counted(len(found.planned), 'file')} to do{others}: {counted(found.frames, 'frame')},")
    time = clock(found.seconds / at_once, digits=0)
    several = f" on {at_once} GPUs" if at_once > 1 else ""
    print(f"about {time}{several}, very roughly {in_bytes(found.size)}")
    if found.unknown:
        print(f"(without {counted(found.unknown, 'file')} of unknown length or size)")
