"""`vsr enhance`: one file to one file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vsr.errors import ConfigError
from vsr.files import check_place, write_text
from vsr.media.containers import check_record
from vsr.options import EnhanceOptions

if TYPE_CHECKING:
    from vsr.pipeline import Progress
    from vsr.plan import Job

ProgressKind = Literal["bar", "json", "none"]


def enhance(
    source: tyro.conf.Positional[str],
    target: tyro.conf.Positional[str],
    *,
    options: Annotated[
        EnhanceOptions,
        tyro.conf.arg(name=""),
        tyro.conf.OmitArgPrefixes,
        tyro.conf.UseAppendAction,
    ] = EnhanceOptions(),  # noqa: B008
    report: Path | None = None,
    progress: ProgressKind = "bar",
    dry_run: bool = False,
    preview: int | None = None,
    open_: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> int:
    """Upscale a video; sound, subtitles, chapters and times stay as they are.

    Args:
        source: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        target: A video file; or a folder name that ends with a slash, or a pattern, for PNG. With
            --preview the page to write, such as preview.html.
        report: Write what was done and verified as JSON.
        progress: bar for people, json for programs (a line per second on stdout), or none.
        dry_run: Print the plan and an estimate of the time, and stop.
        preview: Enhance so many stretches of a second (sharpest motion, darkest, most detail), show
            them on a page, and say what the whole would take and weigh.
        open_: Open the page of --preview in a browser.
    """
    from vsr.pipeline import enhance as run

    _check(report, dry_run, preview, open_)
    if preview is not None:
        return _preview(source, Path(target), preview, options, progress, open_)
    if dry_run:
        from vsr.plan import plan_job

        _print_plan(plan_job(source, target, options), options, progress)
        return 0
    if report is not None:
        check_place(report)
    with _display(progress) as (show, warn):
        result = run(source, target, options, progress=show, warn=warn)
    if report is not None:
        write_text(report, json.dumps(result.report, indent=2) + "\n")
    if progress == "json":
        print(json.dumps({"event": "done", "frames": result.frames, "target": str(result.target)}))
    elif progress == "bar":
        fps = (result.frames - result.resumed) / result.seconds
        print(
            f"{result.target}: {result.frames} frames in {result.seconds:.1f} s "
            f"({fps:.2f} fps), verified"
        )
        print(_fidelity(result.report["fidelity"]))
    return 0


def _check(report: Path | None, dry_run: bool, preview: int | None, open_: bool) -> None:
    """Refuse what contradicts --preview, and a report where a film is.

    Raises:
        ConfigError: Naming it.
    """
    if preview is not None and (dry_run or report is not None):
        other = "--dry-run" if dry_run else "--report"
        raise ConfigError(f"--preview and {other} contradict each other; give one of them")
    if preview is None and open_:
        raise ConfigError("--open opens the page of --preview, which is not given")
    if report is not None:
        check_record(report, "--report", is_json=True)


def _preview(
    source: str,
    page: Path,
    count: int,
    options: EnhanceOptions,
    progress: ProgressKind,
    open_: bool,
) -> int:
    from vsr.cli.compare import open_page
    from vsr.report.preview import in_words, preview

    with _display(progress) as (show, warn):
        found = preview(source, page, count, options, progress=show)
        for warning in found.warnings:
            warn(warning)
    if progress == "json":
        cost = found.cost
        line = {"frames": cost.frames, "fps": cost.fps, "seconds": cost.seconds, "size": cost.size}
        print(json.dumps({"event": "done", "target": str(page), **line}))
    elif progress == "bar":
        count = len(found.samples)
        stretches = f"{count} stretch{'' if count == 1 else 'es'}"
        print(f"{page}: {stretches}, {page.stat().st_size / 1e6:.1f} MB")
        for text in in_words(found):
            print(text)
    if open_:
        open_page(page)
    return 0


def _fidelity(found: dict[str, Any]) -> str:
    worst = found["worst_frames"][0]
    return (
        f"fidelity to the input {found['mean_db']:.1f} dB, lowest {worst['db']:.1f} dB "
        f"(frame {worst['frame']}, {worst['seconds']:.3f} s)"
    )


def _print_plan(job: Job, options: EnhanceOptions, progress: ProgressKind) -> None:
    from vsr.estimate import estimate
    from vsr.plan import describe
    from vsr.report.facts import clock, in_bytes
    from vsr.reporting import describe_plan

    if progress != "json":
        for line in describe(job):
            print(line, flush=True)
    found = estimate(job, options)
    seconds, size = found.seconds_for(job), found.bytes_for(job, options.piece)
    if progress == "json":
        rounded = None if seconds is None else round(seconds, 1)
        reckoned = {"seconds": rounded, "size_bytes": size}
        print(json.dumps({"event": "plan", **describe_plan(job), **reckoned}))
        return
    total = "unknown" if seconds is None else clock(seconds, digits=0)
    count = "an unknown number of" if job.frames is None else str(job.frames)
    # Sure is only the number that a file itself states, where nothing is done to it.
    sure = job.frames == job.info.video.frame_count and job.decode.filter_chain is None
    if job.frames is not None and not sure:
        count = f"about {count}"
    rate = f"{1 / found.seconds:.2f} fps, from three frames"
    print(f"  time      about {total} for {count} frames ({rate})")
    if size is not None:
        print(f"  size      very roughly {in_bytes(size)} (from three frames; see --preview)")


@contextmanager
def _display(
    kind: ProgressKind,
) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """Give the functions that show progress and warnings."""
    if kind == "bar":
        from tqdm import tqdm

        # No bar where nobody watches; what is written through it is written all the same.
        with tqdm(unit="frame", dynamic_ncols=True, leave=False, disable=None) as bar:

            def advance(now: Progress) -> None:
                if bar.total != now.total:
                    bar.total = now.total
                bar.update(now.frames - bar.n)

            yield advance, lambda text: bar.write(f"vsr: note: {text}", file=sys.stderr)
    elif kind == "json":
        yield (
            _json_lines(),
            lambda text: print(json.dumps({"event": "warning", "text": text}), flush=True),
        )
    else:
        yield lambda now: None, lambda text: print(f"vsr: note: {text}", file=sys.stderr)


def _json_lines() -> Callable[[Progress], None]:
    """Write a line at the first frame, then at most one per second."""
    last = float("-inf")

    def advance(now: Progress) -> None:
        nonlocal last
        if time.monotonic() - last < 1 and now.frames != now.total:
            return
        last = time.monotonic()
        line = {
            "event": "progress",
            "frames": now.frames,
            "total": now.total,
            "fps": round(now.fps, 3),
            "seconds_left": None if now.seconds_left is None else round(now.seconds_left, 1),
        }
        print(json.dumps(line), flush=True)

    return advance
