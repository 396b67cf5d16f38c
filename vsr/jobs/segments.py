"""One film on many machines: where it is parted, what each part does, how the parts are joined.

At a cut the network starts anew, and where a cut ends a piece the encoder does so as well. From
there on nothing depends on what came before, so what lies between two such cuts can be made
anywhere, and is what one machine alone would have made. A film without a cut is one part.
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
from vsr.inference.windows import segments, windows
from vsr.media.containers import PICTURES
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.types import FrameMarks, PlanarFrame, marks_of
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, find_model
from vsr.options import DecodeOptions, EnhanceOptions
from vsr.pipeline import EnhanceResult, TimedNetwork, marked, publish, record
from vsr.plan import Job, plan_job
from vsr.reporting import Made, Warnings
from vsr.work import Ledger, differences, ends_piece, fingerprint, identify, read_job, work_path

# Starting a task costs seconds; on a GPU that is worth many more frames than on a CPU.
PIECES_PER_TASK = {"cpu": 2, "cuda": 20}
# Filters see this much of the film before the first frame that is wanted, as far as there is.
_RUN_UP = Fraction(1, 2)


class FrameKey(NamedTuple):
    """What tells a frame from all others, and whether a cut is before it."""

    pts: int
    scene_score: float
    checksum: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Frames from one cut to another, or to an end of the film, with a piece ending at both.

    Attributes:
        piece, frame: How many of each come before it.
        pieces: How many it makes.
        keys: Its frames.
    """

    piece: int
    frame: int
    pieces: int
    keys: tuple[FrameKey, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a film turned out to be.

    Attributes:
        summary: What decoding met.
        marks: Of all its frames.
    """

    summary: DecodeSummary
    marks: FrameMarks


@dataclass(frozen=True, kw_only=True, slots=True)
class StretchDone:
    """What came of a stretch.

    Attributes:
        frames: All of its frames.
        resumed: Of these, how many were finished before.
        network_seconds: Inside the network.
        warnings: What was said.
        host: Where it was done.
    """

    frames: int
    resumed: int
    network_seconds: float
    warnings: tuple[str, ...]
    host: str


def plan_here(source: str, target: str, options: EnhanceOptions) -> Job:
    """Plan a file on the machine that this runs on.

    Raises:
        MediaError: Naming this machine, if it cannot read the source.
        VsrError: As `plan_job`.
    """
    _read_source(Path(source))
    return plan_job(source, target, options)


def survey(job: Job, options: EnhanceOptions) -> Iterator[Stretch | Survey]:
    """Decode the film once to find its cuts; give each stretch as it ends, the survey at last."""
    _check_machine(job, options)
    least = options.piece * PIECES_PER_TASK[job.inference.device.partition(":")[0]]
    with Decoder(job.info, job.decode) as decoder:
        marks = marks_of(job.info.video, decoder.format, decoder.time_base)
        keys = (key_of(frame) for frame in marked(decoder, marks))
        yield from part(keys, job.inference, options.piece, least)
        yield Survey(summary=decoder.summary, marks=marks)


def part(keys: Iterable[FrameKey], plan: Plan, piece: int, least: int) -> Iterator[Stretch]:
    """Part a film by the rules by which the runner draws windows and the recorder ends pieces.

    Args:
        keys: Of all frames.
        plan: How the network is called at first.
        piece: Frames per piece, as `EnhanceOptions.piece`.
        least: Frames per stretch, as long as there are cuts.
    """
    held: list[FrameKey] = []
    before = pieces = frames = in_piece = 0
    for segment in segments(keys, plan.scene_threshold):
        for window in windows(segment, plan.window, plan.lookahead):
            held += window.frames[: window.count]
            in_piece += window.count
            if not ends_piece(in_piece, piece, at_cut=window.last):
                continue
            pieces, in_piece = pieces + 1, 0
            if window.last and len(held) >= least:
                yield Stretch(piece=before, frame=frames, pieces=pieces, keys=tuple(held))
                before, frames = before + pieces, frames + len(held)
                held, pieces = [], 0
    if held:
        pieces += in_piece > 0
        yield Stretch(piece=before, frame=frames, pieces=pieces, keys=tuple(held))


def key_of(frame: PlanarFrame) -> FrameKey:
    """Make the key of a frame: its samples, time and duration go into the checksum."""
    checksum = zlib.crc32(f"{frame.pts} {frame.duration}".encode())
    for plane in frame.planes:
        checksum = zlib.crc32(np.ascontiguousarray(plane).data, checksum)
    return FrameKey(frame.pts, frame.scene_score, checksum)


def enhance_stretch(
    job: Job,
    options: EnhanceOptions,
    stretch: Stretch,
    load: Callable[[ModelInfo, str], VideoNetwork],
) -> StretchDone:
    """Make the pieces of a stretch, as far as they are not there.

    Decoding starts near the stretch. Where that gives other frames than decoding from the film's
    start did, which the keys tell, the film is decoded from its start.

    Raises:
        MediaError: This machine cannot read the source or the hidden folder, would make something
            else than was planned, or decodes other frames than the survey did.
        VsrError: As `pipeline.enhance`.
    """
    model = _check_machine(job, options)
    ledger = _ledger(job, stretch.piece, stretch.frame)
    ledger.read(stretch.pieces)
    resumed = ledger.frames
    network = TimedNetwork(load(model, job.inference.device))
    warn = Warnings()

    def go(decode: DecodeOptions) -> None:
        left = stretch.keys[ledger.frames :]
        if left:
            with Decoder(job.info, decode) as decoder:
                frames = aligned(decoder, left, job.info.path)
                record(frames, job, network, options, ledger, warn)

    near = decode_from(job, stretch.keys[ledger.frames :])
    try:
        go(near)
    except DecodeError:
        if near == job.decode:
            raise
        warn(
            f"{job.info.path} gives other frames when it is decoded from its middle; parts of it "
            "are decoded from its start, which takes longer"
        )
        go(job.decode)
    return StretchDone(
        frames=len(stretch.keys),
        resumed=resumed,
        network_seconds=network.seconds,
        warnings=tuple(warn.said),
        host=platform.node(),
    )


def decode_from(job: Job, keys: Sequence[FrameKey]) -> DecodeOptions:
    """Say how to decode from shortly before a frame to the same end."""
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
    """Give the frames that have these keys, with the scene scores that those say.

    Raises:
        DecodeError: They are not there, or others.
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
            "looked for cuts; see that all have the same file and the same versions",
        )


def join(job: Job, options: EnhanceOptions, made: Made, said: Sequence[str]) -> EnhanceResult:
    """Join all pieces, verify the whole and give it its name.

    Args:
        job: The plan.
        options: What was asked for.
        made: What is known of the pieces.
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
            f"wanted {len(made.marks)} finished frames in {ledger.folder}, node "
            f"{platform.node()} finds {ledger.frames}; give the same command again",
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
    """See that this machine has the files and makes what was planned; give its own network.

    Raises:
        MediaError: It does not; naming the machine, and the path.
    """
    _read_source(job.info.path)
    folder = _ledger(job).folder
    try:
        planned = read_job(folder)["job"]
    except OSError as error:
        raise _unreadable(folder, error) from error
    model = replace(find_model(options.model or job.model.name), clean=options.clean)
    changed = list(differences(planned, identify(replace(job, model=model), options)))
    if changed:
        raise MediaError(
            job.info.path,
            f"node {platform.node()} would make another film than was planned, since "
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
        f"node {platform.node()} cannot read it ({error.strerror or error}); with --ray every path "
        "must lead to the same shared storage on every node",
    )
