"""The part of `bench.py` for GPUs; without one it only checks that the code runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from measuring import moving_frames, named_network, plan_for, table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from whole_clip import whole_clip

from vsr.color import LUMA_WEIGHTS
from vsr.devices import Precision, choose_device, describe_device
from vsr.errors import OutOfMemoryError
from vsr.inference.plan import Plan, describe, estimate_bytes
from vsr.inference.queues import Copies
from vsr.inference.runner import (
    LqFrame,
    computing,
    finish,
    is_out_of_memory,
    squared_errors,
    upscale,
)
from vsr.models.zoo import ARCHITECTURES, ModelInfo
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes
from vsr.ops.deform import torchvision_operator

# Milliseconds per 320x180 frame in the papers' tables, whole clips in fp32.
PUBLISHED_MS = {"basicvsr-reds4": 63, "basicvsr-pp-reds4": 77}
FILMS = ((480, 270), (640, 360), (960, 540))
SIZES = ((320, 180), (640, 360), (720, 576), (960, 540), (1280, 720), (1920, 1080))
_GIB = 2**30
_LAYOUT = ColorLayout(matrix="bt709", full_range=False, bit_depth=8, chroma="420")
# What the profiler can see the work of.
_ACTIVITIES = {"cuda": ProfilerActivity.CUDA, "xpu": ProfilerActivity.XPU}


def gpu(
    *,
    models: tuple[str, ...] = ("compact-x4", "basicvsr-reds4", "basicvsr-pp-reds4"),
    device: str = "auto",
    frames: int = 48,
    gibibytes: int = 16,
) -> None:
    """Print frames per second, the share of time the GPU computes, and what fits in memory.

    Without a GPU: the same code on tiny pictures, and what was not measured.

    Args:
        models: Bundled or published names.
        device: As for `vsr enhance`.
        frames: Length of the timed clips.
        gibibytes: Memory limit of the last table.
    """
    where = choose_device(device)
    real = where.type != "cpu"
    print(f"{describe_device(str(where))}, torch {torch.__version__}\n")
    with torch.inference_mode():
        for model in models:
            films(model, where, frames if real else 5, FILMS if real else ((64, 64),))
        for model in models:
            pace(model, where, frames if real else 2, *((320, 180) if real else (32, 18)))
        if where.type == "cuda":
            for model in models:
                room(model, where, gibibytes)
    if not real:
        print("Not measured without a GPU: frames per second at 480x270, 640x360 and 960x540, the")
        print("share of time it computes, milliseconds per 320x180 frame with channels last and")
        print(f"compiled, and the largest input that fits in {gibibytes} GB.")
        print("The tables above, of a CPU and tiny pictures, only show that the code runs.")


def prepared(model: str, device: torch.device) -> tuple[ModelInfo, nn.Module, str]:
    """A network and the origin of its weights; a small one for a CPU."""
    info, network, said = named_network(model, str(device))
    if device.type == "cpu":
        small = dict(info.hyper_parameters) | {"channels": 16, "blocks": 1}
        network, said = ARCHITECTURES[info.architecture](**small).eval(), f"a small {model}"
    channels_last(network)
    return info, network.requires_grad_(False), said


def films(
    model: str, device: torch.device, frames: int, sizes: tuple[tuple[int, int], ...]
) -> None:
    """Print frames per second from planes to planes, and of the formulation of the papers."""
    info, network, said = prepared(model, device)
    half: Precision = "fp16" if device.type != "cpu" else "bf16"
    rows = []
    for width, height in sizes:
        plan = plan_for(info, height, width, device=str(device), precision=half)
        lq = clip(frames, width, height)
        streamed = partial(through, network, planes_of(lq), plan)
        row = [f"{width}x{height}", describe(plan), *timed(streamed, frames, device)]
        if not info.architecture.startswith("compact"):
            for kind in ("fp32", half):
                whole = partial(at_once, network, lq, device, kind)
                row.append(timed(whole, frames, device)[0])
        rows.append(row)
    published = ("papers' way, fp32", f"papers' way, {half}")[: len(rows[0]) - 4]
    table(("input", "plan", f"fps, {half}", "GPU computes", *published), rows)
    print(f"\n{said}, {frames} frames, planes to planes; the papers' way: the whole clip at once\n")


def through(network: nn.Module, planes: list[list[Tensor]], plan: Plan) -> None:
    """What `vsr enhance` does between decoder and encoder."""
    copies = Copies(torch.device(plan.device))

    def frames() -> Iterator[LqFrame[None]]:
        sent = [copies.up(planes[0])]
        for index in range(len(planes)):
            sent += [copies.up(each) for each in planes[index + 1 : index + 2]]
            rgb = planes_to_rgb(sent.pop(0).tensors(), _LAYOUT)
            yield LqFrame(source=None, lq=rgb, pts=index)

    waiting = []
    for done in upscale(frames(), network, plan, warn=print):  # type: ignore[arg-type]
        rgb = finish(done.sr, done.lq, height=done.sr.shape[-2], width=done.sr.shape[-1])
        error = squared_errors(rgb, done.lq, LUMA_WEIGHTS["bt709"]).mean()
        waiting.append(copies.down((*rgb_to_planes(rgb, _LAYOUT), error)))
        # As many as the queue of the encoder holds.
        if len(waiting) > plan.window:
            waiting.pop(0).arrays()
    for made in waiting:
        made.arrays()


def at_once(network: nn.Module, lq: Tensor, device: torch.device, precision: Precision) -> Tensor:
    """The whole clip at once, as published."""
    with computing(precision, device):
        return whole_clip(network, lq.to(device)[None]).cpu()


def timed(call: Callable[[], Any], frames: int, device: torch.device) -> tuple[str, str]:
    """Frames per second of a warm call, and the share of the time in which the GPU computes."""
    try:
        call()
        wait(device)
        begin = time.perf_counter()
        call()
        wait(device)
        seconds = time.perf_counter() - begin
        return f"{frames / seconds:.1f}", busy(call, device)
    except (RuntimeError, OutOfMemoryError) as error:
        if not isinstance(error, OutOfMemoryError) and not is_out_of_memory(error):
            raise
        return "does not fit", "-"


def busy(call: Callable[[], Any], device: torch.device) -> str:
    """The share of a call's time in which kernels run; concurrent ones count once."""
    if device.type not in _ACTIVITIES:
        return "-"
    wait(device)
    with profile(activities=[_ACTIVITIES[device.type]]) as record:
        begin = time.perf_counter()
        call()
        wait(device)
        seconds = time.perf_counter() - begin
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in record.events()
        if event.device_type.name == device.type.upper()
    )
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return f"{total / 1e6 / seconds:.0%}"


def pace(model: str, device: torch.device, frames: int, width: int, height: int) -> None:
    """Print milliseconds per frame: the whole clip in one call, and streamed as usual."""
    info, network, said = prepared(model, device)
    half: Precision = "fp16" if device.type != "cpu" else "bf16"
    lq = clip(frames, width, height).to(device)
    rows = []
    for name, precision, prepare in (
        ("fp32, channels first", "fp32", contiguous),
        ("fp32, channels last", "fp32", channels_last),
        (f"{half}, channels first", half, contiguous),
        (f"{half}, channels last", half, channels_last),
        (f"{half}, channels last, compiled", half, compiled),
    ):
        prepare(network)
        plan = plan_for(info, height, width, device=str(device), precision=precision)
        try:
            whole, streamed = (
                milliseconds(network, lq, some, device)
                for some in (replace(plan, window=frames, lookahead=0), plan)
            )
        except Exception as error:  # on a GPU never seen before, anything; the table goes on
            reason = str(error).strip().partition("\n")[0][:60]
            rows.append((name, f"not measured: {type(error).__name__}: {reason}", ""))
            continue
        rows.append((name, f"{whole:.1f} ms", f"{streamed:.1f} ms"))
    if model in PUBLISHED_MS:
        rows.append(("published", f"{PUBLISHED_MS[model]} ms at 320x180", ""))
    table((f"a frame of {width}x{height}", "whole clip", "streamed"), rows)
    print(f"\n{said}, {frames} frames; streamed: {describe(plan)}")
    by = "torchvision" if uses_torchvision(device) else "plain torch"
    print(f"deformable convolution, where there is any, by {by}\n")


def uses_torchvision(device: torch.device) -> bool:
    """Whether `vsr.ops.deform` uses torchvision's operator."""
    return device.type != "cpu" and torchvision_operator(device.type) is not None


def milliseconds(network: nn.Module, lq: Tensor, plan: Plan, device: torch.device) -> float:
    """Milliseconds per frame of the warm runner."""
    best = float("inf")
    for _ in range(3 if device.type != "cpu" else 1):
        wait(device)
        begin = time.perf_counter()
        run(network, lq, plan)
        wait(device)
        best = min(best, time.perf_counter() - begin)
    return best / len(lq) * 1000


def room(model: str, device: torch.device, gibibytes: int) -> None:
    """Print plan, estimate and peak for inputs of growing size, under a hard limit."""
    info, network, said = named_network(model, str(device))
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, gibibytes * _GIB / total), device)
    rows = []
    for width, height in SIZES:
        # Like the planner on a card of this size: some memory is left for everything else.
        limit = int(0.7 * gibibytes * 1024)
        plan = plan_for(info, height, width, device=str(device), memory_limit=limit)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        lq = torch.rand(plan.window + plan.lookahead + 1, 3, height, width)
        said_so: list[str] = []
        try:
            run(network, lq, plan, said_so.append)
        except OutOfMemoryError:
            said_so.append("does not fit")
        needed = estimate_bytes(plan, height, width, info.facts) / _GIB
        peak = torch.cuda.max_memory_allocated(device) / _GIB
        rows.append(
            (
                f"{width}x{height}",
                describe(plan),
                f"{needed:.1f} GiB",
                f"{peak:.1f} GiB",
                "; ".join(said_so) or "as planned",
            )
        )
    table(("input", "plan", "estimated", "peak", ""), rows)
    print(f"\n{said}, {gibibytes} GiB at most\n")
    torch.cuda.set_per_process_memory_fraction(1.0, device)


def run(network: nn.Module, lq: Tensor, plan: Plan, warn: Callable[[str], None] = print) -> None:
    """Run (T, 3, H, W) through the runner."""
    frames = (LqFrame(source=None, lq=rgb, pts=i) for i, rgb in enumerate(lq))
    done = sum(1 for _ in upscale(frames, network, plan, warn=warn))  # type: ignore[arg-type]
    assert done == len(lq)


def planes_of(lq: Tensor) -> list[list[Tensor]]:
    """(T, 3, H, W) as decoded planes."""
    return [list(rgb_to_planes(rgb, _LAYOUT)) for rgb in lq]


def clip(frames: int, width: int, height: int) -> Tensor:
    """Make a clip, (T, 3, H, W)."""
    pictures = [torch.from_numpy(x) for x in moving_frames(frames, width, height)]
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255


def contiguous(network: nn.Module) -> None:
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def channels_last(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def compiled(network: nn.Module) -> None:
    """Compile the parts that are called repeatedly with one shape.

    On a CPU only traced: Inductor would take minutes, and nothing is measured there.
    """
    channels_last(network)
    # Each part counts as another version of the same `Sequential.forward`.
    torch._dynamo.config.recompile_limit = 1000
    backend = "eager" if next(network.parameters()).device.type == "cpu" else "inductor"
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            part.compile(backend=backend, dynamic=False)


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
