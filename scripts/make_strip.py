"""Make samples/film-1940.jpg: a face of an old film in strong compression, bicubic and enhanced.

    python scripts/make_strip.py [--model NAME]

samples/film-1940.mp4 is a second and a half of "His Girl Friday" (1940), which is in the public
domain, packet for packet as MDN's repository of shared assets holds it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import enhance

SAMPLE = Path(__file__).parents[1] / "samples" / "film-1940.mp4"
FIRST_SECONDS = "0.6"
FRAME = 11
LEFT, TOP, WIDTH, HEIGHT = 1480, 40, 640, 680


def enhanced(model: str) -> NDArray[np.uint8]:
    """The part of the frame that is shown, at four times the size."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mkv"
        encode = EncodeOptions(codec="ffv1")
        chosen = EnhanceOptions(model=model, scale=4, duration=FIRST_SECONDS, encode=encode)
        enhance(SAMPLE, target, chosen)
        with av.open(str(target)) as file:
            for index, frame in enumerate(file.decode(video=0)):
                if index == FRAME:
                    picture = frame.to_ndarray(format="bgr24")
                    return np.ascontiguousarray(picture[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH])
    raise SystemExit(f"{SAMPLE} has no frame {FRAME}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="compact-x4-real")
    parser.add_argument("--output", type=Path, default=SAMPLE.with_suffix(".jpg"))
    arguments = parser.parse_args()
    columns = []
    for label, model in (("bicubic", "bicubic"), ("vsr", arguments.model)):
        part = enhanced(model)
        cv2.rectangle(part, (0, 0), (16 + 18 * len(label), 36), (0, 0, 0), -1)
        cv2.putText(part, label, (8, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2, 16)
        columns.append(part)
    cv2.imwrite(str(arguments.output), np.concatenate(columns, axis=1))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
