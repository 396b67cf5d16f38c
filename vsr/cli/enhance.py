"""`vsr enhance`: one file to one file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from vsr.cli.terminal import (
    ProgressKind,
    advance,
    bar,
    counted,
    each_second,
    note,
    print_above,
    print_event,
    print_line,
)
from vsr.cli.words import (
    Options,
    ProfileFile,
    ProfileName,
    ReportFile,
    Variants,
    settled,
    variants_asked,
)
from vsr.errors import ConfigError, DamagedError, VsrError
from vsr.files import check_place, write_text
from vsr.media.containers import check_record
from vsr.options import EnhanceOptions, Positive

if TYPE_CHECKING:
    from vsr.pipeline import EnhanceResult, Progress
    from vsr.plan import Job


def enhance(
    source: Annotated[Positional[str], arg(metavar="IN")],
    target: Annotated[Positional[str], arg(metavar="OUT")],
    *,
    profile: ProfileName = None,
    save_profile: ProfileFile = None,
    options: Options = EnhanceOptions(),  # noqa: B008
    report: ReportFile = None,
    progress: ProgressKind = "bar",
    dry_run: bool = False,
    preview: Positive | None = None,
    vary: Variants = None,
    open_: bool = False,
    take_done: bool = False,
) -> int:
    """Upscale a video; sound, subtitles, chapters and times are kept.

    Args:
        source: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        target: A video; for PNG a folder name that ends with a slash, or a pattern; with --preview
            the page to write, such as preview.html.
        profile: Options of a ready profile (`vsr info --profiles` lists them) or a TOML file; flags
            beside it win.
        save_profile: Write the options as a profile, without those of this run alone: start,
            duration, overwrite, resume.
        report: Write what was done and verified as JSON.
        progress: bar for people, json for programs (a line per second on stdout), or none.
        dry_run: Rehearse, print the plan and an estimate of time and size, and stop.
        preview: Enhance so many stretches of a second (sharpest motion, darkest, most detail) and
            show them on a page, with an estimate of time and size for the whole.
        vary: With --preview: show so many variants side by side, each with the time it would take:
            of clean, strength, model, profile or another option, such as clean=0,0.5,1.
        open_: Open the page of --preview in a browser.
        take_done: Join what an interrupted run has finished, with its sound, to a film named
            NAME.part.EXT, to watch; the work goes on later.
    """
    _check(report, dry_run, preview, open_, take_done)
    options = settled(options, profile, save_profile)
    variants = variants_asked(options, vary, preview, profile)
    # Before PyTorch is loaded, which takes seconds.
    if progress == "bar" or (progress == "json" and not dry_run and preview is None):
        _print_source(source, progress)
    if preview is not None:
        return _preview(source, Path(target), preview, options, variants, progress, open_)
    if dry_run:
        from vsr.plan import plan_job
        from vsr.rehearsal import rehearse

        _print_plan(rehearse(plan_job(source, target, options)), options, progress)
        return 0
    if report is not None:
        check_place(report)
    damage: DamagedError | None = None
    with _display(progress) as (show, warn):
        try:
            if take_done:
                result = _take_done(source, target, options, warn)
            else:
                result = _run(source, target, options, progress, show, warn)
        except DamagedError as error:
            damage, result = error, error.result
    if report is not None:
        write_text(report, json.dumps(result.report, indent=2) + "\n")
    if damage is not None:
        raise damage
    _print_done(result, progress)
    return 0


def _run(
    source: str,
    target: str,
    options: EnhanceOptions,
    progress: ProgressKind,
    show: Callable[[Progress], None],
    warn: Callable[[str], None],
) -> EnhanceResult:
    from vsr.media.containers import PICTURES, target_kind, work_path
    from vsr.pipeline import enhance as run
    from vsr.work import has_pieces

    planned = partial(_print_start, progress=progress)
    try:
        return run(source, target, options, progress=show, warn=warn, planned=planned)
    except (KeyboardInterrupt, VsrError):
        with suppress(VsrError):
            kind = target_kind(target)
            if kind.muxer != PICTURES and has_pieces(work_path(kind.pattern)):
                words = shlex.join(["vsr", "enhance", source, target, "--take-done"])
                warn(f"to watch what is finished: {words}")
        raise


def _take_done(
    source: str, target: str, options: EnhanceOptions, warn: Callable[[str], None]
) -> EnhanceResult:
    from vsr.unfinished import take_done

    overwrite, typed = options.overwrite, replace(options, overwrite=False)
    # Without options those of the run are taken.
    asked = None if typed == EnhanceOptions() else typed
    return take_done(source, target, asked, overwrite=overwrite, warn=warn)


def _print_done(result: EnhanceResult, progress: ProgressKind) -> None:
    if progress == "json":
        print_event("done", frames=result.frames, target=str(result.target))
    if progress != "bar":
        return
    frames, repeats = counted(result.frames, "frame"), result.report["repeated_frames"]
    if part := result.report.get("part"):
        frames = f"the first {frames} of {part['of'] or 'an unknown number'}, a part,"
    elif repeats:
        frames += f", {repeats:,} of them repeats,"
    fps = (result.frames - result.resumed) / result.seconds
    speed = "" if part else f" ({fps:.2f} fps)"
    verdict = result.report["verified"]
    print_line(
        f"{result.target}: {frames} in {result.seconds:.1f} s{speed}, "
        f"verified{'' if verdict == 'in full' else ' ' + verdict}"
    )
    print(_fidelity(result.report["fidelity"]))


def _check(
    report: Path | None, dry_run: bool, preview: int | None, open_: bool, take_done: bool
) -> None:
    """Refuse options that contradict --preview, and a report with the name of a video.

    Raises:
        ConfigError: Naming them.
    """
    if preview is not None and (dry_run or report is not None):
        other = "--dry-run" if dry_run else "--report"
        raise ConfigError(f"--preview and {other} contradict each other; give one of them")
    if dry_run and report is not None:
        raise ConfigError("--dry-run and --report contradict each other; give one of them")
    if take_done and (dry_run or preview is not None):
        other = "--dry-run" if dry_run else "--preview"
        raise ConfigError(f"--take-done and {other} contradict each other; give one of them")
    if preview is None and open_:
        raise ConfigError("--open opens the page of --preview, which is not given")
    if report is not None:
        check_record(report, "--report", is_json=True)


def _preview(
    source: str,
    page: Path,
    count: int,
    options: EnhanceOptions,
    variants: dict[str, EnhanceOptions] | None,
    progress: ProgressKind,
    open_: bool,
) -> int:
    from vsr.cli.compare import open_page
    from vsr.report.preview import in_words, preview

    with _display(progress) as (show, warn):
        found = preview(source, page, count, options, variants=variants, progress=show)
        for warning in dict.fromkeys(w for each in found.variants for w in each.warnings):
            warn(warning)
    first = found.variants[0]
    if progress == "json":
        facts = [
            {
                "name": each.name,
                "frames": each.cost.frames,
                "fps": each.cost.fps,
                "seconds": each.cost.seconds,
                "size": each.cost.size,
            }
            for each in found.variants
        ]
        print_event("done", target=str(page), **facts[0], variants=facts)
    elif progress == "bar":
        size = page.stat().st_size / 1e6
        print_line(f"{page}: {counted(len(first.samples), 'stretch')}, {size:.1f} MB")
        for text in in_words(found):
            print_line(text)
    if open_:
        open_page(page)
    return 0


def _print_source(source: str, progress: ProgressKind) -> None:
    """Print what the source is; a file that cannot be read is left to the plan to refuse."""
    from vsr.cli.info import describe_picture
    from vsr.media.probe import probe

    try:
        found = probe(source)
    except VsrError:
        return
    video = found.video
    if progress == "json":
        size = {"width": video.width, "height": video.height, "frames": video.frame_count}
        print_event("source", path=str(found.path), **size)
    else:
        print_line(f"{found.path}: {describe_picture(video)}")


def _print_start(job: Job, progress: ProgressKind) -> None:
    """Print what will happen, before it does; notes were printed as they came."""
    from vsr.plan import describe

    if progress == "bar":
        for line in describe(job, notes=False):
            print_above(line)
    elif progress == "json":
        from vsr.reporting import describe_plan

        print_event("start", **describe_plan(job))


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

    if progress != "json":
        for line in describe(job):
            print_line(line)
    found = estimate(job, options)
    seconds, size = found.seconds_for(job), found.bytes_for(job, options.piece)
    if progress == "json":
        print_planned(job, seconds, size)
        return
    total = "unknown" if seconds is None else f"about {clock(seconds, digits=0)}"
    count = "an unknown number of frames"
    if job.frames is not None:
        # Only a count from the file's header, with no filter after it, is certain.
        sure = job.frames == job.info.video.frame_count and job.decode.filter_chain is None
        count = "about " * (not sure) + counted(job.frames, "frame")
    print(f"  time      {total} for {count} ({1 / found.seconds:.2f} fps, from parts of 3 frames)")
    if size is not None:
        print(f"  size      very roughly {in_bytes(size)} (from parts of 3 frames; see --preview)")


def print_planned(job: Job, seconds: float | None, size: int | None) -> None:
    """Print a plan and its cost as a line of JSON."""
    from vsr.reporting import describe_plan

    rounded = None if seconds is None else round(seconds, 1)
    print_event("plan", **describe_plan(job), seconds=rounded, size_bytes=size)


@contextmanager
def _display(
    kind: ProgressKind,
) -> Iterator[tuple[Callable[[Progress], None], Callable[[str], None]]]:
    """Functions that show progress and warnings."""
    if kind == "bar":
        with bar(bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]") as shown:
            yield lambda now: advance(shown, now.frames, now.total, _pace(now)), note
    elif kind == "json":
        yield _json_lines(), lambda text: print_event("warning", text=text)
    else:
        yield lambda now: None, note


def _pace(now: Progress) -> str:
    """Speed, time left, and what sets the pace."""
    from vsr.report.facts import clock

    left = "" if now.seconds_left is None else f"{clock(now.seconds_left, digits=0)} left, "
    return f"{now.fps:.2f} fps, {left}{now.waits_for}"


def _json_lines() -> Callable[[Progress], None]:
    """A function that prints a line at the start, at the last frame, and once per second."""
    is_due = each_second()

    def show(now: Progress) -> None:
        if now.frames == now.total or is_due():
            left = None if now.seconds_left is None else round(now.seconds_left, 1)
            facts = {"frames": now.frames, "total": now.total, "fps": round(now.fps, 3)}
            print_event("progress", **facts, seconds_left=left, waits_for=now.waits_for)

    return show
