"""Write a picture per clip: input, bicubic, enhanced and truth of the middle frame.

python scripts/clip_strips.py FOLDER --model compact-x4 --output strips
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch.nn.functional as F
from measuring import CACHE
from numpy.typing import NDArray
from torch import Tensor

import vsr
from vsr.data.clips import Clip
from vsr.data.datasets import truth
from vsr.data.layouts import open_training
from vsr.data.real import degrade_clip
from vsr.ops.color import to_picture


def columns(clip: Clip, arguments: argparse.Namespace) -> dict[str, Tensor]:
    """Middle frame of each kind, (3, H, W), 0 to 1, all of the truth's size."""
    scale = vsr.load_model(arguments.model).scale
    gt = truth(clip, frames=arguments.frames, scale=scale)
    lq = degrade_clip(gt, scale, arguments.degradation, name=clip.name)
    middle = len(gt) // 2
    size = gt.shape[-2:]

    def enhanced(model: str) -> Tensor:
        made = vsr.enhance_frames(list(lq), model, height=size[0], width=size[1], cuts=())
        return list(made)[middle]

    return {
        "input": F.interpolate(lq[middle, None], size=size)[0],
        "bicubic": enhanced("bicubic"),
        arguments.model: enhanced(arguments.model),
        "truth": gt[middle],
    }


def labelled(label: str, picture: Tensor, side: int) -> NDArray[np.uint8]:
    """Crop the middle of a picture and label it; BGR."""
    height, width = picture.shape[-2:]
    y, x = max(0, (height - side) // 2), max(0, (width - side) // 2)
    part = picture[:, y : y + side, x : x + side]
    image = to_picture(part)[..., ::-1].copy()
    cv2.rectangle(image, (0, 0), (10 + 9 * len(label), 20), (0, 0, 0), -1)
    cv2.putText(image, label, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, 16)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of videos, used as truth")
    parser.add_argument("--model", default="compact-x4")
    parser.add_argument("--degradation", choices=("bicubic", "bd", "real"), default="bicubic")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--side", type=int, default=240, help="of each crop, pixels of the truth")
    parser.add_argument("--output", type=Path, required=True, help="folder for CLIP.jpg")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for clip in open_training(arguments.data, arguments.cache):
        parts = [labelled(*item, arguments.side) for item in columns(clip, arguments).items()]
        path = arguments.output / f"{Path(clip.name).stem}-{arguments.model}.jpg"
        cv2.imwrite(str(path), np.concatenate(parts, axis=1), [cv2.IMWRITE_JPEG_QUALITY, 92])
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
