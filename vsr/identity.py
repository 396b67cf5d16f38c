"""What makes two runs the same job: all that decides a single bit of the output."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vsr.media.images import find_pictures
from vsr.media.source import library_versions
from vsr.options import EnhanceOptions
from vsr.planning import Job
from vsr.reporting import VERSIONS, plain

_FORMAT = 2
_SAMPLES = 16
_SAMPLE_BYTES = 65536
# What changes no picture: the device it has come to and its memory show in the plan.
_FREE = ("overwrite", "resume")
_FREE_INFERENCE = ("device", "memory_limit")


def identify(job: Job, options: EnhanceOptions) -> dict[str, Any]:
    """Describe a job so that equal descriptions mean equal output, as values that JSON holds.

    How many frames the network gets at once is left out where the memory decided it: what was
    finished says how it was made, and is continued so.
    """
    encoding = asdict(job.encode)
    encoding.pop("warnings")
    found: dict[str, Any] = plain(
        {
            "format": _FORMAT,
            **request(job.info.path, options),
            "target": job.target.pattern.name,
            "network": {
                "name": job.model.name,
                "architecture": job.model.architecture,
                "parameters": job.model.hyper_parameters,
                "weights": job.model.weight_hash,
                "device": torch.device(job.inference.device).type,
                "precision": job.inference.precision,
                "lookahead": job.inference.lookahead,
            },
            "encoding": encoding,
            "versions": {
                "vsr": version("vsr"),
                **{name: version(name) for name in VERSIONS},
                **library_versions(),
            },
        }
    )
    return found


def request(source: Path, options: EnhanceOptions) -> dict[str, Any]:
    """Describe what is asked for, as far as it is known before anything is planned."""
    asked = {key: value for key, value in asdict(options).items() if key not in _FREE}
    for key in _FREE_INFERENCE:
        asked["inference"].pop(key)
    found: dict[str, Any] = plain({"source": fingerprint(source), "options": asked})
    return found


def fingerprint(path: Path) -> str:
    """Hash names, sizes and times of a file or of pictures, and samples from all over a file.

    Reading all of a film on a slow disk would take longer than many a job.
    """
    pictures = find_pictures(path)
    digest = hashlib.sha256()
    for each in pictures.paths if pictures is not None else [path]:
        found = each.stat()
        digest.update(os.fsencode(f"{each.name}\0{found.st_size}\0{found.st_mtime_ns}\0"))
    if pictures is None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for part in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE_BYTES) * part // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def differences(before: Any, now: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401
    """Name what differs between two descriptions: "options.strength was 1.0, is 0.5"."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield f"{name} was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:  # noqa: ANN401
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
