"""Films on one screen, as a film: canvas, labels, and the sound of the first."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count, repeat
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsr.color import HDR_TRANSFERS, LINEAR, LUMA_WEIGHTS, PRIMARIES_NAMES, TRANSFER_NAMES
from vsr.data.pictures import color_layout
from vsr.errors import ConfigError, DecodeError, EncodeError, VerifyError
from vsr.media.clock import kept_range, output_clock, output_range, timecode_warnings
from vsr.media.collage import Collage
from vsr.media.containers import PICTURES, check_target
from vsr.media.copying import TimeRange, chapter_warnings
from vsr.media.decode import Decoder
from vsr.media.encode import plan_encoding
from vsr.media.filters import upright_chain
from vsr.media.mux import Writer
from vsr.media.pieces import PieceWriter
from vsr.media.probe import SourceInfo, probe
from vsr.media.streams import StreamPlan, container_warnings, plan_streams, stream_warnings
from vsr.media.types import EncodePlan, FrameMarks
from vsr.media.verify import Expected, verify
from vsr.ops.color import ColorLayout
from vsr.options import DecodeOptions
from vsr.report.facts import shown_size
from vsr.report.measure import in_step, timed

Divider = Literal["moving", "fixed"]

# The divider goes there and back in so many seconds, this far to either side of the middle.
SWEEP_SECONDS = 8
SWEEP = 0.35
# A grid of large films is shrunk to this: UHD, which players and x264 take everywhere.
GRID_PIXELS = 3840 * 2160
_WIDE = 16 / 9
# Instead of bars of less than this share of a side the picture is stretched.
_SAME_SHAPE = 0.02
_BOX = 0.62  # how dark the box behind a label is
# Pillow's own font is ASCII only; otherwise the first of these that has all letters.
_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf",
    "Arial.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msgothic.ttc",
)  # fmt: skip
_NO_LETTER = "\uffff"
_SD_HD = (1, 2, 5, 6, 7)  # primaries by ITU-T H.273, too alike to look wrong
# BT.2408: white of graphics in HDR, as a share of the signal in PQ and in HLG.
_GRAPHICS_WHITE = {16: 0.58, 18: 0.75}


@dataclass(frozen=True, kw_only=True, slots=True)
class Filmed:
    """The finished split-screen film.

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
        outputs: What it is compared with.
        target: A video file; its extension is the container.
        start: Where in the reference the outputs begin, in seconds, if they are a part of it.
        divider: Whether the divider of two films moves to and fro.
        overwrite: Replace the target if it exists.
        progress: Called with the number of frames written.

    Raises:
        ConfigError: There is nothing to compare.
        MediaError: A film cannot be decoded, the films' colours do not go together, or the target
            cannot be written or does not pass verification.
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
        if ended:
            # The reference goes on; its other streams end where the last frame ends.
            stop = marks.seconds(len(marks) - 1) + marks.last_duration * marks.time_base
            begins = job.time_range.start if job.time_range else Fraction(0)
            job = replace(job, time_range=TimeRange(start=begins, stop=stop))
        with Writer(job.films[0], job.target, job.plan, job.streams, time_range=job.time_range,
                    partial=joined) as writer:  # fmt: skip
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
    richest = max(films, key=lambda f: (not f.video.pix_fmt.startswith("gray"), f.video.bit_depth))
    with Decoder(richest) as decoder:
        planes = decoder.format
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


def _check_colors(films: Sequence[SourceInfo], target: Path) -> None:
    """Refuse films that one file cannot show in their own colours.

    Raises:
        EncodeError: Naming them.
    """
    kinds = {}
    for info in films:
        color = info.video.color
        apart = color.transfer in (*HDR_TRANSFERS, LINEAR)
        transfer = TRANSFER_NAMES[color.transfer] if apart else "SDR"
        wide = PRIMARIES_NAMES.get(color.primaries, str(color.primaries))
        kinds[info.path] = (
            f"{transfer}, primaries {'of SD or HD' if color.primaries in _SD_HD else wide}"
        )
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"'{path}' {kind}" for path, kind in kinds.items())
        raise EncodeError(
            target,
            f"one film shows one kind of colour, and these differ ({found}); bring them to the "
            "same first, or compare them on a page with --output",
        )


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
    shrunk: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.cell[0] * self.columns, self.cell[1] * self.rows


def make_canvas(sizes: Sequence[tuple[Fraction, Fraction]]) -> Canvas:
    """Plan for films of these shown sizes, (width, height), two at least.

    The largest film is shown at its size; the others are scaled to it. A grid has the number of
    columns that makes it most nearly 16:9.
    """
    width, height = (float(side) for side in max(sizes, key=math.prod))
    count = len(sizes)
    if count == 2:
        return Canvas(cell=(_even(width), _even(height)), columns=1, rows=1)
    shapes = {n: n * width / (math.ceil(count / n) * height) for n in range(1, count + 1)}
    columns = min(shapes, key=lambda n: abs(math.log(shapes[n] / _WIDE)))
    rows = math.ceil(count / columns)
    factor = min(1.0, math.sqrt(GRID_PIXELS / (width * columns * height * rows)))
    cell = (_even(width * factor), _even(height * factor))
    return Canvas(cell=cell, columns=columns, rows=rows, shrunk=factor < 1)


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def fitted(cell: tuple[int, int], shape: Fraction) -> tuple[int, int]:
    """(width, height) at which a picture of this shape, width by height, fits into a cell."""
    width, height = cell
    ratio = float(shape) * height / width
    if ratio > 1 + _SAME_SHAPE:
        return width, _even(height / ratio)
    return (_even(width * ratio), height) if ratio < 1 - _SAME_SHAPE else cell


def _write_piece(job: _Job, path: Path, progress: Callable[[int], None]) -> tuple[FrameMarks, bool]:
    """Encode all frames; the flag says whether another film ended before the reference."""
    marks = FrameMarks(
        job.plan.time_base,
        full_range=job.layout.full_range,
        luma_weights=LUMA_WEIGHTS[job.layout.matrix],
    )
    collage = _collage(job)
    films = [
        timed(info, DecodeOptions(start=start, filter_chain=_into_cell(job, info, collage)))
        for info, start in zip(job.films, chain([job.start], repeat(Fraction(0))), strict=False)
    ]
    drawn = count()
    reference = (shown for shown, _ in zip(films[0], drawn, strict=False))
    interval = 1 / job.films[0].video.frame_rate
    clock = output_clock(job.plan, job.time_range)
    with PieceWriter(path, job.target, job.plan, clock) as piece:
        for shown in in_step(reference, films[1:], interval):
            frame = shown[0].frame
            ticks = frame.pts - marks.pts[0] if marks else 0
            planes = collage([each.frame for each in shown], ticks)
            piece.write(planes, frame.pts, frame.duration)
            marks.add(replace(frame, planes=planes, format=job.plan.planes))
            progress(len(marks))
        if marks:
            piece.finish()
    return marks, next(drawn) > len(marks)


def _into_cell(job: _Job, info: SourceInfo, collage: Collage) -> str:
    """Filters that turn a film upright, scale it into its cell and convert its colours."""
    shown = shown_size(info.video)
    width, height = fitted(job.canvas.cell, shown[0] / shown[1])
    own, _ = color_layout(info, job.plan.planes)
    parts = [f"scale={width}:{height}:{collage.colors}:in_color_matrix={own.matrix}"]
    if info.video.display_matrix:
        parts.insert(0, upright_chain(info.video.display_matrix) or "null")
    if (width, height) != job.canvas.cell:
        parts.append("pad={}:{}:(ow-iw)/2:(oh-ih)/2".format(*job.canvas.cell))
    return ",".join((*parts, f"format={collage.pix_fmt}"))


def _collage(job: _Job) -> Collage:
    """Films side by side, lines between them, and the label of each."""
    canvas, two = job.canvas, len(job.films) == 2
    (width, height), size = canvas.cell, canvas.size
    collage = Collage(job.plan, job.layout.matrix, full_range=job.layout.full_range)
    films = [collage.film(width, height) for _ in job.films]
    places = [(index % canvas.columns * width, index // canvas.columns * height)
              for index in range(len(films))]  # fmt: skip
    columns = [str(column * width) for column in range(1, canvas.columns)]
    if two:
        places = [(0, 0)] * 2
        share = f"{SWEEP}*sin(2*PI*t/{SWEEP_SECONDS})" if job.divider == "moving" else "0"
        columns = [f"2*round({width}*(0.5+{share})/2)"]
        wide = collage.add("pad=2*iw:ih", films[1])
        right = collage.add(f"crop=iw/2:ih:{columns[0]}:0", wide)
        end = collage.over(films[0], right, columns[0], "0")
    else:
        layout = "|".join(f"{x}_{y}" for x, y in places)
        end = collage.add(f"xstack={len(films)}:{layout}:fill=black", *films)
    thick = max(1, size[0] // 960)
    line = np.full((size[1], 4 * thick, 4), 26, np.uint8)
    line[:, thick : 3 * thick] = 230
    line[..., 3] = 255
    for column in columns:
        end = collage.over(end, collage.picture(line), f"{column}-{2 * thick}", "0")
    across = line[:1].transpose(1, 0, 2).repeat(size[0], 1)
    for row in range(1, canvas.rows):
        end = collage.over(end, collage.picture(across), "0", f"{row * height}-{2 * thick}")
    for index, (info, (left, top)) in enumerate(zip(job.films, places, strict=True)):
        shown = [round(side) for side in shown_size(info.video)]
        facts = f"{shown[0]}x{shown[1]}" + ", bicubic" * (abs(shown[0] - width) > 2)
        white = _GRAPHICS_WHITE.get(job.plan.color.transfer, 1.0)
        label = np.array(make_label(Path(info.path).name, facts, canvas.cell, white=white))
        off = label.shape[0] // 3
        left = width - label.shape[1] - off if two and index else left + off
        end = collage.over(end, collage.picture(label), f"{left}", f"{top + off}")
    collage.end(end)
    return collage


def make_label(name: str, facts: str, cell: tuple[int, int], *, white: float) -> Image.Image:
    """A label: the name, and facts in a softer tone; a long name is cut in its middle.

    Args:
        name, facts: Its text.
        cell: (width, height) of the picture it goes on; it takes less than half of the width.
        white: Its brightness, 0 to 1: a full white would glare in HDR.

    Returns:
        RGBA.
    """
    size = max(11, round(min(cell) / 26))
    font = _font(name + facts, size)
    room = 0.46 * cell[0] - 2 * size
    gap = font.getlength("  ")
    if font.getlength(name) + gap + font.getlength(facts) > room:
        # Without room for both, the name matters more.
        facts = facts if font.getlength(facts) + gap < room / 2 else ""
    beside = gap + font.getlength(facts) if facts else 0
    text, kept = name, len(name)
    while kept > 4 and font.getlength(text) + beside > room:
        kept -= 1
        text = f"{name[: kept - kept // 2]}...{name[len(name) - kept // 2 :]}"
    width, height = round(font.getlength(text) + beside + size), round(1.7 * size)
    label = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(label)
    shade = (0, 0, 0, round(255 * _BOX))
    draw.rounded_rectangle((0, 0, width - 1, height - 1), size // 3, fill=shade)
    for left, words, tone in ((0, text, 255), (font.getlength(text) + gap, facts, 190)):
        ink = (*[round(tone * white)] * 3, 255)
        draw.text((size / 2 + left, height / 2), words, fill=ink, font=font, anchor="lm")
    return label


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font with all letters of a text, if one is found; other letters are shown as boxes."""
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
        VerifyError: It differs.
    """
    found = verify(
        job.films[0].path,
        written,
        Expected(plan=job.plan, streams=job.streams, time_range=job.time_range, marks=marks),
        named=job.target,
    )
    if not found.passed:
        raise VerifyError(job.target, f"did not pass verification: {'; '.join(found.problems)}")
    return found.warnings
