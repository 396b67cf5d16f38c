"""Where films stand on a shared picture: halves with a divider, or a grid; and their labels."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vsr.media.probe import VideoInfo
from vsr.ops.resize import resize

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
