"""Shared by the parts of `bench.py`: networks, plans, generated footage, tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr.inference.plan import Plan, make_plan
from vsr.inference.runner import LqFrame, computing, upscale
from vsr.models.catalogue import PUBLISHED
from vsr.models.zoo import ARCHITECTURES, ModelInfo, find_model, load_network, published_model
from vsr.ops.color import to_picture
from vsr.options import InferenceOptions

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import golden

CACHE = Path("~/.cache/vsr/frames").expanduser()


def named_network(name: str, device: str = "cpu") -> tuple[ModelInfo, nn.Module, str]:
    """Load a network; return it with the origin of its weights.

    Published ones that were not downloaded get the weights of `tests/golden.py`: enough to measure
    speed, memory and context, not quality.
    """
    if name not in PUBLISHED:
        info = find_model(name)
        return info, cast("nn.Module", load_network(info, device)), name
    info = published_model(name)
    if info.weights is not None and info.weights.is_file():
        return info, cast("nn.Module", load_network(info, device)), f"{name} as published"
    network = ARCHITECTURES[info.architecture](**info.hyper_parameters)
    return info, golden.fill(network, "mmagic").to(device), f"{name}, weights by a formula"


def plan_for(info: ModelInfo, height: int, width: int, **options: Any) -> Plan:  # noqa: ANN401
    """The plan of `vsr enhance`."""
    return make_plan(height, width, InferenceOptions(**options), info.facts)


def run_frames(network: object, lq: Tensor, plan: Plan) -> NDArray[np.uint8]:
    """Run (T, 3, H, W) through the runner; (T, H, W, 3), uint8."""
    frames = (LqFrame(source=None, lq=x.to(plan.device), pts=i) for i, x in enumerate(lq))
    with torch.inference_mode():
        done = upscale(frames, network, plan, warn=print)  # type: ignore[arg-type]
        return np.stack([to_picture(frame.sr) for frame in done])


def autocast(plan: Plan) -> AbstractContextManager[None]:
    """Precision as in the runner."""
    return computing(plan.precision, torch.device(plan.device))


def decibels(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """PSNR over all channels; infinite if equal."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def moving_frames(count: int, width: int = 160, height: int = 90) -> Iterator[NDArray[np.uint8]]:
    """A pan over a photograph and back."""
    from skimage import data

    picture = data.coffee()
    for index in range(count):
        right, down = picture.shape[1] - width, picture.shape[0] - height
        x, y = abs(3 * index % (2 * right) - right), abs(index % (2 * down) - down)
        yield np.ascontiguousarray(picture[y : y + height, x : x + width])


def write_video(
    path: Path, frames: Sequence[NDArray[np.uint8]], rate: Fraction, codec: str = "libx264"
) -> None:
    """Write RGB frames as a video."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p" if codec == "ffv1" else "yuv420p"
        for picture in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("| " + " | ".join(cells) + " |")
