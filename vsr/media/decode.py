"""Decode a file to planes: every frame, in presentation order, at its exact time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vsr.color import GBR, HDR_TRANSFERS, MATRIX_NAMES, assumed_matrix, one_matrix
from vsr.errors import ConfigError, DecodeError
from vsr.media.filters import FilterChain, FrameFilter, SceneScorer, StreamShape, parse_chain
from vsr.media.formats import Packing, frame_planes, packing_of
from vsr.media.probe import SourceInfo, VideoInfo, caption_carrier, frame_facts
from vsr.media.reading import FrameReader, LostFrames
from vsr.media.timing import PtsRepair
from vsr.media.types import PlanarFrame, Plane, PlaneFormat
from vsr.options import DecodeOptions

# libavfilter's names of `color.MATRIX_OF_CODE`.
MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 7: "smpte240m", 9: "bt2020nc"}
# libavfilter/vf_colorspace.c converts these exactly; swscale, which takes all, is coarser.
EXACT = {f"yuv{chroma}p{bits}" for chroma in (420, 422, 444) for bits in ("", "10le", "12le")}
SCALING = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:interl=-1"
# Shapes this close count as one: 720 and 704 pixels of one line, or rounded aspects.
SAME_SHAPE = Fraction(103, 100)
AHEAD = 32  # frames, more than any decoder holds back
_APART = 16  # rows
BAR = 4  # pixels: fields and chroma keep their places


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Properties on which the look of a frame's samples depends.

    Attributes:
        width, height, pix_fmt: As decoded.
        aspect: Width over height of a pixel.
        matrix: H.273 code, of `color.one_matrix`; 0 for RGB and grey.
        full_range: Whether codes span all that the bits can hold.
        hdr: Whether brightness follows PQ or HLG.
    """

    width: int
    height: int
    pix_fmt: str
    aspect: Fraction
    matrix: int
    full_range: bool
    hdr: bool

    @property
    def shape(self) -> Fraction:
        """Width over height of the picture as shown."""
        return self.width * self.aspect / self.height

    @property
    def filter_range(self) -> str:
        """libavfilter's name of the range."""
        return "pc" if self.full_range else "tv"


class Conformer:
    """Convert frames that differ from the first; all others pass untouched.

    Size, pixel format and shape are the first frame's; colours are the tags of the header, or of
    the file's first frame, as for all of the output.

    Attributes:
        aspect: Sample aspect ratio of the frames out of it; None if unknown.
    """

    def __init__(self, video: VideoInfo, stated: Fraction | None) -> None:
        """Start before the first frame.

        Args:
            video: What was probed.
            stated: The aspect that the container sets over the codec's; None if it does not.
        """
        self.aspect = video.sample_aspect_ratio if stated is None else stated
        self._video = video
        self._stated = stated
        self._unsettled = AHEAD  # frames that may still have another aspect than `_met`
        self._met: Fraction | None = None
        self._own: Fraction | None = None
        self._matrix = _matrix(video.color.matrix) or _matrix(
            assumed_matrix(video.width, video.height)
        )
        self._wanted: Look | None = None
        self._graph: tuple[Look, FrameFilter] | None = None
        self._changed: dict[Look, tuple[int, int]] = {}  # frames, and pts of the first

    def __call__(self, frame: VideoFrame, met: Fraction | None) -> VideoFrame:
        """Make a frame like the first.

        Args:
            frame: As decoded.
            met: The aspect that the decoder met last, which may be that of later frames.
        """
        aspect = self._aspect(frame, met)
        if self._wanted is None:
            self.aspect = aspect
            self._wanted = self._look(frame, aspect, first=True)
        look = self._look(frame, aspect)
        if look == self._wanted:
            return frame
        count, at = self._changed.get(look, (0, frame.pts or 0))
        self._changed[look] = (count + 1, at)
        return self._converted(frame, look, self._wanted)

    @property
    def resized(self) -> int:
        """Number of frames of another size than the first."""
        wanted = self._wanted
        return sum(
            count
            for look, (count, _) in self._changed.items()
            if wanted and (look.width, look.height) != (wanted.width, wanted.height)
        )

    def notes(self) -> Iterator[str]:
        """One sentence for each kind of converted frame."""
        for look, (count, pts) in self._changed.items():
            assert self._wanted is not None
            ticks = pts - (self._video.start_pts or 0)
            yield _note(look, self._wanted, count, float(ticks * self._video.time_base))

    def _aspect(self, frame: VideoFrame, met: Fraction | None) -> Fraction | None:
        """Aspect of a frame, which PyAV 18 does not offer and a slow graph reads."""
        if self._stated is not None:
            return self._stated
        if met != self._met:
            self._unsettled, self._met = AHEAD, met
        if self._unsettled:
            self._own = frame_facts(frame).sample_aspect_ratio or self.aspect
            self._unsettled = 0 if self._own == met else self._unsettled - 1
        return self._own

    def _look(self, frame: VideoFrame, aspect: Fraction | None, *, first: bool = False) -> Look:
        """Describe a frame; the first one has the colours of the whole film."""
        video = self._video
        packing = packing_of(frame.format.name)
        colours = packing is not None and packing.format.chroma not in ("gray", "rgb")
        range_tag = (0 if first else frame.color_range) or video.color.range
        full = packing is not None and packing.format.full_range
        matrix = self._matrix if first else _matrix(frame.colorspace)
        if matrix == 0 and (frame.width, frame.height) != (video.width, video.height):
            matrix = _matrix(assumed_matrix(frame.width, frame.height))
        transfer = video.color.transfer if first or frame.color_trc == 2 else frame.color_trc
        return Look(
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            aspect=aspect or Fraction(1),
            matrix=(matrix or self._matrix) if colours else 0,
            full_range=(full or range_tag == 2) if colours else range_tag != 1,
            hdr=transfer in HDR_TRANSFERS,
        )

    def _converted(self, frame: VideoFrame, look: Look, wanted: Look) -> VideoFrame:
        chain = _chain(look, wanted)
        if not chain:
            return frame
        if self._graph is None or self._graph[0] != look:
            shape = StreamShape.of(frame, self._video, look.aspect)
            self._graph = (look, FrameFilter(shape, parse_chain(chain)))
        (made,) = self._graph[1].push(frame)
        color = self._video.color
        made.colorspace, made.color_range = color.matrix, color.range
        made.color_primaries, made.color_trc = color.primaries, color.transfer
        return made


def _matrix(code: int) -> int:
    """Reduce an H.273 code to one per matrix; 0 if unknown."""
    code = one_matrix(code)
    return code if code in MATRICES else 0


def _chain(look: Look, wanted: Look) -> str:
    """Filters that convert one look to the other; empty if they differ in name only."""
    parts = []
    even = not (look.width % 2 or look.height % 2)
    recoloured = (look.matrix, look.full_range) != (wanted.matrix, wanted.full_range)
    if recoloured and look.pix_fmt in EXACT and even:
        same = "iprimaries=bt709:primaries=bt709:itrc=bt709:trc=bt709:fast=1"
        parts.append(
            f"colorspace={same}:ispace={MATRICES[look.matrix]}:space={MATRICES[wanted.matrix]}"
            f":irange={look.filter_range}:range={wanted.filter_range}"
        )
        look, recoloured = replace(look, matrix=wanted.matrix, full_range=wanted.full_range), False
    width, height = _fitted(look, wanted)
    resized = (look.width, look.height) != (width, height)
    if resized or recoloured or look.pix_fmt != wanted.pix_fmt:
        ranges = f":in_range={look.filter_range}:out_range={wanted.filter_range}"
        matrices = "".join(
            f":{side}_color_matrix={MATRICES[which.matrix]}"
            for side, which in (("in", look), ("out", wanted))
            if which.matrix
        )
        parts.append(f"scale={width}:{height}:{SCALING}{matrices}{ranges}")
        parts.append(f"format={wanted.pix_fmt}")
    if (width, height) != (wanted.width, wanted.height):
        left, top = (
            (whole - part) // 2 // BAR * BAR
            for whole, part in ((wanted.width, width), (wanted.height, height))
        )
        parts.append(f"pad={wanted.width}:{wanted.height}:{left}:{top}:color=black")
    return ",".join(parts)


def _fitted(look: Look, wanted: Look) -> tuple[int, int]:
    """Size at which a picture keeps its shape within the pixels of another."""
    wider = look.shape / wanted.shape
    if 1 / SAME_SHAPE < wider < SAME_SHAPE:
        return wanted.width, wanted.height
    if wider > 1:
        return wanted.width, max(BAR, round(wanted.height / wider / BAR) * BAR)
    return max(BAR, round(wanted.width * wider / BAR) * BAR), wanted.height


def _note(look: Look, wanted: Look, count: int, seconds: float) -> str:
    pairs = [
        ("size", f"{wanted.width}x{wanted.height}", f"{look.width}x{look.height}"),
        ("pixel format", wanted.pix_fmt, look.pix_fmt),
        ("pixel aspect", *(f"{x.aspect.numerator}:{x.aspect.denominator}" for x in (wanted, look))),
        ("colour matrix", *map(_matrix_name, (wanted, look))),
        ("colour range", *("full" if x.full_range else "limited" for x in (wanted, look))),
        ("brightness", *("HDR" if x.hdr else "SDR" for x in (wanted, look))),
    ]
    changes = ", ".join(f"{name} {old} to {new}" for name, old, new in pairs if old != new)
    bars = _fitted(look, wanted) != (wanted.width, wanted.height)
    done = "made like the first, within black bars" if bars else "made like the first"
    if look.hdr != wanted.hdr:
        done += " but for their brightness"
    cut = "; to keep them unchanged, cut there with --start and --duration"
    return (
        f"the video changes {seconds:.3f} s after its start ({changes}); such frames, {count} in "
        f"all, are {done}{cut if bars or look.hdr != wanted.hdr else ''}"
    )


def _matrix_name(look: Look) -> str:
    return "none" if look.matrix == GBR else MATRIX_NAMES.get(look.matrix, str(look.matrix))


# Decoders of these mark interlaced frames; for others only the header may state them.
FIELD_MARKING_CODECS = ("h264", "hevc", "mpeg2video", "mpeg4", "vc1", "dvvideo", "prores")


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeSummary:
    """What happened while a file was decoded; complete once the iteration has ended.

    Attributes:
        frames: Frames yielded, after filters.
        repeated: Of these, marked as equal to the one before.
        decoded: Frames within start and duration that came from the decoder, before filters.
        packets: Video packets read.
        corrupt: pts, before filters, of frames that the decoder marked as damaged.
        lost: Frames that are missing although the file has, or claims, packets for them.
        gaps: Whole frames that the clock of an otherwise undamaged constant-rate stream skips; at
            most 1000. They may have been lost before, or never recorded.
        errors: Messages of the decoder, with times; at most 100 are kept.
        error_count: Number of all.
        synthesised_pts, repaired_pts: Frames without a pts, and with one that went backwards.
        discontinuities: (seconds after repair, jump in seconds) of every splice in the clock.
        attached: Kinds of data that input frames carry beside their pixels (`probe.NAMES`), and
            the number of frames with each.
        captioned: Number of frames with closed captions after filters.
        resized: Number of frames of another size than the first, made like it.
        warnings: Anything else to report, in sentences.
    """

    frames: int
    repeated: int
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
        """Number of lost frames."""
        return sum(lost.count for lost in self.lost)


class Decoder:
    """Iterate over the frames of a file, once; a context manager that closes it.

    Damage raises nothing while anything decodes: undecodable frames are left out and listed in
    `summary`, damaged ones are marked. At most a few frames are held.

    Attributes:
        time_base, frame_rate, width, height, format, sample_aspect_ratio: Of the frames after
            filters; known once constructed. The frame rate is nominal.
        first_pts: Of the first frame, in ticks of `time_base`.
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
            ProbeError: The file can no longer be opened.
            ConfigError: The filter chain does not work on this video.
            DecodeError: No frame decodes, or its pixel format holds no integers.
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
        self._yielded = self._repeated = 0
        self._before: tuple[Plane, ...] | None = None  # of the last frame, where repeats are marked
        self._captioned = 0
        self._chain = parse_chain(options.filter_chain)
        self._leaves_fields = bool(self._chain.deinterlacers)
        self.deinterlacing = ""
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
        """Yield the remaining frames."""
        while self._ready is not None:
            frame, self._ready = self._ready, None
            self._yielded += 1
            self._repeated += frame.repeats
            yield frame
            self._ready = next(self._frames, None)

    @property
    def summary(self) -> DecodeSummary:
        """What happened so far."""
        reader = self._reader
        return DecodeSummary(
            frames=self._yielded,
            repeated=self._repeated,
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
                f"no frames from {float(self._options.start):g} s on: the video ends before that, "
                "or the filters keep nothing; choose an earlier start",
            )
        reason = summary.errors[0] if summary.errors else "the decoder gave no reason"
        return DecodeError(
            self._info.path,
            f"no frame decodes from {summary.packets} packets ({reason}); the file is damaged "
            "beyond use: copy it again",
        )

    def _planar(self) -> Iterator[PlanarFrame]:
        """Turn filtered frames into planes; each but the last lasts until the next."""
        held: PlanarFrame | None = None
        for frame in self._filtered():
            planar = self._to_planar(frame)
            if held is not None:
                yield replace(held, duration=planar.pts - held.pts)
            held = planar
        self._lost, self._gaps = self._reader.account()
        if self._gaps:
            count = sum(gap.count for gap in self._gaps)
            self._warn(
                f"the clock skips whole frames, {count} in all (first at "
                f"{float(self._gaps[0].start):.3f} s): they may be missing from the file itself"
            )
        if self._reader.turned:
            self._warn(
                "pictures of the folder ask for different turns (Exif), and all are turned as the "
                f"first one asks; wrong for {self._reader.turned} of {self._reader.frames}: turn "
                "them yourself before, or put them apart"
            )
        if self._reader.fixer.unseen:
            self._warn(
                "further streams seem to begin in mid-file and are left out: FFmpeg finds only "
                "those near the file's ends; cut the file before them, and enhance the parts"
            )
        ledger = self._reader.ledger
        if ledger.first_empty is not None:
            self._warn(
                f"empty video packets: {ledger.empties} (the first at "
                f"{float(ledger.first_empty * self._info.video.time_base):.3f} s); the picture "
                "before stays until the next one"
            )
        if self._order is not None and self._order.repaired:
            self._warn(
                f"{self._order.repaired} frames leave the filters with times no later than those "
                "before them; they are moved later"
            )
        if held is not None:
            step = max(1, round(1 / (self.frame_rate * self.time_base)))
            yield held if held.duration else replace(held, duration=step)

    def _filtered(self) -> Iterator[VideoFrame]:
        """Run the reader's frames, all made like the first, through the graph."""
        graph: FrameFilter | None = None
        first = True
        for decoded in self._reader.read():
            frame = self._conformer(decoded, self._reader.aspect)
            if first:
                first = False
                self.sample_aspect_ratio = self._conformer.aspect
                if chain := self._all_filters(frame):
                    shape = StreamShape.of(frame, self._info.video, self.sample_aspect_ratio)
                    graph = FrameFilter(shape, chain)
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

    def _all_filters(self, first: VideoFrame) -> FilterChain:
        """Deinterlacing and the user's chain; empty if there is nothing to do."""
        video, mode = self._info.video, self._options.deinterlace
        interlaced = video.field_order not in ("unknown", "progressive")
        if mode in ("frame", "field"):
            how = f"mode=send_{mode}:parity=auto:deint=all"
        elif mode == "auto" and interlaced and not self._leaves_fields:
            marked = first.interlaced_frame or video.codec in FIELD_MARKING_CODECS
            parity = "tff" if video.field_order == "top-first" else "bff"
            which = "parity=auto:deint=interlaced" if marked else f"parity={parity}:deint=all"
            how = f"mode=send_frame:{which}"
        else:
            return self._chain
        self.deinterlacing = f"bwdif, a picture for each {'field' if mode == 'field' else 'frame'}"
        return parse_chain(f"bwdif={how}") + self._chain

    def _check_interlaced(self, frame: VideoFrame) -> None:
        if self._info.video.field_order in ("unknown", "progressive") and not self._interlaced:
            self._interlaced = True
            at = float((frame.pts or 0) * self._info.video.time_base)
            self._warn(
                f"frames are marked interlaced from {at:.3f} s on, though the video starts "
                "progressive; use --deinterlace frame if you see combing"
            )

    def _learn(self, graph: FrameFilter, filtered: VideoFrame, source: VideoFrame | None) -> None:
        """Take over the output's properties from the first frames out of the graph."""
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
        if (frame.width, frame.height) != (self.width, self.height):
            raise ConfigError(
                f"the filters change the size from {self.width}x{self.height} to "
                f"{frame.width}x{frame.height} in mid-film; end the chain with "
                f"scale={self.width}:{self.height}"
            )
        captions = caption_carrier(frame, self._reformatter)
        self._captioned += captions is not None
        planes = frame_planes(frame, self._packing, self._reformatter)
        if self._before is not None and same_planes(planes, self._before):
            planes = self._before  # however long a picture stays, its samples are held once
        repeats = planes is self._before
        if self._options.mark_repeats:
            self._before = planes
        return PlanarFrame(
            planes=planes,
            format=self._packing.format,
            pts=self._order(frame),
            duration=frame.duration or 0,
            # To the scorer a repeat would be a stop, and the next motion a cut.
            scene_score=0.0 if repeats else self._scorer.score(frame),
            repeats=repeats,
            corrupt=frame.is_corrupt,
            captions=captions,
        )

    def _describe(self, first: VideoFrame) -> Packing:
        packing = packing_of(first.format.name)
        if packing is None:
            raise DecodeError(
                self._info.path,
                f"{first.format.name} pixels are not integers of 8 to 16 bits; convert them with "
                "--filter format=gbrp16le (or another planar format)",
            )
        self.width, self.height, self.format = first.width, first.height, packing.format
        return packing

    def _warn(self, message: str) -> None:
        if len(self._warnings) < 20:
            self._warnings[message] = None


def same_planes(planes: Sequence[Plane], others: Sequence[Plane]) -> bool:
    """Whether two frames have equal samples; some rows are compared first, which tells most apart.

    Args:
        planes, others: In one layout.
    """
    pairs = list(zip(planes, others, strict=True))
    return all(np.array_equal(a[::_APART], b[::_APART]) for a, b in pairs) and all(
        np.array_equal(a, b) for a, b in pairs
    )


def _depth(frame: VideoFrame) -> tuple[int, int]:
    """Rank of a frame's pixel format: bits per sample, samples of chroma."""
    layout = frame.format
    parts = len([part for part in layout.components if not part.is_alpha])
    chroma = layout.chroma_width(64) * layout.chroma_height(64) if parts > 1 else 0
    return layout.components[0].bits, chroma
