"""Values of media: frames as integer planes, their marks, checks, the encoding plan."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr.color import BT709_WEIGHTS, Chroma, Siting, luma_weights
from vsr.media.probe import ColorTags, HdrMetadata, VideoInfo

Plane = NDArray[np.uint8] | NDArray[np.uint16]
Captions = VideoFrame  # named here for modules that do not import av


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaneFormat:
    """Layout of the planes of a frame.

    Attributes:
        name: FFmpeg name of this planar pixel format ("yuv420p10le").
        chroma: Subsampling; "gray" has one plane, "rgb" three full planes in the order R, G, B.
        bit_depth: 8 to 16; more than 8 bits lie in the low bits of a uint16.
        full_range: Whether the name itself means full range ("yuvj420p"); otherwise tags decide.
    """

    name: str
    chroma: Chroma
    bit_depth: int
    full_range: bool = False


def spans_full_range(planes: PlaneFormat, range_code: int) -> bool:
    """Whether planes span 0 to their largest code, by layout and range tag.

    Untagged grey and RGB do, as swscale and `ops.color` read them; untagged YUV does not.

    Args:
        planes: Their layout.
        range_code: 0 unspecified, 1 limited, 2 full.
    """
    untagged_full = planes.full_range or planes.chroma in ("gray", "rgb")
    return range_code == 2 or (range_code == 0 and untagged_full)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanarFrame:
    """One picture in presentation order.

    Attributes:
        planes: (H, W) arrays, luma first (or R, G, B); read-only views are allowed.
        format: Their layout.
        pts: Presentation time in ticks of the stream's (or the filter's) time base.
        duration: Ticks until the next frame is due; 0 where unknown.
        scene_score: Score of libavfilter's `scdet` against the previous frame, 0 to 100; 0 for the
            first.
        repeats: The planes equal those of the frame before, and are the same arrays; only marked
            where `DecodeOptions.mark_repeats` asks for it.
        corrupt: The decoder marked this frame as damaged.
        captions: A tiny frame that holds the closed captions; see `probe.caption_carrier`.
    """

    planes: tuple[Plane, ...]
    format: PlaneFormat
    pts: int
    duration: int
    scene_score: float = 0.0
    repeats: bool = False
    corrupt: bool = False
    captions: Captions | None = None


GRID = 64  # samples looked at per row and column


@dataclass(eq=False)
class FrameMarks:
    """Collect the marks of frames in presentation order, some 30 bytes each.

    Two passes over the same film, before and after enhancement, have nearly the same marks; a
    black, green, frozen, missing or misplaced frame shows.

    Attributes:
        time_base: Seconds per tick of the pts.
        full_range: Whether the tags or the layout mean full range.
        luma_weights: Shares of red and of blue in luma; unused where the planes are RGB.
        pts: One per frame.
        last_duration: Of the newest frame, in ticks; 0 where unknown.
        means: Mean of each plane, 0 to 1, three per frame (luma alone counts for grey).
        changes: Mean absolute luma difference to the frame before, 0 to 1; 0 for the first.
    """

    time_base: Fraction
    full_range: bool = field(default=False, kw_only=True)
    luma_weights: tuple[float, float] = field(default=BT709_WEIGHTS, kw_only=True)
    pts: array[int] = field(default_factory=lambda: array("q"), init=False)
    last_duration: int = field(default=0, init=False)
    means: array[float] = field(default_factory=lambda: array("f"), init=False)
    changes: array[float] = field(default_factory=lambda: array("f"), init=False)
    chroma: str = field(default="", init=False)
    _previous: NDArray[np.float32] | None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, frame: PlanarFrame) -> None:
        """Add the next frame."""
        self.chroma = frame.format.chroma
        rgb = self.chroma == "rgb"
        full = self.full_range or frame.format.full_range or rgb
        small = [
            _sampled(plane, frame.format.bit_depth, luma=index == 0 or rgb, full=full)
            for index, plane in enumerate(frame.planes)
        ]
        luma = small[1 if rgb else 0]
        self.pts.append(frame.pts)
        self.last_duration = frame.duration
        self.means.extend(float(part.mean()) for part in (small * 3)[:3])
        self.changes.append(_difference(luma, self._previous))
        self._previous = luma

    def seconds(self, index: int) -> Fraction:
        """Time of a frame."""
        return self.pts[index] * self.time_base

    def mean(self, index: int) -> tuple[float, float, float]:
        """Mean R, G and B of a frame, 0 to 1; of grey, three times its brightness."""
        first, second, third = self.means[3 * index : 3 * index + 3]
        if self.chroma == "rgb":
            return first, second, third
        if self.chroma == "gray":
            return first, first, first
        kr, kb = self.luma_weights
        red = first + 2 * (1 - kr) * (third - 0.5)
        blue = first + 2 * (1 - kb) * (second - 0.5)
        return red, (first - kr * red - kb * blue) / (1 - kr - kb), blue


def marks_of(video: VideoInfo, planes: PlaneFormat, time_base: Fraction) -> FrameMarks:
    """Empty marks for a film, its planes read by its tags.

    Args:
        video: The film.
        planes: Layout of the frames to come, which a filter may have changed.
        time_base: Seconds per tick of their pts.
    """
    return FrameMarks(
        time_base,
        full_range=spans_full_range(planes, video.color.range),
        luma_weights=luma_weights(video.color.matrix, video.width, video.height),
    )


def _difference(luma: NDArray[np.float32], before: NDArray[np.float32] | None) -> float:
    if before is None or before.shape != luma.shape:
        return 0.0
    return float(np.abs(luma - before).mean())


def _sampled(plane: Plane, bits: int, *, luma: bool, full: bool) -> NDArray[np.float32]:
    """Grid of samples, scaled so that 0 is black and 1 white (chroma: 0.5 is neutral)."""
    rows, columns = (max(1, extent // GRID) for extent in plane.shape)
    picked = plane[rows // 2 :: rows, columns // 2 :: columns]
    values: NDArray[np.float32] = picked.astype(np.float32)
    if full:
        return values / np.float32((1 << bits) - 1)
    unit = 1 << (bits - 8)
    return (values / np.float32(unit) - np.float32(16)) / np.float32(219 if luma else 224)


# Checks whose failure spoils neither picture nor sound nor their times: the file gets its name, and
# the change is reported. All others keep it from its name.
CHANGES = ("last duration", "HDR metadata", "labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A named claim about a file, whether it holds, and the numbers behind it."""

    name: str
    passed: bool
    detail: str
    numbers: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether it failed over a side matter (`CHANGES`)."""
        return not self.passed and self.name.endswith(CHANGES)

    @property
    def wrong(self) -> bool:
        """Whether it failed over anything else."""
        return not self.passed and not self.changed

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


def check(name: str, passed: bool, detail: str, **numbers: float | int | str) -> Check:
    """Make a `Check`."""
    return Check(name=name, passed=passed, detail=detail, numbers=numbers)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodePlan:
    """Everything an encoder is opened with.

    Attributes:
        muxer: FFmpeg muxer name, or "images".
        codec: FFmpeg encoder name.
        pix_fmt: Of the encoder ("p010le").
        planes: Layout of the frames handed over ("yuv420p10le").
        width, height: Picture size in pixels.
        time_base: Seconds per tick of the pts handed over.
        frame_rate: Nominal, for the header; timestamps rule.
        constant_interval: Seconds between frames where the container knows no timestamps (AVI).
        sample_aspect_ratio: Width over height of a pixel; None where unset.
        display_matrix: Nine int32, or None.
        color: Tags to write, by which the planes handed over are made.
        told: Those of them that the finished file can hold.
        chroma_siting: Of the planes.
        hdr: HDR10 metadata of the stream; None where there is none or no way to carry it.
        captions: Whether the encoder writes closed captions that come with the frames.
        codec_tag: Four characters ("hvc1"), or None for the muxer's choice.
        options: FFmpeg options of the encoder, the libraries' own parameters merged in.
        warnings: Sentences about what cannot be kept.
    """

    muxer: str
    codec: str
    pix_fmt: str
    planes: PlaneFormat
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction
    constant_interval: Fraction | None
    sample_aspect_ratio: Fraction | None
    display_matrix: tuple[int, ...] | None
    color: ColorTags
    told: ColorTags
    chroma_siting: Siting
    hdr: HdrMetadata | None
    captions: bool
    codec_tag: str | None
    options: Mapping[str, str]
    warnings: tuple[str, ...]
