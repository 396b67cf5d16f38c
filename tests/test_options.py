"""Options are checked alike wherever they come from: flags, files and Python."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vsr.errors import ConfigError
from vsr.options import (
    EnhanceOptions,
    InferenceOptions,
    Positive,
    checked,
    parse_time,
    validated,
)


def test_a_table_of_a_file_becomes_options() -> None:
    table = {"scale": 2, "inference": {"tile": 64}, "encode": {"encoder_option": ["tune=film"]}}
    options = validated(EnhanceOptions, table)
    assert isinstance(options, EnhanceOptions)
    assert (options.scale, options.inference.tile, options.piece) == (2, 64, 240)
    assert options.encode.encoder_option == ("tune=film",)
    assert checked(options) == options


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"scael": 2},
            r"unknown option 'scael'; did you mean 'scale'\?; known: model, scale, height",
        ),
        (
            {"inference": {"tiel": 64}},
            r"unknown option 'inference.tiel'; did you mean 'tile'\?; known: window, lookahead",
        ),
        ({"inference": {"tile": 15}}, "--tile must be at least 16; got 15"),
        ({"inference": 3}, "--inference must be a dictionary"),
        ({"strength": 1.5}, "--strength must be at most 1; got 1.5"),
        ({"scale": 5}, "--scale must be 1, 2, 3, 4 or 8; got 5"),
        ({"piece": "many"}, "--piece must be a valid integer.*; got 'many'"),
        ({"encode": {"encoder_option": [1]}}, "--encoder-option must be a valid string; got 1"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        validated(EnhanceOptions, table)


@pytest.mark.parametrize(
    "options",
    [
        EnhanceOptions(strength=math.nan),
        EnhanceOptions(height=1),
        EnhanceOptions(inference=InferenceOptions(window=0)),
        EnhanceOptions(size="0x5"),
        EnhanceOptions(start=""),
        EnhanceOptions(duration="0"),
        EnhanceOptions(height=9, size="16x9"),
    ],
)
def test_an_instance_is_checked_again(options: EnhanceOptions) -> None:
    with pytest.raises(ConfigError, match=r"^--"):
        checked(options)


def test_a_value_alone_has_the_name_it_is_given() -> None:
    assert validated(Positive | None, None, "height") is None
    with pytest.raises(ConfigError, match=r"^height must be at least 1; got 0"):
        validated(Positive | None, 0, "height")


def test_a_moment_that_no_clock_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="--start wants a moment within the film"):
        parse_time("99999999999999999999", "start")
