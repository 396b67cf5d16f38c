"""`vsr models`: the networks, what each is for, and downloading their weights."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import Positional, arg

from vsr.cli.terminal import advance, bar, print_line
from vsr.errors import ConfigError


def models(
    words: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[NAME|FILE | download NAME...]")
    ] = (),
) -> int:
    """List the networks: name, scale, parameters, licence, weights, measured numbers.

    Args:
        words: Print all about one network or weight file, or download the weights of published
            networks; by default a list of all.
    """
    from vsr.models.zoo import card, table

    if words[:1] == ("download",):
        for name in words[1:]:
            _download(name)
        if len(words) == 1:
            raise ConfigError("download which model? `vsr models` lists the names")
        return 0
    if len(words) > 1:
        raise ConfigError(f"one name at a time, or `download NAME...`; got {' '.join(words)}")
    print(card(words[0]) if words else table())
    return 0


def _download(name: str) -> None:
    from vsr.models.catalogue import PUBLISHED, download, weights_folder

    if name not in PUBLISHED:
        raise ConfigError(f"no published model '{name}'; known: {', '.join(PUBLISHED)}")
    entry = PUBLISHED[name]
    target = weights_folder() / entry.file_name
    with bar(unit="B", unit_scale=True, desc=name) as shown:
        download(
            entry.address,
            target,
            entry.digest,
            progress=lambda done, total: advance(shown, done, total),
        )
    print_line(f"{name}: {target}, verified")
