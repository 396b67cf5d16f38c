"""Frames through the network, the encoder and into pieces, each of them durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from vsr.inference.fidelity import fidelity
from vsr.inference.finish import finish
from vsr.inference.queues import Sink, prefetch
from vsr.inference.runner import Position, RgbFrame, enhance_frames
from vsr.ledger import Ledger, ends_piece
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES
from vsr.media.frames import Captions, PlanarFrame
from vsr.media.pictures import PictureWriter
from vsr.media.pieces import PieceWriter
from vsr.models.contract import VideoNetwork
from vsr.ops.color import LUMA_WEIGHTS, planes_to_rgb, rgb_to_planes
from vsr.options import EnhanceOptions
from vsr.planning import Job
from vsr.reporting import Warnings
from vsr.space import check_room

# Frames that wait between decoder and network.
_AHEAD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A picture as the encoder takes it.

    Attributes:
        planes: (H, W) integers on any device.
        pts, duration: In ticks of the decoder.
        fidelity: As `inference.fidelity` measures it, in dB.
        captions: As `PlanarFrame.captions`.
    """

    planes: tuple[Tensor, ...]
    pts: int
    duration: int
    fidelity: float
    captions: Captions | None


class Recorder:
    """Takes frames, and between them where the runner stands; a context manager.

    Leaving the context drops the piece that is not finished.
    """

    def __init__(self, job: Job, ledger: Ledger, length: int, said: Sequence[str]) -> None:
        """Start after what `ledger` has.

        Args:
            job: The plan.
            ledger: Where pieces go.
            length: Frames per piece.
            said: The growing list of all warnings, kept with each piece.
        """
        self._job = job
        self._ledger = ledger
        self._length = length
        self._said = said
        self._clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
        self._pts: list[int] = []
        self._fidelity: list[float] = []
        self._position: Position | None = None
        self._writer: PieceWriter | PictureWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def take(self, item: Finished | Position) -> None:
        """Encode a frame; or note where the runner stands after it, and finish a long piece.

        Raises:
            EncodeError, MuxError: The encoder or the disk refuses.
            DiskError: The rest will not fit on the disk.
        """
        if isinstance(item, Position):
            self._position = item
            if ends_piece(len(self._pts), self._length, at_cut=item.state is None):
                self.finish()
                check_room(self._job, self._ledger)
            return
        if self._writer is None:
            self._writer = self._open()
        planes = [plane.cpu().numpy() for plane in item.planes]
        if isinstance(self._writer, PieceWriter):
            self._writer.write(planes, item.pts, item.duration, item.captions)
        else:
            self._writer.write(planes, item.pts, item.duration)
        self._pts.append(item.pts)
        self._fidelity.append(item.fidelity)

    def finish(self) -> None:
        """Finish the piece.

        Raises:
            EncodeError, MuxError: The encoder or the disk refuses.
        """
        if self._writer is None:
            return
        assert self._position is not None
        self._writer.finish()
        self._ledger.commit(
            self._pts, self._fidelity, self._writer.size, self._position, self._said
        )
        self._writer, self._pts, self._fidelity = None, [], []

    def _open(self) -> PieceWriter | PictureWriter:
        pattern = self._job.target.pattern
        if self._job.target.muxer == PICTURES:
            done = self._ledger.first_frame + self._ledger.frames
            return PictureWriter(self._ledger.joined, pattern, self._job.encode, done=done)
        return PieceWriter(self._ledger.unfinished, pattern, self._job.encode, self._clock)


def record(
    frames: Iterable[PlanarFrame],
    job: Job,
    network: VideoNetwork,
    options: EnhanceOptions,
    ledger: Ledger,
    warn: Warnings,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Enhance and encode frames; decoder and encoder work in threads of their own.

    Args:
        frames: Those that follow what `ledger` has.
        job: The plan.
        network: On the plan's device.
        options: Strength, and length of pieces.
        ledger: Where finished frames go, and what is finished already.
        warn: Told each warning; what it has said is kept with each piece.
        tick: Called after each frame.

    Raises:
        EncodeError, MuxError: The encoder or the disk refuses.
        OutOfMemoryError: Not even small tiles fit in memory.
    """
    device = torch.device(job.inference.device)
    encode = job.encode
    weights = LUMA_WEIGHTS[job.source_layout.matrix]
    measured: list[float] = []
    captions: dict[int, Captions] = {}

    def picture(sr: Tensor, lq: Tensor) -> Tensor:
        made = finish(sr, lq, height=encode.height, width=encode.width, strength=options.strength)
        measured.append(fidelity(made, lq, weights))
        return made

    def read(frame: PlanarFrame) -> RgbFrame:
        if frame.captions is not None:
            captions[frame.pts] = frame.captions
        return to_rgb(frame, job, device)

    decoded = prefetch(frames, _AHEAD)
    try:
        with (
            torch.inference_mode(),
            Recorder(job, ledger, options.piece, warn.said) as recorder,
            # Room for a window: the encoder works on it while the network does the next.
            Sink(recorder.take, job.inference.window + 1) as sink,
        ):
            for done in enhance_frames(
                map(read, decoded),
                network,
                job.inference,
                warn=warn,
                finish=picture,
                start=ledger.position(),
                border=sink.put,
            ):
                planes = rgb_to_planes(done.rgb, job.target_layout)
                sink.put(
                    Finished(
                        planes=planes,
                        pts=done.pts,
                        duration=done.duration,
                        fidelity=measured.pop(),
                        captions=captions.pop(done.pts, None),
                    )
                )
                tick()
            sink.close()
            recorder.finish()
    finally:
        decoded.close()  # type: ignore[attr-defined]


def to_rgb(frame: PlanarFrame, job: Job, device: torch.device) -> RgbFrame:
    """Bring decoded planes to the device and into RGB."""
    planes = [torch.from_numpy(_owned(plane)).to(device) for plane in frame.planes]
    return RgbFrame(
        rgb=planes_to_rgb(planes, job.source_layout),
        pts=frame.pts,
        duration=frame.duration,
        scene_score=frame.scene_score,
    )


def _owned(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Torch takes neither read-only arrays nor all strides without a warning."""
    return plane if plane.flags.writeable and plane.flags.c_contiguous else plane.copy()
