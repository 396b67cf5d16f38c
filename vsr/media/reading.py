"""Decoded frames in presentation order, at repaired times, whatever the damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, islice
from math import ceil
from pathlib import Path

import av
import av.error
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.errors import DecodeError
from vsr.media.probe import SourceInfo, attached
from vsr.media.source import frame_graph, open_source, read_packets, read_pictures
from vsr.media.timing import DiscontinuityFixer, PtsRepair, count_back
from vsr.options import DecodeOptions

KEPT_GAPS = 1000


@dataclass(frozen=True, slots=True)
class LostFrames:
    """Neighbouring frames that are missing.

    Attributes:
        start, end: Seconds on the stream's own clock.
        names: Of the files, where each frame is a picture of its own.
    """

    count: int
    start: Fraction
    end: Fraction
    reason: str
    names: tuple[str, ...] = ()


def describe_lost(lost: Iterable[LostFrames]) -> Iterator[str]:
    """One sentence for each run of lost frames."""
    for run in lost:
        if run.names:
            yield f"pictures that cannot be decoded, {run.count} in all: {', '.join(run.names)}"
            continue
        yield (
            f"frames lost between {float(run.start):.3f} s and {float(run.end):.3f} s: "
            f"{run.count}, {run.reason}"
        )


class FrameAccount:
    """Match the packets sent to a decoder with the frames that came out, by pts.

    Frames come in presentation order, so an unmatched packet whose pts lies before that of a frame
    just received is lost. Packets without a pts cannot be matched one by one; `unmatched_packets`
    compares their numbers.

    A skip of whole frame durations between packets that all decoded is a gap, not a loss: variable
    frame rate looks the same. `FrameReader.account` decides by other damage. Empty packets
    (QuickTime writes them where a screen stands still) explain the skip they leave.

    Attributes:
        packets, frames: Sent and received.
        hidden: Number of packets that are never shown.
        last_sent: Latest time of a packet, empty ones included.
        lasts_until: Latest end of a packet, by its own duration.
        empties, first_empty, empty_until: Number of empty packets, time of the first, end of the
            last.
        gaps: (pts before, pts after, frames skipped).

    Args:
        step: Nominal frame duration in ticks, exact.
        first, end: Only packets with first <= pts < end count.
    """

    def __init__(self, step: Fraction, first: int | None = None, end: int | None = None) -> None:
        self.packets = 0
        self.hidden = 0
        self.frames = 0
        self.last_sent: int | None = None
        self.lasts_until: int | None = None
        self.empties = 0
        self.first_empty: int | None = None
        self.empty_until: int | None = None
        self.gaps: list[tuple[int, int, int]] = []
        self._empty: list[int] = []
        self._off_grid = False
        self._single_steps = 0
        self._intervals = 0
        self._step = step
        self._first = first
        self._end = end
        self._sent_with_pts = 0
        self._pending: list[int] = []
        self._lost: dict[int, int] = {}  # pts: frames received before it
        self._last_pts: int | None = None
        self._last_shown: int | None = None
        self._last_interlaced = False

    def sent(
        self, pts: int | None, dts: int | None, *, duration: int = 0, hidden: bool = False
    ) -> None:
        """Count a packet; `hidden` ones (cut off by an edit list) are never shown."""
        self.packets += 1
        self.hidden += hidden
        self._reached(pts if pts is not None else dts, duration)
        if pts is None:
            return
        self._sent_with_pts += 1
        if not hidden and not self._outside(pts):
            heappush(self._pending, pts)

    def empty(self, pts: int | None, dts: int | None, duration: int) -> None:
        """Count a packet without content, which is not decoded."""
        time = pts if pts is not None else dts
        self._reached(time, duration)
        if time is None or self._outside(time):
            return
        self.empties += 1
        heappush(self._empty, time)
        self.first_empty = time if self.first_empty is None else min(self.first_empty, time)
        until = time + (duration or round(self._step))
        self.empty_until = until if self.empty_until is None else max(self.empty_until, until)

    def received(self, pts: int | None, shown: int, *, interlaced: bool = False) -> None:
        """Count a frame: its own pts, and the one it is shown at after repair."""
        lost_before = len(self._lost)
        if pts is not None:
            self._lost.pop(pts, None)  # out of order after all
            while self._pending and self._pending[0] <= pts:
                expected = heappop(self._pending)
                if expected != pts and not self._is_second_field(expected):
                    self._lost[expected] = self.frames
            self._last_pts, self._last_interlaced = pts, interlaced
        if self._last_shown is not None and len(self._lost) == lost_before:
            self._judge_gap(self._last_shown, shown)
        self._last_shown = shown
        self.frames += 1

    def lost(self) -> list[LostFrames]:
        """List what was sent and never received, neighbours together; after the last frame."""
        while self._pending:
            expected = heappop(self._pending)
            if not self._is_second_field(expected):
                self._lost[expected] = self.frames
        runs: dict[int, list[int]] = {}
        for pts in sorted(self._lost):
            runs.setdefault(self._lost[pts], []).append(pts)
        why = {0: "before the first frame that decodes"}
        return [
            LostFrames(
                len(run), Fraction(run[0]), run[-1] + self._step, why.get(before, "undecodable")
            )
            for before, run in runs.items()
        ]

    @property
    def constant_rate(self) -> bool:
        """Whether all frames lie on the grid of the nominal rate, and most are neighbours."""
        return not self._off_grid and self._single_steps * 2 >= self._intervals

    def unmatched_packets(self) -> int:
        """Number of packets without a pts that made no frame; 0 if packets have pts."""
        return max(0, self.packets - self.frames) if not self._sent_with_pts else 0

    def _reached(self, time: int | None, duration: int) -> None:
        if time is not None:
            self.last_sent = time if self.last_sent is None else max(self.last_sent, time)
            until = time + duration
            self.lasts_until = until if self.lasts_until is None else max(self.lasts_until, until)

    def _outside(self, pts: int) -> bool:
        early = self._first is not None and pts < self._first
        return early or (self._end is not None and pts >= self._end)

    def _is_second_field(self, pts: int) -> bool:
        """Whether this is the second of two fields coded as packets: it makes no frame."""
        if self._last_pts is None or not self._last_interlaced:
            return False
        return 0 < pts - self._last_pts < self._step * 3 / 4

    def _judge_gap(self, before: int, after: int) -> None:
        steps, empty = round((after - before) / self._step), 0
        while self._empty and self._empty[0] < after:
            empty += heappop(self._empty) > before
        self._intervals += 1
        self._single_steps += steps - empty == 1
        if abs(after - before - steps * self._step) > 1 or steps < 1:
            self._off_grid = True
        elif steps - empty > 1 and len(self.gaps) < KEPT_GAPS:
            self.gaps.append((before, after, steps - empty - 1))


AV_CODEC_FLAG_OUTPUT_CORRUPT = 1 << 3  # libavcodec/avcodec.h: show frames that miss references
KEPT_ERRORS = 100
NAMED_PICTURES = 20
READ_RETRIES = 20
SEEKABLE = ("mov", "matroska")
# In these an empty packet repeats the frame before (Theora specification, 7.11).
REPEATING_CODECS = ("theora",)
# Decoding starts this long before the first frame wanted: open GOPs show frames before their
# keyframe that need the GOP before.
SEEK_MARGIN = Fraction(2)
KEPT_PACKETS = 2000
# A film of whose first packets fewer give frames is not worth beginning.
FIRST_PACKETS, LEAST_SHARE = 200, Fraction(1, 10)
HEADER_TOLERANCE = Fraction(1, 10)  # seconds by which a header's duration may be off


class FrameReader:
    """Demux and decode one file; frames have repaired pts, durations and time base.

    The decoder runs slice threads, not frame threads: with those PyAV stops at an error among the
    last packets and drops the good frames behind it, and damaged frames differ from run to run.

    Attributes:
        ledger, repair, fixer: What became of packets, pts and the clock so far.
        errors, error_count: Messages of demuxer and decoder (the first ones), and their number.
        corrupt: pts of the frames within range that the decoder marked as damaged.
        frames: Number of frames yielded.
        turned: Of those, the pictures of a folder that are to be turned otherwise than the first.
        attached: Number of frames with each kind of data beside the pixels.
        stated_aspect: Sample aspect ratio that the container sets over the codec's; None where
            that of each frame counts.
    """

    def __init__(
        self,
        info: SourceInfo,
        *,
        start: Fraction,
        duration: Fraction | None,
        threads: int,
        most: int | None = None,
    ) -> None:
        """Open the file.

        Args:
            info: What was probed.
            start, duration: In seconds from the first frame.
            threads: Of the decoder; 0 takes all cores.
            most: Packets after which reading ends; None for all.

        Raises:
            ProbeError: The file cannot be opened.
            DecodeError: It is not the file that was probed.
        """
        video = info.video
        self.step = 1 / (video.frame_rate * video.time_base)
        self.origin = video.start_pts or 0
        self.errors: list[str] = []
        self.error_count = 0
        self.corrupt: list[int] = []
        self.frames = 0
        self.turned = 0
        self.attached: Counter[str] = Counter()
        self._info = info
        self._threads = threads
        self._most = most
        ticks = start / video.time_base
        self._first = ceil(self.origin + ticks) if start > 0 else None
        self._end = None
        if duration is not None:
            self._end = ceil(self.origin + ticks + duration / video.time_base)
        self._whole_file_read = False
        self._open()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._container.close()

    def read(self) -> Iterator[VideoFrame]:
        """Yield every frame within start and duration, each lasting until the next."""
        held: VideoFrame | None = None
        begins = 0
        for frame in self._from_start():
            assert frame.pts is not None
            if held is not None:
                held.duration = frame.pts - begins
                yield self._count(held, begins)
                held = None
            if self._end is not None and frame.pts >= self._end:
                return
            if self._first is None or frame.pts >= self._first:
                held, begins = frame, frame.pts
        self._whole_file_read = True
        if held is not None:
            lasts = held.duration or max(1, round(self.step))
            held.duration = max(lasts, (self.ledger.empty_until or begins) - begins)
            yield self._count(held, begins)

    @property
    def aspect(self) -> Fraction | None:
        """Sample aspect ratio that the decoder met last, some frames ahead."""
        return self._stream.codec_context.sample_aspect_ratio

    def account(self) -> tuple[list[LostFrames], list[LostFrames]]:
        """List lost frames, and gaps that may be losses, in seconds, after the last frame.

        A clock that skips whole frames at an otherwise constant rate may mean frames missing from
        the file, or frames never recorded. Beside other damage it counts as loss.
        """
        lost = self.ledger.lost()
        missing_end = self._missing_end()
        damaged = bool(self.error_count or self.corrupt or lost or missing_end)
        gaps = [
            LostFrames(count, before + self.step, Fraction(after), "missing from the file")
            for before, after, count in self.ledger.gaps
            if self.ledger.constant_rate
        ]
        if damaged:
            lost, gaps = lost + gaps, []
        if damaged and (count := self.ledger.unmatched_packets()):
            start, end = Fraction(self.origin), (self.ledger.last_sent or self.origin) + self.step
            lost.append(LostFrames(count, start, end, "undecodable, at unknown times"))
        lost += missing_end
        if self._pictures is not None:
            lost = [self._named(run, self._pictures) for run in lost]
        lost.sort(key=lambda run: run.start)
        return self._in_seconds(lost), self._in_seconds(gaps)

    def _named(self, run: LostFrames, pictures: Sequence[Path]) -> LostFrames:
        """Name the pictures of a run, the first and the last ones of many."""
        names = [path.name for path in pictures[ceil(run.start) : ceil(run.end)]]
        if len(names) > NAMED_PICTURES:
            names[NAMED_PICTURES // 2 : -NAMED_PICTURES // 2] = ["..."]
        return replace(run, names=tuple(names))

    def shown_packets(self) -> Iterator[tuple[int | None, int]]:
        """Time and duration of every packet that is shown within start and duration."""
        for packet in self._packets():
            if not packet.size or packet.is_discard or self._is_hidden(packet):
                continue
            # AVI counts frames and states no other time.
            time = packet.dts if self._info.format == "avi" else packet.pts
            inside = time is None or self._first is None or time >= self._first
            if inside and (time is None or self._end is None or time < self._end):
                yield time, packet.duration or 0

    def _in_seconds(self, runs: list[LostFrames]) -> list[LostFrames]:
        tick = self._info.video.time_base
        return [replace(run, start=run.start * tick, end=run.end * tick) for run in runs]

    def _open(self) -> None:
        self._container, self._pictures = open_source(self._info.path, gaps=self._info.gaps)
        streams = self._container.streams
        index = self._info.video.index
        stream = streams[index] if index < len(streams) else None
        if not isinstance(stream, VideoStream):
            self.close()
            raise DecodeError(self._info.path, "the file changed after it was probed; start again")
        self._stream = stream
        aspect = stream.sample_aspect_ratio
        of_codec = stream.codec_context.sample_aspect_ratio
        self.stated_aspect = aspect if aspect != of_codec else None
        stream.thread_type = "SLICE"
        stream.thread_count = self._threads
        stream.codec_context.flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT
        self._shown: VideoFrame | None = None
        self.repair = PtsRepair(max(1, round(self.step)))
        self.fixer = DiscontinuityFixer()
        self.ledger = FrameAccount(self.step, self._first, self._end)

    def _count(self, frame: VideoFrame, pts: int) -> VideoFrame:
        self.frames += 1
        if self._pictures is not None:
            self.turned += frame.rotation != self._info.video.rotation
        self.attached.update(attached(frame))
        if frame.is_corrupt:
            self.corrupt.append(pts)
        return frame

    def _note(self, error: Exception, where: int | None) -> None:
        self.error_count += 1
        if len(self.errors) < KEPT_ERRORS:
            at = "" if where is None else f"at {float(where * self._info.video.time_base):.3f} s: "
            if self._pictures is not None and where is not None:
                at = f"{self._pictures[where].name}: "
            self.errors.append(f"{at}{getattr(error, 'strerror', None) or error}")

    def _from_start(self) -> Iterator[VideoFrame]:
        """Decode from a keyframe before the first frame wanted, or from the file's beginning."""
        first = self.origin if self._first is None else self._first
        before = first - round(SEEK_MARGIN / self._info.video.time_base)
        if before <= self.origin:
            yield from self._decode(self._counted_back(self._packets()))
            return
        if self._info.format not in SEEKABLE:
            # Reading through is exact for any format, and keeps the clock of MPEG-TS right.
            yield from self._decode(_from_keyframe(self._packets(), before))
            return
        try:
            self._container.seek(before, stream=self._stream, backward=True)
            frames = self._decode(self._packets())
            early = next(frames, None)
        except av.error.FFmpegError:
            early = None
        if early is not None and early.pts is not None and early.pts <= first:
            yield early
            yield from frames
            return
        self.close()
        self._open()
        yield from self._decode(self._packets())

    def _packets(self) -> Iterator[Packet[Stream]]:
        """Read all packets of the stream; errors are noted and read past."""
        if self._pictures is not None:
            yield from read_pictures(self._pictures, self._stream, self._info.video.frame_rate)
            return
        where: int | None = None
        for _ in range(READ_RETRIES):
            try:
                for packet in read_packets(self._container, [self._stream], self.fixer):
                    where = _time(packet)
                    yield packet
                return
            except av.error.FFmpegError as error:
                self._note(error, where)

    def _counted_back(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        read, early = count_back(packets, self.step)
        self.repair.early = iter(early)
        yield from chain(read, packets)

    def _decode(self, packets: Iterator[Packet[Stream]]) -> Iterator[VideoFrame]:
        """Decode packets; empty ones are not sent: one would end the film."""
        context = self._stream.codec_context
        for packet in chain(islice(packets, self._most), (None,)):
            if packet is not None and not packet.size:
                if self._pictures is None:
                    yield from self._nothing_new(packet)
                elif packet.pts is not None:
                    self.ledger.sent(packet.pts, packet.dts, duration=1)
                    self._note(ValueError("the file is empty (0 bytes)"), packet.pts)
                continue
            if packet is not None:
                hidden = packet.is_discard or self._is_hidden(packet)
                lasts = packet.duration or 0
                self.ledger.sent(packet.pts, packet.dts, duration=lasts, hidden=hidden)
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError as error:
                self._note(error, None if packet is None else _time(packet))
                continue
            for frame in frames:
                if frame.pts is None:
                    frame.duration = 0  # AVI: a tick of the header, not a frame
                yield self._received(frame)

    def _received(self, frame: VideoFrame) -> VideoFrame:
        shown = self.repair(frame)
        self.ledger.received(frame.pts, shown, interlaced=frame.interlaced_frame)
        frame.pts = shown
        frame.time_base = self._info.video.time_base
        self._shown = frame
        return frame

    def _nothing_new(self, packet: Packet[Stream]) -> Iterator[VideoFrame]:
        """Repeat the frame before where an empty packet means that, or note a gap."""
        if packet.pts is None and packet.dts is None:
            return  # the one that flushes, at the end
        if self._info.video.codec not in REPEATING_CODECS:
            self.ledger.empty(packet.pts, packet.dts, packet.duration or 0)
            return
        self.ledger.sent(packet.pts, packet.dts, duration=packet.duration or 0)
        if self._shown is not None:
            frame = _again(self._shown)
            frame.pts, frame.dts, frame.duration = packet.pts, packet.dts, packet.duration or 0
            yield self._received(frame)

    def _is_hidden(self, packet: Packet[Stream]) -> bool:
        """Whether VP8 never shows this reference frame (RFC 6386, 9.1: bit 4, show_frame)."""
        return self._info.video.codec == "vp8" and not bytes(packet)[0] & 0x10

    def _missing_end(self) -> list[LostFrames]:
        """Compare the length in the header with the last packet read."""
        if not self._whole_file_read or self._pictures is not None:
            return []
        last, until = self.ledger.last_sent, self.ledger.lasts_until
        reached = Fraction(self.origin) if last is None else last + self.step
        if until is not None:  # at a variable rate the last frame may last longer than most
            reached = max(reached, Fraction(until))
        promised = self._promised_end() or reached
        if self._end is not None:
            promised = min(promised, Fraction(self._end))
        if self._info.format == "mov" and self._first is None and self._end is None:
            # The index has the number, after edit lists; frames that reordering left out before
            # the cut are gaps.
            gaps = sum(count for _, _, count in self.ledger.gaps if self.ledger.constant_rate)
            found = self.ledger.packets + self.ledger.empties
            missing = len(self._stream.index_entries) - found - gaps
        else:
            missing = round((promised - reached) / self.step)
            if missing * self.step * self._info.video.time_base < HEADER_TOLERANCE:
                missing = 0
        end = max(promised, reached + self.step)
        return [LostFrames(missing, reached, end, "the file ends early")] if missing > 0 else []

    def _promised_end(self) -> Fraction | None:
        """End of the video by the header, in ticks; None where it does not state one."""
        video = self._info.video
        if self._info.format == "avi":
            # A tick of AVI is one chunk, and the header counts those; the duration of
            # libavformat is the one it found.
            return None if video.frame_count is None else Fraction(self.origin + video.frame_count)
        tagged = any(key.startswith("DURATION") for key in self._stream.metadata)
        if video.duration is None or not (self._info.format == "mov" or tagged):
            return None
        return self.origin + video.duration / video.time_base


def check_start(info: SourceInfo, options: DecodeOptions) -> None:
    """Refuse a file whose first packets give hardly a frame: it is encrypted, or broken.

    Decoding ends with the frames that suffice, so this takes no longer than those.

    Raises:
        ProbeError: The file can no longer be opened.
        DecodeError: Naming how many frames decode, and the decoder's reason.
    """
    reader = FrameReader(
        info,
        start=options.start,
        duration=options.duration,
        threads=options.threads,
        most=FIRST_PACKETS,
    )
    ledger = reader.ledger
    try:
        for _ in reader.read():
            ledger = reader.ledger  # another one after a seek that failed
            if ledger.frames >= FIRST_PACKETS * LEAST_SHARE:
                return
    finally:
        reader.close()
    ledger = reader.ledger
    sent = ledger.packets - ledger.hidden
    if sent and ledger.frames < sent * LEAST_SHARE:
        reason = reader.errors[0] if reader.errors else "the decoder gave no reason"
        decode = (
            f"{ledger.frames} of the first {sent} frames decode"
            if ledger.frames
            else f"no frame decodes from {sent} packets"
        )
        raise DecodeError(
            info.path,
            f"{decode} ({reason}); the file is encrypted, or damaged beyond use: get another copy, "
            "or take what there is with --allow-damage",
        )


def packet_times(
    info: SourceInfo, *, start: Fraction = Fraction(0), duration: Fraction | None = None
) -> tuple[list[int], int] | None:
    """Times of a video's frames by its packets, without decoding.

    They are those that decoding gives where nothing is lost: increasing, in ticks of the video.

    Args:
        info: The file.
        start, duration: The part, in seconds from the first frame.

    Returns:
        The times, and how long the last one lasts; None where packets have no times.

    Raises:
        ProbeError, DecodeError: As `FrameReader`.
    """
    reader = FrameReader(info, start=start, duration=duration, threads=1)
    try:
        found = list(reader.shown_packets())
    finally:
        reader.close()
    shown = sorted((time, lasts) for time, lasts in found if time is not None)
    if len(shown) < len(found):
        return None
    step, times = max(1, round(reader.step)), [time for time, _ in shown]
    for index in range(1, len(times)):
        if times[index] <= times[index - 1]:  # as `PtsRepair` does
            times[index] = times[index - 1] + max(1, step // 2)
    return times, (shown[-1][1] or step) if shown else step


def _time(packet: Packet[Stream]) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _again(frame: VideoFrame) -> VideoFrame:
    """Another frame object with the same samples, which PyAV itself does not offer."""
    graph = frame_graph(frame)
    graph.vpush(frame)
    return graph.vpull()


def _from_keyframe(packets: Iterator[Packet[Stream]], before: int) -> Iterator[Packet[Stream]]:
    """Skip packets up to the last keyframe at or before a time."""
    kept: list[Packet[Stream]] = []
    for packet in packets:
        time = _time(packet)
        if packet.size and packet.is_keyframe and time is not None and time <= before:
            kept.clear()
        kept.append(packet)
        if time is None or time > before or len(kept) > KEPT_PACKETS:
            break
    yield from kept
    yield from packets
