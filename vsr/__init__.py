"""Video super-resolution for real files.

import vsr

vsr.enhance("in.mp4", "out.mp4")
network = vsr.load_model("compact-x4")
sr, state = network(lq)  # (N, T, 3, H, W) in, (N, T, 3, 4 H, 4 W) out, RGB, 0 to 1
for picture in vsr.enhance_frames(frames):  # numpy (H, W, 3) or torch (3, H, W)
    show(picture)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vsr.errors import CancelledError, FrameError, VsrError
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions, Measuring

if TYPE_CHECKING:
    from vsr.benchmark import EvaluateProgress, evaluate
    from vsr.frames import enhance_frames
    from vsr.models.zoo import load_model
    from vsr.pipeline import EnhanceResult, Progress, enhance
    from vsr.profiles import read_profile

__version__ = "0.1.0"

# Threads of GNU's OpenMP, which PyTorch uses, wait for each other in a loop, by default for 300,000
# turns. Beside another busy program that loop takes the processor from the thread it waits for: see
# `python scripts/bench.py beside --spins 1000 300000`. It is read when the library is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__all__ = [
    "CancelledError",
    "EncodeOptions",
    "EnhanceOptions",
    "EnhanceResult",
    "EvaluateProgress",
    "FrameError",
    "InferenceOptions",
    "Measuring",
    "Progress",
    "VsrError",
    "enhance",
    "enhance_frames",
    "evaluate",
    "load_model",
    "read_profile",
]

# Imported on first use: torch takes seconds, and `vsr info` does not need it.
_LAZY = {
    "EnhanceResult": "vsr.pipeline",
    "EvaluateProgress": "vsr.benchmark",
    "Progress": "vsr.pipeline",
    "enhance": "vsr.pipeline",
    "enhance_frames": "vsr.frames",
    "evaluate": "vsr.benchmark",
    "load_model": "vsr.models.zoo",
    "read_profile": "vsr.profiles",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'vsr' has no attribute '{name}'")
