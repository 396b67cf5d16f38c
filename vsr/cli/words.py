"""How options are shown by `--help`, where tyro by itself would show something else."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro
from annotated_types import Interval
from tyro.conf import OmitArgPrefixes, UseAppendAction, arg
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from vsr.errors import ConfigError
from vsr.options import EnhanceOptions, validated
from vsr.profiles import laid_over, read_profile, write_profile
from vsr.profiles import vary as variants_of

ReportFile: TypeAlias = Annotated[Path | None, arg(metavar="FILE.json")]
# The options of a class as flags beside a command's own.
Options: TypeAlias = Annotated[EnhanceOptions, arg(name=""), OmitArgPrefixes, UseAppendAction]

ProfileName: TypeAlias = Annotated[str | None, arg(metavar="NAME|FILE.toml")]
Variants: TypeAlias = Annotated[str | None, arg(metavar="NAME=A,B,...")]
ProfileFile: TypeAlias = Annotated[Path | None, arg(metavar="FILE.toml")]

# What was typed, without values: tyro does not tell an option that was given from its default.
_GIVEN: ContextVar[frozenset[str]] = ContextVar("_GIVEN", default=frozenset())


def note_given(arguments: Sequence[str]) -> None:
    """Keep which options the command line states, for `settled`."""
    words = (word[2:].partition("=")[0] for word in arguments if word.startswith("--"))
    _GIVEN.set(frozenset(word.removeprefix("no-").replace("-", "_") for word in words))


def given() -> frozenset[str]:
    """Names of the options that the command line states."""
    return _GIVEN.get()


def settled(options: EnhanceOptions, profile: str | None, save: Path | None) -> EnhanceOptions:
    """Options of the command line, laid over those of a profile, and kept as one.

    Raises:
        ConfigError: A profile cannot be read, or not be written there.
    """
    if profile is not None:
        options = laid_over(read_profile(profile), options, given())
    if save is not None:
        write_profile(save, options)
    return options


def variants_asked(
    options: EnhanceOptions, vary: str | None, preview: int | None, profile: str | None
) -> dict[str, EnhanceOptions] | None:
    """Options of each variant by its name; None without --vary.

    Raises:
        ConfigError: They cannot be compared, or there is no page for them.
    """
    if vary is None:
        return None
    if preview is None:
        raise ConfigError("--vary shows variants on the page of --preview, which is not given")
    if profile is not None and vary.startswith("profile="):
        raise ConfigError("--profile and --vary profile contradict each other; give one of them")
    return variants_of(options, vary, given())


_METAVARS = {int: "N", float: "N", str: "NAME", Path: "FILE"}
# The end of a help line: what goes without the option. It is shown in brackets.
_LEFT_OUT = re.compile(r"; (?:(by default) ([^;]*)|(repeatable|required[^;]*))\.$")

REGISTRY = ConstructorRegistry()


def _whole_help(kind: object, name: str) -> str:
    """Help of a parameter or field; parameters without their own have that of the same option."""
    return help_lines(kind).get(name) or help_lines(EnhanceOptions).get(name.rstrip("_"), "")


@cache
def help_lines(kind: Any) -> Mapping[str, str]:  # noqa: ANN401
    """Help of each parameter or field, on one line, from the docstrings."""
    if inspect.isclass(kind):
        found = docstring_parser.parse_from_object(kind)
    else:
        found = docstring_parser.parse(inspect.getdoc(kind) or "")
    return {each.arg_name: " ".join((each.description or "").split()) for each in found.params}


def ranges(hint: Any) -> Iterator[Interval]:  # noqa: ANN401
    """Ranges in an annotation, however deep."""
    if isinstance(hint, Interval):
        yield hint
    for inner in get_args(hint):
        yield from ranges(inner)


@REGISTRY.struct_rule
def describe(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Options of a command, or of a class in it, with their help and metavars.

    tyro's own rules keep the line breaks of docstrings where a line begins with no letter or is
    indented, and call an option with a default of None "{None}|STR (default: None)".
    """
    kind: Callable[..., Any] = info.type
    ours = getattr(kind, "__module__", "").startswith("vsr.")
    if not ours or not (inspect.isfunction(kind) or dataclasses.is_dataclass(kind)):
        return None
    hints = get_type_hints(kind, include_extras=True)
    fields = []
    for name, parameter in inspect.signature(kind).parameters.items():
        fields.append(
            StructFieldSpec(
                name=name,
                type=_worded(kind, name, hints[name]),
                default=_default(info.default, kind, parameter),
                helptext=partial(_help, kind, name),
            )
        )
    make = _checking(kind, hints) if inspect.isfunction(kind) else kind
    return StructConstructorSpec(instantiate=make, fields=tuple(fields))


def _checking(command: Callable[..., int], hints: Mapping[str, Any]) -> Callable[..., int]:
    """A command that first checks what it is given against the ranges of its annotations."""

    @wraps(command)
    def checking(**given: Any) -> int:  # noqa: ANN401
        for name, hint in hints.items():
            if dataclasses.is_dataclass(_bare(hint)) or any(ranges(hint)):
                given[name] = validated(hint, given[name], "--" + name.replace("_", "-"))
        return command(**given)

    return checking


def _default(instance: object, kind: object, parameter: inspect.Parameter) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(instance):
        return getattr(instance, parameter.name)
    if dataclasses.is_dataclass(kind):
        field = next(each for each in dataclasses.fields(kind) if each.name == parameter.name)
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
    missing = parameter.default is inspect.Parameter.empty
    return tyro.MISSING if missing else parameter.default


def _bare(hint: Any) -> Any:  # noqa: ANN401
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _help(kind: object, name: str) -> str | None:
    """Help of an option, less what goes without it."""
    text = _whole_help(kind, name)
    found = _LEFT_OUT.search(text)
    return (text[: found.start()] + "." if found else text) or None


def _worded(kind: object, name: str, hint: Any) -> Any:  # noqa: ANN401
    """Add to a type the name of the option and of its value, and what goes without it."""
    bare = _bare(hint)
    if dataclasses.is_dataclass(bare):
        return hint

    def left_out(default: str) -> str:
        if found := _LEFT_OUT.search(_whole_help(kind, name)):
            return f"(default: {found[2]})" if found[1] else f"({found[3]})"
        value = "off" if bare is bool else default if default not in ("", "None") else "none"
        return f"(default: {value})"

    words = arg(name=name.rstrip("_"), metavar=_metavar(hint), help_behavior_hint=left_out)
    # What the annotation itself says comes later, and goes.
    return Annotated[bare, words, *getattr(hint, "__metadata__", ())]


def _metavar(hint: Any) -> str | None:  # noqa: ANN401
    """The value's range, or what its type is called."""
    for found in ranges(hint):
        if found.le is not None:
            return f"{found.ge}..{found.le}"
    kinds = (_bare(each) for each in (hint, *get_args(_bare(hint))))
    return next((_METAVARS[kind] for kind in kinds if kind in _METAVARS), None)


@REGISTRY.primitive_rule
def without_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read an optional value as its type: nobody types "None"."""
    if info.type_origin not in (Union, UnionType):
        return None
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1:
        return None
    found = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], info.markers))
    if not isinstance(found, PrimitiveConstructorSpec):
        return None
    in_words = found.str_from_instance
    return dataclasses.replace(
        found,
        is_instance=lambda value: value is None or found.is_instance(value),
        str_from_instance=lambda value: [] if value is None else in_words(value),
    )
