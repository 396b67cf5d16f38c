"""Films on one screen, as a film: canvas, labels, and the sound of the first."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vsr.color import HDR_TRANSFERS, LINEAR, LUMA_WEIGHTS, PRIMARIES_NAMES, TRANSFER_NAMES
from vsr.data.pictures import color_layout
from vsr.errors import ConfigError, DecodeError, EncodeError, VerifyError
from vsr.media.clock import kept_range, output_clock, output_range, timecode_warnings
from vsr.media.containers import PICTURES, check_target
from vsr.media.copying import TimeRange, chapter_warnings
from vsr.media.decode import Decoder
from vsr.media.encode import plan_encoding
from vsr.media.mux import Writer
from vsr.media.pieces import PieceWriter
from vsr.media.probe import ColorTags, SourceInfo, VideoInfo, probe
from vsr.media.streams import StreamPlan, container_warnings, plan_streams, stream_warnings
from vsr.media.types import EncodePlan, FrameMarks, PlanarFrame, PlaneFormat
from vsr.media.verify import Expected, verify
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes
from vsr.ops.resize import resize
from vsr.options import DecodeOptions
from vsr.report.measure import in_step

Divider = Literal["moving", "fixed"]

# The divider goes there and back in so many seconds, this far to either side of the middle.
SWEEP_SECONDS = 8
SWEEP = 0.35
# A grid of large films is shrunk to this: UHD, which players and x264 take everywhere.
GRID_PIXELS = 3840 * 2160
_WIDE = 16 / 9
# Bars of less than this share of a side are not worth having; the picture is stretched.
_SAME_SHAPE = 0.02
_BOX = 0.62  # how dark the box behind a label is
# Pillow's own font knows ASCII; of the systems' fonts the first that has all letters is taken.
_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf",
    "Arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msgothic.ttc",
)  # fmt: skip
_NO_LETTER = "\uffff"


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """The shared picture.

    Attributes:
        cell: (width, height) in which each film is shown whole; both even.
        columns, rows: Of cells; 1 and 1 where two films share one.
        shrunk: Cells are smaller than the largest film.
    """

    cell: tuple[int, int]
    columns: int
    rows: int
    shrunk: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.cell[0] * self.columns, self.cell[1] * self.rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A text as a picture.

    Attributes:
        color: (1, h, w), 0 to 1.
        cover: (1, h, w): how much of the picture below it hides, 0 to 1.
    """

    color: Tensor
    cover: Tensor


def shown_size(video: VideoInfo) -> tuple[Fraction, Fraction]:
    """Give width and height of a picture as a player shows it: upright, with square pixels."""
    width = video.width * (video.sample_aspect_ratio or Fraction(1))
    height = Fraction(video.height)
    return (width, height) if video.rotation % 180 == 0 else (height, width)


def make_canvas(sizes: Sequence[tuple[Fraction, Fraction]]) -> Canvas:
    """Plan for films of these shown sizes, (width, height), two at least.

    The largest film is shown at its size; the others are scaled to it. A grid has the number of
    columns that makes it most nearly 16:9.
    """
    width, height = (float(side) for side in max(sizes, key=math.prod))
    count = len(sizes)
    columns = 1
    if count > 2:
        shapes = {n: n * width / (math.ceil(count / n) * height) for n in range(1, count + 1)}
        columns = min(shapes, key=lambda n: abs(math.log(shapes[n] / _WIDE)))
    rows = 1 if count == 2 else math.ceil(count / columns)
    factor = 1.0
    if count > 2:
        factor = min(1.0, math.sqrt(GRID_PIXELS / (width * columns * height * rows)))
    cell = (_even(width * factor), _even(height * factor))
    return Canvas(cell=cell, columns=columns, rows=rows, shrunk=factor < 1)


def fit(rgb: Tensor, cell: tuple[int, int], shape: Fraction) -> Tensor:
    """Scale a picture into a cell, bicubically, with black bars where its shape differs.

    Args:
        rgb: (3, H, W).
        cell: (width, height).
        shape: Width by height as shown; pixels of `rgb` need not be square.

    Returns:
        (3, height, width).
    """
    width, height = cell
    inner_width, inner_height = width, height
    ratio = float(shape) * height / width
    if ratio > 1 + _SAME_SHAPE:
        inner_height = _even(height / ratio)
    elif ratio < 1 - _SAME_SHAPE:
        inner_width = _even(width * ratio)
    scaled = resize(rgb, inner_height, inner_width)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    right, bottom = width - inner_width - left, height - inner_height - top
    return F.pad(scaled, (left, right, top, bottom)) if left or top or right or bottom else scaled


def compose(pictures: Sequence[Tensor], canvas: Canvas, split: float) -> Tensor:
    """Put pictures on the canvas.

    Args:
        pictures: (3, height, width) of a cell each.
        canvas: Where they go.
        split: Of two pictures: the share of the width that shows the first.

    Returns:
        (3, H, W).
    """
    width, height = canvas.cell
    if len(pictures) == 2:
        at = round(split * width)
        both = torch.cat((pictures[0][..., :at], pictures[1][..., at:]), -1)
        _draw_line(both, at)
        return both
    whole = torch.zeros(3, height * canvas.rows, width * canvas.columns)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, canvas.columns)
        whole[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    for column in range(1, canvas.columns):
        _draw_line(whole, column * width)
    for row in range(1, canvas.rows):
        _draw_line(whole.transpose(-1, -2), row * height)
    return whole


def divider_at(seconds: Fraction, divider: Divider) -> float:
    """Give the share of the width left of the divider at a time."""
    if divider == "fixed":
        return 0.5
    return 0.5 + SWEEP * math.sin(2 * math.pi * float(seconds) / SWEEP_SECONDS)


def make_label(name: str, facts: str, cell: tuple[int, int], *, white: float) -> Label:
    """Draw a label: the name, and facts in a softer tone; a long name is cut in its middle.

    Args:
        name, facts: What it says.
        cell: (width, height) of the picture it goes on; it takes less than half of the width.
        white: How bright it is, 0 to 1: a full white would glare in HDR.
    """
    width, height = cell
    size = max(11, round(min(width, height) / 26))
    font = _font(name + facts, size)
    room = 0.46 * width - 2 * size
    gap = font.getlength("  ")
    if font.getlength(name) + gap + font.getlength(facts) > room and facts:
        # Without room for both, the name matters more.
        facts = facts if font.getlength(facts) + gap < room / 2 else ""
    kept = len(name)
    taken = gap + font.getlength(facts) if facts else 0
    while kept > 4 and font.getlength(_shortened(name, kept)) + taken > room:
        kept -= 1
    name = _shortened(name, kept)
    box = (round(font.getlength(name) + taken + size), round(1.7 * size))
    cover = Image.new("L", box)
    draw = ImageDraw.Draw(cover)
    draw.rounded_rectangle((0, 0, box[0] - 1, box[1] - 1), size // 3, fill=round(255 * _BOX))
    text = Image.new("L", box)
    draw = ImageDraw.Draw(text)
    middle = box[1] / 2
    draw.text((size / 2, middle), name, fill=255, font=font, anchor="lm")
    if facts:
        place = size / 2 + font.getlength(name) + gap
        draw.text((place, middle), facts, fill=190, font=font, anchor="lm")
    ink = torch.from_numpy(np.array(text)).float()[None] / 255
    dark = torch.from_numpy(np.array(cover)).float()[None] / 255
    # Where there is ink, the label hides all; the box alone hides a part.
    return Label(color=white * ink, cover=torch.maximum(dark, (ink * 4).clamp(max=1)))


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Find a font with all letters of a text; where there is none, boxes stand for the others."""
    own = ImageFont.load_default(size)
    assert isinstance(own, ImageFont.FreeTypeFont)
    if _has_letters(own, text):
        return own
    for name in _FONTS:
        with contextlib.suppress(OSError):
            font = ImageFont.truetype(name, size)
            if _has_letters(font, text):
                return font
    return own


def _has_letters(font: ImageFont.FreeTypeFont, text: str) -> bool:
    missing = bytes(font.getmask(_NO_LETTER))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text) - {" "})


def _shortened(name: str, kept: int) -> str:
    if kept >= len(name):
        return name
    return f"{name[: kept - kept // 2]}...{name[len(name) - kept // 2 :]}"


def write(picture: Tensor, label: Label, *, right: bool) -> None:
    """Write a label into an upper corner of (3, H, W), in place."""
    height, width = label.color.shape[-2:]
    off = height // 3
    left = picture.shape[-1] - width - off if right else off
    place = picture[:, off : off + height, left : left + width]
    cut = (slice(None), slice(place.shape[-2]), slice(place.shape[-1]))
    place.mul_(1 - label.cover[cut]).add_(label.color[cut] * label.cover[cut])


def _draw_line(picture: Tensor, at: int) -> None:
    """Draw a white line between dark ones, left of column `at` and right of it."""
    thick = max(1, picture.shape[-1] // 960)
    picture[..., max(0, at - 2 * thick) : at + 2 * thick] = 0.1
    picture[..., max(0, at - thick) : at + thick] = 0.9


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


_SD_HD = (1, 2, 5, 6, 7)  # primaries by ITU-T H.273
# BT.2408: white of graphics in HDR, as a share of the signal in PQ and in HLG.
_GRAPHICS_WHITE = {16: 0.58, 18: 0.75}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filmed:
    """What came of a split-screen film.

    Attributes:
        path: The file.
        frames: In it.
        size: (width, height).
        notes: What could not be kept or was made smaller, as sentences.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A frame, (3, height, width) of a cell, 0 to 1; seconds since the film's first frame."""

    rgb: Tensor
    seconds: Fraction
    pts: int
    duration: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What is decided before the first frame."""

    films: tuple[SourceInfo, ...]
    target: Path
    start: Fraction
    divider: Divider
    canvas: Canvas
    plan: EncodePlan
    layout: ColorLayout
    streams: tuple[StreamPlan, ...]
    time_range: TimeRange | None


def film(
    reference: str | os.PathLike[str],
    outputs: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    start: Fraction = Fraction(0),
    divider: Divider = "moving",
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda frames: None,
) -> Filmed:
    """Write films on one screen as a film, verified before it gets its name.

    Two share the picture, left and right of a divider; more stand in a grid. What is shown together
    is what players would show at the same time. Frames, times, sound and all other streams are
    those of the reference, as far as all films reach. Memory does not grow with their length.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: What is held against it.
        target: A video file; its extension is the container.
        start: Where in the reference the outputs begin, in seconds, if they are a part of it.
        divider: Whether the divider moves to and fro; of two films.
        overwrite: Replace the target if it exists.
        progress: Told the number of frames written.

    Raises:
        ConfigError: There is nothing to compare.
        MediaError: A film cannot be decoded, the films' colours do not go together, or the target
            cannot be written or is not what it should be.
    """
    if not outputs:
        raise ConfigError("compare wants a reference and at least one output")
    job = _plan([probe(os.fspath(path)) for path in (reference, *outputs)], target, start=start,
                divider=divider, overwrite=overwrite)  # fmt: skip
    with tempfile.TemporaryDirectory(dir=job.target.parent, prefix=".vsr-film-") as folder:
        piece, joined = Path(folder) / "piece", Path(folder) / "joined"
        marks, ended = _write_piece(job, piece, progress)
        if not marks:
            raise DecodeError(job.films[0].path, "no frame of it is shown together with the others")
        job = replace(job, time_range=_cut_short(job.time_range, marks, ended))
        with Writer(
            job.films[0],
            job.target,
            job.plan,
            job.streams,
            time_range=job.time_range,
            partial=joined,
        ) as writer:
            writer.join([piece])
            notes = (*_notes(job), *writer.warnings, *_check(job, joined, marks))
            writer.publish(overwrite=overwrite)
    return Filmed(path=job.target, frames=len(marks), size=job.canvas.size, notes=notes)


def _plan(
    films: Sequence[SourceInfo],
    target: str | os.PathLike[str],
    *,
    start: Fraction,
    divider: Divider,
    overwrite: bool,
) -> _Job:
    for info in films:
        kind = check_target(info.path, target, overwrite=overwrite)
    if kind.muxer == PICTURES:
        raise ConfigError(
            f"--video wants the name of a video file, such as film.mp4; got '{target}'"
        )
    _check_colors(films, kind.pattern)
    canvas = make_canvas([shown_size(info.video) for info in films])
    decode = DecodeOptions(start=start)
    with Decoder(films[0], decode) as decoder:
        time_base, rate = decoder.time_base, decoder.frame_rate
        kept = kept_range(decoder, decode, kind.muxer)
    richest, planes = max(
        ((info, _planes_of(info)) for info in films),
        key=lambda pair: (pair[1].chroma != "gray", pair[1].bit_depth),
    )
    video = replace(richest.video, rotation=0, display_matrix=None)
    plan = plan_encoding(
        replace(richest, video=video),
        kind.pattern,
        width=canvas.size[0],
        height=canvas.size[1],
        time_base=time_base,
        frame_rate=rate,
        sample_aspect_ratio=None,
        plane_format=planes,
    )
    layout, _ = color_layout(richest, plan.planes, color=plan.color, siting=plan.chroma_siting)
    time_range = output_range(films[0], plan, kept)
    begins = time_range.start if time_range else Fraction(0)
    return _Job(
        films=tuple(films),
        target=kind.pattern,
        start=start,
        divider=divider,
        canvas=canvas,
        plan=plan,
        layout=layout,
        streams=plan_streams(films[0], kind.pattern, begins=begins),
        time_range=time_range,
    )


def _planes_of(info: SourceInfo) -> PlaneFormat:
    with Decoder(info) as decoder:
        return decoder.format


def _check_colors(films: Sequence[SourceInfo], target: Path) -> None:
    """Refuse films that one file cannot show in their own colours.

    Raises:
        EncodeError: Naming them.
    """
    kinds = {info.path: _kind(info.video.color) for info in films}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"'{path}' {kind}" for path, kind in kinds.items())
        raise EncodeError(
            target,
            f"one film shows one kind of colour, and these differ ({found}); bring them to the "
            "same first, or compare them on a page with --output",
        )


def _kind(color: ColorTags) -> str:
    """Tell apart what looks wrong under another's tags; the primaries of SD and HD do not."""
    apart = color.transfer in (*HDR_TRANSFERS, LINEAR)
    transfer = TRANSFER_NAMES[color.transfer] if apart else "SDR"
    wide = PRIMARIES_NAMES.get(color.primaries, str(color.primaries))
    return f"{transfer}, primaries {'of SD or HD' if color.primaries in _SD_HD else wide}"


def _write_piece(job: _Job, path: Path, progress: Callable[[int], None]) -> tuple[FrameMarks, bool]:
    """Encode all frames; tell also whether another film ended before the reference."""
    marks = FrameMarks(
        job.plan.time_base,
        full_range=job.layout.full_range,
        luma_weights=LUMA_WEIGHTS[job.layout.matrix],
    )
    begun = 0

    def counted() -> Iterator[_Seen]:
        nonlocal begun
        for seen in _read(job, 0):
            begun += 1
            yield seen

    rest = [_read(job, index) for index in range(1, len(job.films))]
    interval = 1 / job.films[0].video.frame_rate
    clock = output_clock(job.plan, job.time_range)
    with PieceWriter(path, job.target, job.plan, clock) as piece:
        for shown in in_step(counted(), rest, interval):
            split = divider_at(shown[0].seconds, job.divider)
            rgb = compose([seen.rgb for seen in shown], job.canvas, split)
            planes = tuple(plane.numpy() for plane in rgb_to_planes(rgb, job.layout))
            pts, duration = shown[0].pts, shown[0].duration
            piece.write(planes, pts, duration)
            marks.add(
                PlanarFrame(planes=planes, format=job.plan.planes, pts=pts, duration=duration)
            )
            progress(len(marks))
        if marks:
            piece.finish()
    return marks, begun > len(marks)


def _read(job: _Job, index: int) -> Iterator[_Seen]:
    """Decode a film by its own tags, upright, scaled into its cell, labelled; one frame is held."""
    info = job.films[index]
    label, right = _label(info, job), len(job.films) == 2 and index == 1
    width, height = shown_size(info.video)
    with Decoder(info, DecodeOptions(start=Fraction(0) if index else job.start)) as decoder:
        layout, _ = color_layout(info, decoder.format)
        origin: Fraction | None = None
        for frame in decoder:
            seconds = frame.pts * decoder.time_base
            origin = seconds if origin is None else origin
            planes = [torch.from_numpy(np.array(plane, order="C")) for plane in frame.planes]
            upright = torch.rot90(planes_to_rgb(planes, layout), info.video.rotation // 90, (1, 2))
            rgb = fit(upright, job.canvas.cell, width / height).clamp(0, 1)
            write(rgb, label, right=right)
            yield _Seen(rgb=rgb, seconds=seconds - origin, pts=frame.pts, duration=frame.duration)


def _label(info: SourceInfo, job: _Job) -> Label:
    """Name a film, its size, and that it was scaled for this."""
    width, height = (round(side) for side in shown_size(info.video))
    scaled = "" if abs(width - job.canvas.cell[0]) <= 2 else ", bicubic"
    white = _GRAPHICS_WHITE.get(job.plan.color.transfer, 1.0)
    return make_label(
        Path(info.path).name, f"{width}x{height}{scaled}", job.canvas.cell, white=white
    )


def _cut_short(time_range: TimeRange | None, marks: FrameMarks, ended: bool) -> TimeRange | None:
    """End the other streams where the last frame ends, if the reference goes on."""
    if not ended:
        return time_range
    stop = marks.seconds(len(marks) - 1) + marks.last_duration * marks.time_base
    return TimeRange(start=time_range.start if time_range else Fraction(0), stop=stop)


def _notes(job: _Job) -> Iterator[str]:
    if job.canvas.shrunk:
        width, height = job.canvas.cell
        yield f"the pictures are shrunk to {width}x{height} each, so that the grid can be played"
    yield from job.plan.warnings
    yield from stream_warnings(job.streams)
    yield from container_warnings(job.films[0], job.target)
    yield from timecode_warnings(job.films[0], job.time_range)
    yield from chapter_warnings(job.films[0], job.plan.muxer, job.time_range)


def _check(job: _Job, written: Path, marks: FrameMarks) -> tuple[str, ...]:
    """Verify what was written against the frames that were composed.

    Raises:
        VerifyError: It is something else.
    """
    found = verify(
        job.films[0].path,
        written,
        Expected(plan=job.plan, streams=job.streams, time_range=job.time_range, marks=marks),
        named=job.target,
    )
    if not found.passed:
        raise VerifyError(job.target, f"is not what was to be written: {'; '.join(found.problems)}")
    return found.warnings
