"""The part of `bench.py` for GPUs; without one it only checks that the code runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from measuring import moving_frames, named_network, plan_for, table
from torch import Tensor, nn

from vsr.devices import Precision, choose_device
from vsr.errors import OutOfMemoryError
from vsr.inference.plan import Plan, describe, estimate_bytes
from vsr.inference.runner import LqFrame, upscale
from vsr.models.zoo import ARCHITECTURES
from vsr.ops.deform import torchvision_operator

# Milliseconds per 320x180 frame in the papers' tables, whole clips in fp32.
PUBLISHED_MS = {"basicvsr-reds4": 63, "basicvsr-pp-reds4": 77}
SIZES = ((320, 180), (640, 360), (720, 576), (960, 540), (1280, 720), (1920, 1080))
_GIB = 2**30


def gpu(
    *,
    models: tuple[str, ...] = ("basicvsr-reds4", "basicvsr-pp-reds4"),
    device: str = "auto",
    frames: int = 32,
    gibibytes: int = 16,
) -> None:
    """Print the speed in half precision and compiled, and the largest input that fits in memory.

    Without a GPU: the same code on tiny pictures, and what was not measured.

    Args:
        models: Published names.
        device: As for `vsr enhance`.
        frames: Length of the timed clip.
        gibibytes: Memory limit.
    """
    where = choose_device(device)
    real = where.type == "cuda"
    for model in models:
        pace(model, where, frames if real else 2, *((320, 180) if real else (32, 18)))
    if real:
        print(f"{torch.cuda.get_device_name(where)}, torch {torch.__version__}\n")
        for model in models:
            room(model, where, gibibytes)
        return
    print("Not measured without a CUDA device: milliseconds per 320x180 frame in fp16, with")
    print(f"channels last and compiled, and the largest input that fits in {gibibytes} GB.")
    print("The table above, of a CPU and tiny pictures, only shows that the code runs.")


def pace(model: str, device: torch.device, frames: int, width: int, height: int) -> None:
    """Print milliseconds per frame: the whole clip in one call, and streamed as usual."""
    info, network, said = named_network(model, str(device))
    if device.type == "cpu":
        small = dict(info.hyper_parameters) | {"channels": 16, "blocks": 1}
        network, said = ARCHITECTURES[info.architecture](**small).eval(), f"a small {model}"
    half: Precision = "fp16" if device.type == "cuda" else "bf16"
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
        except Exception as error:
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
    for _ in range(3 if device.type == "cuda" else 1):
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
    backend = "inductor" if next(network.parameters()).is_cuda else "eager"
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            part.compile(backend=backend, dynamic=False)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
