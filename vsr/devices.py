"""Device, precision and free memory."""

from __future__ import annotations

import os
import platform
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from vsr.errors import ConfigError
from vsr.options import PrecisionChoice, TrainingPrecision

Kind = Literal["cuda", "xpu", "mps"]
"""Of a GPU: NVIDIA's and AMD's (ROCm), Intel's, Apple's."""

KINDS: tuple[Kind, ...] = ("cuda", "xpu", "mps")


def choose_device(
    wanted: str, *, option: str = "device", rank: int = 0, kinds: Sequence[Kind] = KINDS
) -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:N", "xpu", "xpu:N" or "mps" into a device that exists.

    "auto" is a GPU that this PyTorch can use, or the CPU: `describe_device` has the reason.

    Args:
        wanted: One of these.
        option: What names it, for messages.
        rank: Of this process among those that share the machine's GPUs: it takes the one of that
            number where none is named.
        kinds: Those that may be taken.

    Raises:
        ConfigError: If there is no such device.
    """
    asked = re.fullmatch(rf"(auto|cpu|{'|'.join(kinds)})(?::(\d+))?", wanted)
    if asked is None or (asked[2] and asked[1] in ("auto", "cpu")):
        named = [x if x == "mps" else f"{x}, {x}:N" for x in kinds]
        *rest, last = ", ".join(["auto", "cpu", *named]).split(", ")
        raise ConfigError(f"{option} must be {', '.join(rest)} or {last}, got {wanted!r}")
    found = usable_gpus(kinds)
    if asked[1] == "cpu" or (asked[1] == "auto" and not found):
        return torch.device("cpu")
    fitting = [gpu for gpu in found if asked[1] in ("auto", gpu.type)]
    if asked[2]:
        fitting, rank = [gpu for gpu in fitting if gpu.index == int(asked[2])], 0
    if rank < len(fitting):
        return fitting[rank]
    count = "1 GPU" if len(found) == 1 else f"{len(found)} GPUs"
    there = ", ".join(map(str, found)) or why_no_gpu()
    instead = ("one of these, " if found else "") + "auto or cpu"
    fewer = ", or fewer processes" if rank else ""
    raise ConfigError(f"{option} {wanted} wanted, {count} found ({there}); take {instead}{fewer}")


def usable_gpus(kinds: Sequence[Kind] = KINDS) -> list[torch.device]:
    """The GPUs of some kinds that this PyTorch can use; all are of one kind."""
    kind, count = _gpus()
    if kind is None or kind not in kinds:
        return []
    return [torch.device(kind, index) for index in range(count) if not _misfit(index)]


def describe_device(device: str) -> str:
    """A device with its name or, for a CPU, why there is no GPU."""
    kind = device.partition(":")[0]
    match kind:
        case "cpu":
            why = why_no_gpu()
            return f"cpu ({why})" if why else "cpu"
        case "cuda" | "xpu":
            return f"{device} ({torch.get_device_module(kind).get_device_name(device)})"
        case _:
            return f"{kind} (Apple GPU)"


def why_no_gpu() -> str:
    """Why this PyTorch uses no GPU, in words; empty if it can use one."""
    kind, count = _gpus()
    misfits = [_misfit(index) for index in range(count)]
    if misfits:
        return "" if "" in misfits else misfits[0]
    if torch.version.hip:
        return "no AMD GPU found"
    if torch.version.cuda:
        return _why_no_cuda()
    if kind == "xpu":
        return "no Intel GPU found"
    if kind == "mps":
        return "no Apple GPU found, or macOS is too old for this PyTorch"
    return "this PyTorch is built for CPUs only"


def _gpus() -> tuple[Kind | None, int]:
    """The kind of GPU that this PyTorch is built for, and how many it sees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `why_no_gpu` says the same
        try:
            built = torch.accelerator.current_accelerator()
        except RuntimeError:  # of PyTorch 2.6, which wants one that can be used
            return None, 0
        kind = next((kind for kind in KINDS if built is not None and built.type == kind), None)
        if kind is None or not torch.accelerator.is_available():
            return kind, 0
        return kind, torch.accelerator.device_count()


def _misfit(index: int) -> str:
    """Why this PyTorch has no code for a GPU that it sees; empty if it has."""
    if not (torch.version.cuda or torch.version.hip):
        return ""
    built = torch.cuda.get_arch_list()
    if torch.version.hip:
        own = torch.cuda.get_device_properties(index).gcnArchName.partition(":")[0]
        fits = own in built
    else:
        version = torch.cuda.get_device_capability(index)
        own = "sm_{}{}".format(*version)
        fits = any(_runs(code, version) for code in built)
    if fits or not built:
        return ""
    name = torch.cuda.get_device_name(index)
    return f"{name} ({own}) is too old or too new for this PyTorch, built for {' '.join(built)}"


def _runs(code: str, version: tuple[int, int]) -> bool:
    """Whether code such as "sm_86" or "compute_90" runs on a CUDA capability such as (8, 9)."""
    made = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", code)
    if made is None:
        return False
    target = int(made[2]), int(made[3])
    if made[4]:  # of this capability alone
        return target == version
    return target <= version and (made[1] == "compute" or target[0] == version[0])


def _why_no_cuda() -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        text = str(error)
        if "no NVIDIA driver" in text:
            return "no NVIDIA driver found"
        if "too old" in text:
            return f"the NVIDIA driver is too old for this PyTorch (CUDA {torch.version.cuda})"
        if "No CUDA GPUs" not in text:
            return text.strip().partition("\n")[0].partition(". ")[0]
    return "no NVIDIA GPU found"


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

    fp16 on a GPU, but fp32 on Apple's. On a CPU int8, if the network may be computed so and the CPU
    has instructions for it (VNNI) but none for matrices of bf16 (AMX); bf16 if that is faster than
    fp32 there (see `has_fast_bf16`); fp32 otherwise.

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
        raise ConfigError("this GPU has no bf16; use --precision fp16 or fp32")
    if wanted == "bf16" and device.type == "mps":
        raise ConfigError("no bf16 on Apple GPUs here; use --precision fp16 or fp32")
    if wanted != "auto":
        return wanted
    if device.type == "cpu" and int8 and has_int8 and not has_amx(words):
        return "int8"
    return best_float(device)


def best_float(device: torch.device) -> Float:
    """The fast floating-point precision of the device: see `choose_precision`."""
    if device.type in ("cuda", "xpu"):
        return "fp16"
    if device.type == "mps":
        return "fp32"
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
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    if device.type != "cpu":
        backend = torch.get_device_module(device)
        reserved = int(backend.memory_reserved(device))
        if hasattr(backend, "mem_get_info"):
            free = int(backend.mem_get_info(device)[0])
        else:  # torch.xpu before 2.7; others on the GPU are not seen
            free = int(backend.get_device_properties(device).total_memory) - reserved
        return free + reserved - int(backend.memory_allocated(device))
    room = [_available_memory(root)]
    for folder, limit_name, usage_name, cache_name in _CGROUPS:
        limit, usage = (_read_number(root / folder / name) for name in (limit_name, usage_name))
        if limit is not None and usage is not None:
            # A film that is read or written fills the rest of a container with its pages.
            cache = _read_entry(root / folder / "memory.stat", cache_name) or 0
            room.append(max(0, limit - max(0, usage - cache)))
    return min(room)


def works_apart(device: torch.device) -> bool:
    """Whether results can be fetched while the device goes on, so that queueing ahead helps."""
    return device.type not in ("cpu", "mps")


def release_memory(device: torch.device) -> None:
    """Give back what PyTorch holds of a GPU's memory but does not use."""
    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()


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
