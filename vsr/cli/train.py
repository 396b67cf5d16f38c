"""`vsr train`: train a network from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def train(
    config: tyro.conf.Positional[Path],
    *,
    set_: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set")] = (),
    resume: bool = False,
) -> int:
    """Train a network.

    Args:
        config: A TOML file such as configs/compact_x4.toml.
        set_: Override one option, as section.name=value; may be given again.
        resume: Go on from the output folder's checkpoint.
    """
    from vsr.training.config import read_options
    from vsr.training.loop import train as run

    run(read_options(config, set_), resume=resume)
    return 0
