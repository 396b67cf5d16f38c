"""Repair of timestamps, and scene cuts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vsr.options import CUT_SCORE

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

JUMP_BACK = Fraction(1, 10)
JUMP_FORWARD = Fraction(10)
REORDERED = 16  # frames, the most of H.264 and H.265
READ_AHEAD = 1000  # packets


class PtsRepair:
    """Make the pts of decoded frames complete and strictly increasing.

    The choice of pts or dts follows FFmpeg's `guess_correct_pts` (libavcodec/decode.c): pts,
    unless it went backwards more often than dts did. A frame with neither gets the last pts plus
    one nominal step, the first ones their `early` times; a frame that does not come after the last
    one gets half a step, so that the next one, if right, still fits.

    Attributes:
        synthesised, repaired: Number of frames without a time, and with a wrong one.
    """

    def __init__(self, step: int) -> None:
        """Start before the first frame; `step` is the nominal frame duration in ticks."""
        self.early: Iterator[int] = iter(())  # times of the first frames that have none
        if step < 1:
            raise ValueError(f"a frame lasts at least one tick, not {step}")
        self.synthesised = 0
        self.repaired = 0
        self._step = step
        self._last: int | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = 0
        self._faulty_dts = 0

    def __call__(self, frame: VideoFrame) -> int:
        """The pts to use for the next frame in presentation order."""
        guess = self._guess(frame.pts, frame.dts)
        if guess is None:
            self.synthesised += 1
            later = 0 if self._last is None else self._last + self._step
            guess = next(self.early, later)
        elif self._last is not None and guess <= self._last:
            self.repaired += 1
            guess = self._last + max(1, self._step // 2)
        self._last = guess
        return guess

    def _guess(self, pts: int | None, dts: int | None) -> int | None:
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        if pts is not None and (self._faulty_pts <= self._faulty_dts or dts is None):
            return pts
        return dts


def count_back(
    packets: Iterator[Packet[Any]], step: Fraction
) -> tuple[list[Packet[Any]], list[int]]:
    """Times of a stream's first frames that have none, counted back from the first known.

    Matroska gives none to reordered frames before its zero.

    Args:
        packets: Of one video stream, from its start.
        step: Nominal frame duration in ticks.

    Returns:
        The packets read, as many as it takes, and the times, in presentation order.
    """
    read: list[Packet[Any]] = []
    unknown = known = 0
    for packet in packets:
        read.append(packet)
        known += bool(known) or packet.pts is not None or packet.dts is not None
        unknown += bool(packet.size) and not known
        if not unknown or known > REORDERED or len(read) > READ_AHEAD:
            break
    times = [packet.pts for packet in read if packet.pts is not None]
    if not (unknown and times):
        return read, []
    return read, [min(times) - round((unknown - index) * step) for index in range(unknown)]


class DiscontinuityFixer:
    """Close the jumps in the clock of spliced MPEG streams by the same offset for all streams.

    Follows FFmpeg's `ts_discontinuity_process` (fftools/ffmpeg_demux.c), with its thresholds: a
    stream that steps back by more than 0.1 s, or past everything seen so far by more than 10 s,
    has jumped; from there on all streams are shifted so that this one goes on without a gap. The
    others follow with their first packet that fits the new shift better: sound of the part before
    may lie behind the splice. Unlike there, a video has jumped too if a keyframe is decoded before
    the frame that it follows, by however little: parts that overlap by a few frames would otherwise
    be squeezed together, and their sound, which may jump a little farther, be out of step. Also,
    pts count, not dts alone: a recording cut off between reordered frames would otherwise show two
    frames at one time. Forward jumps are measured against all streams, so that a track may pause.
    Sparse streams, subtitles and data, are shifted but show no jump.

    The shifts depend only on the packets: two passes over a file from its start give the same ones.

    Attributes:
        jumps: (seconds after repair, seconds of the jump), one for each.
        unseen: Whether the file has streams that begin too late to be found when it is opened.
    """

    def __init__(self) -> None:
        self.unseen = False
        self.jumps: list[tuple[Fraction, Fraction]] = []
        self._offset = Fraction(0)
        self._offsets: dict[int, Fraction] = {}  # by stream: that of its newest packet
        self._decoded: dict[int, Fraction] = {}  # by stream: when its newest packet is decoded
        self._due: dict[int, Fraction] = {}  # by stream: when the next packet is to be decoded
        self._shown: dict[int, Fraction] = {}  # by stream: when all so far has been shown
        self._latest: Fraction | None = None

    def fix(self, packet: Packet[Any]) -> None:
        """Shift the timestamps of the next packet in the file, in place."""
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            return
        time_base = packet.time_base
        if packet.stream.type in ("video", "audio"):
            pts = packet.pts if packet.pts is not None else dts
            duration = (packet.duration or 0) * time_base
            # Decoding times of packets without a pts may be guessed by the reader.
            timed = packet.pts is not None
            begins = timed and packet.stream.type == "video" and packet.is_keyframe
            times = dts * time_base, pts * time_base, duration
            self._follow(packet.stream.index, *times, begins=begins)
        shift = round(self._offsets.get(packet.stream.index, self._offset) / time_base)
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift

    def _follow(
        self, index: int, dts: Fraction, pts: Fraction, duration: Fraction, *, begins: bool
    ) -> None:
        own = self._offsets.get(index, self._offset)
        if index in self._due:
            own = min((own, self._offset), key=lambda shift: abs(dts + shift - self._due[index]))
        now = dts + own
        if self._latest is not None:
            due = self._due.get(index, self._latest)
            stepped_back = index in self._due and now < due - JUMP_BACK
            if begins and now < self._decoded.get(index, now):
                stepped_back = stepped_back or pts + own < self._shown[index]
            if stepped_back or now > self._latest + JUMP_FORWARD:
                self.jumps.append((due, now - due))
                own = self._offset = max(due - dts, self._shown.get(index, due) - pts)
        self._offsets[index] = own
        self._decoded[index] = dts + own
        decoded, shown = dts + own + duration, pts + own + duration
        self._due[index] = max(decoded, self._due.get(index, decoded))
        self._shown[index] = max(shown, self._shown.get(index, shown))
        self._latest = decoded if self._latest is None else max(decoded, self._latest)


def is_cut(score: float, since: int, threshold: float = CUT_SCORE) -> bool:
    """Whether a frame starts a scene; the second frame of a scene never does.

    `scdet` compares the change to the change before it; the second frame of a file has none, and
    after a cut it is the cut, so the score there only measures motion.

    Args:
        score: 0 to 100, difference from the frame before.
        since: Frames of its scene before it, were it no cut.
        threshold: The lowest score of a cut.
    """
    return score >= threshold and since >= 2
