"""Decode a file to planes: every frame, in presentation order, at its exact time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vsr.errors import DecodeError
from vsr.media.attached import caption_carrier
from vsr.media.chains import deinterlacers
from vsr.media.conform import Conformer
from vsr.media.filters import FrameFilter, SceneScorer, StreamShape
from vsr.media.frames import PlanarFrame, PlaneFormat
from vsr.media.losses import LostFrames
from vsr.media.options import DecodeOptions, Deinterlace
from vsr.media.planes import Packing, frame_planes, packing_of
from vsr.media.probe import SourceInfo
from vsr.media.reading import FrameReader
from vsr.media.timestamps import PtsRepair

__all__ = ["DecodeOptions", "DecodeSummary", "Decoder", "Deinterlace", "LostFrames"]

# Decoders of these mark interlaced frames themselves; of others only the header may know.
FIELD_MARKING_CODECS = ("h264", "hevc", "mpeg2video", "mpeg4", "vc1", "dvvideo", "prores")


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeSummary:
    """What happened while a file was decoded; complete once the iteration has ended.

    Attributes:
        frames: Frames given out, after filters.
        decoded: Frames within start and duration that came from the decoder, before filters.
        packets: Video packets read.
        corrupt: pts, before filters, of frames that the decoder marked as damaged.
        lost: Frames that are missing although the file has, or claims, packets for them.
        gaps: Whole frames that the clock of an otherwise undamaged constant-rate stream skips; at
            most 1000. They may have been lost before, or never recorded.
        errors: What the decoder said, with times; at most 100 are kept.
        error_count: All of them.
        synthesised_pts, repaired_pts: Frames without a pts, and with one that went backwards.
        discontinuities: (seconds after repair, jump in seconds) of every splice in the clock.
        attached: What frames of the input carry beside their pixels, and how many of them each;
            see `attached.NAMES`.
        captioned: How many frames had closed captions after filters.
        resized: How many frames were of another size than the first, and were made like it.
        warnings: Whatever else the caller should say.
    """

    frames: int
    decoded: int
    packets: int
    corrupt: tuple[int, ...]
    lost: tuple[LostFrames, ...]
    gaps: tuple[LostFrames, ...]
    errors: tuple[str, ...]
    error_count: int
    synthesised_pts: int
    repaired_pts: int
    discontinuities: tuple[tuple[Fraction, Fraction], ...]
    attached: tuple[tuple[str, int], ...]
    captioned: int
    resized: int
    warnings: tuple[str, ...]

    @property
    def lost_count(self) -> int:
        """Count the lost frames."""
        return sum(lost.count for lost in self.lost)


class Decoder:
    """Iterate over the frames of a file, once; a context manager that always closes it.

    Damage raises nothing while anything decodes: undecodable frames are left out and listed in
    `summary`, damaged ones are given and marked. At most a few frames are held.

    Attributes:
        time_base, frame_rate, width, height, format, sample_aspect_ratio: Of the frames given
            out, after filters; known once constructed. The frame rate is nominal.
        first_pts: Of the first of them, in ticks of `time_base`.
        origin: Seconds on the stream's clock that `DecodeOptions.start` counts from.
    """

    time_base: Fraction
    frame_rate: Fraction
    width: int
    height: int
    format: PlaneFormat
    sample_aspect_ratio: Fraction | None
    first_pts: int
    origin: Fraction

    def __init__(self, info: SourceInfo, options: DecodeOptions | None = None) -> None:
        """Open the file and decode the first frame.

        Raises:
            ProbeError: The file cannot be opened any more.
            ConfigError: The filter chain does not work on this video.
            DecodeError: No frame can be had, or its pixel format holds no integers.
        """
        options = options or DecodeOptions()
        self._info = info
        self._options = options
        self._reader = FrameReader(
            info, start=options.start, duration=options.duration, threads=options.threads
        )
        self.origin = self._reader.origin * info.video.time_base
        self.time_base = info.video.time_base
        self.frame_rate = info.video.frame_rate
        self._conformer = Conformer(info.video, self._reader.stated_aspect)
        self._warnings: dict[str, None] = {}
        self._lost: list[LostFrames] = []
        self._gaps: list[LostFrames] = []
        self._given = 0
        self._captioned = 0
        self._leaves_fields = bool(deinterlacers(options.filter_chain))
        self._interlaced = False
        self._order: PtsRepair | None = None
        self._packing: Packing | None = None
        self._scorer = SceneScorer()
        self._reformatter = VideoReformatter()
        self._frames = self._planar()
        try:
            self._ready = next(self._frames, None)
            if self._ready is None:
                raise self._nothing()
            self.first_pts = self._ready.pts
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._reader.close()

    def __iter__(self) -> Iterator[PlanarFrame]:
        """Give the frames that have not been given yet."""
        while self._ready is not None:
            frame, self._ready = self._ready, None
            self._given += 1
            yield frame
            self._ready = next(self._frames, None)

    @property
    def summary(self) -> DecodeSummary:
        """What happened so far."""
        reader = self._reader
        return DecodeSummary(
            frames=self._given,
            decoded=reader.frames,
            packets=reader.ledger.packets,
            corrupt=tuple(reader.corrupt),
            lost=tuple(self._lost),
            gaps=tuple(self._gaps),
            errors=tuple(reader.errors),
            error_count=reader.error_count,
            synthesised_pts=reader.repair.synthesised,
            repaired_pts=reader.repair.repaired,
            discontinuities=tuple(reader.fixer.jumps),
            attached=tuple(reader.attached.items()),
            captioned=self._captioned,
            resized=self._conformer.resized,
            warnings=(*self._warnings, *self._conformer.notes()),
        )

    def _nothing(self) -> DecodeError:
        summary = self.summary
        if summary.decoded or (self._options.start > 0 and not summary.error_count):
            return DecodeError(
                self._info.path,
                f"wanted frames from {float(self._options.start):g} s on, got none: the video "
                "ends before that, or the filters keep nothing; choose an earlier start",
            )
        said = summary.errors[0] if summary.errors else "the decoder gave no reason"
        return DecodeError(
            self._info.path,
            f"wanted frames, got none from {summary.packets} packets ({said}); "
            "the file is damaged beyond use: copy it again",
        )

    def _planar(self) -> Iterator[PlanarFrame]:
        """Turn filtered frames into planes; each lasts until the next, the last as it says."""
        held: PlanarFrame | None = None
        for frame in self._filtered():
            planar = self._to_planar(frame)
            if held is not None:
                yield _lasting(held, planar.pts - held.pts)
            held = planar
        self._lost, self._gaps = self._reader.account()
        if self._gaps:
            count = sum(gap.count for gap in self._gaps)
            self._warn(
                f"the clock skips whole frames, {count} in all (first at "
                f"{float(self._gaps[0].start):.3f} s): they may be missing from the file itself"
            )
        ledger = self._reader.ledger
        if ledger.first_empty is not None:
            self._warn(
                f"packets of the video that are empty: {ledger.empties} (the first at "
                f"{float(ledger.first_empty * self._info.video.time_base):.3f} s); the picture "
                "before stays until the next one"
            )
        if self._order is not None and self._order.repaired:
            self._warn(
                f"the filters give {self._order.repaired} frames no later times than those before "
                "them; they are moved later"
            )
        if held is not None:
            step = max(1, round(1 / (self.frame_rate * self.time_base)))
            yield held if held.duration else _lasting(held, step)

    def _filtered(self) -> Iterator[VideoFrame]:
        """Run the reader's frames, all made like the first, through the graph."""
        graph: FrameFilter | None = None
        first = True
        for decoded in self._reader.read():
            frame = self._conformer(decoded, self._reader.aspect)
            if first:
                first = False
                self.sample_aspect_ratio = self._conformer.aspect
                chain = self._chain(frame)
                graph = FrameFilter(self._shape(frame), chain) if chain else None
            auto = self._options.deinterlace == "auto" and not self._leaves_fields
            if frame.interlaced_frame and auto:
                self._check_interlaced(frame)
            if graph is None:
                yield frame
                continue
            for filtered in graph.push(frame):
                self._learn(graph, filtered, frame)
                yield filtered
        if graph is not None:
            for filtered in graph.push(None):
                self._learn(graph, filtered, None)
                yield filtered

    def _chain(self, first: VideoFrame) -> str:
        """Compose deinterlacing and the user's chain; empty where there is nothing to do."""
        video = self._info.video
        mode = self._options.deinterlace
        parts = []
        if mode in ("frame", "field"):
            parts.append(f"bwdif=mode=send_{mode}:parity=auto:deint=all")
        elif mode == "auto" and video.field_order not in ("unknown", "progressive"):
            if self._leaves_fields:
                return self._options.filter_chain or ""
            marked = first.interlaced_frame or video.codec in FIELD_MARKING_CODECS
            parity = "tff" if video.field_order == "top-first" else "bff"
            told = "parity=auto:deint=interlaced" if marked else f"parity={parity}:deint=all"
            parts.append(f"bwdif=mode=send_frame:{told}")
        if self._options.filter_chain is not None:
            parts.append(self._options.filter_chain)
        return ",".join(parts)

    def _check_interlaced(self, frame: VideoFrame) -> None:
        if self._info.video.field_order in ("unknown", "progressive") and not self._interlaced:
            self._interlaced = True
            at = float((frame.pts or 0) * self._info.video.time_base)
            self._warn(
                f"frames are marked interlaced from {at:.3f} s on, though the video starts "
                "progressive; use --deinterlace frame if they show combs"
            )

    def _shape(self, first: VideoFrame) -> StreamShape:
        return StreamShape(
            width=first.width,
            height=first.height,
            pix_fmt=first.format.name,
            time_base=self._info.video.time_base,
            frame_rate=self._info.video.frame_rate,
            sample_aspect_ratio=self.sample_aspect_ratio,
            matrix=first.colorspace,
            range=first.color_range,
        )

    def _learn(self, graph: FrameFilter, filtered: VideoFrame, source: VideoFrame | None) -> None:
        """Take over what a frame out of the graph, the first above all, tells of its output."""
        filtered.dts = None  # left from the decoder, in ticks of its own clock
        if self._order is not None:
            return
        assert filtered.time_base is not None
        self.time_base = filtered.time_base
        facts = graph.facts
        if facts is not None:
            self.frame_rate = facts.frame_rate or self.frame_rate
            self.sample_aspect_ratio = facts.sample_aspect_ratio
        if source is not None and _depth(filtered) < _depth(source):
            self._warn(
                f"the filters reduce {source.format.name} to {filtered.format.name}; "
                "end the chain with format=... to choose another"
            )

    def _to_planar(self, frame: VideoFrame) -> PlanarFrame:
        if self._packing is None:
            self._packing = self._describe(frame)
        if self._order is None:
            self._order = PtsRepair(max(1, round(1 / (self.frame_rate * self.time_base))))
        captions = caption_carrier(frame, self._reformatter)
        self._captioned += captions is not None
        return PlanarFrame(
            planes=frame_planes(frame, self._packing, self._reformatter),
            format=self._packing.format,
            pts=self._order(frame),
            duration=frame.duration or 0,
            scene_score=self._scorer.score(frame),
            corrupt=frame.is_corrupt,
            captions=captions,
        )

    def _describe(self, first: VideoFrame) -> Packing:
        packing = packing_of(first.format.name)
        if packing is None:
            raise DecodeError(
                self._info.path,
                f"wanted pixels of 8 to 16 bit integers, got {first.format.name}; convert them "
                "with --filter format=gbrp16le (or another planar format)",
            )
        if packing.drops_alpha:
            self._warn(f"the alpha channel of {first.format.name} is left out")
        self.width, self.height, self.format = first.width, first.height, packing.format
        return packing

    def _warn(self, message: str) -> None:
        if len(self._warnings) < 20:
            self._warnings[message] = None


def _lasting(frame: PlanarFrame, duration: int) -> PlanarFrame:
    return replace(frame, duration=duration)


def _depth(frame: VideoFrame) -> tuple[int, int]:
    """Rank a pixel format by what it can hold: bits per sample, samples per pixel."""
    layout = frame.format
    parts = len([part for part in layout.components if not part.is_alpha])
    chroma = layout.chroma_width(64) * layout.chroma_height(64) if parts > 1 else 0
    return layout.components[0].bits, chroma
