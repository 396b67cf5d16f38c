"""Writing the output file: the enhanced video and, in step with it, the source's other streams.

Everything goes to a hidden sibling of the target, which is renamed once it is complete and
verified. FFmpeg writes the trailer even while an exception passes, so a file that was cut short
looks valid.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
from av.packet import Packet

from vsr.errors import MuxError, StreamError
from vsr.files import sync, write_error
from vsr.media import encoders
from vsr.media.clock import at_start, held_times, output_clock, output_range
from vsr.media.containers import lengthen_ts, partial_path
from vsr.media.copying import OtherStreams, TimeRange, for_muxer, kept_chapters
from vsr.media.matroska import DISPLAY_SIZED, set_display_size
from vsr.media.pieces import (
    CodedPacket,
    decoding_times,
    let_last_frame_last,
    read_extradata,
    read_packets,
    read_times,
)
from vsr.media.probe import SourceInfo
from vsr.media.streams import StreamPlan, container_tags, enhanced_tags
from vsr.media.types import EncodePlan

# Packets already come in the order of their decoding times; the muxer waits no longer than this
# for a sparse stream, such as subtitles.
INTERLEAVE_MICROSECONDS = "1000000"
# Tags for which MP4 has an atom (libavformat/movenc.c). With any other, all tags go into the list
# of free keys that phones use: FFmpeg and Apple read it, some players do not.
MP4_TAGS = {
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre",
    "copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network",
    "keywords", "track", "disc", "compilation", "creation_time", "location", "timecode",
}  # fmt: skip


class Writer:
    """Join pieces of coded video and the source's other streams to a file; a context manager.

    Leaving the context before `publish` removes what was written.

    Attributes:
        partial: The file being written, to be verified after `join`.
        warnings: Sentences about problems met while writing.
    """

    def __init__(
        self,
        info: SourceInfo,
        target: Path,
        plan: EncodePlan,
        streams: Sequence[StreamPlan],
        *,
        time_range: TimeRange | None = None,
        partial: Path | None = None,
    ) -> None:
        """Create the file and write its header.

        Args:
            info: The source.
            target: The file to be published in the end.
            plan: Of the video.
            streams: Of all streams of the source.
            time_range: The part to keep.
            partial: Temporary path on the same disk; a hidden sibling by default.

        Raises:
            MuxError: The file or its header cannot be written.
            EncodeError: The encoder cannot be opened.
        """
        self.target = target
        self.partial = partial or partial_path(target)
        self.plan = plan
        self._range = output_range(info, plan, time_range)
        self._clock = output_clock(plan, self._range)
        self._others: OtherStreams | None = None
        self._output: Any = None
        self._published = False
        self._moved: tuple[str, ...] = ()
        self._aspects: dict[int, Fraction | None] = {}  # by number among the video streams
        try:
            self._open(at_start(info, self._range), streams)
        except BaseException:
            self._discard()
            raise

    def _open(self, info: SourceInfo, streams: Sequence[StreamPlan]) -> None:
        with self._guard():
            if any(stream.action not in ("enhance", "drop") for stream in streams):
                self._others = OtherStreams(info, self._range)
            kept = kept_chapters(info, self.plan.muxer, self._range)
            chapters = for_muxer(kept, self.plan.muxer)
            start = info.video.start_pts
            first = None if start is None or self._range else start * info.video.time_base
            clocks = [(self.plan.time_base, first)]
            clocks += self._others.clocks(streams) if self._others else []
            self._output = av.open(
                f"file:{self.partial}",
                "w",
                format=self.plan.muxer,
                container_options={
                    "max_interleave_delta": INTERLEAVE_MICROSECONDS,
                    **_muxer_options(self.plan, chapters, clocks, container_tags(info)),
                },
                metadata_errors="surrogateescape",
            )
            self._output.metadata.update(container_tags(info))
            self._output.set_chapters(chapters)
            for stream in streams:
                if stream.action == "enhance":
                    self._video = encoders.add_video_stream(self._output, self.plan)
                    main = next(s for s in info.streams if s.index == stream.index)
                    number = len(self._output.streams.video) - 1
                    self._aspects[number] = self.plan.sample_aspect_ratio
                    self._video.metadata.update(enhanced_tags(main))
                    self._video.disposition = _disposition(main.disposition)
                elif stream.action != "drop":
                    assert self._others is not None
                    try:
                        self._others.add(self._output, stream)
                    except ValueError as error:  # PyAV's word for a codec without a place there
                        raise StreamError(self.target, str(error), stream.index) from error
                    if stream.kind == "video":
                        number = len(self._output.streams.video) - 1
                        self._aspects[number] = self._others.aspect(stream)
            encoders.start_encoding(self._output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._published:
            self._discard()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about problems met while writing."""
        return (*self._moved, *(self._others.warnings if self._others else ()))

    def join(self, pieces: Sequence[Path]) -> None:
        """Write the packets of all pieces, the other streams in step with them, and the trailer.

        Args:
            pieces: Written by `PieceWriter` with the same plan, in order.

        Raises:
            MuxError: The disk is full, a piece is damaged or of another encoder, or there is none.
        """
        times, last_duration = read_times(pieces)
        if not times:
            raise MuxError(self.target, "the input gave no frames; nothing was written")
        expected = self._video.codec_context.extradata or b""
        for piece in pieces:
            if read_extradata(piece) != expected:
                raise MuxError(
                    piece, "is from another version of the encoder; start again with --no-resume"
                )
        base = self._clock.encoder_base
        moved = self._spread(times, base)
        times = [moved.get(time, time) for time in times]
        if self._others:
            self._others.ends = (max(times) + max(1, last_duration)) * base
        decoded = decoding_times(times, max(1, round(1 / (self.plan.frame_rate * base))))
        if self.plan.muxer in ("mp4", "mov") and last_duration:
            let_last_frame_last(decoded, times, last_duration)
        with self._guard():
            if self.plan.muxer == "avi":
                # A frame's place is its time: places before the first one are empty.
                for place in range(decoded[0]):
                    self._output.mux(self._packet(CodedPacket(place, 1, False, b""), place))
            for coded, dts in zip(read_packets(pieces), decoded, strict=True):
                if self._others:
                    self._others.pump(dts * base)
                coded = replace(coded, pts=moved.get(coded.pts, coded.pts))
                self._output.mux(self._packet(coded, dts))
            if self._others:
                self._others.pump(None)
            self._output.close()
            self._output = None
            if self.plan.muxer == "mpegts":
                lengthen_ts(self.partial)
            self._set_display_size()
            sync(self.partial)
        if self._others:
            self._others.close()

    def _set_display_size(self) -> None:
        """Write pixel aspects into Matroska, where the streams' do not reach the muxer."""
        if self.plan.muxer not in DISPLAY_SIZED:
            return
        for number, aspect in self._aspects.items():
            if aspect in (None, 1) or set_display_size(self.partial, number, Fraction(aspect)):
                continue
            raise MuxError(
                self.target,
                f"the header has no room for the pixel aspect of {aspect}; write mp4 instead",
            )

    def _spread(self, times: Sequence[int], base: Fraction) -> dict[int, int]:
        """New times of frames that the container's clock cannot tell apart."""
        shown = sorted(times)
        held = held_times([time * base for time in shown], self.plan.muxer)
        moved = {
            time: round(place / base)
            for time, place in zip(shown, held, strict=True)
            if place != time * base
        }
        if moved:
            most = max(abs(place - time) * base for time, place in moved.items())
            self._moved = (
                f"frames closer together than {self.plan.muxer} files can tell, moved by up to "
                f"{float(most) * 1000:.1f} ms: {len(moved)}",
            )
        return moved

    def publish(self, *, overwrite: bool, name: Path | None = None) -> None:
        """Rename the finished file to its final name.

        Args:
            overwrite: Whether an existing file may be replaced.
            name: Another one than `target`, in the same folder.

        Raises:
            MuxError: The target exists by now and must not be overwritten.
        """
        if self._output is not None:
            raise ValueError("publish() before join()")
        self.target = name or self.target
        if self.target.exists() and not overwrite:
            raise MuxError(self.target, "exists by now; remove it, or --overwrite to replace it")
        with self._guard():
            # A link stays; its file is replaced.
            os.replace(self.partial, os.path.realpath(self.target))
            sync(self.target.resolve().parent)
        self._published = True

    def _packet(self, coded: CodedPacket, dts: int) -> Packet[Any]:
        packet: Packet[Any] = Packet(coded.payload)
        packet.stream = self._video
        packet.time_base = self._clock.encoder_base
        packet.pts, packet.dts, packet.duration = coded.pts, dts, coded.duration
        packet.is_keyframe = coded.is_keyframe
        return packet

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn failures of writing into errors with advice."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise write_error(self.target, error) from error

    def _discard(self) -> None:
        """Remove the partial file, before closing, which would rewrite gigabytes of it."""
        with contextlib.suppress(OSError):
            self.partial.unlink(missing_ok=True)
        if self._output is not None:
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
            self._output = None
        if self._others:
            self._others.close()
        with contextlib.suppress(OSError):
            self.partial.unlink(missing_ok=True)


def _muxer_options(
    plan: EncodePlan,
    chapters: Sequence[Any],
    clocks: Sequence[tuple[Fraction, Fraction | None]],
    tags: Mapping[str, str],
) -> dict[str, str]:
    if plan.muxer in ("mp4", "mov"):
        lengths = [(c["end"] - c["start"]) * c["time_base"] for c in chapters]
        scale = _movie_timescale(clocks, max(lengths, default=Fraction(0)))
        free = any(key.lower().split("-")[0] not in MP4_TAGS for key in tags)
        flags = "+faststart" + "+use_metadata_tags" * free
        return {"movflags": flags, "movie_timescale": str(scale)}
    if plan.muxer in ("matroska", "webm"):
        # No times are moved to be positive, no track becomes "default" by itself.
        return {"avoid_negative_ts": "disabled", "default_mode": "passthrough"}
    if plan.muxer == "avi":
        return {"avoid_negative_ts": "disabled"}
    return {}


def _movie_timescale(
    clocks: Sequence[tuple[Fraction, Fraction | None]], longest_chapter: Fraction
) -> int:
    """Choose MP4's movie timescale, the unit of edit lists, and so of start offsets.

    FFmpeg's own choice of 1000 rounds offsets to a millisecond. It is the unit of the chapter track
    too, whose durations must fit 31 bits.

    Args:
        clocks: Time base and start in seconds of each stream; None for any start.
        longest_chapter: In seconds.
    """
    ticks = [tick.denominator for tick, _ in clocks]
    choices = [90000, *ticks, math.lcm(90000, *ticks), math.lcm(*ticks)]
    limit = min(Fraction(2**31 - 1), (2**31 - 1) / max(longest_chapter, Fraction(1)))
    allowed = [choice for choice in choices if 1000 <= choice <= limit] or [1000]

    def exact(scale: int) -> int:
        return sum(
            ((start if start is not None else tick) * scale).denominator == 1
            for tick, start in clocks
        )

    return max(allowed, key=exact)


def _disposition(names: Sequence[str]) -> av.stream.Disposition:
    flags = av.stream.Disposition(0)
    for name in names:
        flags |= av.stream.Disposition[name]
    return flags
