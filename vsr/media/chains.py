"""What a user's filter chain does of that which is otherwise done here: turning, deinterlacing."""

from __future__ import annotations

from vsr.media.filters import FilterCall, parse_chain

# Of a point (x, y), with (a, b, c, d) in the order of the display matrix: ax + cy, bx + dy.
Turn = tuple[int, int, int, int]
UPRIGHT: Turn = (1, 0, 0, 1)
HFLIP, VFLIP = (-1, 0, 0, 1), (1, 0, 0, -1)
# libavfilter/vf_transpose.c: by number and by name.
TRANSPOSE: dict[str, Turn] = {
    "0": (0, 1, 1, 0),
    "1": (0, 1, -1, 0),
    "2": (0, -1, 1, 0),
    "3": (0, -1, -1, 0),
}
TRANSPOSE |= {
    name: TRANSPOSE[str(number)]
    for number, name in enumerate(("cclock_flip", "clock", "cclock", "clock_flip"))
}
# These may turn the picture too, by amounts that only libavfilter knows.
OTHER_TURNS = (
    "rotate", "perspective", "v360", "remap", "transpose_cuda", "transpose_npp", "transpose_opencl",
    "transpose_vaapi", "transpose_vt", "transpose_vulkan", "flip_vulkan", "hflip_vulkan",
    "vflip_vulkan",
)  # fmt: skip
DEINTERLACERS = (
    "bwdif", "bwdif_cuda", "bwdif_vulkan", "deinterlace_d3d12", "deinterlace_qsv",
    "deinterlace_vaapi", "detelecine", "estdif", "field", "fieldmatch", "il", "kerndeint", "nnedi",
    "pullup", "separatefields", "tinterlace", "vpp_qsv", "w3fdif", "yadif", "yadif_cuda",
    "yadif_videotoolbox",
)  # fmt: skip
# How many frames these give depends on the picture, or is not as the frame rate they state.
UNCOUNTED = (
    "concat", "dejudder", "interleave", "loop", "mpdecimate", "pullup", "repeatfields", "segment",
    "select", "shuffleframes", "thumbnail", "tpad", "trim", "zoompan",
)  # fmt: skip


def deinterlacers(chain: str | None) -> tuple[str, ...]:
    """Name the filters of a chain that deinterlace, or need fields as they were.

    Raises:
        ConfigError: The text does not follow libavfilter's grammar.
    """
    calls = parse_chain(chain) if chain else []
    return tuple(dict.fromkeys(call.name for call in calls if call.name in DEINTERLACERS))


def keeps_count(chain: str | None) -> bool:
    """Tell whether a chain gives as many frames per second as the frame rate it states.

    Raises:
        ConfigError: The text does not follow libavfilter's grammar.
    """
    calls = parse_chain(chain) if chain else []
    return not any(call.name in UNCOUNTED for call in calls)


def turn_of(chain: str | None) -> Turn | None:
    """Tell how a chain turns and mirrors the picture; None where that cannot be told.

    Raises:
        ConfigError: The text does not follow libavfilter's grammar.
    """
    calls = parse_chain(chain) if chain else []
    turns = [_turn(call) for call in calls]
    if all(turn == UPRIGHT for turn in turns):
        return UPRIGHT
    if any(call.inputs or call.outputs for call in calls):
        return None  # branches: which of the filters the picture passes is not followed
    total = UPRIGHT
    for turn in turns:
        if turn is None:
            return None
        total = _then(total, turn)
    return total


def turn_of_matrix(matrix: tuple[int, ...] | None) -> Turn | None:
    """Reduce a display matrix to its turn; None where it is no quarter turn."""
    if matrix is None:
        return UPRIGHT
    a, b, c, d = ((value > 0) - (value < 0) for value in (*matrix[0:2], *matrix[3:5]))
    return (a, b, c, d) if abs(a * d - b * c) == 1 and abs(a) != abs(b) else None


def upright_chain(matrix: tuple[int, ...]) -> str | None:
    """Give filters that do what a display matrix asks of players; None where there are none."""
    wanted = turn_of_matrix(matrix)
    chains = [f"transpose={name}" for name in ("clock", "cclock", "cclock_flip", "clock_flip")]
    chains += ["hflip,vflip", "hflip", "vflip"]
    return next((chain for chain in chains if turn_of(chain) == wanted), None)


def _turn(call: FilterCall) -> Turn | None:
    if call.name == "transpose":
        parts = [part.partition("=") for part in call.arguments.split(":") if part]
        options = {key if sep else "dir": value if sep else key for key, sep, value in parts}
        # A second argument lets some pictures pass as they are.
        return TRANSPOSE.get(options.get("dir", "0")) if len(parts) <= 1 else None
    if call.name in OTHER_TURNS:
        return None
    return {"hflip": HFLIP, "vflip": VFLIP}.get(call.name, UPRIGHT)


def _then(first: Turn, second: Turn) -> Turn:
    a, b, c, d = first
    e, f, g, h = second
    return (e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d)
