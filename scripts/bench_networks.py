"""The parts of `bench.py` about published networks: speed and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch
from measuring import moving_frames, named_network, plan_for, table
from torch import Tensor, nn
from whole_clip import whole_clip

from vsr.inference.plan import describe, estimate_bytes
from vsr.inference.runner import LqFrame, upscale
from vsr.ops.deform import deform_conv_plain, torchvision_operator

Way = Literal["published", "fp32", "bf16", "fp16"]
_MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run in its own process.

    Attributes:
        model: A published name.
        way: The whole clip at once as published, or streamed in a precision.
        frames, height, width: Of the clip.
        window, lookahead, tile: Of the stream.
    """

    model: str
    way: Way
    frames: int
    height: int
    width: int
    window: int
    lookahead: int
    tile: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Cost of a run: wall and processor seconds, MiB resident before and at the peak."""

    wall: float
    processor: float
    before: float
    peak: float


def published(
    *,
    models: tuple[str, ...] = ("basicvsr-reds4", "basicvsr-pp-reds4"),
    frames: tuple[int, ...] = (6, 9),
    ways: tuple[Way, ...] = ("published", "fp32", "bf16"),
    window: int = 2,
    lookahead: int = 1,
) -> None:
    """Print speed and peak memory, streamed and as published, on the CPU at 320x180.

    Args:
        models: Published names.
        frames: Lengths of the clips; seconds are of the last.
        ways: The whole clip as published, or streamed in a precision.
        window, lookahead: Of the stream. The defaults of the networks have the same ratio, so the
            same work per frame, and need longer clips.
    """
    for model in models:
        _, network, said = named_network(model)
        lq = clip(3, 64, 80)
        with torch.inference_mode():
            streamed = network(lq)[0]
            off = (streamed - whole_clip(contiguous(network), lq)).abs().max()
        rows = []
        for way in ways:
            runs = [
                Run(
                    model=model,
                    way=way,
                    frames=count,
                    height=180,
                    width=320,
                    window=window,
                    lookahead=lookahead,
                )
                for count in frames
            ]
            found = [alone(run) for run in runs]
            each = [f"{x / frames[-1]:.2f} s" for x in (found[-1].processor, found[-1].wall)]
            peaks = [f"{taken.peak:.0f} MiB" for taken in found]
            rows.append((f"streamed, {way}" if way != "published" else way, *each, *peaks))
        head = ("", "processor, a frame", "wall, a frame")
        table((*head, *(f"peak, {count} frames" for count in frames)), rows)
        print(f"\n{said}, 320x180, windows of {window} and {lookahead} ahead")
        print(f"largest difference of the two on one clip in fp32: {off:.1e}\n")


def deform() -> None:
    """Print difference and speed of torchvision's deformable convolution and the plain one."""
    operator = torchvision_operator("cpu")
    if operator is None:
        print("not measured: no torchvision that works with this torch")
        return
    torch.manual_seed(0)
    shapes = ((1, 128, 90, 160), (1, 288, 90, 160), (1, 144, 90, 160), (64, 128, 3, 3), (64,))
    given = [torch.randn(shape) for shape in shapes]
    given[3] /= 34
    rows, outputs = [], []
    with torch.inference_mode():
        for name, function in (("plain torch", deform_conv_plain), ("torchvision", operator)):
            outputs.append(function(*given))
            begin = time.process_time()
            for _ in range(4):
                function(*given)
            rows.append((name, f"{(time.process_time() - begin) / 4 * 1000:.0f} ms"))
    table(("128 channels, 160x90, CPU", "processor"), rows)
    print(f"\nlargest difference {(outputs[0] - outputs[1]).abs().max():.1e}")


def limits(
    *,
    model: str = "basicvsr-reds4",
    mebibytes: tuple[int, ...] = (60, 120, 240),
    height: int = 54,
    width: int = 96,
) -> None:
    """Print plan and memory taken under growing `--memory-limit`.

    Args:
        model: A name.
        mebibytes: Limits.
        height, width: Of the frames.
    """
    info, _, said = named_network(model)
    rows = []
    for limit in mebibytes:
        plan = plan_for(info, height, width, memory_limit=limit, device="cpu", precision="fp32")
        run = Run(
            model=model,
            way="fp32",
            frames=plan.window + plan.lookahead + 1,
            height=height,
            width=width,
            window=plan.window,
            lookahead=plan.lookahead,
            tile=plan.tile,
        )
        taken = alone(run)
        estimated = estimate_bytes(plan, height, width, info.facts) / _MIB
        measured = f"{taken.peak - taken.before:.0f} MiB"
        warned = "yes" if any("may run out" in note for note in plan.notes) else "no"
        rows.append((f"{limit} MiB", describe(plan), f"{estimated:.0f} MiB", measured, warned))
    table(("limit", "plan", "estimated", "taken", "warned"), rows)
    print(f"\n{said}, {width}x{height}, fp32; taken: peak less what is resident before")


def alone(run: Run) -> Taken:
    """Run in a separate process."""
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asdict(run))],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Taken(**json.loads(done.stdout))


def take(run: Run) -> Taken:
    """Run in this process."""
    info, network, _ = named_network(run.model)
    network(clip(1, 16, 16))
    next(stream(1, 64, 36))  # what it imports
    before = peak_memory()
    wall, processor = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        if run.way == "published":
            whole_clip(contiguous(network), clip(run.frames, run.height, run.width))
        else:
            plan = plan_for(
                info,
                run.height,
                run.width,
                window=run.window,
                lookahead=run.lookahead,
                precision=run.way,
                device="cpu",
                memory_limit=10**6,
            )
            plan = replace(plan, tile=run.tile)
            frames = stream(run.frames, run.height, run.width)
            count = sum(1 for _ in upscale(frames, network, plan, warn=fail))  # type: ignore[arg-type]
            assert count == run.frames
    return Taken(
        wall=time.perf_counter() - wall,
        processor=time.process_time() - processor,
        before=before,
        peak=peak_memory(),
    )


def stream(frames: int, height: int, width: int) -> Iterator[LqFrame[None]]:
    """Generate frames on demand."""
    for i, picture in enumerate(moving_frames(frames, width, height)):
        rgb = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        yield LqFrame(source=None, lq=rgb, pts=i)


def clip(frames: int, height: int, width: int) -> Tensor:
    """Make a clip, (1, T, 3, H, W)."""
    return torch.stack([frame.lq for frame in stream(frames, height, width)])[None]


def contiguous(network: nn.Module) -> nn.Module:
    """A network in PyTorch's default memory layout."""
    return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def peak_memory() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fail(sentence: str) -> None:
    raise AssertionError(sentence)


if __name__ == "__main__":
    print(json.dumps(asdict(take(Run(**json.loads(sys.argv[1]))))))
