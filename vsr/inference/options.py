"""What a user may choose about inference. No torch here: `vsr --help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vsr.cuts import CUT_SCORE
from vsr.errors import ConfigError

PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class InferenceOptions:
    """How the network is run."""

    window: int | None = None
    """Frames the network gets at once; by default what suits the model and the memory."""

    lookahead: int | None = None
    """Frames beyond the window that are looked at, not upscaled; by default as the model needs."""

    tile: int | None = None
    """Longest side of a tile in input pixels; by default whole frames if they fit in memory."""

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    precision: PrecisionChoice = "auto"
    """auto is fp16 on CUDA, bf16 on a CPU with bf16 instructions, else fp32."""

    scene_threshold: float = CUT_SCORE
    """Scene score (libavfilter scdet, 0 to 100) that counts as a cut; 101 for never."""

    memory_limit: int | None = None
    """MiB the network may use; by default most of what is free on the device, which the workers of
    a batch share. A limit that is given is for each of them."""


NEVER = 101
_LEAST = {"window": 1, "lookahead": 0, "tile": 16, "memory_limit": 1}


def check_options(options: InferenceOptions) -> None:
    """Refuse numbers out of range.

    Raises:
        ConfigError: Naming the option as the command line calls it.
    """
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} must be at least {least}; got {value}")
    # Not a number compares as false, whichever way one asks.
    if not 0 <= options.scene_threshold <= NEVER:
        raise ConfigError(
            f"--scene-threshold is between 0 and 100, or {NEVER} for never; got "
            f"{options.scene_threshold:g}"
        )
