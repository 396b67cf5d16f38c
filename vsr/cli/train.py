"""`vsr train`: train a network from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tyro.conf import Positional, UseAppendAction, arg

from vsr.cli.terminal import say_above
from vsr.cli.words import help_lines
from vsr.errors import ConfigError

_WIDTH = 80
_ANY = 2**63  # the bound of what fits into 64 bits is not worth a word
_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))


def train(
    config: Annotated[Positional[Path | None], arg(metavar="CONFIG.toml")] = None,
    *,
    set_: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="A.B=VALUE")] = (),
    resume: bool = False,
    options: bool = False,
) -> int:
    """Train a network.

    Args:
        config: A TOML file such as configs/compact_x4.toml; required unless --options is given.
        set_: Override one option, as section.name=value; repeatable.
        resume: Continue from the checkpoint in the output folder.
        options: Print every option of a configuration, its type, default and help, and stop.
    """
    if options:
        print(training_keys())
        return 0
    if config is None:
        raise ConfigError("vsr train wants a TOML file, such as configs/compact_x4.toml")
    from vsr.training.loop import train as run
    from vsr.training.options import read_options

    run(read_options(config, set_), resume=resume, say=say_above)
    return 0


def training_keys() -> str:
    """All sections of a configuration; those of the networks one after the other."""
    from vsr.training.options import TrainOptions

    lines: list[str] = []
    for name, hint in get_type_hints(TrainOptions, include_extras=True).items():
        bare = _bare(hint)
        kinds = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
        for kind in map(_bare, kinds):
            required = any(map(_is_required, dataclasses.fields(kind)))
            lines += _section(name, kind, None if required else kind())
    return "\n".join(lines).strip()


def _bare(hint: Any) -> Any:  # noqa: ANN401
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _section(name: str, kind: Any, made: Any) -> Iterator[str]:  # noqa: ANN401
    """The lines of a section, and of those within it.

    Args:
        name: With the names of those around it, "real.first".
        kind: The dataclass.
        made: An instance with the defaults; None if some fields have none.
    """
    summary = (kind.__doc__ or "").partition("\n")[0]
    yield ""
    yield from _wrapped(f"[{name}]  {summary}", indent=0)
    hints, helps = get_type_hints(kind, include_extras=True), help_lines(kind)
    within: list[tuple[str, Any]] = []
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            within.append((field.name, getattr(made, field.name)))
            continue
        default = field.default if made is None else getattr(made, field.name)
        value = "required" if default is dataclasses.MISSING else f"default {json.dumps(default)}"
        yield from _wrapped(f"{field.name}: {_type(hints[field.name])}; {value}", indent=2)
        yield from _wrapped(helps[field.name], indent=6)
    for inner, default in within:
        yield from _section(f"{name}.{inner}", type(default), default)


def _wrapped(text: str, *, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * max(indent, 6),
        break_on_hyphens=False,
    )


def _type(hint: Any) -> str:  # noqa: ANN401
    """A type in words, with its bounds."""
    bare = _bare(hint)
    if bare is not hint:
        return ", ".join([_type(bare), *_bounds(hint.__metadata__)])
    if get_origin(bare) is Literal:
        *others, last = map(str, get_args(bare))
        return f"{', '.join(others)} or {last}" if others else last
    if get_origin(bare) is dict:
        return "table"
    if get_origin(bare) is tuple:
        first, second = get_args(bare)
        return ("list of " if second is Ellipsis else "two ") + _NAMES[_bare(first)] + "s"
    return _NAMES[bare]


def _bounds(extras: Iterator[Any]) -> Iterator[str]:
    """Ranges among what an annotation adds; pydantic's `Field` holds some of its own."""
    for extra in extras:
        for bound in (extra, *getattr(extra, "metadata", ())):
            for name, words in _BOUNDS:
                limit = getattr(bound, name, None)
                if limit is not None and limit < _ANY:
                    yield words.format(limit)
