"""libavfilter graphs between decoder and planes, and what a user's chain does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Self

import av
import av.error
import av.logging
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr.errors import ConfigError
from vsr.media.containers import PICTURES, TargetKind
from vsr.media.probe import FrameFacts, SourceInfo, VideoInfo, crop_of, parse_facts
from vsr.media.source import frame_graph, libav_messages
from vsr.options import DecodeOptions

Pad = tuple[FilterContext, int]
# Of a point (x, y), with (a, b, c, d) in the order of the display matrix: ax + cy, bx + dy.
Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)
HFLIP, VFLIP = (-1, 0, 0, 1), (1, 0, 0, -1)
# libavfilter/vf_transpose.c: by number and by name.
TRANSPOSE: dict[str, Turn] = {
    "0": (0, 1, 1, 0),
    "1": (0, 1, -1, 0),
    "2": (0, -1, 1, 0),
    "3": (0, -1, -1, 0),
}
TRANSPOSE |= {
    name: TRANSPOSE[str(number)]
    for number, name in enumerate(("cclock_flip", "clock", "cclock", "clock_flip"))
}
# These may turn the picture by an amount that only libavfilter knows.
OTHER_TURNS = (
    "rotate", "perspective", "v360", "remap", "transpose_cuda", "transpose_npp", "transpose_opencl",
    "transpose_vaapi", "transpose_vt", "transpose_vulkan", "flip_vulkan", "hflip_vulkan",
    "vflip_vulkan",
)  # fmt: skip
DEINTERLACERS = (
    "bwdif", "bwdif_cuda", "bwdif_vulkan", "deinterlace_d3d12", "deinterlace_qsv",
    "deinterlace_vaapi", "detelecine", "estdif", "field", "fieldmatch", "il", "kerndeint", "nnedi",
    "pullup", "separatefields", "tinterlace", "vpp_qsv", "w3fdif", "yadif", "yadif_cuda",
    "yadif_videotoolbox",
)  # fmt: skip
# The number of frames out of these depends on the picture, or differs from their stated rate.
UNCOUNTED = (
    "concat", "dejudder", "interleave", "loop", "mpdecimate", "pullup", "repeatfields", "segment",
    "select", "shuffleframes", "thumbnail", "tpad", "trim", "zoompan",
)  # fmt: skip
# libavfilter/vf_scdet.c, pix_fmts: for any other libavfilter would convert on its own.
SCDET_FORMATS = frozenset(("rgb24", "bgr24", "rgba", "abgr", "bgra", "gray")) | {
    f"yuv{kind}p{bits}"
    for bits, kinds in {
        "": "420 422 444 440 411 410 j411 j420 j422 j440 j444",
        "10le": "420 422 444",
        "12le": "420 422 444",
    }.items()
    for kind in kinds.split()
}


@dataclass(frozen=True, slots=True)
class FilterCall:
    """One filter of a chain.

    Attributes:
        name, arguments: As written, one level of quoting removed.
        inputs, outputs: Link labels in brackets before and after it.
        joined: It takes the output of the filter before it (a comma, not a semicolon, between).
    """

    name: str
    arguments: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    joined: bool

    @property
    def turn(self) -> Turn | None:
        """How this filter turns and mirrors the picture; None if unknown."""
        if self.name == "transpose":
            parts = [part.partition("=") for part in self.arguments.split(":") if part]
            options = {key if sep else "dir": value if sep else key for key, sep, value in parts}
            # A second argument lets some pictures pass unchanged.
            return TRANSPOSE.get(options.get("dir", "0")) if len(parts) <= 1 else None
        if self.name in OTHER_TURNS:
            return None
        return {"hflip": HFLIP, "vflip": VFLIP}.get(self.name, UPRIGHT)


@dataclass(frozen=True, slots=True)
class FilterChain:
    """A parsed chain of filters; empty (and false) where there is none."""

    text: str = ""
    calls: tuple[FilterCall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __add__(self, then: FilterChain) -> FilterChain:
        """Run another chain after this one."""
        if not (self and then):
            return self or then
        first, *others = then.calls
        calls = (*self.calls, replace(first, joined=True), *others)
        return FilterChain(f"{self.text},{then.text}", calls)

    @property
    def deinterlacers(self) -> tuple[str, ...]:
        """Names of the filters that deinterlace, or need the original fields."""
        return tuple(dict.fromkeys(c.name for c in self.calls if c.name in DEINTERLACERS))

    @property
    def keeps_count(self) -> bool:
        """Whether as many frames per second come out as the frame rate states."""
        return not any(call.name in UNCOUNTED for call in self.calls)

    @property
    def turn(self) -> Turn | None:
        """How the chain turns and mirrors the picture; None if unknown."""
        turns = [call.turn for call in self.calls]
        if all(turn == UPRIGHT for turn in turns):
            return UPRIGHT
        if any(call.inputs or call.outputs for call in self.calls):
            return None  # branches: which of the filters the picture passes is not followed
        a, b, c, d = UPRIGHT
        for turn in turns:
            if turn is None:
                return None
            e, f, g, h = turn
            a, b, c, d = e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d
        return a, b, c, d


def parse_chain(text: str | None) -> FilterChain:
    """Parse libavfilter's graph syntax, which PyAV does not offer; None is an empty chain.

    Quoting follows `av_get_token` (libavutil/avstring.c), the grammar ffmpeg-filters(1), "Filter-
    graph syntax": filters joined by commas, chains by semicolons, links named in brackets.

    Raises:
        ConfigError: The text does not follow the grammar.
    """
    if text is None:
        return FilterChain()
    calls: list[FilterCall] = []
    position, joined = 0, False
    while True:
        inputs, position = _labels(text, position)
        name, position = _token(text, position, "=,;[")
        if not name:
            raise ConfigError(
                f"no filter name at character {position + 1} of the filter chain {text!r}; "
                "separate filters by single commas"
            )
        arguments = ""
        if text[position : position + 1] == "=":
            arguments, position = _token(text, position + 1, "[],;")
        outputs, position = _labels(text, position)
        calls.append(FilterCall(name.split("@")[0], arguments, inputs, outputs, joined))
        if position >= len(text):
            return FilterChain(text, tuple(calls))
        if text[position] not in ",;":
            raise ConfigError(
                f"unexpected {text[position]!r} at character {position + 1} of the filter chain "
                f"{text!r}; quote it with a backslash, or separate filters by a comma or semicolon"
            )
        joined = text[position] == ","
        position += 1


def _labels(text: str, position: int) -> tuple[tuple[str, ...], int]:
    labels: list[str] = []
    while True:
        while text[position : position + 1].isspace():
            position += 1
        if text[position : position + 1] != "[":
            return tuple(labels), position
        end = text.find("]", position)
        if end < 0:
            raise ConfigError(f"'[' without ']' in the filter chain {text!r}; close the label")
        labels.append(text[position + 1 : end].strip())
        position = end + 1


def _token(text: str, position: int, terminators: str) -> tuple[str, int]:
    """Read up to a terminator; a backslash guards one character, single quotes guard many."""
    while text[position : position + 1].isspace():
        position += 1
    token, guarded = "", 0
    while position < len(text) and text[position] not in terminators:
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            token, position = token + text[position + 1], position + 2
            guarded = len(token)
        elif character == "'":
            end = text.find("'", position + 1)
            end = len(text) if end < 0 else end
            token, position = token + text[position + 1 : end], end + 1
            guarded = len(token)
        else:
            token, position = token + character, position + 1
    return token[:guarded] + token[guarded:].rstrip(), position


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamShape:
    """Options of libavfilter's `buffer`: the frames that a graph takes."""

    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    frame_rate: Fraction
    sample_aspect_ratio: Fraction | None
    matrix: int
    range: int

    @classmethod
    def of(cls, frame: VideoFrame, video: VideoInfo, aspect: Fraction | None) -> Self:
        """Shape of frames such as this one of a film."""
        return cls(
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.format.name,
            time_base=video.time_base,
            frame_rate=video.frame_rate,
            sample_aspect_ratio=aspect,
            matrix=frame.colorspace,
            range=frame.color_range,
        )

    def __str__(self) -> str:
        aspect = self.sample_aspect_ratio or Fraction(0)
        return (
            f"video_size={self.width}x{self.height}:pix_fmt={self.pix_fmt}"
            f":time_base={self.time_base.numerator}/{self.time_base.denominator}"
            f":frame_rate={self.frame_rate.numerator}/{self.frame_rate.denominator}"
            f":pixel_aspect={aspect.numerator}/{aspect.denominator}"
            f":colorspace={self.matrix}:range={self.range}"
        )


class FrameFilter:
    """A filter graph with one video input and one video output.

    Attributes:
        facts: Frame rate and sample aspect ratio of the output; None before the first frame.
    """

    def __init__(self, shape: StreamShape, chain: FilterChain) -> None:
        """Build the graph.

        Raises:
            ConfigError: libavfilter refuses the chain; the message quotes it.
        """
        self.facts: FrameFacts | None = None
        self._chain = chain
        self._graph = Graph()
        self._messages: list[str] = []
        with libav_messages(av.logging.INFO) as messages:
            try:
                self._connect(chain.calls, shape)
                self._graph.configure()
            except (av.error.FFmpegError, ValueError) as error:
                failure = error
            else:
                self._messages = messages
                return
        raise self._refusal(failure, messages) from failure

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Send one frame in, or None at the end, and yield what comes out.

        Raises:
            ConfigError: A filter failed on this frame.
        """
        if self.facts is not None:
            yield from self._exchange(frame)
            return
        with libav_messages(av.logging.INFO) as messages:
            frames = list(self._exchange(frame))
        self._messages = [*self._messages, *messages]
        if frames:
            self.facts = parse_facts(self._messages)
            self._messages = []
        yield from frames

    def _exchange(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        try:
            self._graph.vpush(frame)
        except av.error.EOFError:
            return  # a filter such as trim has ended the stream
        except av.error.FFmpegError as error:
            raise self._refusal(error, []) from error
        while True:
            try:
                filtered = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            except av.error.FFmpegError as error:
                raise self._refusal(error, []) from error
            yield filtered

    def _connect(self, calls: tuple[FilterCall, ...], shape: StreamShape) -> None:
        """Add and link the filters; an input takes its label, its neighbour or the video."""
        named: dict[str, Pad] = {"in": (self._source(shape), 0)}
        waiting: dict[str, Pad] = {}
        carried: list[Pad] = []
        ends: list[Pad] = []
        for call in calls:
            context: Any = self._graph.add(call.name, call.arguments or None)
            if not call.joined:
                ends, carried = ends + carried, []
            for pad in range(len(context.inputs)):
                label = call.inputs[pad] if pad < len(call.inputs) else None
                if label is not None and label not in named:
                    waiting[label] = (context, pad)
                    continue
                if label is None and not carried and "in" not in named:
                    break
                origin = carried.pop(0) if label is None and carried else named.pop(label or "in")
                origin[0].link_to(context, origin[1], pad)
            ends, carried = ends + carried, []
            for pad in range(len(context.outputs)):
                label = call.outputs[pad] if pad < len(call.outputs) else None
                if label is None:
                    carried.append((context, pad))
                elif label in waiting:
                    consumer = waiting.pop(label)
                    context.link_to(consumer[0], pad, consumer[1])
                else:
                    named[label] = (context, pad)
        self._finish([*ends, *carried], named, waiting)

    def _source(self, shape: StreamShape) -> FilterContext:
        """Add the video, its pixel aspect set: its frames carry the codec's."""
        source = self._graph.add("buffer", str(shape))
        aspect = shape.sample_aspect_ratio
        if aspect is None:
            return source
        ratio = f"sar={aspect.numerator}/{aspect.denominator}:max={2**31 - 1}"
        setting = self._graph.add("setsar", ratio)
        source.link_to(setting)
        return setting

    def _finish(self, ends: list[Pad], named: dict[str, Pad], waiting: dict[str, Pad]) -> None:
        """Link the only output to the sink, through showinfo for its rate and aspect."""
        if "in" in named:
            raise ValueError("no filter takes the video")
        ends = [*ends, *named.values()]
        if waiting:
            raise ValueError(f"no filter outputs {', '.join(f'[{label}]' for label in waiting)}")
        if len(ends) != 1:
            raise ValueError(f"{len(ends)} outputs are left over, not one")
        showinfo = self._graph.add("showinfo", "checksum=0")
        ends[0][0].link_to(showinfo, ends[0][1], 0)
        showinfo.link_to(self._graph.add("buffersink"))

    def _refusal(self, error: Exception, messages: list[str]) -> ConfigError:
        lines = [text.strip() for text in messages if "config " not in text and text.strip()]
        detail = "; ".join(dict.fromkeys(lines)) or getattr(error, "strerror", None) or str(error)
        return ConfigError(
            f"libavfilter refuses the filter chain {self._chain.text!r} for this video: {detail}; "
            "see the filter's page in the FFmpeg manual"
        )


class SceneScorer:
    """Scene-change scores by libavfilter's `scdet`, in a graph of its own.

    Frames in a format that scdet does not take are scored on a grey copy; frames themselves are
    never changed.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None

    def score(self, frame: VideoFrame) -> float:
        """Score a frame against the one before it, 0 to 100; 0 for the first."""
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is None or shape != self._shape:
            grey = () if frame.format.name in SCDET_FORMATS else ("format=gray",)
            self._graph, self._shape = frame_graph(frame, *grey, "scdet"), shape
        self._graph.vpush(frame)
        return float(self._graph.vpull().metadata.get("lavfi.scd.score", 0.0))

    def score_rgb(self, rgb: NDArray[np.uint8]) -> float:
        """Score an RGB picture, (H, W, 3)."""
        return self.score(VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24"))


def turn_of_matrix(matrix: tuple[int, ...] | None) -> Turn | None:
    """Turn of a display matrix; None where it is no quarter turn."""
    if matrix is None:
        return UPRIGHT
    a, b, c, d = ((value > 0) - (value < 0) for value in (*matrix[0:2], *matrix[3:5]))
    return (a, b, c, d) if abs(a * d - b * c) == 1 and abs(a) != abs(b) else None


def describe_turn(matrix: tuple[int, ...] | None) -> str:
    """Describe a display matrix: degrees counter-clockwise, mirroring, translation in pixels."""
    if matrix is None:
        return "0"
    a, b, c, d = (*matrix[0:2], *matrix[3:5])
    degrees = -round(math.degrees(math.atan2(b, a)))
    mirrored = " mirrored" if a * d - b * c < 0 else ""
    moved = [f"{value / 65536:g}" for value in matrix[6:8]]
    return f"{degrees}{mirrored}" + (f", moved by {', '.join(moved)}" if any(matrix[6:8]) else "")


def upright_chain(matrix: tuple[int, ...]) -> str | None:
    """Filters that do what a display matrix asks of players; None if there are none."""
    wanted = turn_of_matrix(matrix)
    chains = [f"transpose={name}" for name in ("clock", "cclock", "cclock_flip", "clock_flip")]
    chains += ["hflip,vflip", "hflip", "vflip"]
    return next((chain for chain in chains if parse_chain(chain).turn == wanted), None)


def made_upright(info: SourceInfo, decode: DecodeOptions, kind: TargetKind) -> DecodeOptions:
    """Turn the frames of a film for pictures, which cannot ask players to.

    Returns:
        The options, with filters that do what the display matrix asks for, unless the user's own
        chain turns the picture.
    """
    matrix, chain = info.video.display_matrix, parse_chain(decode.filter_chain)
    if kind.muxer != PICTURES or matrix is None or chain.turn != UPRIGHT:
        return decode
    upright = upright_chain(matrix)
    if upright is None:
        return decode
    return replace(decode, filter_chain=f"{chain.text},{upright}" if chain else upright)


def as_turned(info: SourceInfo, chain: FilterChain) -> tuple[SourceInfo, tuple[str, ...]]:
    """Remove the rotation if the filters have done it; warn where they turn otherwise."""
    video, turn = info.video, chain.turn
    if video.display_matrix is None or turn == UPRIGHT:
        return info, ()
    asked = turn_of_matrix(video.display_matrix)
    if asked == UPRIGHT:
        return info, ()
    if turn is not None and turn == asked:
        return replace(info, video=replace(video, rotation=0, display_matrix=None)), (
            f"the filters turn the picture as the input asks players to ({video.rotation} "
            "degrees), so the output does not ask for it again",
        )
    upright = upright_chain(video.display_matrix)
    advice = f"; only {upright} makes it upright for good" if upright else ""
    return info, (
        "the filters turn the picture as stored in the file, and players will turn it by another "
        f"{video.rotation} degrees, as the input asks{advice}",
    )


def crop_notes(info: SourceInfo, chain: FilterChain) -> tuple[str, ...]:
    """Report that cropping is not carried over, unless the filters crop."""
    crop = crop_of(info)
    if crop is None or any(call.name == "crop" for call in chain.calls):
        return ()
    return (
        f"players hide {crop} of the input's picture, as its container asks; the output shows "
        f"them again: add --filter {crop.as_filter} to cut them off",
    )
