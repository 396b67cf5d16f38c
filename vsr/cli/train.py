"""`vsr train`: train a network from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from vsr.errors import ConfigError


def train(
    config: tyro.conf.Positional[Path | None] = None,
    *,
    set_: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set")] = (),
    resume: bool = False,
    options: bool = False,
) -> int:
    """Train a network.

    Args:
        config: A TOML file such as configs/compact_x4.toml; required unless --options is given.
        set_: Override one option, as section.name=value; may be given again.
        resume: Go on from the output folder's checkpoint.
        options: Print every option of a configuration, its type, default and help, and stop.
    """
    if options:
        from vsr.cli.training_keys import training_keys

        print(training_keys())
        return 0
    if config is None:
        raise ConfigError("vsr train wants a TOML file, such as configs/compact_x4.toml")
    from vsr.training.loop import train as run
    from vsr.training.options import read_options

    run(read_options(config, set_), resume=resume)
    return 0
