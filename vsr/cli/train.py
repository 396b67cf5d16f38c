"""`vsr train`: train a network from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import tyro

from vsr.cli.words import help_lines
from vsr.errors import ConfigError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_WIDTH = 80
_ANY = 2**63  # a bound that only says what fits into 64 bits says nothing
_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false"}
_PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}


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
        print(training_keys())
        return 0
    if config is None:
        raise ConfigError("vsr train wants a TOML file, such as configs/compact_x4.toml")
    from vsr.training.loop import train as run
    from vsr.training.options import read_options

    run(read_options(config, set_), resume=resume)
    return 0


def training_keys() -> str:
    """List the sections of a configuration; a network's keys are those of its name."""
    from vsr.training.options import TrainOptions

    lines: list[str] = []
    hints = get_type_hints(TrainOptions, include_extras=True)
    for section in dataclasses.fields(TrainOptions):
        for kind in _kinds(hints[section.name]):
            made = None if _required(kind) else kind()
            lines += _section(section.name, kind, made)
    return "\n".join(lines).strip()


def _kinds(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Give the dataclasses that a section may be."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)


def _required(kind: Any) -> bool:  # noqa: ANN401
    return any(_has_no_default(field) for field in dataclasses.fields(kind))


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _section(name: str, kind: Any, made: Any) -> Iterator[str]:  # noqa: ANN401
    """List a section, and those within it.

    Args:
        name: With the names of those around it, "real.first".
        kind: The dataclass.
        made: One with the defaults; None where some have none.
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
    """Put a type into words, with its bounds."""
    from pydantic.fields import FieldInfo

    if get_origin(hint) is Annotated:
        bare, *extras = get_args(hint)
        bounds = [bound for extra in extras if isinstance(extra, FieldInfo) for bound in _in(extra)]
        return ", ".join([_type(bare), *bounds])
    if get_origin(hint) is Literal:
        *others, last = map(str, get_args(hint))
        return f"{', '.join(others)} or {last}" if others else last
    if get_origin(hint) is tuple:
        first, second = get_args(hint)
        bare = get_args(first)[0] if get_origin(first) is Annotated else first
        return ("list of " if second is Ellipsis else "two ") + _PLURALS[bare]
    return _NAMES[hint]


def _in(constraints: FieldInfo) -> Iterator[str]:
    for bound in constraints.metadata:
        for name, words in (("ge", "from {} on"), ("gt", "above {}"), ("lt", "below {}")):
            if abs(getattr(bound, name, _ANY)) < _ANY:
                yield words.format(getattr(bound, name))
