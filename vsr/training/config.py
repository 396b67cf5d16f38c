"""Training options from a TOML file and overrides, validated."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vsr.data.recipe import RealRecipe
from vsr.errors import ConfigError
from vsr.training.options import TrainOptions

# What pydantic says of types, in terms of TOML.
_WANTED = {
    "string_type": 'wanted text in quotes, such as "x"',
    "string_too_short": "wanted a name",
    "tuple_type": 'wanted a list, such as ["x"] or [0, 1]',
    "dataclass_type": "wanted a table",
}


def read_options(path: Path, overrides: Sequence[str] = ()) -> TrainOptions:
    """Read a run's options.

    Args:
        path: TOML with the sections of `TrainOptions`.
        overrides: "section.name=value"; the value is TOML, or a bare string.

    Raises:
        ConfigError: Naming the key: unknown (with the known ones), of the wrong type, or missing.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration '{path}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration '{path}' is not TOML: it is no text in UTF-8; wanted a file such as "
            "configs/compact_x4.toml"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"configuration '{path}' is not TOML: {error}") from error
    for override in overrides:
        _override(values, override)
    if isinstance(network := values.setdefault("network", {}), dict):
        network.setdefault("name", "compact")
    _fill_orders(values)
    try:
        return validated(values)
    except ConfigError as error:
        raise ConfigError(f"configuration '{path}': {error}") from error


def validated(values: Mapping[str, Any]) -> TrainOptions:
    """Check sections and values, and make options of them.

    Raises:
        ConfigError: Naming the key.
    """
    try:
        return TypeAdapter(TrainOptions).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def differences(before: Mapping[str, Any], options: TrainOptions) -> list[str]:
    """Say in which values options differ from others, as `weights.safetensors` keeps them.

    Returns:
        "section.name: old, now new" for each; of what one of them does not know, nothing.
    """
    return list(_differing(before, json.loads(json.dumps(asdict(options))), ""))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, value in now.items():
        old = before.get(name, value)
        if isinstance(value, dict) and isinstance(old, dict):
            yield from _differing(old, value, f"{place}{name}.")
        elif old != value:
            yield f"{place}{name}: {old}, now {value}"


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    *sections, name = key.strip().split(".")
    if not (equals and name and sections and all(sections)):
        raise ConfigError(f"--set wants section.name=value, such as run.seed=1; got '{text}'")
    value = value.strip()
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    table = values
    for number, section in enumerate(sections, start=1):
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            place = ".".join(sections[:number])
            raise ConfigError(f"'{place}' is {table!r} in the file; wanted a table, [{place}]")
    table[name] = parsed


def _fill_orders(values: dict[str, Any]) -> None:
    """Give what `[real.first]` and `[real.second]` leave out their own defaults."""
    real = values.get("real")
    for name in ("first", "second"):
        if isinstance(real, dict) and isinstance(given := real.get(name), dict):
            real[name] = {**asdict(getattr(RealRecipe(), name)), **given}


def _explain(error: ValidationError) -> str:
    """Say the first thing that is wrong, in terms of the file."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "union_tag_invalid":
        known = first["ctx"]["expected_tags"].replace("'", "")
        return f"'{place[0]}.name' is '{first['ctx']['tag']}'; known: {known}"
    # Pydantic counts the name of a network as a level of its own: ("network", "compact", "scale").
    key = ".".join(place if place[0] != "network" else [place[0], *place[2:]])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key '{key}'; known here: {', '.join(_known(place[:-1]))}"
    if first["type"] in ("missing", "missing_argument"):
        return f"key '{key}' is missing"
    if first["type"] == "value_error":
        return f"[{key}]: {first['ctx']['error']}"
    return f"'{key}' is {first['input']!r}: {_WANTED.get(first['type'], first['msg'])}"


def _known(place: Sequence[str]) -> list[str]:
    kind: Any = TrainOptions
    for part in place:
        if kinds := get_args(kind):
            kind = next(one for one in kinds if one.name == part)
        else:
            kind = get_type_hints(kind)[part]
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []
