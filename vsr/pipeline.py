"""One file to one file: decode, enhance, encode, mux, verify, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsr.errors import VerifyError
from vsr.inference.finish import finish
from vsr.inference.queues import Sink, prefetch
from vsr.inference.runner import RgbFrame, enhance_frames
from vsr.media.containers import PICTURES
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.frames import PlanarFrame
from vsr.media.marks import FrameMarks
from vsr.media.mux import Writer
from vsr.media.pictures import PictureWriter
from vsr.media.verify import Expected, verify
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import load_network
from vsr.ops.color import planes_to_rgb, rgb_to_planes
from vsr.options import EnhanceOptions
from vsr.planning import Job, plan_job
from vsr.reporting import make_report

# Frames that wait between decoder and network, and between network and encoder.
_AHEAD = 8
_BEHIND = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a file is.

    Attributes:
        frames: Enhanced so far.
        total: Expected in all; None where nobody knows.
        seconds: Since the first frame was asked for.
    """

    frames: int
    total: int | None
    seconds: float

    @property
    def fps(self) -> float:
        """Frames per second so far."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None where it cannot be told."""
        if self.total is None or self.frames == 0:
            return None
        return max(0, self.total - self.frames) / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceResult:
    """What came of a file.

    Attributes:
        target: The finished file, or pattern of pictures.
        frames: Written.
        seconds: From opening the source to the published file.
        network_seconds: Of these, inside the network.
        warnings: All that was assumed, converted or lost.
        report: The same and everything verified, ready for JSON; see the README.
    """

    target: os.PathLike[str]
    frames: int
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
) -> EnhanceResult:
    """Enhance a video file; the target appears only when it is complete and verified.

    Args:
        source: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        target: A video file; or pictures: a folder name that ends with a slash, or a pattern.
        options: See `EnhanceOptions`.
        progress: Told after each frame.
        warn: Told each warning as it comes; all of them are in the result as well.

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

    job = plan_job(source, target, options)
    for warning in job.warnings:
        tell(warning)
    network = TimedNetwork(load_network(job.model, job.inference.device))
    with open_writer(job) as writer:
        summary, marks = run(job, network, options.strength, writer, progress, tell)
        writer.finish()
        for warning in (*summary.warnings, *describe_losses(summary), *writer.warnings):
            tell(warning)
        result = verify(
            job.info.path,
            writer.partial,
            Expected(
                plan=job.encode,
                streams=job.streams,
                decode=job.decode,
                time_range=job.time_range,
                marks=marks,
            ),
            named=job.target.pattern,
        )
        for warning in result.warnings:
            tell(warning)
        if not result.passed:
            raise VerifyError(
                job.target.pattern,
                "the finished file is not what its source calls for "
                f"({'; '.join(result.problems)}); it was removed",
            )
        writer.publish(overwrite=options.overwrite)
    seconds = time.monotonic() - begin
    return EnhanceResult(
        target=job.target.pattern,
        frames=len(marks),
        seconds=seconds,
        network_seconds=network.seconds,
        warnings=tuple(warnings),
        report=make_report(
            job,
            options,
            summary,
            result,
            warnings=warnings,
            frames=len(marks),
            seconds=seconds,
            network_seconds=network.seconds,
        ),
    )


def run(
    job: Job,
    network: VideoNetwork,
    strength: float,
    writer: Writer | PictureWriter,
    progress: Callable[[Progress], None],
    warn: Callable[[str], None],
) -> tuple[DecodeSummary, FrameMarks]:
    """Push all frames through the network; decoder and encoder work in threads of their own.

    Returns:
        What decoding met, and the marks of all frames that were decoded.
    """
    device = torch.device(job.inference.device)
    encode = job.encode

    def picture(sr: Tensor, lq: Tensor) -> Tensor:
        return finish(sr, lq, height=encode.height, width=encode.width, strength=strength)

    def write(frame: tuple[tuple[Tensor, ...], int, int]) -> None:
        planes, pts, duration = frame
        writer.write([plane.cpu().numpy() for plane in planes], pts, duration)

    begin, count = time.monotonic(), 0
    with Decoder(job.info, job.decode) as decoder, torch.inference_mode():
        marks = FrameMarks(decoder.time_base, full_range=job.source_layout.full_range)
        decoded = prefetch(marked(decoder, marks), _AHEAD)
        frames = (to_rgb(frame, job, device) for frame in decoded)
        try:
            with Sink(write, _BEHIND) as sink:
                for done in enhance_frames(
                    frames, network, job.inference, warn=warn, finish=picture
                ):
                    sink.put((rgb_to_planes(done.rgb, job.target_layout), done.pts, done.duration))
                    count += 1
                    seconds = time.monotonic() - begin
                    progress(Progress(frames=count, total=job.frames, seconds=seconds))
        finally:
            decoded.close()  # type: ignore[attr-defined]
        return decoder.summary, marks


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


def open_writer(job: Job) -> Writer | PictureWriter:
    """Open what the job writes to."""
    if job.target.muxer == PICTURES:
        return PictureWriter(job.target.pattern, job.encode)
    return Writer(job.info, job.target.pattern, job.encode, job.streams, time_range=job.time_range)


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
