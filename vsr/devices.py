"""Which device computes."""

from __future__ import annotations

import re

import torch

from vsr.errors import ConfigError


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
