"""Make samples/street.jpg: a frame of the sample, bicubic, enhanced, and the truth.

python scripts/make_sample.py --truth truth
python scripts/make_strip.py --truth truth
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.options import EnhanceOptions
from vsr.pipeline import enhance

SAMPLE = Path(__file__).parents[1] / "samples" / "street.mp4"


def frame_of(path: Path, number: int) -> NDArray[np.uint8]:
    with av.open(str(path)) as file:
        for index, frame in enumerate(file.decode(video=0)):
            if index == number:
                return frame.to_ndarray(format="bgr24")
    raise SystemExit(f"{path} has no frame {number}")


def enhanced(model: str, number: int) -> NDArray[np.uint8]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        enhance(SAMPLE, target, EnhanceOptions(model=model))
        return frame_of(target, number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True, help="from make_sample.py --truth")
    parser.add_argument("--frame", type=int, default=12)
    parser.add_argument("--crop", type=int, nargs=4, default=(470, 130, 300, 330))
    parser.add_argument("--model", default="compact-x4-real")
    parser.add_argument("--output", type=Path, default=SAMPLE.with_suffix(".jpg"))
    arguments = parser.parse_args()
    x, y, width, height = arguments.crop
    truth = cv2.imread(str(arguments.truth / f"{arguments.frame:06d}.png"))
    columns = []
    for label, picture in (
        ("bicubic", enhanced("bicubic", arguments.frame)),
        ("vsr", enhanced(arguments.model, arguments.frame)),
        ("truth", truth),
    ):
        part = np.ascontiguousarray(picture[y : y + height, x : x + width])
        cv2.rectangle(part, (0, 0), (12 + 13 * len(label), 26), (0, 0, 0), -1)
        cv2.putText(part, label, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.65, (255, 255, 255), 1, 16)
        columns.append(part)
    cv2.imwrite(str(arguments.output), np.concatenate(columns, axis=1))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
