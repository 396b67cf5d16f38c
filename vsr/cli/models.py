"""`vsr models`: the networks there are, and what each is for."""

from __future__ import annotations

import tyro


def models(name: tyro.conf.Positional[str] = "") -> int:
    """List the networks: name, scale, parameters, licence, measured numbers.

    Args:
        name: Print all that is known of this one.
    """
    from vsr.models.cards import card, table

    print(card(name) if name else table())
    return 0
