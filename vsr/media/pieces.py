"""Pieces of encoded video, from which an output is joined without encoding again.

Each comes from a fresh encoder, so it starts with a keyframe and depends on nothing before it. The
files hold the encoder's packets with times in whole ticks of its time base: containers round times
(Matroska) or recount them (NUT), and the same encoder makes the header again anyway.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, Self

import av

from vsr.errors import EncodeError, MuxError
from vsr.files import read_error, sync, write_error
from vsr.media import encoders
from vsr.media.clock import OutputClock
from vsr.media.types import EncodePlan, Plane

_MAGIC = b"vsrpiece"
_HEADER = struct.Struct("<8sII")  # magic, then size and crc32 of the extradata that follows
_PACKET = struct.Struct("<qqBII")  # pts, duration, is keyframe, size and crc32 of the payload


@dataclass(frozen=True, slots=True)
class CodedPacket:
    """A packet of the encoder; pts and duration in ticks of its time base."""

    pts: int
    duration: int
    is_keyframe: bool
    payload: bytes


class PieceWriter:
    """Encode frames into a piece; a context manager that removes an unfinished file.

    Attributes:
        frames: Number written so far.
        size: Bytes of the packets so far.
    """

    def __init__(self, path: Path, target: Path, plan: EncodePlan, clock: OutputClock) -> None:
        """Open a fresh encoder and the file.

        Args:
            path: The piece; an old one is replaced.
            target: The final output, for messages.
            plan: That of `mux.Writer`, which opens the same encoder for the header.
            clock: Of the output.

        Raises:
            EncodeError: The encoder cannot be opened.
            MuxError: The file cannot be written.
        """
        self.path = path
        self.target = target
        self.plan = plan
        self.frames = 0
        self.size = 0
        self._clock = clock
        self._last_pts: int | None = None
        self._wanted: dict[int, int] = {}  # pts: duration
        self._finished = False
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        try:
            output = self._stack.enter_context(encoders.discarded(plan.muxer))
            self._video = encoders.add_video_stream(output, plan)
            encoders.start_encoding(output)
            self._file = path.open("wb")
            extradata = self._video.codec_context.extradata or b""
            self._file.write(_HEADER.pack(_MAGIC, len(extradata), zlib.crc32(extradata)))
            self._file.write(extradata)
        except (av.FFmpegError, OSError) as error:
            self.close()
            raise write_error(target, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        planes: Sequence[Plane],
        pts: int,
        duration: int,
        captions: av.VideoFrame | None = None,
    ) -> None:
        """Encode one frame.

        Args:
            planes: (H, W) arrays laid out as `plan.planes`.
            pts: Ticks of `plan.time_base` on the source's clock; each greater than the last.
            duration: Ticks; 0 where unknown.
            captions: Frame with closed captions; unused if the encoder cannot write them.

        Raises:
            EncodeError: The encoder refused the frame.
            MuxError: The disk is full, or the container cannot hold this time.
        """
        if self._last_pts is not None and pts <= self._last_pts:
            raise ValueError(f"pts must increase, got {pts} after {self._last_pts}")
        self._last_pts = pts
        pts, duration = self._clock.place(pts, duration, self.target)
        self._wanted[pts] = duration
        kept = captions if self.plan.captions else None
        self._encode(encoders.make_frame(self.plan, tuple(planes), pts, duration, kept))
        self.frames += 1

    def finish(self) -> None:
        """Flush the encoder and wait until the piece is on the disk.

        Raises:
            EncodeError: The encoder failed, or made no packet for a frame.
            MuxError: The disk is full.
        """
        self._encode(None)
        if self._wanted:
            raise EncodeError(
                self.target,
                f"{self.plan.codec} made no packets for {len(self._wanted)} of {self.frames} "
                "frames; choose another --codec, or leave out its options",
            )
        assert self._file is not None
        try:
            self._file.close()
            sync(self.path)
        except OSError as error:
            raise write_error(self.target, error) from error
        self._finished = True
        self.close()

    def close(self) -> None:
        """Close encoder and file, and remove the file if it is not finished."""
        self._stack.close()
        if self._file is not None and not self._finished:
            # The buffer is not needed; a full disk must not fail here again.
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._file = None

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            packets = self._video.encode(frame)
        except av.FFmpegError as error:
            raise EncodeError(self.target, f"{self.plan.codec} refused a frame: {error}") from error
        for packet in packets:
            assert packet.pts is not None
            assert packet.time_base == self._clock.encoder_base
            # Encoders may round a duration (SVT-AV1) to that of the frame rate.
            lasts = self._wanted.pop(packet.pts, packet.duration or 0)
            payload = bytes(packet)
            head = (packet.pts, lasts, packet.is_keyframe, len(payload), zlib.crc32(payload))
            self._put(_PACKET.pack(*head) + payload)

    def _put(self, data: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(data)
        except OSError as error:
            raise write_error(self.target, error) from error
        self.size += len(data)


# Frames that an encoder may reorder among each other, repeated to the length of a film.
STAND_INS = 12


def write_stand_ins(
    path: Path, target: Path, plan: EncodePlan, clock: OutputClock, pts: Sequence[int], lasts: int
) -> None:
    """Write a piece with every time of a film, a few coded grey frames in place of its pictures.

    Args:
        path: The piece.
        target: The final output, for messages.
        plan, clock: As of `PieceWriter`.
        pts: Of all frames, increasing, in ticks of `plan.time_base` on the source's clock.
        lasts: Ticks that the last one lasts.

    Raises:
        EncodeError, MuxError: As `PieceWriter`; the container cannot hold one of the times.
    """
    grey = encoders.flat_planes(plan, 1 << (plan.planes.bit_depth - 1))
    ends = [*pts[1:], pts[-1] + lasts]
    with PieceWriter(path, target, plan, clock) as few:
        for time, end in zip(pts[:STAND_INS], ends, strict=False):
            few.write(grey, time, end - time)
        few.finish()
    times = [clock.place(time, end - time, target) for time, end in zip(pts, ends, strict=True)]
    extradata, coded = read_extradata(path), list(read_packets([path]))
    shown = sorted(packet.pts for packet in coded)
    ranks = [shown.index(packet.pts) for packet in coded]
    try:
        with path.open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, len(extradata), zlib.crc32(extradata)) + extradata)
            for begin in range(0, len(times), len(coded)):
                part = times[begin : begin + len(coded)]
                # A group that is cut short is of keyframes alone.
                whole = len(part) == len(coded)
                order = (
                    zip(ranks, coded, strict=True)
                    if whole
                    else zip(range(len(part)), repeat(coded[0]))
                )
                for rank, packet in order:
                    sums = len(packet.payload), zlib.crc32(packet.payload)
                    file.write(_PACKET.pack(*part[rank], packet.is_keyframe, *sums))
                    file.write(packet.payload)
    except OSError as error:
        raise write_error(target, error) from error


def read_extradata(path: Path) -> bytes:
    """Extradata of the encoder of a piece.

    Raises:
        MuxError: The piece is damaged.
    """
    with _opened(path) as file:
        return _read_header(path, file)


def read_times(paths: Iterable[Path]) -> tuple[list[int], int]:
    """Read the pts of all packets in decoding order, without the packets.

    Returns:
        The pts, and the duration of the frame that is shown last.

    Raises:
        MuxError: A piece is damaged.
    """
    heads = []
    for path in paths:
        with _opened(path) as file:
            _read_header(path, file)
            while head := _read_head(path, file):
                heads.append((head[0], head[1]))
                file.seek(head[3], 1)
    return [pts for pts, _ in heads], max(heads, default=(0, 0))[1]


def read_packets(paths: Iterable[Path]) -> Iterator[CodedPacket]:
    """Read the packets of pieces, one by one.

    Raises:
        MuxError: A piece is damaged.
    """
    for path in paths:
        with _opened(path) as file:
            _read_header(path, file)
            while head := _read_head(path, file):
                pts, duration, is_keyframe, size, checksum = head
                payload = file.read(size)
                if zlib.crc32(payload) != checksum:
                    raise _damaged(path)
                yield CodedPacket(pts, duration, bool(is_keyframe), payload)


def decoding_times(pts: Sequence[int], step: int) -> list[int]:
    """Make decoding times: increasing, never after the pts, with the least delay possible.

    The delay is, in frames, the distance by which the most reordered packet is moved, so it
    depends on all pieces together.

    Of the times before the first frame is shown, none is nearer to its pts than the first:
    FFmpeg's MP4 writer takes the nearest for the track's delay, and a late start would be lost.

    Args:
        pts: Of all packets, in decoding order.
        step: Most ticks between the decoding times before the first frame is shown, from 1 up.
    """
    shown = sorted(pts)
    rank = {time: index for index, time in enumerate(shown)}
    delay = max((index - rank[time] for index, time in enumerate(pts)), default=0)
    room = [(pts[index] - pts[0]) // index for index in range(1, min(delay, len(pts)))]
    step = max(1, min([step, *room]))
    early = [shown[0] - (delay - index) * step for index in range(min(delay, len(pts)))]
    return early + shown[: len(shown) - len(early)]


def let_last_frame_last(dts: list[int], pts: Sequence[int], duration: int) -> None:
    """Move decoding times so that the frame shown last keeps its duration in MP4, in place.

    MP4 stores the differences of decoding times and readers take them for durations. The next
    frame's own time corrects that, except for the last frame if it is not decoded last.

    Args:
        dts: Of `decoding_times`.
        pts: In decoding order.
        duration: Of the last frame, in ticks, from 1 up.
    """
    last = max(range(len(pts)), key=pts.__getitem__)
    if last == len(pts) - 1:
        return
    if dts[last + 1] - dts[last] > duration:
        dts[last + 1] = dts[last] + duration
    else:
        dts[last] = dts[last + 1] - duration
        for index in range(last - 1, -1, -1):
            if dts[index] < dts[index + 1]:
                break
            dts[index] = dts[index + 1] - 1
    # The start must stay too, as in `decoding_times`.
    early = [index for index in range(1, len(pts)) if dts[index] < pts[0]]
    nearest = max((dts[index] - (pts[index] - pts[0]) for index in early), default=dts[0])
    dts[0] = min(max(dts[0], nearest), dts[1] - 1)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a finished piece for reading.

    Raises:
        MuxError: It is missing.
        MediaError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise MuxError(
            path, "a finished piece is missing; start afresh with --no-resume"
        ) from error
    except OSError as error:
        raise read_error(path, error) from error


def _read_header(path: Path, file: BinaryIO) -> bytes:
    head = file.read(_HEADER.size)
    if len(head) == _HEADER.size:
        magic, size, checksum = _HEADER.unpack(head)
        extradata = file.read(size)
        if magic == _MAGIC and zlib.crc32(extradata) == checksum:
            return extradata
    raise _damaged(path)


def _read_head(path: Path, file: BinaryIO) -> tuple[int, int, int, int, int] | None:
    head = file.read(_PACKET.size)
    if head and len(head) < _PACKET.size:
        raise _damaged(path)
    return _PACKET.unpack(head) if head else None


def _damaged(path: Path) -> MuxError:
    return MuxError(path, "a finished piece is damaged on the disk; start afresh with --no-resume")
