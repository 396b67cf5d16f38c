"""Cut the stream of finished frames into pieces and make each durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from torch import Tensor

from vsr.inference.runner import Position
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES
from vsr.media.pictures import PictureWriter
from vsr.media.pieces import PieceWriter
from vsr.planning import Job
from vsr.resume import WorkFolder, ends_piece


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A picture as the encoder takes it.

    Attributes:
        planes: (H, W) integers on any device.
        pts, duration: In ticks of the decoder.
        fidelity: As `inference.fidelity` measures it, in dB.
    """

    planes: tuple[Tensor, ...]
    pts: int
    duration: int
    fidelity: float


class Recorder:
    """Takes frames, and between them where the runner stands; a context manager.

    Leaving the context drops the piece that is not finished.
    """

    def __init__(self, job: Job, work: WorkFolder, length: int, warnings: Sequence[str]) -> None:
        """Start after what `work` has.

        Args:
            job: The plan.
            work: Where pieces go.
            length: Frames per piece.
            warnings: The list of all that was said, kept with each piece.
        """
        self._job = job
        self._work = work
        self._length = length
        self._warnings = warnings
        self._clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
        self._pts: list[int] = []
        self._fidelity: list[float] = []
        self._position: Position | None = None
        self._writer: PieceWriter | PictureWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def take(self, item: Finished | Position) -> None:
        """Encode a frame; or note where the runner stands after it, and finish a long piece.

        Raises:
            EncodeError, MuxError: The encoder or the disk refuses.
        """
        if isinstance(item, Position):
            self._position = item
            if ends_piece(len(self._pts), item, self._length):
                self.finish()
            return
        if self._writer is None:
            self._writer = self._open()
        planes = [plane.cpu().numpy() for plane in item.planes]
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
        self._work.commit(
            self._pts, self._fidelity, self._writer.size, self._position, self._warnings
        )
        self._writer, self._pts, self._fidelity = None, [], []

    def _open(self) -> PieceWriter | PictureWriter:
        pattern = self._job.target.pattern
        if self._job.target.muxer == PICTURES:
            done = self._work.frames
            return PictureWriter(self._work.joined, pattern, self._job.encode, done=done)
        return PieceWriter(self._work.piece_path(), pattern, self._job.encode, self._clock)
