"""One file to one file: decode, enhance, encode, mux, verify, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.errors import DecodeError, VerifyError
from vsr.identity import identify, request
from vsr.inference.fidelity import fidelity
from vsr.inference.finish import finish
from vsr.inference.queues import Sink, prefetch
from vsr.inference.runner import RgbFrame, enhance_frames
from vsr.media.containers import PICTURES, target_kind
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.frames import PlanarFrame
from vsr.media.marks import FrameMarks
from vsr.media.mux import Writer
from vsr.media.pictures import PictureFolder
from vsr.media.verify import Expected, VerifyResult, verify
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import ModelInfo, load_network
from vsr.ops.color import LUMA_WEIGHTS, planes_to_rgb, rgb_to_planes
from vsr.options import EnhanceOptions
from vsr.planning import Job, plan_job
from vsr.recording import Finished, Recorder
from vsr.reporting import make_report
from vsr.resume import WorkFolder, published_before

# Frames that wait between decoder and network.
_AHEAD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a file is.

    Attributes:
        frames: Enhanced so far, by earlier runs as well.
        resumed: Of these, by earlier runs.
        total: Expected in all; None where nobody knows.
        seconds: Since the first frame was asked for.
    """

    frames: int
    total: int | None
    seconds: float
    resumed: int = 0

    @property
    def fps(self) -> float:
        """Frames per second so far."""
        return (self.frames - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None where it cannot be told."""
        if self.total is None or self.fps == 0:
            return None
        return max(0, self.total - self.frames) / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceResult:
    """What came of a file.

    Attributes:
        target: The finished file, or pattern of pictures.
        frames: Written.
        resumed: Of these, how many an earlier run that was interrupted had finished.
        seconds: From opening the source to the published file.
        network_seconds: Of these, inside the network.
        warnings: All that was assumed, converted or lost.
        report: The same and everything verified, ready for JSON; see the README.
    """

    target: os.PathLike[str]
    frames: int
    resumed: int
    seconds: float
    network_seconds: float
    warnings: tuple[str, ...]
    report: dict[str, Any]


def enhance(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    *,
    progress: Callable[[Progress], None] = lambda now: None,
    warn: Callable[[str], None] = lambda sentence: None,
    load: Callable[[ModelInfo, str], VideoNetwork] = load_network,
) -> EnhanceResult:
    """Enhance a video file; the target appears only when it is complete and verified.

    Until then it grows in a hidden folder beside its place. Where an earlier call with the same
    arguments was interrupted or killed, this one goes on with what that had finished.

    Args:
        source: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        target: A video file; or pictures: a folder name that ends with a slash, or a pattern.
        options: See `EnhanceOptions`.
        progress: Told after each frame.
        warn: Told each warning as it comes; all of them are in the result as well.
        load: Gives the network for a device; to keep it from one file to the next.

    Raises:
        ConfigError: An option is wrong.
        MediaError: The source cannot be read, or the target not be written or not be verified.
        WeightsError: The model's weights are missing or do not fit.
        OutOfMemoryError: Not even small tiles fit in memory.
    """
    options = options or EnhanceOptions()
    begin = time.monotonic()
    warnings: list[str] = []

    def tell(sentence: str) -> None:
        if sentence not in warnings:
            warnings.append(sentence)
            warn(sentence)

    earlier = published_before(Path(os.fspath(source)), target_kind(target).pattern, options)
    if earlier is not None:
        earlier["warnings"] = tuple(earlier["warnings"])
        return EnhanceResult(target=target_kind(target).pattern, **earlier)
    job = plan_job(source, target, options)
    for warning in job.warnings:
        tell(warning)
    with open_work(job, options, tell) as work:
        job = replace(job, inference=work.plan)
        if job.target.muxer != PICTURES:
            # What the container refuses shall be known before hours of work.
            open_output(job, work).__exit__(None, None, None)
        network = TimedNetwork(load(job.model, job.inference.device))
        resumed = work.frames
        summary, marks = run(job, network, options, work, warnings, progress, tell)
        with open_output(job, work) as output:
            output.join(work.piece_paths)
            for warning in (*summary.warnings, *describe_losses(summary), *output.warnings):
                tell(warning)
            checked = check_output(job, work, marks, tell)
            seconds = time.monotonic() - begin
            figures: dict[str, Any] = {
                "frames": len(marks),
                "resumed": resumed,
                "seconds": seconds,
                "network_seconds": network.seconds,
                "warnings": tuple(warnings),
            }
            result = EnhanceResult(
                target=job.target.pattern,
                report=make_report(
                    job, options, summary, checked, work.joined, work.pts, work.fidelity, **figures
                ),
                **figures,
            )
            work.publishing(request(job.info.path, options), {**figures, "report": result.report})
            output.publish(overwrite=options.overwrite)
        work.remove()
    return result


def open_work(job: Job, options: EnhanceOptions, warn: Callable[[str], None]) -> WorkFolder:
    """Open the hidden folder in which the output grows, with what an earlier run finished."""
    pattern = job.target.pattern
    return WorkFolder(
        pattern.parent if job.target.muxer == PICTURES else pattern,
        identify(job, options),
        job.inference,
        resume=options.resume,
        warn=warn,
    )


def run(
    job: Job,
    network: VideoNetwork,
    options: EnhanceOptions,
    work: WorkFolder,
    warnings: Sequence[str],
    progress: Callable[[Progress], None],
    warn: Callable[[str], None],
) -> tuple[DecodeSummary, FrameMarks]:
    """Push all frames through the network; decoder and encoder work in threads of their own.

    The source is decoded from its beginning even where an earlier run has done a part: what is
    decoded, lost, repaired and deinterlaced is then the same, whatever the format.

    Args:
        job: The plan.
        network: On the plan's device.
        options: Strength, and length of pieces.
        work: Where finished frames go, and what is finished already.
        warnings: The list of all that has been said.
        progress: Told after each frame.
        warn: Told each warning.

    Returns:
        What decoding met, and the marks of all frames that were decoded.
    """
    device = torch.device(job.inference.device)
    encode = job.encode
    weights = LUMA_WEIGHTS[job.source_layout.matrix]
    measured: list[float] = []

    def picture(sr: Tensor, lq: Tensor) -> Tensor:
        made = finish(sr, lq, height=encode.height, width=encode.width, strength=options.strength)
        measured.append(fidelity(made, lq, weights))
        return made

    begin, resumed = time.monotonic(), work.frames
    count = resumed
    with Decoder(job.info, job.decode) as decoder, torch.inference_mode():
        marks = FrameMarks(decoder.time_base, full_range=job.source_layout.full_range)
        decoded = prefetch(marked(decoder, marks), _AHEAD)
        try:
            skip(decoded, work.pts, job.info.path)
            frames = (to_rgb(frame, job, device) for frame in decoded)
            with (
                Recorder(job, work, options.piece, warnings) as recorder,
                # Room for a window: the encoder works on it while the network does the next.
                Sink(recorder.take, job.inference.window + 1) as sink,
            ):
                for done in enhance_frames(
                    frames,
                    network,
                    job.inference,
                    warn=warn,
                    finish=picture,
                    start=work.position(),
                    border=sink.put,
                ):
                    planes = rgb_to_planes(done.rgb, job.target_layout)
                    sink.put(
                        Finished(
                            planes=planes,
                            pts=done.pts,
                            duration=done.duration,
                            fidelity=measured.pop(),
                        )
                    )
                    count += 1
                    seconds = time.monotonic() - begin
                    progress(
                        Progress(frames=count, resumed=resumed, total=job.frames, seconds=seconds)
                    )
                sink.close()
                recorder.finish()
        finally:
            decoded.close()  # type: ignore[attr-defined]
        return decoder.summary, marks


def skip(frames: Iterator[PlanarFrame], pts: Sequence[int], source: Path) -> None:
    """Draw the frames that are finished.

    Raises:
        DecodeError: They are not those that were.
    """
    for index, expected in enumerate(pts):
        frame = next(frames, None)
        if frame is None or frame.pts != expected:
            raise DecodeError(
                source,
                f"wanted the frames that an earlier run has worked on, got another at number "
                f"{index}; start afresh with --no-resume",
            )


def check_output(
    job: Job, work: WorkFolder, marks: FrameMarks, warn: Callable[[str], None]
) -> VerifyResult:
    """Verify what was written against all that the job knows.

    Raises:
        VerifyError: It is wrong, and with it the work, which is removed.
    """
    checked = verify(
        job.info.path,
        work.joined,
        Expected(
            plan=job.encode,
            streams=job.streams,
            decode=job.decode,
            time_range=job.time_range,
            marks=marks,
        ),
        named=job.target.pattern,
    )
    for warning in checked.warnings:
        warn(warning)
    if checked.passed:
        return checked
    work.remove()
    raise VerifyError(
        job.target.pattern,
        "the finished file is not what its source calls for "
        f"({'; '.join(checked.problems)}); it was removed",
    )


def marked(frames: Iterable[PlanarFrame], marks: FrameMarks) -> Iterator[PlanarFrame]:
    """Note what verifying will ask of each frame as it passes."""
    for frame in frames:
        marks.add(frame)
        yield frame


def to_rgb(frame: PlanarFrame, job: Job, device: torch.device) -> RgbFrame:
    """Bring decoded planes to the device and into RGB."""
    planes = [torch.from_numpy(_owned(plane)).to(device) for plane in frame.planes]
    return RgbFrame(
        rgb=planes_to_rgb(planes, job.source_layout),
        pts=frame.pts,
        duration=frame.duration,
        scene_score=frame.scene_score,
    )


def open_output(job: Job, work: WorkFolder) -> Writer | PictureFolder:
    """Open what the pieces are joined to."""
    if job.target.muxer == PICTURES:
        return PictureFolder(work.joined, job.target.pattern)
    return Writer(
        job.info,
        job.target.pattern,
        job.encode,
        job.streams,
        time_range=job.time_range,
        partial=work.joined,
    )


def describe_losses(summary: DecodeSummary) -> Iterator[str]:
    """Name the frames that the source's damage cost."""
    for lost in summary.lost:
        yield (
            f"{lost.count} frames between {float(lost.start):.3f} s and {float(lost.end):.3f} s "
            f"are lost: {lost.reason}"
        )
    if summary.corrupt:
        yield f"{len(summary.corrupt)} frames of the input are damaged, and enhanced as they are"
    if summary.repaired_pts:
        yield f"{summary.repaired_pts} frames had times that went backwards; repaired"


class TimedNetwork:
    """A network that counts the seconds spent in it."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401
        self._network = network
        self.scale: int = network.scale
        self.min_size: int = network.min_size
        self.seconds = 0.0

    def __call__(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Run it; on a GPU, wait until it has finished."""
        begin = time.monotonic()
        sr, state = self._network(lq, state, lookahead)
        if lq.is_cuda:
            torch.cuda.synchronize(lq.device)
        self.seconds += time.monotonic() - begin
        return sr, state


def _owned(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Torch takes neither read-only arrays nor all strides without a warning."""
    return plane if plane.flags.writeable and plane.flags.c_contiguous else plane.copy()
