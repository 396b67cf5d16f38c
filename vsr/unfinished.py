"""A film of what an interrupted run has finished, to watch before the whole is there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from vsr.errors import Cancel, ConfigError, MuxError, VerifyError, stop_if
from vsr.files import read_error, require_room
from vsr.media.clock import output_range
from vsr.media.containers import PICTURES, check_target, part_kind, target_kind, work_path
from vsr.media.copying import TimeRange
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.mux import Writer
from vsr.media.pieces import read_times
from vsr.media.types import FrameMarks, marks_of
from vsr.options import EnhanceOptions, InferenceOptions, differences, text_of, validated
from vsr.pipeline import EnhanceResult, compare_output, marked, skip
from vsr.plan import Job, plan_job
from vsr.rehearsal import rehearse
from vsr.reporting import Made, Warnings, make_report, plain
from vsr.work import UNREADABLE, Ledger, read_job, request


def take_done(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    *,
    overwrite: bool = False,
    warn: Callable[[str], None] = lambda sentence: None,
    cancel: Cancel | None = None,
) -> EnhanceResult:
    """Make a film of what an interrupted run has finished, with its sound, to watch.

    It is named NAME.part.EXT and verified against the same part of the source. The unfinished work
    is only read, so it may be going on meanwhile, and goes on later.

    Args:
        source, target: Those of the interrupted run.
        options: Those of that run, by default as it recorded them.
        overwrite: Replace an earlier film of this kind.
        warn: Called with each warning; all of them are in the result as well.
        cancel: As for `enhance`; nothing is left behind.

    Raises:
        ConfigError: The output is pictures, which lie there already, or other options are given.
        MuxError: Nothing is finished, or the film cannot be written.
        VerifyError: It is wrong.
    """
    begin, tell, stop = time.monotonic(), Warnings(warn), partial(stop_if, cancel)
    source, target = text_of(source, "the input"), text_of(target, "the output")
    kind = target_kind(target)
    if kind.muxer == PICTURES:
        done = work_path(kind.pattern.parent) / "joined"
        raise ConfigError(f"--take-done joins films; finished pictures lie in {done}")
    begun, ledger = _read_begun(kind.pattern)
    whole = _plan_again(source, target, begun, options)
    job = replace(whole, target=part_kind(kind), time_range=_range_of(whole, ledger))
    pattern = job.target.pattern
    check_target(source, pattern, overwrite=overwrite)
    require_room(pattern, ledger.size)
    summary, marks = _decoded(job, ledger, stop)
    job = rehearse(job, ledger.folder, marks)
    for warning in (*ledger.pieces[-1].warnings, *job.warnings):
        tell(warning)
    with Writer(job.info, pattern, job.encode, job.streams, time_range=job.time_range) as output:
        output.join(ledger.piece_paths)
        checked = compare_output(job, output.partial, marks, tell, stop)
        if not checked.passed:
            raise VerifyError(pattern, f"the film would be wrong ({'; '.join(checked.problems)})")
        made = Made(
            summary=summary,
            marks=marks,
            resumed=ledger.frames,
            seconds=time.monotonic() - begin,
            network_seconds=0.0,
        )
        report = make_report(
            job, _options_of(begun), made, checked, output.partial, ledger.fidelity, tell.said
        )
        report["part"] = {"frames": ledger.frames, "of": whole.frames}
        output.publish(overwrite=overwrite)
    return EnhanceResult(
        target=pattern,
        frames=made.resumed,
        resumed=made.resumed,
        seconds=made.seconds,
        network_seconds=0.0,
        warnings=tuple(tell.said),
        report=report,
    )


def _decoded(
    job: Job, ledger: Ledger, stop: Callable[[], None]
) -> tuple[DecodeSummary, FrameMarks]:
    """Decode the frames of the source that the pieces show."""
    with Decoder(job.info, job.decode) as decoder:
        marks = marks_of(job.info.video, decoder.format, decoder.time_base)
        held = islice(marked(decoder, marks, stop), ledger.frames)
        for _ in skip(held, ledger.pts, job.info.path):
            pass
        return decoder.summary, marks


def _plan_again(
    source: str,
    target: str,
    begun: dict[str, Any],
    options: EnhanceOptions | None,
) -> Job:
    """Plan a film by what an interrupted run on it recorded.

    Raises:
        ConfigError: Other options are given.
        MuxError: The source or this program has changed since, so it would become another film.
    """
    recorded = _options_of(begun)
    asked = request(Path(source), options or recorded)
    asked["options"].pop("allow_damage")  # it changes the name alone
    if changed := list(differences(begun["options"], asked["options"], "options")):
        raise ConfigError(
            f"--take-done joins what was made with other options ({'; '.join(changed)}); leave "
            "them out, those of the run are taken"
        )
    if begun["source"] != asked["source"]:
        raise MuxError(source, "has changed since the work on it began")
    # The network does not run: it needs no device of its own.
    device = InferenceOptions(device="cpu", tile=16)
    job = plan_job(
        source, target, replace(recorded, overwrite=True, allow_damage=True, inference=device)
    )
    now = plain({key: value for key, value in asdict(job.encode).items() if key != "warnings"})
    if changed := list(differences(begun["encoding"], now, "encoding")):
        raise MuxError(
            job.target.pattern,
            f"was begun by another version of vsr or its libraries ({'; '.join(changed)})",
        )
    return job


def _range_of(job: Job, ledger: Ledger) -> TimeRange:
    """The part of the source that finished pieces show; its clock is that of the whole film."""
    start = output_range(job.info, job.encode, job.time_range)
    _, duration = read_times(ledger.piece_paths)
    lasts = duration * (job.encode.constant_interval or job.encode.time_base)
    stop = ledger.pts[-1] * job.encode.time_base + lasts
    return replace(start or TimeRange(start=Fraction(0), whole=True), stop=stop)


def _read_begun(target: Path) -> tuple[dict[str, Any], Ledger]:
    """Read what a run has finished that was interrupted, or is at work still.

    Returns:
        What `identify` said about it, and its pieces from the film's start on.

    Raises:
        MuxError: There is none, or it has not finished a piece.
    """
    ledger = Ledger(work_path(target), target, "cpu")
    try:
        job = read_job(ledger.folder)["job"]
        ledger.read(to_go_on=False)
    except FileNotFoundError as error:
        state = "it is finished" if target.exists() else "no run on it was interrupted"
        raise MuxError(target, f"--take-done finds no unfinished work: {state}") from error
    except OSError as error:
        raise read_error(ledger.folder, error) from error
    except UNREADABLE as error:
        raise MuxError(
            target, "the record of the unfinished work is damaged, or of another version"
        ) from error
    if not ledger.pieces:
        raise MuxError(
            target,
            "--take-done finds no finished piece at its start yet; a piece is some "
            f"{job['options']['piece']} frames (--piece)",
        )
    return job, ledger


def _options_of(job: dict[str, Any]) -> EnhanceOptions:
    """The options that `identify` described, as far as they change the film.

    Raises:
        ConfigError: They are those of another version.
    """
    options: EnhanceOptions = validated(EnhanceOptions, job["options"])
    return options
