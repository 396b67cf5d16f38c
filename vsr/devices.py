"""Device, precision and free memory."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from vsr.errors import ConfigError
from vsr.options import PrecisionChoice, TrainingPrecision


def choose_device(wanted: str, *, option: str = "device", rank: int = 0) -> torch.device:
    """Turn "auto", "cpu", "cuda" or "cuda:N" into a device that exists.

    Args:
        wanted: One of these.
        option: What names it, for messages.
        rank: Of this process among those that share the machine's GPUs: it takes the one of that
            number where none is named.

    Raises:
        ConfigError: If there is no such device.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and not found):
        return torch.device("cpu")
    index = re.fullmatch(r"(?:auto|cuda(?::(\d+))?)", wanted)
    if index is None:
        raise ConfigError(f"{option} must be auto, cpu, cuda or cuda:N, got {wanted!r}")
    number = rank if index[1] is None else int(index[1])
    if number >= found:
        gpus = f"{found} GPU{'' if found == 1 else 's'}"
        fewer = ", or fewer processes" if rank else ""
        raise ConfigError(f"{option} {wanted} wanted, {gpus} found; take auto or cpu{fewer}")
    return torch.device("cuda", number)


def describe_device(device: str) -> str:
    """A device with its name or, for a CPU, why there is no GPU."""
    if device != "cpu":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if torch.cuda.is_available():
        return "cpu"
    built = torch.version.cuda or torch.version.hip
    return "cpu (" + ("no GPU found)" if built else "this PyTorch is built for CPUs only)")


Float = Literal["fp32", "bf16", "fp16"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""What a network computes in; "int8" stands for its residual blocks."""

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
_CGROUPS = (  # folder, limit, in use, and what memory.stat calls the file cache that can go at once
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "sys/fs/cgroup/memory",  # version 1
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def choose_precision(
    wanted: PrecisionChoice, device: torch.device, *, int8: bool = False
) -> Precision:
    """Turn "auto" into the fast precision of the device.

    fp16 on CUDA. On a CPU int8, if the network may be computed so and the CPU has instructions for
    it (VNNI) but none for matrices of bf16 (AMX); bf16 if that is faster than fp32 there (see
    `has_fast_bf16`); fp32 otherwise.

    Args:
        wanted: The option.
        device: That computes.
        int8: Whether "auto" may be int8: see `contract.NetworkFacts`.

    Raises:
        ConfigError: If the device cannot compute in the precision asked for.
    """
    words = _cpu_description()
    has_int8 = hasattr(torch.ops.onednn, "qconv2d_pointwise") and has_vnni(words)
    if wanted == "int8" and not (device.type == "cpu" and has_int8):
        where = "this CPU has none" if device.type == "cpu" else f"the device is {device}"
        raise ConfigError(
            f"precision int8 wants an x86 CPU with VNNI instructions, and {where}; use auto"
        )
    if wanted == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigError("precision bf16 wanted, this GPU does not have it; use fp16 or fp32")
    if wanted != "auto":
        return wanted
    if device.type == "cpu" and int8 and has_int8 and not has_amx(words):
        return "int8"
    return best_float(device)


def best_float(device: torch.device) -> Float:
    """The fast floating-point precision of the device: see `choose_precision`."""
    if device.type == "cuda":
        return "fp16"
    return "bf16" if has_fast_bf16(_cpu_description()) else "fp32"


def training_precision(wanted: TrainingPrecision, device: torch.device) -> Float:
    """Turn "auto" into what a network is trained in: on a CPU what is faster there.

    On CUDA bf16, or fp16 with scaled gradients where the GPU has no bf16; elsewhere fp32.

    Raises:
        ConfigError: fp16 is wanted and the device is no CUDA GPU.
    """
    if wanted == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"run.precision = 'fp16' wants CUDA, the run is on {device}: gradients in fp16 "
            "underflow, and scaling them pays on GPUs only; take 'bf16' or 'fp32'"
        )
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return best_float(device) if device.type == "cpu" else "fp32"


def has_vnni(cpu_description: str) -> bool:
    """Whether the CPU sums products of 8-bit integers natively, by Linux' /proc/cpuinfo."""
    return not set(cpu_description.split()).isdisjoint({"avx512_vnni", "avx_vnni"})


def has_amx(cpu_description: str) -> bool:
    """Whether the CPU multiplies matrices of bf16 natively, by Linux' /proc/cpuinfo."""
    return "amx_bf16" in cpu_description.split()


def has_fast_bf16(cpu_description: str) -> bool:
    """Whether the CPU multiplies bf16 faster than float32, by the text of Linux' /proc/cpuinfo.

    Intel's cores without AMX do not: they have as many products per cycle in float32, and no
    conversions there (`bench.py profile`).
    """
    words = set(cpu_description.split())
    if "avx512_bf16" in words and "GenuineIntel" not in words:
        return True
    # "bf16" alone is how Arm cores name it.
    return not words.isdisjoint({"amx_bf16", "bf16"})


def free_memory(device: torch.device, root: Path = Path("/")) -> int:
    """Return the bytes that can still be had on the device.

    On a GPU this counts what PyTorch holds but does not use; on a CPU a container's limit counts.

    Args:
        device: A GPU or the CPU.
        root: The folder that holds the system's `proc` and `sys`.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    room = [_available_memory(root)]
    for folder, limit_name, usage_name, cache_name in _CGROUPS:
        limit, usage = (_read_number(root / folder / name) for name in (limit_name, usage_name))
        if limit is not None and usage is not None:
            # A film that is read or written fills the rest of a container with its pages.
            cache = _read_entry(root / folder / "memory.stat", cache_name) or 0
            room.append(max(0, limit - max(0, usage - cache)))
    return min(room)


@cache
def _cpu_description() -> str:
    # torch has no public question for this; elsewhere than on Linux fp32 is the safe answer.
    return Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""


def _available_memory(root: Path) -> int:
    if platform.system() == "Linux":
        found = _read_entry(root / "proc/meminfo", "MemAvailable:")  # in KiB
        if found is not None:
            return found * 1024
    # Neither macOS nor Windows tells what is free without another library: count on this much.
    return 4 * 2**30


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such cgroup version, or "max"
        return None


def _read_entry(path: Path, name: str) -> int | None:
    """Read the number after a name at the start of a line."""
    try:
        found = re.search(rf"^{name}\s+(\d+)", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
