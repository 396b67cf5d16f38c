"""Bring frames of another size, format, shape or colour, as splices have, to the first one's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from av.video.frame import VideoFrame

from vsr.media.facts import frame_facts
from vsr.media.filters import FrameFilter, StreamShape
from vsr.media.h273 import GBR, HDR_TRANSFERS, MATRIX_NAMES, assumed_matrix, one_matrix
from vsr.media.planes import packing_of
from vsr.media.probe import VideoInfo

MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 7: "smpte240m", 9: "bt2020nc"}  # H.273: libavfilter
# libavfilter/vf_colorspace.c: these it converts exactly; swscale, which takes all, is coarser.
EXACT = {f"yuv{chroma}p{bits}" for chroma in (420, 422, 444) for bits in ("", "10le", "12le")}
SCALING = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:interl=-1"
# Shapes so near each other are one: 720 and 704 pixels of one line, say, or rounded aspects.
SAME_SHAPE = Fraction(103, 100)
AHEAD = 32  # frames, more than any decoder holds back
BAR = 4  # pixels: fields and chroma keep their places


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What decides how the samples of a frame are shown.

    Attributes:
        width, height, pix_fmt: As decoded.
        aspect: Width over height of a pixel.
        matrix: H.273 code, those of one matrix made one; 0 for RGB and grey.
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

    def shape(self) -> Fraction:
        """Give width over height of the picture as shown."""
        return self.width * self.aspect / self.height


class Conformer:
    """Makes all frames of a film like the first; those that are pass untouched.

    Size, pixel format and shape are the first frame's; colours are those that the header, or the
    first frame of the file, is tagged with, as all of the output will be.

    Attributes:
        aspect: Sample aspect ratio of the frames given out; None where nothing tells.
    """

    def __init__(self, video: VideoInfo, stated: Fraction | None) -> None:
        """Start before the first frame.

        Args:
            video: What was probed.
            stated: The aspect that the container sets over the codec's; None where it does not.
        """
        self.aspect = video.sample_aspect_ratio if stated is None else stated
        self._video = video
        self._stated = stated
        self._unsettled = AHEAD  # frames that may still have another aspect than `_told`
        self._told: Fraction | None = None
        self._own: Fraction | None = None
        self._matrix = _matrix(video.color.matrix) or _matrix(
            assumed_matrix(video.width, video.height)
        )
        self._wanted: Look | None = None
        self._graph: tuple[Look, FrameFilter] | None = None
        self._changed: dict[Look, tuple[int, int]] = {}  # frames, and pts of the first

    def __call__(self, frame: VideoFrame, told: Fraction | None) -> VideoFrame:
        """Give a frame as the first is.

        Args:
            frame: As decoded.
            told: The aspect that the decoder has met last, which may be that of frames to come.
        """
        aspect = self._aspect(frame, told)
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
        """Count the frames that were of another size than the first."""
        wanted = self._wanted
        return sum(
            count
            for look, (count, _) in self._changed.items()
            if wanted and (look.width, look.height) != (wanted.width, wanted.height)
        )

    def notes(self) -> Iterator[str]:
        """Say what was done, once for each kind of frame."""
        for look, (count, pts) in self._changed.items():
            assert self._wanted is not None
            ticks = pts - (self._video.start_pts or 0)
            yield _note(look, self._wanted, count, float(ticks * self._video.time_base))

    def _aspect(self, frame: VideoFrame, told: Fraction | None) -> Fraction | None:
        """Tell the aspect of a frame, which PyAV 18 does not; asking a graph takes its time."""
        if self._stated is not None:
            return self._stated
        if told != self._told:
            self._unsettled, self._told = AHEAD, told
        if self._unsettled:
            self._own = frame_facts(frame).sample_aspect_ratio or self.aspect
            self._unsettled = 0 if self._own == told else self._unsettled - 1
        return self._own

    def _look(self, frame: VideoFrame, aspect: Fraction | None, *, first: bool = False) -> Look:
        """Describe a frame; of the first, the colours are those of the whole film."""
        video = self._video
        packing = packing_of(frame.format.name)
        colours = packing is not None and packing.format.chroma not in ("gray", "rgb")
        tagged = 0 if first else frame.color_range
        told = tagged or video.color.range
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
            full_range=(full or told == 2) if colours else told != 1,
            hdr=transfer in HDR_TRANSFERS,
        )

    def _converted(self, frame: VideoFrame, look: Look, wanted: Look) -> VideoFrame:
        chain = _chain(look, wanted)
        if not chain:
            return frame
        if self._graph is None or self._graph[0] != look:
            shape = StreamShape(
                width=look.width,
                height=look.height,
                pix_fmt=look.pix_fmt,
                time_base=self._video.time_base,
                frame_rate=self._video.frame_rate,
                sample_aspect_ratio=look.aspect,
                matrix=frame.colorspace,
                range=frame.color_range,
            )
            self._graph = (look, FrameFilter(shape, chain))
        (made,) = self._graph[1].push(frame)
        color = self._video.color
        made.colorspace, made.color_range = color.matrix, color.range
        made.color_primaries, made.color_trc = color.primaries, color.transfer
        return made


def _matrix(code: int) -> int:
    """Reduce an H.273 code to one per matrix; 0 where it names none that is known."""
    code = one_matrix(code)
    return code if code in MATRICES else 0


def _chain(look: Look, wanted: Look) -> str:
    """Compose filters that make one look the other; empty where they differ in name only."""
    parts = []
    even = not (look.width % 2 or look.height % 2)
    if _colours(look) != _colours(wanted) and look.pix_fmt in EXACT and even:
        same = "iprimaries=bt709:primaries=bt709:itrc=bt709:trc=bt709:fast=1"
        parts.append(
            f"colorspace={same}:ispace={MATRICES[look.matrix]}:space={MATRICES[wanted.matrix]}"
            f":irange={_range(look)}:range={_range(wanted)}"
        )
        look = replace(look, matrix=wanted.matrix, full_range=wanted.full_range)
    width, height = _fitted(look, wanted)
    sizes = (look.width, look.height), (width, height)
    if sizes[0] != sizes[1] or _samples(look) != _samples(wanted):
        ranges = f":in_range={_range(look)}:out_range={_range(wanted)}"
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


def _colours(look: Look) -> tuple[int, bool]:
    return look.matrix, look.full_range


def _samples(look: Look) -> tuple[int, bool, str]:
    return look.matrix, look.full_range, look.pix_fmt


def _range(look: Look) -> str:
    return "pc" if look.full_range else "tv"


def _fitted(look: Look, wanted: Look) -> tuple[int, int]:
    """Give the size at which a picture keeps its shape within the pixels of another."""
    wider = look.shape() / wanted.shape()
    if 1 / SAME_SHAPE < wider < SAME_SHAPE:
        return wanted.width, wanted.height
    if wider > 1:
        return wanted.width, max(BAR, round(wanted.height / wider / BAR) * BAR)
    return max(BAR, round(wanted.width * wider / BAR) * BAR), wanted.height


def _note(look: Look, wanted: Look, count: int, seconds: float) -> str:
    pairs = [
        ("size", f"{wanted.width}x{wanted.height}", f"{look.width}x{look.height}"),
        ("pixel format", wanted.pix_fmt, look.pix_fmt),
        ("pixel aspect", _ratio(wanted.aspect), _ratio(look.aspect)),
        ("colour matrix", _matrix_name(wanted), _matrix_name(look)),
        ("colour range", *("full" if x.full_range else "limited" for x in (wanted, look))),
        ("brightness", *("HDR" if x.hdr else "SDR" for x in (wanted, look))),
    ]
    changes = ", ".join(f"{name} {old} to {new}" for name, old, new in pairs if old != new)
    bars = _fitted(look, wanted) != (wanted.width, wanted.height)
    done = "made like the first, within black bars" if bars else "made like the first"
    if look.hdr != wanted.hdr:
        done += " but for their brightness"
    cut = "; to keep them as they are, cut there with --start and --duration"
    return (
        f"the video changes {seconds:.3f} s after its start ({changes}); such frames, {count} in "
        f"all, are {done}{cut if bars or look.hdr != wanted.hdr else ''}"
    )


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"


def _matrix_name(look: Look) -> str:
    return "none" if look.matrix == GBR else MATRIX_NAMES.get(look.matrix, str(look.matrix))
