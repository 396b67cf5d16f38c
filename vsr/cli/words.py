"""How options are put into words: what tyro shows of the commands and of the options' fields."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

# What stands for the value of an option, the same in every command.
METAVARS: Mapping[str, str] = {
    "at": "T",
    "border": "N",
    "codec": "NAME",
    "config": "CONFIG.toml",
    "container": "EXT",
    "crf": "N",
    "data": "DIR",
    "device": "NAME",
    "duration": "T",
    "encoder_option": "K=V",
    "file": "FILE",
    "filter": "CHAIN",
    "frames": "N",
    "height": "H",
    "inputs": "IN...",
    "json": "FILE.json",
    "lookahead": "N",
    "markdown": "FILE.md",
    "memory_limit": "MIB",
    "model": "NAME|FILE",
    "moments": "N",
    "output": "PAGE.html",
    "output_dir": "DIR",
    "outputs": "OUTPUT...",
    "piece": "N",
    "pix_fmt": "NAME",
    "preset": "NAME",
    "preview": "N",
    "ray": "ADDRESS",
    "reference": "REFERENCE",
    "report": "FILE.json",
    "retries": "N",
    "scene_threshold": "0..101",
    "set": "A.B=VALUE",
    "clean": "0..1",
    "size": "WxH",
    "source": "IN",
    "start": "T",
    "status": "DIR",
    "strength": "0..1",
    "summary": "FILE.json",
    "target": "OUT",
    "tile": "N",
    "video": "FILM",
    "window": "N",
    "words": "[NAME | download NAME...]",
    "workers": "N",
}
# Of what is on by default only its opposite is an option.
OF_NO: Mapping[str, str] = {
    "resume": "Start afresh; otherwise what an interrupted run has finished is kept, and gone on "
    "with.",
    "over_time": "Do not measure steadiness: tOF, warping error, flicker.",
}

# The end of a help line that tells what goes without the option; it is shown in brackets.
_LEFT_OUT = re.compile(r"[;.] (?:([Bb]y default) (.*)|((?:required|may be given again).*))\.$")

REGISTRY = ConstructorRegistry()


@cache
def help_lines(kind: Any) -> Mapping[str, str]:  # noqa: ANN401
    """Give the help of each parameter or field, on one line, from the docstrings."""
    if inspect.isclass(kind):
        found = docstring_parser.parse_from_object(kind)
    else:
        found = docstring_parser.parse(inspect.getdoc(kind) or "")
    return {each.arg_name: " ".join((each.description or "").split()) for each in found.params}


@REGISTRY.struct_rule
def describe(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Name the options of a command, or of a dataclass in it, with their help and metavars.

    tyro's own rules keep the line breaks of docstrings where a line begins with no letter or is
    indented, and call what may be left out "{None}|STR (default: None)".
    """
    kind: Callable[..., Any] = info.type
    ours = getattr(kind, "__module__", "").startswith("vsr.")
    described = inspect.isfunction(kind) or dataclasses.is_dataclass(kind)
    if not (ours and described):
        return None
    hints = get_type_hints(kind, include_extras=True)
    fields = []
    for name, parameter in inspect.signature(kind).parameters.items():
        default = _default(info.default, parameter)
        fields.append(
            StructFieldSpec(
                name=name,
                type=_worded(kind, name, hints[name], default),
                default=default,
                helptext=partial(_help, kind, name, default),
            )
        )
    return StructConstructorSpec(instantiate=kind, fields=tuple(fields))


def _default(instance: object, parameter: inspect.Parameter) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(instance):
        return getattr(instance, parameter.name)
    missing = parameter.default is inspect.Parameter.empty
    return tyro.MISSING if missing else parameter.default


def _help(kind: object, name: str, default: object) -> str | None:
    """Give the help of an option, without what it says of being left out."""
    text = _whole_help(kind, name, default)
    found = _LEFT_OUT.search(text)
    return (text[: found.start()] + "." if found else text) or None


def _whole_help(kind: object, name: str, default: object) -> str:
    return OF_NO[name.strip("_")] if default is True else help_lines(kind).get(name, "")


def _worded(kind: object, name: str, hint: Any, default: object) -> Any:  # noqa: ANN401
    """Add to a type what stands for its value, and what goes for it if it is left out."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if dataclasses.is_dataclass(bare):
        return hint
    has_choices = any(get_origin(each) is Literal for each in (bare, *get_args(bare)))
    metavar = None if bare is bool or has_choices else METAVARS[name.strip("_")]

    def left_out(label: str) -> str:
        if found := _LEFT_OUT.search(_whole_help(kind, name, default)):
            return f"(default: {found[2]})" if found[1] else f"({found[3]})"
        value = "off" if bare is bool else label if label not in ("", "None") else "none"
        return f"(default: {value})"

    return Annotated[hint, tyro.conf.arg(metavar=metavar, help_behavior_hint=left_out)]


@REGISTRY.primitive_rule
def without_none(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read what may be left out as what it is if given: nobody types "None"."""
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
