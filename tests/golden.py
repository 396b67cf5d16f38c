"""What the published implementations answer, for weights that a formula gives.

`models/goldens/*.npz` were made with the original BasicSR and mmagic code (fp32, CPU): every 55th
value of the output, in row-major order. The formula needs no checkpoint: the k-th tensor, by the
sorted names that the family publishes, is drawn with seed k and scaled by its fan-in.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vsr.models.published import Family, published_name

FOLDER = Path(__file__).parent / "models" / "goldens"
STRIDE = 55
_DAMPED = re.compile(r"residual|main\.2\.\d+\.conv|image_cleaning\.0\.main\.2")
_CONSTANT = ("mean", "std", "step_counter")


def clip() -> Tensor:
    """The input of all of them, (1, 5, 3, 68, 84)."""
    return torch.from_numpy(np.load(FOLDER / "input_5x3x68x84.npz")["clip"])[None].float()


def fill(network: nn.Module, family: Family) -> nn.Module:
    """Load the weights of the formula into a network."""
    names = {published_name(name, family, network): name for name in network.state_dict()}
    own = network.state_dict()
    for k, published in enumerate(sorted(names)):
        target = own[names[published]]
        if published.endswith(_CONSTANT):
            continue
        shape = tuple(target.shape)
        gain = 1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.02
        if _DAMPED.search(published):
            gain *= 0.3
        values = np.random.RandomState(k).randn(*shape) * gain
        target.copy_(torch.from_numpy(values.astype(np.float32)))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def difference(output: Tensor, name: str) -> float:
    """Largest difference between an output and the published implementation's."""
    golden = np.load(FOLDER / f"{name}.npz")
    assert tuple(output.shape) == tuple(golden["shape"])
    sample = output.flatten()[::STRIDE].numpy()
    assert sample.shape == golden["sample"].shape
    return float(np.abs(sample - golden["sample"]).max())
