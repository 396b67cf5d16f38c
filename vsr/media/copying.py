"""The source's other streams, packet for packet, and its subtitle cues and chapters.

The source is read a second time for them, so that only one packet is held at any moment.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import EFBIG
from fractions import Fraction
from itertools import islice
from math import ceil, floor
from operator import itemgetter
from typing import Any

import av
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.subtitles.subtitle import SubtitleSet

from vsr.errors import StreamError
from vsr.files import FAILING, NO_SPACE
from vsr.media.containers import LABELS
from vsr.media.probe import SourceInfo, StreamInfo
from vsr.media.sound import LONGEST_OVERLAP, OneForm, SampleClock, SoundFromZero, add_sound
from vsr.media.source import has_discontinuous_clock, open_source, read_packets
from vsr.media.streams import MOV_LANGUAGES, StreamPlan, stream_tags
from vsr.media.types import Check, check

# Fields of an ASS event before its text: order, layer, style, name, three margins, effect.
FIELDS_BEFORE_TEXT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """A text and its time on screen.

    Attributes:
        start, end: In ticks; the end is excluded.
        event: An ASS event without its times, as FFmpeg's decoders make it.
    """

    start: int
    end: int
    event: bytes


class CueFlattener:
    """Split overlapping cues at every start and end, and join those shown together by lines.

    Nothing is shown earlier, later or shorter than before. A cue that comes after its time was
    written is shown from there on.
    """

    def __init__(self) -> None:
        self._shown: list[Cue] = []
        self._now: int | None = None

    def add(self, cue: Cue) -> Iterator[Cue]:
        """Add the next cue, in order of starts; yield the cues that end before it."""
        yield from self.until(cue.start)
        now = cue.start if self._now is None else max(self._now, cue.start)
        self._now = now
        self._shown.append(Cue(start=now, end=max(cue.end, now + 1), event=cue.event))

    def until(self, time: int | None) -> Iterator[Cue]:
        """Yield all that is shown before a time; None for the rest."""
        while self._shown:
            assert self._now is not None
            end = min(cue.end for cue in self._shown)
            end = end if time is None else min(end, time)
            if end <= self._now:
                return
            yield Cue(start=self._now, end=end, event=_joined([cue.event for cue in self._shown]))
            self._now = end
            self._shown = [cue for cue in self._shown if cue.end > end]


def text_of(event: bytes) -> bytes:
    """Text of an ASS event."""
    return event.split(b",", FIELDS_BEFORE_TEXT)[-1]


def _joined(events: Sequence[bytes]) -> bytes:
    """Join ASS events as lines of one; styles end with their text."""
    *before, first = events[0].split(b",", FIELDS_BEFORE_TEXT)
    texts = [first, *(text_of(event) for event in events[1:])]
    shown = b"\\N".join(
        text + b"{\\r}" * (b"{" in text and number < len(texts))
        for number, text in enumerate(texts, 1)
    )
    return b",".join([*before, shown])


# Seconds by which packets of one time may lie apart in a file.
INTERLEAVING = Fraction(10)
ENDLESS = 24 * 3600  # seconds; no text is shown for so long
TIMES_MAY_REPEAT = ("matroska", "webm")
COVER_NAMES = {
    "mjpeg": ("cover.jpg", "image/jpeg"),
    "png": ("cover.png", "image/png"),
    "bmp": ("cover.bmp", "image/bmp"),
    "webp": ("cover.webp", "image/webp"),
}
# ASS header for a text encoder where the source has none (libavcodec/ass.h).
ASS_HEADER = (
    b"[Script Info]\r\nScriptType: v4.00+\r\nPlayResX: 384\r\nPlayResY: 288\r\n\r\n"
    b"[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, "
    b"OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, "
    b"Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\r\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1"
    b"\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, "
    b"Effect, Text\r\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeRange:
    """The part of the source that is kept; the output's clock starts at its start.

    Attributes:
        start: Seconds on the source's clock, a whole number of the video's ticks.
        stop: Seconds on the source's clock, excluded; None for the end.
        whole: Everything is kept, packets a little before the start too.
    """

    start: Fraction
    stop: Fraction | None = None
    whole: bool = False


@dataclass(kw_only=True, slots=True)
class _Track:
    plan: StreamPlan
    source: Stream
    target: Any
    last_dts: int | None = None
    clock: SampleClock = field(default_factory=SampleClock)
    form: OneForm | None = None
    from_zero: SoundFromZero | None = None
    started: bool = False
    cues: CueFlattener = field(default_factory=CueFlattener)


class OtherStreams:
    """Copy and convert the source's streams beside the enhanced one into an output.

    Attributes:
        warnings: Sentences about packets that could not be carried over.
        ends: Seconds on the output's clock at which the video ends, once known.
    """

    def __init__(self, info: SourceInfo, time_range: TimeRange | None) -> None:
        self.warnings: list[str] = []
        self.ends: Fraction | None = None
        self._endless: Counter[int] = Counter()
        self._info = info
        self._range = time_range
        self._source, _ = open_source(info.path)
        self._tracks: dict[int, _Track] = {}
        self._output: Any = None
        self._packets: Iterator[Packet[Any]] | None = None
        self._pending: Packet[Any] | None = None
        self._undecodable: Counter[int] = Counter()

    def close(self) -> None:
        """Close the source."""
        self._packets = self._pending = None
        self._source.close()

    def add(self, output: av.container.OutputContainer, plan: StreamPlan) -> None:
        """Add the planned stream to an output whose header is not written yet."""
        self._output = output
        source = self._source.streams[plan.index]
        info = next(stream for stream in self._info.streams if stream.index == plan.index)
        if plan.action == "attach":
            self._attach(output, source, info)
            return
        if plan.action == "copy":
            with self._template(output, source) as template:
                target: Any = output.add_stream_from_template(template, opaque=True)
        elif plan.kind == "audio":
            target = add_sound(output, source.codec_context, plan.codec, plan.layout, plan.rate)
        else:
            target = _add_subtitles(output, source, plan.codec)
        tags = stream_tags(info)
        if output.format.name == "mov" and "language" in tags:
            tags["language"] = MOV_LANGUAGES.get(tags["language"], tags["language"])
        target.metadata.update(tags)
        target.disposition = source.disposition
        track = _Track(plan=plan, source=source, target=target)
        if plan.action == "convert" and plan.kind == "audio":
            track.form = OneForm(target.codec_context)
        if output.format.name == "avi":
            track.from_zero = SoundFromZero()
        self._tracks[plan.index] = track

    @contextlib.contextmanager
    def _template(self, output: av.container.OutputContainer, source: Stream) -> Iterator[Stream]:
        """The stream that describes one to be copied.

        FFmpeg's AVI muxer takes AVI's block size of AC-3 for that of a sample, and loses the times.
        FFmpeg's command clears it (fftools/ffmpeg_mux_init.c), which PyAV cannot; a detour through
        another container does.
        """
        codec = source.codec_context
        if not (codec and codec.name == "ac3" and "avi" == output.format.name == self._info.format):
            yield source
            return
        detour, (again, _) = io.BytesIO(), open_source(self._info.path)
        with again, av.open(detour, "w", format="matroska") as holder:
            bare = holder.add_stream_from_template(again.streams[source.index], opaque=True)
            packets = again.demux(again.streams[source.index])
            for packet in islice((packet for packet in packets if packet.size), 1):
                packet.stream = bare
                holder.mux(packet)
        detour.seek(0)
        with av.open(detour) as read:
            yield read.streams[0]

    def _attach(
        self, output: av.container.OutputContainer, source: Stream, info: StreamInfo
    ) -> None:
        if source.disposition & Disposition.attached_pic:
            name, kind = COVER_NAMES.get(info.codec, ("cover.bin", "application/octet-stream"))
            # Players look for names such as small_cover.png.
            name, kind = info.tags.get("filename", name), info.tags.get("mimetype", kind)
            again, _ = open_source(self._info.path)
            with again:
                packets = again.demux(again.streams[source.index])
                picture = next((bytes(packet) for packet in packets if packet.size), b"")
            target: Any = output.add_attachment(name, kind, picture)
            target.metadata.update(stream_tags(info))
        else:
            output.add_stream_from_template(source)

    def aspect(self, plan: StreamPlan) -> Fraction | None:
        """Pixel aspect of a video stream."""
        stream: Any = self._source.streams[plan.index]
        aspect: Fraction | None = stream.sample_aspect_ratio
        return aspect

    def clocks(self, plans: Iterable[StreamPlan]) -> list[tuple[Fraction, Fraction | None]]:
        """Time base and start (seconds by the header) of the streams to be written."""
        clocks: list[tuple[Fraction, Fraction | None]] = []
        for plan in plans:
            stream = self._source.streams[plan.index]
            if plan.action in ("copy", "convert") and plan.kind != "cover" and stream.time_base:
                known = stream.start_time is not None and self._range is None
                start = (stream.start_time or 0) * stream.time_base if known else None
                clocks.append((stream.time_base, start))
        return clocks

    def pump(self, until: Fraction | None) -> None:
        """Write all packets up to a decoding time.

        Args:
            until: Seconds on the output's clock; None writes the rest and flushes the encoders.
        """
        if not self._tracks:
            return
        if self._packets is None:
            self._packets = self._read()
        offset = self._range.start if self._range else Fraction(0)
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = None
            if packet is None:
                break
            ticks = packet.dts if packet.dts is not None else packet.pts
            time = None if ticks is None else ticks * packet.time_base
            if until is not None and time is not None and time - offset > until:
                self._pending = packet
                self._settle_cues(until - INTERLEAVING)
                return
            if is_past(packet, self._range):
                break
            self._forward(self._tracks[packet.stream.index], packet)
        if until is None:
            self._flush()

    def _read(self) -> Iterator[Packet[Any]]:
        if not has_discontinuous_clock(self._source):
            for stream in self._source.streams:
                if stream.index not in self._tracks:
                    stream.discard = Discard.all
        begun: set[int] = set()
        packets = read_packets(self._source, [track.source for track in self._tracks.values()])
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.EOFError):
                return
            except av.FFmpegError as error:
                self.warnings.append(f"the other streams end early: {error}")
                return
            if packet.size and not is_cut(packet, begun):  # an empty one flushes decoders
                packet = without_framing(packet)
                settle_time(packet, self._tracks[packet.stream.index].plan.kind)
                yield packet

    def _forward(self, track: _Track, packet: Packet[Any]) -> None:
        if is_filler(packet):
            return
        if track.plan.kind == "cover":
            packet.pts = packet.dts = 0
            self._write(track, packet)
        elif track.plan.action == "convert" and track.plan.kind == "audio":
            self._convert_audio(track, packet)
        elif move_into_range(packet, track.plan.kind, self._range):
            # A copied video decodes from a keyframe on only.
            track.started = track.started or track.plan.kind != "video" or packet.is_keyframe
            if self._range is not None and not track.started:
                return
            if track.plan.action == "convert":
                self._convert_subtitle(track, packet)
            else:
                self._write(track, packet)

    def _write(self, track: _Track, packet: Packet[Any]) -> None:
        """Write a packet, its decoding time moved after the one before where the source errs."""
        if track.plan.kind == "subtitle":
            self._end_with_film(packet, track.plan.index)
        strict = self._output.format.name not in TIMES_MAY_REPEAT
        track.last_dts = put_after(packet, track.last_dts, track.target.time_base, strict=strict)
        packet.stream = track.target
        self._put(track, packet)

    def _end_with_film(self, packet: Packet[Any], index: int) -> None:
        """End a subtitle of DVDs that lasts until the next, which is written as no end at all."""
        if self.ends is None or packet.pts is None or packet.duration is None:
            return
        if packet.duration * packet.time_base > ENDLESS:
            self._endless[index] += 1
            packet.duration = max(1, floor(self.ends / packet.time_base) - packet.pts)

    def _put(self, track: _Track, packets: Any) -> None:  # noqa: ANN401
        """Hand packets to the muxer.

        Raises:
            OSError: The disk refuses.
            StreamError: The muxer refuses.
        """
        try:
            self._output.mux(packets)
        except av.FFmpegError as error:
            if error.errno in (*NO_SPACE, *FAILING, EFBIG):
                raise
            plan = track.plan
            raise StreamError(
                self._info.path,
                f"{plan.kind} stream {plan.index} ({plan.codec}) cannot be written: "
                f"{error.strerror}",
                plan.index,
            ) from error

    def _convert_audio(self, track: _Track, packet: Packet[Any] | None) -> None:
        try:
            frames = track.source.codec_context.decode(packet)  # type: ignore[attr-defined]
        except av.EOFError:
            frames = []
        except av.FFmpegError:
            self._undecodable[track.plan.index] += 1
            return
        for decoded in frames:
            frame: Any = track.clock.place(decoded)
            if frame is None:
                continue
            if self._range is not None:
                time = frame.pts * frame.time_base
                after = self._range.stop is not None and time >= self._range.stop
                # A frame that only reaches into the range is cut where samples are laid anyway.
                reaches = frame.samples * frame.time_base if track.from_zero else 0
                if time + reaches < self._range.start or after:
                    continue
                frame.pts -= round(self._range.start / frame.time_base)
            self._encode(track, frame)

    def _encode(self, track: _Track, frame: av.AudioFrame | None) -> None:
        assert track.form
        for brought in track.form.bring(frame):
            for piece in track.from_zero.lay(brought) if track.from_zero else (brought,):
                self._put(track, track.target.encode(piece))

    def _convert_subtitle(self, track: _Track, packet: Packet[Any]) -> None:
        """Convert the text with the packet's own times, which the encoders round."""
        context: Any = track.source.codec_context
        try:
            texts = context.decode2(packet)
        except av.FFmpegError:
            self._undecodable[track.plan.index] += 1
            return
        start, lasts = packet.pts, packet.duration or 0
        if start is None or texts is None or not len(texts):
            return
        if track.plan.codec != "mov_text":
            self._write_text(track, texts, start, lasts)
            return
        for text in texts:
            for cue in track.cues.add(Cue(start=start, end=start + lasts, event=text.ass)):
                self._write_cue(track, cue)

    def _settle_cues(self, until: Fraction | None) -> None:
        """Write the cues shown before a time, at which later ones may begin."""
        for track in self._tracks.values():
            unit = track.source.time_base or Fraction(1, 1000)
            limit = None if until is None else floor(until / unit)
            for cue in track.cues.until(limit):
                self._write_cue(track, cue)

    def _write_cue(self, track: _Track, cue: Cue) -> None:
        lasts = cue.end - cue.start
        texts = SubtitleSet.create(text=cue.event, start=0, end=lasts, pts=0)
        self._write_text(track, texts, cue.start, lasts)

    def _write_text(self, track: _Track, texts: SubtitleSet, start: int, lasts: int) -> None:
        try:
            converted = track.target.codec_context.encode_subtitle(texts)
        except av.FFmpegError:
            self._undecodable[track.plan.index] += 1
            return
        converted.pts = converted.dts = start
        converted.duration, converted.time_base = lasts, track.source.time_base
        self._write(track, converted)

    def _flush(self) -> None:
        self._settle_cues(None)
        for track in self._tracks.values():
            if track.plan.action == "convert" and track.plan.kind == "audio":
                with contextlib.suppress(av.EOFError):
                    self._convert_audio(track, None)
                self._encode(track, None)
                self._put(track, track.target.encode(None))
            self.warnings += self._track_warnings(track)

    def _track_warnings(self, track: _Track) -> Iterator[str]:
        name = f"{track.plan.kind} track {track.plan.index}"
        if track.clock.overlapping:
            yield (
                f"{float(track.clock.overlapping):.3f} s of {name} are left out: by the input's "
                "clock they overlap the sound before them"
            )
        if track.clock.restarted:
            yield (
                f"the clock of {name} goes back by more than {int(LONGEST_OVERLAP)} s; its sound "
                "goes on without a break and may be out of step from there"
            )
        if endless := self._endless[track.plan.index]:
            yield f"endless subtitles of {name}, now ending with the film: {endless}"
        if lost := self._undecodable[track.plan.index]:
            yield f"{lost} damaged packets of {name} could not be converted"


def kept_packets(
    info: SourceInfo, kinds: Mapping[int, str], time_range: TimeRange | None
) -> Iterator[Packet[Any]]:
    """Read the packets of some streams that lie in a range, on the output's clock.

    A damaged end is left out.

    Args:
        info: The file.
        kinds: Of the streams, by index.
        time_range: The part that is kept; None for all.
    """
    begun: set[int] = set()
    waiting = {index for index, kind in kinds.items() if kind == "video" and time_range}
    source, _ = open_source(info.path)
    with source, contextlib.suppress(av.FFmpegError):
        for packet in read_packets(source, [source.streams[index] for index in kinds]):
            index = packet.stream.index
            if not packet.size or is_cut(packet, begun) or is_filler(packet):
                continue
            packet = without_framing(packet)
            settle_time(packet, kinds[index])
            if is_past(packet, time_range):
                return
            if move_into_range(packet, kinds[index], time_range):
                if packet.is_keyframe:
                    waiting.discard(index)
                if index not in waiting:
                    yield packet


def put_after(
    packet: Packet[Any], last: int | None, tick: Fraction | None, *, strict: bool
) -> int | None:
    """Move a packet that does not follow the one before, in place, by a tick of the target.

    Sound overlaps where recordings were spliced.

    Args:
        packet: The next of its stream.
        last: Decoding time of the one before, in the packet's ticks.
        tick: Seconds per tick of the target.
        strict: Whether times must increase, not merely never decrease.

    Returns:
        Its decoding time.
    """
    if packet.dts is None:
        return last
    if last is not None and packet.dts < last + strict:
        packet.dts = last + max(1, ceil((tick or 0) / packet.time_base))
        if packet.pts is not None:
            packet.pts = max(packet.pts, packet.dts)
    return packet.dts


def is_past(packet: Packet[Any], time_range: TimeRange | None) -> bool:
    """Whether all later packets of a file, too, lie after the end of a range."""
    ticks = packet.dts if packet.dts is not None else packet.pts
    stop = time_range.stop if time_range else None
    return stop is not None and ticks is not None and ticks * packet.time_base > stop + INTERLEAVING


def settle_time(packet: Packet[Any], kind: str) -> None:
    """Set a missing presentation time of sound and text (AVI) to the decoding time."""
    if packet.pts is None and kind in ("audio", "subtitle"):
        packet.pts = packet.dts


def without_framing(packet: Packet[Any]) -> Packet[Any]:
    """A packet of DVB subtitles without what MPEG-TS puts around it; any other as it is.

    FFmpeg's parser removes that from the first packet of a time only. It is an identifier, the
    number of the stream and an end marker around segments (ETSI EN 300 743, 6.2 and 7.1).
    """
    context: Any = packet.stream.codec_context
    if context is None or context.name != "dvbsub":
        return packet
    data, at = bytes(packet), 2
    if data[:3] != b"\x20\x00\x0f":
        return packet
    while data[at : at + 1] == b"\x0f":
        at += 6 + int.from_bytes(data[at + 4 : at + 6])
    bare: Packet[Any] = Packet(data[2:at])
    bare.stream, bare.time_base = packet.stream, packet.time_base
    bare.pts, bare.dts, bare.duration = packet.pts, packet.dts, packet.duration
    bare.is_keyframe = packet.is_keyframe
    return bare


def is_rest(packet: Packet[Any]) -> bool:
    """Whether this belongs to the packet before: Matroska joins the parts of a Blu-ray subtitle.

    Each begins with the composition of the presentation, which has the type 0x16.
    """
    context: Any = packet.stream.codec_context
    is_part = context is not None and context.name == "pgssub"
    return is_part and bytes(packet)[:1] != b"\x16"


def is_cut(packet: Packet[Any], begun: set[int]) -> bool:
    """Whether an edit list leaves this packet out; the first, before zero, prime the decoder.

    Args:
        packet: The next of its stream.
        begun: Indices of the streams of which a packet was kept; it is added to.
    """
    index = packet.stream.index
    if not packet.is_discard:
        begun.add(index)
        return False
    return index in begun or (packet.pts is not None and packet.pts >= 0)


def is_filler(packet: Packet[Any]) -> bool:
    """Whether this is an empty cue, which MP4 has between others and its muxer makes again."""
    context: Any = packet.stream.codec_context
    return context is not None and context.name == "mov_text" and bytes(packet)[:2] == b"\0\0"


def move_into_range(packet: Packet[Any], kind: str, time_range: TimeRange | None) -> bool:
    """Move a packet to the output's clock, in place.

    A subtitle on screen at either end of the range keeps the part that lies within.

    Returns:
        Whether the packet lies in the range.
    """
    if time_range is None:
        return True
    tick = packet.time_base
    first = round(time_range.start / tick)
    last = None if time_range.stop is None else round(time_range.stop / tick)
    time = packet.pts if packet.pts is not None else packet.dts
    if time is None or (last is not None and time >= last):
        return False
    if kind == "subtitle" and packet.duration:
        end = time + packet.duration if last is None else min(time + packet.duration, last)
        if time < first < end:
            packet.pts = packet.dts = time = first
        packet.duration = max(end - time, 0)
    if time < first and not time_range.whole:
        return False
    packet.pts = packet.pts - first if packet.pts is not None else None
    packet.dts = packet.dts - first if packet.dts is not None else None
    return True


def _add_subtitles(output: av.container.OutputContainer, source: Stream, codec: str) -> Any:  # noqa: ANN401
    target: Any = output.add_stream(codec)
    header = getattr(source.codec_context, "subtitle_header", None)
    target.codec_context.subtitle_header = header or ASS_HEADER
    target.codec_context.time_base = target.time_base = Fraction(1, 1000)
    return target


Chapter = tuple[Fraction, Fraction, str]

# Their names lie in a text track, one sample after another, from zero on.
CONTIGUOUS = ("mp4", "mov")
TOLERANCE = Fraction(1, 1000)


def kept_chapters(
    info: SourceInfo, muxer: str, time_range: TimeRange | None
) -> tuple[Chapter, ...]:
    """Chapters of the target: (start, end, title), in seconds on the output's clock.

    MP4 and MOV hold chapters one after another from zero on: each ends where the next begins, and
    an untitled one comes before a first that begins later. So every chapter begins at its time.
    """
    chapters = tuple(_in_range(info.chapters, time_range))
    return _one_after_another(chapters) if muxer in CONTIGUOUS else chapters


def chapter_warnings(info: SourceInfo, muxer: str, time_range: TimeRange | None) -> tuple[str, ...]:
    """Sentences about how the chapters will differ from those of the source's kept part."""
    if "chapters" not in LABELS.get(muxer, ()):
        return ()
    before = sorted(_in_range(info.chapters, time_range), key=itemgetter(0))
    after = kept_chapters(info, muxer, time_range)
    added, after = len(after) - len(before), after[len(after) - len(before) :]
    warnings = []
    if added:
        warnings.append(
            f"the first chapter begins {float(before[0][0]):.3f} s after the start, but {muxer} "
            "files hold chapters from the start on: an untitled one will fill that time"
        )
    moved = sum(abs(a[1] - b[1]) > TOLERANCE for a, b in zip(before, after, strict=True))
    if moved:
        warnings.append(
            f"{muxer} files hold chapters only one after another: {moved} of {len(before)} will "
            "end where the next begins (mkv files hold their ends); all begin at their times"
        )
    return tuple(warnings)


def for_muxer(chapters: Sequence[Chapter], muxer: str) -> list[dict[str, Any]]:
    """Chapters for PyAV; MP4's text track skips those without a title tag."""
    written = []
    for number, (begin, end, title) in enumerate(chapters):
        tick = Fraction(1, math.lcm(begin.denominator, end.denominator))
        if tick.denominator >= 2**31:
            tick = Fraction(1, 1_000_000)
        written.append(
            {
                "id": number,
                "start": round(begin / tick),
                "end": round(end / tick),
                "time_base": tick,
                "metadata": {"title": title} if title or muxer in CONTIGUOUS else {},
            }
        )
    return written


def check_chapters(
    info: SourceInfo, made: SourceInfo, muxer: str, time_range: TimeRange | None
) -> Check:
    """Check number, times and titles of the chapters in the kept range."""
    wanted, found = kept_chapters(info, muxer, time_range), made.chapters
    if len(wanted) != len(found):
        return check("chapters", False, f"wanted {len(wanted)} chapters, found {len(found)}")
    for number, (want, got) in enumerate(zip(wanted, found, strict=True), 1):
        late = max(abs(want[0] - got[0]), abs(want[1] - got[1]))
        if late > TOLERANCE or want[2] != got[2]:
            change = f"chapter {number}, {_described(want)}, became {_described(got)}"
            return check("chapters", False, change)
    return check("chapters", True, f"{len(found)} kept", count=len(found))


def _in_range(chapters: Iterable[Chapter], time_range: TimeRange | None) -> Iterator[Chapter]:
    if time_range is None:
        yield from chapters
        return
    start, stop = time_range.start, time_range.stop
    for begin, end, title in chapters:
        if end > start and (stop is None or begin < stop):
            last = end if stop is None else min(end, stop)
            yield max(begin, start) - start, last - start, title


def _one_after_another(chapters: Sequence[Chapter]) -> tuple[Chapter, ...]:
    ordered = sorted(chapters, key=itemgetter(0))
    made = []
    for number, (start, end, title) in enumerate(ordered):
        last = number == len(ordered) - 1
        # A last one of no length would be read as lasting until the film ends.
        made.append((start, max(end, start + TOLERANCE) if last else ordered[number + 1][0], title))
    if made and made[0][0] > TOLERANCE:
        return ((Fraction(0), made[0][0], ""), *made)
    return tuple(made)


def _described(chapter: Chapter) -> str:
    start, end, title = chapter
    return f"{title or 'untitled'!r} from {float(start):.3f} s to {float(end):.3f} s"
