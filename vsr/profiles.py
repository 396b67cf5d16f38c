"""Profiles: options of a film kept in a TOML file, under the names of the flags.

The ready ones are configs/enhance/*.toml of the repository, beside the other configurations. A
wheel carries the same files inside the package, so an installed `vsr` finds them too.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError
from vsr.files import check_place, write_text
from vsr.options import EnhanceOptions, checked, nearest, parse_options, validated

DESCRIPTION = "description"
_SUFFIX = ".toml"
# Options of which a film takes one; and those whose values mean something to one encoder only.
_SIZES = ("scale", "height", "size")
_OF_THE_CODEC = ("crf", "preset", "pix_fmt", "encoder_option")
MOST_VARIANTS = 6
# These belong to one run, not to how films of a kind are enhanced.
_OF_ONE_RUN = ("start", "duration", "overwrite", "resume")
# Values of the latter two hold commas themselves.
_NOT_VARIED = (*_SIZES, *_OF_ONE_RUN, "filter", "encoder_option")


def _folder() -> Path:
    """The ready profiles: in the package if it was installed from a wheel, else in the checkout."""
    package = Path(__file__).parent
    inside = package / "configs" / "enhance"
    return inside if inside.is_dir() else package.parent / "configs" / "enhance"


def ready_profiles() -> dict[str, str]:
    """Names of the ready profiles, each with a line that says what it is for."""
    paths = sorted(_folder().glob(f"*{_SUFFIX}"))
    return {path.stem: str(_load(path).get(DESCRIPTION, "")) for path in paths}


def read_profile(profile: str | os.PathLike[str]) -> EnhanceOptions:
    """Read a profile.

    Args:
        profile: The name of a ready one, such as "tape", or a TOML file.

    Raises:
        ConfigError: There is none of that name, or the file holds an unknown option or a wrong
            value; naming the nearest name.
    """
    path = _find(profile)
    values = _load(path)
    values.pop(DESCRIPTION, None)
    try:
        return with_values(EnhanceOptions(), values)
    except ConfigError as error:
        raise ConfigError(f"profile '{path}': {error}") from None


def write_profile(path: Path, options: EnhanceOptions) -> None:
    """Write the options that differ from the defaults.

    `start`, `duration`, `overwrite` and `resume` are left out: they belong to one run.

    Raises:
        ConfigError: An option is wrong, the name does not end in .toml, or the file exists and is
            no profile.
        MuxError: It cannot be written.
    """
    options = checked(options)
    if path.suffix != _SUFFIX:
        raise ConfigError(f"a profile is named something{_SUFFIX}; got '{path}'")
    if path.exists():
        read_profile(path)
    check_place(path)
    defaults = flat(EnhanceOptions())
    lines = ["# A profile of vsr: vsr enhance IN OUT --profile " + path.name]
    for name, value in flat(options).items():
        if value != defaults[name] and name not in _OF_ONE_RUN:
            # JSON's strings, numbers, lists and words are TOML's too.
            lines.append(f"{_flag(name)} = {json.dumps(value, ensure_ascii=False)}")
    write_text(path, "\n".join(lines) + "\n")


def flat(options: EnhanceOptions) -> dict[str, Any]:
    """Values of all options, those of the groups `inference` and `encode` beside the others."""
    found: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        found |= (
            {inner.name: getattr(value, inner.name) for inner in fields(value)}
            if is_dataclass(value)
            else {each.name: value}
        )
    return found


def with_values(options: EnhanceOptions, values: Mapping[str, Any]) -> EnhanceOptions:
    """Replace options by name.

    Args:
        options: Those that stay otherwise.
        values: By the names of the flags, without the dashes before them; "pix-fmt" and "pix_fmt"
            are the same.

    Raises:
        ConfigError: A name is unknown (the nearest is named), or a value is wrong.
    """
    known = flat(options)
    changed = {name.replace("-", "_"): value for name, value in values.items()}
    for name in changed:
        if name not in known:
            raise ConfigError(f"unknown option '{name}'{_hint(_flag(name), map(_flag, known))}")
    groups = {each.name: getattr(options, each.name) for each in fields(options)}
    inside = {
        inner.name: (group, value)
        for group, value in groups.items()
        if is_dataclass(value)
        for inner in fields(value)
    }
    top: dict[str, Any] = {}
    for name, value in changed.items():
        if name in inside:
            group, before = inside[name]
            top.setdefault(group, {f.name: getattr(before, f.name) for f in fields(before)})
            top[group][name] = value
        else:
            top[name] = value
    given: EnhanceOptions = validated(EnhanceOptions, groups | top)
    return checked(given)


def laid_over(
    profile: EnhanceOptions, options: EnhanceOptions, given: Collection[str]
) -> EnhanceOptions:
    """Lay options that were given one by one over those of a profile; they win.

    A size given replaces the profile's, however that was stated. A codec given leaves out what the
    profile states for its own: crf, preset, pixel format and encoder options. Encoder options are
    joined, name by name.

    Args:
        profile: The base.
        options: Holds the values given.
        given: Their names, as in `flat`.

    Raises:
        ConfigError: Together they contradict each other.
    """
    values, base, defaults = flat(options), flat(profile), flat(EnhanceOptions())
    if any(name in given for name in _SIZES):
        base |= dict.fromkeys(_SIZES)
    if "codec" in given and values["codec"] != base["codec"]:
        base |= {name: defaults[name] for name in _OF_THE_CODEC}
    merged = {name: values[name] if name in given else base[name] for name in values}
    both = (*base["encoder_option"], *values["encoder_option"])
    merged["encoder_option"] = tuple(f"{k}={v}" for k, v in parse_options(both).items())
    return with_values(EnhanceOptions(), merged)


def vary(
    options: EnhanceOptions, setting: str, given: Collection[str] = ()
) -> dict[str, EnhanceOptions]:
    """Variants of options, by names such as "clean 0.5", for a preview.

    Args:
        options: Of all variants otherwise.
        setting: "NAME=A,B,...": the name of an option, or "profile", and its values.
        given: Options that win over a varied profile; see `laid_over`.

    Raises:
        ConfigError: The name or a value is wrong, or there are too few or too many values.
    """
    name, _, listed = setting.partition("=")
    name, values = name.removeprefix("--"), [value.strip() for value in listed.split(",")]
    values = list(dict.fromkeys(filter(None, values)))
    if not 2 <= len(values) <= MOST_VARIANTS:
        raise ConfigError(
            f"--vary wants NAME=A,B,... with 2 to {MOST_VARIANTS} values, such as "
            f"clean=0,0.5,1; got '{setting}'"
        )
    if (field := name.replace("-", "_")) in _NOT_VARIED:
        raise ConfigError(
            f"--vary cannot compare {name}: sizes, parts and lists are the same for all variants; "
            "write two profiles and use --vary profile=a.toml,b.toml"
        )
    short = [Path(value).name for value in values]
    # Files of one name in two folders are told apart by their folders.
    shown = short if len(set(short)) == len(short) else values
    return {
        f"{name} {text}": laid_over(read_profile(value), options, given)
        if field == "profile"
        else with_values(options, {name: value})
        for text, value in zip(shown, values, strict=True)
    }


def _find(profile: str | os.PathLike[str]) -> Path:
    text = os.fspath(profile)
    if Path(text).suffix == _SUFFIX or os.sep in text:
        return Path(text)
    path = _folder() / f"{text}{_SUFFIX}"
    if path.is_file():
        return path
    hint = _hint(text, ready_profiles())
    raise ConfigError(f"no profile '{text}'{hint} (or a TOML file: NAME.toml)")


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no such profile: '{path}'") from error
    except OSError as error:
        raise ConfigError(f"profile '{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigError(f"profile '{path}' is not TOML: {error}") from error


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    return nearest(name, names) or f"; known: {', '.join(names)}"
