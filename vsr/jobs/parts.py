"""One film on many machines: splitting it into parts, making them, joining them.

At a cut the network starts anew, and so does the encoder if a piece ends there. Nothing after such
a cut depends on what came before, so a part between two of them can be made on any machine, and is
what one machine alone would have made. A film without a cut is one part.
"""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vsr.errors import DecodeError, MediaError, MuxError
from vsr.inference.plan import Plan
from vsr.inference.windows import segments, stills, windows
from vsr.jobs.forecast import rehearse_file
from vsr.media.containers import PICTURES, work_path
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.types import FrameMarks, PlanarFrame, marks_of
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, find_model
from vsr.options import DecodeOptions, EnhanceOptions, differences
from vsr.pipeline import EnhanceResult, TimedNetwork, marked, publish, record
from vsr.plan import Job, plan_job
from vsr.reporting import Made, Warnings
from vsr.work import Ledger, ends_piece, fingerprint, identify, read_job

# Starting a task costs seconds, in which a GPU does many more frames than a CPU.
PIECES_PER_TASK = {"cpu": 2, "cuda": 20, "xpu": 20, "mps": 20}
# Filters see this much of the film before the first frame of a part, in seconds.
_RUN_UP = Fraction(1, 2)


class FrameKey(NamedTuple):
    """What identifies a frame, its scene score, and whether it repeats the one before."""

    pts: int
    scene_score: float
    checksum: int
    repeats: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Frames from one cut to another, or to an end of the film, with a piece ending at both.

    Attributes:
        piece, frame: How many of each precede it.
        pieces: How many it consists of.
        keys: Its frames.
    """

    piece: int
    frame: int
    pieces: int
    keys: tuple[FrameKey, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """A film as it was decoded.

    Attributes:
        summary: Of the decoder.
        marks: Of all its frames.
    """

    summary: DecodeSummary
    marks: FrameMarks


@dataclass(frozen=True, kw_only=True, slots=True)
class PartDone:
    """A finished part.

    Attributes:
        frames: Their number.
        resumed: How many of them an earlier run had finished.
        network_seconds: Time inside the network.
        warnings: Sentences.
        host: The machine that did it.
    """

    frames: int
    resumed: int
    network_seconds: float
    warnings: tuple[str, ...]
    host: str


def plan_here(source: str, target: str, options: EnhanceOptions) -> Job:
    """Plan a file on this machine.

    Raises:
        MediaError: Naming this machine, if it cannot read the source.
        VsrError: As `plan_job`.
    """
    _read_source(Path(source))
    return plan_job(source, target, options)


def rehearse_here(source: str, target: str, options: EnhanceOptions) -> tuple[str, ...]:
    """Plan a file and rehearse its output on this machine.

    Returns:
        What will be assumed, converted or lost.

    Raises:
        MediaError: Naming this machine, if it cannot read the source.
        VsrError: As `rehearse_file`.
    """
    _read_source(Path(source))
    warn = Warnings()
    rehearse_file(Path(source), Path(target), options, warn)
    return tuple(warn.said)


def survey(job: Job, options: EnhanceOptions) -> Iterator[Part | Survey]:
    """Decode the film once to find its cuts: each part as it ends, at last the survey."""
    _check_machine(job, options)
    least = options.piece * PIECES_PER_TASK[job.inference.device.partition(":")[0]]
    with Decoder(job.info, job.decode) as decoder:
        marks = marks_of(job.info.video, decoder.format, decoder.time_base)
        keys = (key_of(frame) for frame in marked(decoder, marks))
        yield from split(keys, job.inference, options.piece, least)
        yield Survey(summary=decoder.summary, marks=marks)


def split(keys: Iterable[FrameKey], plan: Plan, piece: int, least: int) -> Iterator[Part]:
    """Split a film by the same rules by which the runner draws windows and pieces end.

    Args:
        keys: Of all frames.
        plan: How the network is called at first.
        piece: Frames per piece, as `EnhanceOptions.piece`.
        least: Fewest frames of a part; the last one may have fewer.
    """
    held: list[FrameKey] = []
    before = pieces = frames = in_piece = 0
    for segment in segments(stills(keys), plan.scene_threshold):
        for window in windows(segment, plan.window, plan.lookahead):
            done = [key for still in window.frames[: window.count] for key in still.frames]
            held += done
            in_piece += len(done)
            if not ends_piece(in_piece, piece, at_cut=window.last):
                continue
            pieces, in_piece = pieces + 1, 0
            if window.last and len(held) >= least:
                yield Part(piece=before, frame=frames, pieces=pieces, keys=tuple(held))
                before, frames = before + pieces, frames + len(held)
                held, pieces = [], 0
    if held:
        pieces += in_piece > 0
        yield Part(piece=before, frame=frames, pieces=pieces, keys=tuple(held))


def key_of(frame: PlanarFrame) -> FrameKey:
    """The key of a frame; its checksum covers samples, time and duration."""
    checksum = zlib.crc32(f"{frame.pts} {frame.duration}".encode())
    for plane in frame.planes:
        checksum = zlib.crc32(np.ascontiguousarray(plane).data, checksum)
    return FrameKey(frame.pts, frame.scene_score, checksum, frame.repeats)


def enhance_part(
    job: Job,
    options: EnhanceOptions,
    part: Part,
    load: Callable[[ModelInfo, str], VideoNetwork],
) -> PartDone:
    """Make the missing pieces of a part.

    Decoding starts near the part. If that gives other frames than decoding from the film's start,
    as their keys show, the film is decoded from its start.

    Raises:
        MediaError: This machine cannot read the source or the work folder, would make something
            else than was planned, or decodes other frames than the survey did.
        VsrError: As `pipeline.enhance`.
    """
    model = _check_machine(job, options)
    ledger = _ledger(job, part.piece, part.frame)
    ledger.read(part.pieces)
    resumed = ledger.frames
    network = TimedNetwork(load(model, job.inference.device))
    warn = Warnings()

    def go(decode: DecodeOptions) -> None:
        left = part.keys[ledger.frames :]
        if left:
            with Decoder(job.info, decode) as decoder:
                frames = aligned(decoder, left, job.info.path)
                record(frames, job, network, options, ledger, warn)

    near = decode_from(job, part.keys[ledger.frames :])
    try:
        go(near)
    except DecodeError:
        if near == job.decode:
            raise
        warn(
            f"{job.info.path} decodes to other frames from its middle than from its start; parts "
            "of it are decoded from the start, which takes longer"
        )
        go(job.decode)
    return PartDone(
        frames=len(part.keys),
        resumed=resumed,
        network_seconds=network.seconds,
        warnings=tuple(warn.said),
        host=platform.node(),
    )


def decode_from(job: Job, keys: Sequence[FrameKey]) -> DecodeOptions:
    """How to decode from shortly before a frame to the same end."""
    options, video = job.decode, job.info.video
    if not keys:
        return options
    origin = (video.start_pts or 0) * video.time_base
    start = keys[0].pts * job.encode.time_base - origin - _RUN_UP
    if start <= options.start:
        return options
    left = None if options.duration is None else options.start + options.duration - start
    return replace(options, start=start, duration=left)


def aligned(
    frames: Iterable[PlanarFrame], keys: Sequence[FrameKey], source: Path
) -> Iterator[PlanarFrame]:
    """The frames with these keys, and with the keys' scene scores.

    Raises:
        DecodeError: A frame is missing or differs.
    """
    wanted = iter(keys)
    key = next(wanted, None)
    for frame in frames:
        if key is None:
            return
        if frame.pts < keys[0].pts:
            continue
        found = key_of(frame)
        if (found.pts, found.checksum) != (key.pts, key.checksum):
            break
        yield replace(frame, scene_score=key.scene_score)
        key = next(wanted, None)
    if key is not None:
        raise DecodeError(
            source,
            f"node {platform.node()} decodes another frame at pts {key.pts} than the node that "
            "found the cuts; make sure that all have the same file and the same versions",
        )


def join(job: Job, options: EnhanceOptions, made: Made, said: Sequence[str]) -> EnhanceResult:
    """Join all pieces, verify the output and give it its name.

    Args:
        job: The plan.
        options: As for the whole job.
        made: About the pieces.
        said: All warnings so far.

    Raises:
        MuxError: Pieces are missing on this machine, or the output cannot be written.
        VerifyError: It is wrong.
    """
    _check_machine(job, options)
    ledger = _ledger(job)
    ledger.read()
    if ledger.pts != list(made.marks.pts):
        raise MuxError(
            job.target.pattern,
            f"node {platform.node()} finds {ledger.frames} of {len(made.marks)} finished frames in "
            f"{ledger.folder}; repeat the same command",
        )
    warn = Warnings()
    for sentence in said:
        warn(sentence)
    return publish(job, options, ledger, made, warn)


def _ledger(job: Job, piece: int = 0, frame: int = 0) -> Ledger:
    pattern = job.target.pattern
    folder = work_path(pattern.parent if job.target.muxer == PICTURES else pattern)
    return Ledger(folder, pattern, job.inference.device, first_piece=piece, first_frame=frame)


def _check_machine(job: Job, options: EnhanceOptions) -> ModelInfo:
    """Check that this machine has the files and would make what was planned.

    Returns:
        The model, as this machine has it.

    Raises:
        MediaError: It has not, or would not; naming the machine and the path.
    """
    _read_source(job.info.path)
    folder = _ledger(job).folder
    try:
        planned = read_job(folder)["job"]
    except OSError as error:
        raise _unreadable(folder, error) from error
    found = find_model(options.model or job.model.name)
    model = replace(found, clean=options.clean, steady=options.steady)
    changed = list(differences(planned, identify(replace(job, model=model), options)))
    if changed:
        raise MediaError(
            job.info.path,
            f"node {platform.node()} would make another film than was planned: "
            f"{'; '.join(changed[:3])}; with --ray all nodes need the same files and versions",
        )
    return model


def _read_source(source: Path) -> None:
    try:
        fingerprint(source)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(path: Path, error: OSError) -> MediaError:
    return MediaError(
        path,
        f"node {platform.node()} cannot read it ({error.strerror or error}); with --ray all paths "
        "must lead to the same shared storage on every node",
    )
