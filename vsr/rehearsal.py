"""The rehearsal: the output written and verified with stand-ins for its pictures, before the work.

It has every planned time of the video, the whole of every other stream, all chapters, attachments
and tags, and goes through the code that writes and verifies the output at the end. What fails is
mended in the plan, or refused, within seconds.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from vsr.errors import DiskError, MuxError, StreamError, VerifyError, VsrError
from vsr.files import write_error
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES
from vsr.media.decode import Decoder
from vsr.media.filters import parse_chain
from vsr.media.mux import Writer
from vsr.media.pieces import write_stand_ins
from vsr.media.reading import packet_times
from vsr.media.streams import StreamPlan, mend_stream
from vsr.media.types import Check, FrameMarks
from vsr.media.verify import Expected, VerifyResult, verify
from vsr.options import EnhanceOptions, InferenceOptions
from vsr.plan import Job, plan_job


def rehearse(job: Job, folder: Path | None = None, marks: FrameMarks | None = None) -> Job:
    """Write and verify the output with grey pictures; mend the plan where that fails.

    Args:
        job: The plan.
        folder: An existing place on the output's disk; by default the system's for temporary files,
            so that a dry run leaves the output's place alone.
        marks: Of the frames to come; by default as planned.

    Returns:
        The plan by which the output can be written, with warnings about what had to change.

    Raises:
        MuxError, EncodeError: The output cannot be written.
        VerifyError: It would not be what its source calls for.
    """
    if job.target.muxer == PICTURES:
        return job
    try:
        with TemporaryDirectory(prefix="vsr-rehearsal-", dir=folder) as hidden:
            return _settled(job, Path(hidden), planned_marks(job) if marks is None else marks)
    except OSError as error:
        raise write_error(job.target.pattern, error) from error


def settled_streams(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: EnhanceOptions
) -> tuple[StreamPlan, ...] | None:
    """Plans of all streams as a rehearsal settles them, for an output that exists already.

    Args:
        source: What was enhanced.
        target: What came out; only its name counts.
        options: What was decoded of the source; the others change no other stream.

    Returns:
        The plans; None where nothing can be planned.
    """
    options = replace(
        options,
        scale=1,
        allow_damage=True,
        inference=InferenceOptions(device="cpu", tile=16),
    )
    try:
        with TemporaryDirectory(prefix="vsr-rehearsal-") as folder:
            job = plan_job(source, Path(folder) / Path(target).name, options)
            return rehearse(job, Path(folder)).streams
    except (VsrError, OSError):
        return None


def _settled(job: Job, folder: Path, marks: FrameMarks) -> Job:
    if not marks:
        return job  # decoding says why
    # Each stream is mended twice at most: converted, then left out.
    for _ in range(2 * len(job.streams) + 1):
        try:
            found = _attempt(job, marks, folder)
        except DiskError:
            raise
        except MuxError as error:
            plan = _refused(job, marks, folder, error)
            if plan is None:
                raise
            named = isinstance(error, StreamError)
            job = _mended(job, plan, error.reason if named else "its muxer refuses the stream")
            continue
        faults = [(check, _stream_of(check, job)) for check in found.checks if check.wrong]
        blamed = [(check, plan) for check, plan in faults if plan is not None]
        if not faults:
            said = dict.fromkeys((*job.warnings, *found.changes, *found.warnings))
            return replace(job, warnings=tuple(said))
        if len(blamed) < len(faults):
            raise VerifyError(
                job.target.pattern,
                f"this output cannot be written correctly ({'; '.join(found.problems)}); nothing "
                "was enhanced yet: write another container, such as .mkv, or report this",
            )
        for check, plan in blamed:
            job = _mended(job, plan, check.detail)
    raise MuxError(
        job.target.pattern,
        "no plan for the streams of the input works; write another container, such as .mkv",
    )


def planned_marks(job: Job) -> FrameMarks:
    """Times of all frames to come: by the packets where these have them and filters keep them."""
    video, decode = job.info.video, job.decode
    marks = FrameMarks(job.encode.time_base)
    chain = parse_chain(decode.filter_chain)
    stated = None
    if job.encode.frame_rate == video.frame_rate and chain.keeps_count:
        stated = packet_times(job.info, start=decode.start, duration=decode.duration)
    if stated is not None:
        times, lasts = stated
        ticks = video.time_base / job.encode.time_base
        marks.pts.extend(round(time * ticks) for time in times)
        marks.last_duration = round(lasts * ticks)
        return marks
    with Decoder(job.info, decode) as frames:
        for frame in frames:
            marks.pts.append(frame.pts)
            marks.last_duration = frame.duration
    return marks


def _attempt(job: Job, marks: FrameMarks, folder: Path) -> VerifyResult:
    written, piece = folder / "joined", folder / "piece"
    clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
    target = job.target.pattern
    if not piece.exists():
        write_stand_ins(piece, target, job.encode, clock, marks.pts, marks.last_duration)
    kept = job.time_range
    with Writer(job.info, target, job.encode, job.streams, time_range=kept, partial=written) as out:
        out.join([piece])
        expected = Expected(
            plan=job.encode,
            streams=job.streams,
            decode=job.decode,
            time_range=kept,
            marks=marks,
            stand_in=True,
        )
        return verify(job.info.path, written, expected, named=target)


def _refused(job: Job, marks: FrameMarks, folder: Path, error: MuxError) -> StreamPlan | None:
    """The stream that the muxer refuses, found by writing each beside the video alone."""
    others = [plan for plan in job.streams if plan.action in ("copy", "convert", "attach")]
    if isinstance(error, StreamError):
        return next(plan for plan in others if plan.index == error.index)
    for one in others:
        alone = tuple(
            plan if plan is one or plan.action == "enhance" else replace(plan, action="drop")
            for plan in job.streams
        )
        try:
            _attempt(replace(job, streams=alone), marks, folder)
        except MuxError:
            return one
    return None


def _stream_of(check: Check, job: Job) -> StreamPlan | None:
    """The stream beside the video that a check is about; of several that are missing, the first."""
    about = check.detail if check.name == "streams" else check.name
    return next(
        (
            plan
            for plan in job.streams
            if plan.action in ("copy", "convert") and f" {plan.kind} {plan.index} " in f" {about} "
        ),
        None,
    )


def _mended(job: Job, plan: StreamPlan, why: str) -> Job:
    """Replace the plan of one stream by one that needs less of the container."""
    mended = mend_stream(job.info, plan, job.target.muxer, why)
    streams = tuple(mended if each.index == plan.index else each for each in job.streams)
    return replace(job, streams=streams, warnings=(*job.warnings, mended.reason))
