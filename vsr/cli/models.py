"""`vsr models`: the networks there are, what each is for, and fetching their weights."""

from __future__ import annotations

import sys

import tyro

from vsr.errors import ConfigError


def models(
    words: tyro.conf.Positional[tuple[str, ...]] = (),
) -> int:
    """List the networks: name, scale, parameters, licence, weights, measured numbers.

    Args:
        words: Print all that is known of one network; or fetch the weights of published ones; by
            default all are listed.
    """
    from vsr.models.zoo import card, table

    if words[:1] == ("download",):
        for name in words[1:]:
            _download(name)
        if len(words) == 1:
            raise ConfigError("download which? `vsr models` lists the names")
        return 0
    if len(words) > 1:
        raise ConfigError(f"one name at a time, or `download NAME...`; got {' '.join(words)}")
    print(card(words[0]) if words else table())
    return 0


def _download(name: str) -> None:
    from tqdm import tqdm

    from vsr.models.catalogue import PUBLISHED, download, weights_folder

    if name not in PUBLISHED:
        raise ConfigError(f"no published model '{name}'; known: {', '.join(PUBLISHED)}")
    entry = PUBLISHED[name]
    target = weights_folder() / entry.file_name
    # No bar where nobody watches.
    with tqdm(
        unit="B", unit_scale=True, desc=name, leave=False, file=sys.stderr, disable=None
    ) as bar:

        def advance(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        download(entry.address, target, entry.digest, progress=advance)
    print(f"{name}: {target}, verified")
