"""Contact sheets of a model, one JPEG per clip, to be looked at in full size.

    python scripts/sheets.py compact-x4-real --data FOLDER --output sheets
    python scripts/sheets.py compact-x4-real --films FOLDER --output sheets

--data: videos taken as the truth; a row for each of the eight named degradations of whole frames:
input enlarged without interpolation, bicubic, model, truth, around the most detailed place.
--films: footage as it is; a row for each of three moments, without truth. For models that keep the
size there is no column of bicubic. The network sees the crop and a margin around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from measuring import CACHE, plan_for, run_frames
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.clips import Clip
from vsr.data.datasets import to_clip, truth
from vsr.data.footage import CASES, Case, named_film
from vsr.data.layouts import open_training
from vsr.evaluation.metrics import luma
from vsr.models.zoo import find_model, load_network
from vsr.ops.color import to_picture
from vsr.ops.resize import resize

GAP, CAPTION, QUALITY = 4, 20, 92
MOMENTS = (0.25, 0.5, 0.75)

Picture = NDArray[np.uint8]
Row = dict[str, Picture]


def main(
    model: tyro.conf.Positional[str],
    *,
    output: Path,
    data: Path | None = None,
    films: Path | None = None,
    degradations: tuple[Case, ...] = CASES,
    frames: int = 16,
    side: int = 240,
    at: tuple[float, float] | None = None,
    cache: Path = CACHE,
) -> None:
    """Write CLIP-MODEL.jpg for each clip.

    Args:
        model: Name or weight file.
        output: Folder of the sheets; made if need be.
        data: Folder of videos, taken as the truth.
        films: Folder of videos to enhance as they are.
        degradations: Rows of the sheets of `data`.
        frames: That the network gets for one picture: of `data` the first, of `films` those around
            a moment; shown is the middle one.
        side: Of each crop, pixels of the output.
        at: Middle of the crops as shares of height and width, 0 0 to 1 1; by default where the
            most detail is.
        cache: Where decoded frames are kept.
    """
    if data is None and films is None:
        raise SystemExit("give --data FOLDER, --films FOLDER or both")
    crops = Crops(model, side, at)
    output.mkdir(parents=True, exist_ok=True)
    for clip in [] if data is None else open_training(data, cache):
        save(output, clip, crops, degraded(crops, clip, degradations, frames))
    for clip in [] if films is None else open_training(films, cache):
        save(output, clip, crops, as_they_are(crops, clip, frames))


class Crops:
    """A model, and how much of its pictures is shown.

    Args:
        model: Name or weight file.
        side: Of the crops, rounded down to a multiple of the scale.
        at: Their middle, as shares of height and width; None for the most detailed place.

    Attributes:
        name: For captions and files.
        scale: Of the model.
        low: Side of the crops of its input.
    """

    def __init__(self, model: str, side: int, at: tuple[float, float] | None = None) -> None:
        self.info = find_model(model)
        self.scale = self.info.scale
        self.low = max(1, side // self.scale)
        self.name = Path(model).stem
        self.at = at
        self.network = load_network(self.info, plan_for(self.info, self.low, self.low).device)

    def around(self, lq: Tensor, place: tuple[int, int]) -> Row:
        """Cut the middle frame of a film (T, 3, h, w), as it is and enlarged.

        Args:
            lq: The film.
            place: Top and left of the crop.
        """
        margin = self.info.facts.margin
        starts = [max(0, at - margin) for at in place]
        cut = lq[..., starts[0] : place[0] + self.low + margin, :]
        cut = cut[..., starts[1] : place[1] + self.low + margin].contiguous()
        height, width = cut.shape[-2:]
        sr = run_frames(self.network, cut, plan_for(self.info, height, width))
        middle, scale = len(lq) // 2, self.scale
        still = cut[middle]
        found = {
            "input": to_picture(still).repeat(scale, axis=0).repeat(scale, axis=1),
            "bicubic": to_picture(resize(still, height * scale, width * scale)),
            self.name: sr[middle],
        }
        if scale == 1:
            del found["bicubic"]
        top, left = (scale * (at - start) for at, start in zip(place, starts, strict=True))
        return {name: self.part(x, top, left) for name, x in found.items()}

    def place(self, picture: Picture) -> tuple[int, int]:
        """Choose top and left of the crop of a picture of the input's size."""
        if self.at is None:
            return most_detailed(picture, self.low)
        top, left = (
            min(max(0, round(share * size - self.low / 2)), max(0, size - self.low))
            for share, size in zip(self.at, picture.shape[:2], strict=True)
        )
        return top, left

    def part(self, picture: Picture, top: int, left: int) -> Picture:
        """Cut a crop out of a picture of the output's size."""
        side = self.low * self.scale
        return picture[top : top + side, left : left + side]


def degraded(crops: Crops, clip: Clip, cases: Sequence[Case], frames: int) -> dict[str, Row]:
    """A row for each degradation, around the place where the truth has the most detail."""
    gt = truth(clip, frames=frames, scale=crops.scale)
    small = to_picture(resize(gt[len(gt) // 2], *(x // crops.scale for x in gt.shape[-2:])))
    place = crops.place(small)
    rows = {}
    for case in cases:
        lq, shown = named_film(gt, crops.scale, case)
        true = to_picture(shown[len(gt) // 2])
        top, left = (crops.scale * at for at in place)
        rows[case] = {**crops.around(lq, place), "truth": crops.part(true, top, left)}
    return rows


def as_they_are(crops: Crops, clip: Clip, frames: int) -> dict[str, Row]:
    """A row for each of three moments, around the most detailed place of the input."""
    rows, count = {}, len(clip.frames)
    for moment in (int(share * count) for share in MOMENTS):
        # The film on either side of a cut does not belong here.
        first = max([0, moment - frames // 2, *(cut for cut in clip.cuts if cut <= moment)])
        last = min([count, first + frames, *(cut for cut in clip.cuts if cut > moment)])
        lq = to_clip(clip.frames[slice(first, last),])
        place = crops.place(to_picture(lq[len(lq) // 2]))
        rows[f"frame {first + len(lq) // 2}"] = crops.around(lq, place)
    return rows


def most_detailed(picture: Picture, side: int) -> tuple[int, int]:
    """Find the square with the steepest luma all in all; its top and left."""
    slopes = np.hypot(*np.gradient(luma(picture)))
    sums = cv2.integral(slopes)
    height, width = (min(side, size) for size in slopes.shape)
    inside = sums[height:, width:] - sums[:-height, width:]
    inside -= sums[height:, :-width] - sums[:-height, :-width]
    top, left = np.unravel_index(np.argmax(inside), inside.shape)
    return int(top), int(left)


def sheet(rows: dict[str, Row]) -> Picture:
    """Put rows below each other, each crop below its caption."""
    lines = []
    for label, row in rows.items():
        names = [f"{label}: {name}" if i == 0 else name for i, name in enumerate(row)]
        cells = [captioned(x, name) for x, name in zip(row.values(), names, strict=True)]
        lines.append(np.hstack(cells))
    return np.vstack(lines)


def captioned(picture: Picture, caption: str) -> Picture:
    """Write what a picture is above it; a gap right and below."""
    framed = np.pad(picture, ((CAPTION, GAP), (0, GAP), (0, 0)))
    place, white = (3, CAPTION - 6), (255, 255, 255)
    cv2.putText(framed, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, white, 1, cv2.LINE_AA)
    return framed


def save(folder: Path, clip: Clip, crops: Crops, rows: dict[str, Row]) -> None:
    """Write CLIP-MODEL.jpg."""
    path, picture = folder / f"{Path(clip.name).stem}-{crops.name}.jpg", sheet(rows)
    written = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), written, [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise SystemExit(f"'{path}' could not be written; is its disk full?")
    print(f"{path}: {picture.shape[1]}x{picture.shape[0]}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
