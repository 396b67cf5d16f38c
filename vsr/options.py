"""What a user may choose: reading, encoding, inference, measuring; no torch and no av here.

Annotations hold the range of each option (checked by `validated`, for flags, files and Python
alike) and the name of its value in `--help` where the type does not give one.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from annotated_types import Interval
from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from vsr.errors import ConfigError, in_one_line

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

Count = Annotated[int, Interval(ge=0)]
Positive = Annotated[int, Interval(ge=1)]
Share = Annotated[float, Interval(ge=0, le=1)]

Deinterlace = Literal["auto", "off", "frame", "field"]
SoundChoice = Literal["copy", "pcm"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16", "int8"]
TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]
METRICS = ("psnr", "ssim", "tof", "warping", "flicker", "stlpips", "niqe", "xpsnr")
STEADINESS = ("tof", "warping", "flicker")
STANDARD = ("psnr", "ssim", *STEADINESS)
Metrics = Annotated[
    tuple[str, ...],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME,...",
        instance_from_str=lambda words: tuple(word for word in words[0].split(",") if word),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(value)],
    ),
    arg(metavar="NAME,..."),
]
ProtocolName = Literal[
    "vid4-bi",
    "vid4-bd",
    "reds4",
    "vimeo90k-bi",
    "vimeo90k-bd",
    "udm10-bd",
    "folder-bi",
    "folder-bd",
    "folder-real",
]

CUT_SCORE = 7.0
NEVER = 101

# Pydantic otherwise ignores unknown keys, and trusts what is an instance already.
_STRICT = {"extra": "forbid", "revalidate_instances": "always"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeOptions:
    """What part of a file is decoded, and through which filters.

    Attributes:
        start, duration: Seconds from the file's first frame: start <= t < start + duration.
        deinterlace: "auto" runs bwdif on interlaced streams only, one frame per frame, and leaves
            it to `filter_chain` if that deinterlaces; "frame" runs it on any stream; "field"
            makes one frame of each field, doubling the rate.
        filter_chain: Any libavfilter chain, run after deinterlacing.
        threads: Decoder threads; 0 takes all cores.
        mark_repeats: Mark frames that equal the one before, and score cuts as if they were not
            there.
    """

    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    deinterlace: Deinterlace = "auto"
    filter_chain: str | None = None
    threads: int = 0
    mark_repeats: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How the video is encoded; the container and the source decide what is not given."""

    __pydantic_config__ = _STRICT

    codec: str | None = None
    """FFmpeg encoder name, such as libx264, libx265, libsvtav1, ffv1, prores_ks; by default
    libx264, libx265 for 10 bit, libvpx-vp9 or libsvtav1 in WebM."""

    crf: float | None = None
    """Constant quality, lower is better, on the encoder's own scale; by default 16 for libx264,
    18 for libx265, 20 for libvpx-vp9, 22 for libsvtav1."""

    preset: str | None = None
    """Speed preset of the encoder; by default medium for libx264 and libx265, 8 for libsvtav1."""

    pix_fmt: str | None = None
    """FFmpeg pixel format; by default one with the source's chroma and depth."""

    encoder_option: Annotated[tuple[str, ...], arg(metavar="K=V")] = ()
    """Another option of the encoder as name=value, by FFmpeg's names; repeatable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferenceOptions:
    """How the network is run."""

    __pydantic_config__ = _STRICT

    window: Positive | None = None
    """Frames given to the network at once; by default as many as model and memory allow."""

    lookahead: Count | None = None
    """Frames after the window that are looked at but not upscaled; by default the model's own
    number."""

    tile: Annotated[int, Interval(ge=16)] | None = None
    """Longest side of a tile, in input pixels; by default whole frames if they fit in memory."""

    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]|xpu[:N]|mps")] = "auto"
    """cuda is NVIDIA's and, with ROCm, AMD's GPUs, xpu Intel's, mps Apple's; auto takes one that
    PyTorch can use, else the CPU. None of the GPUs has been tried on real hardware yet."""

    precision: PrecisionChoice = "auto"
    """auto is fp16 on cuda and xpu, fp32 on mps; on a CPU int8 for the compact networks where it
    has VNNI but no AMX instructions, else bf16 if it has those for it, else fp32."""

    scene_threshold: Annotated[float, Interval(ge=0, le=NEVER)] = CUT_SCORE
    """Scene score (libavfilter scdet, 0 to 100) that counts as a cut; 101 finds none."""

    memory_limit: Annotated[Positive | None, arg(metavar="MIB")] = None
    """Memory for the network in MiB, in a batch for each worker; by default most of what is free
    on the device, shared by the workers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceOptions:
    """How one file is enhanced; the defaults suit most files."""

    __pydantic_config__ = _STRICT

    model: Annotated[str | None, arg(metavar="NAME|FILE|MODULE:CLASS")] = None
    """A name from `vsr models`, a weight file, or a class of your own; by default the bundled
    network for real footage that fits the size asked for."""

    scale: Literal[1, 2, 3, 4, 8] | None = None
    """Factor for the input's width and height; by default the network's own."""

    height: Annotated[Annotated[int, Interval(ge=2)] | None, arg(metavar="H")] = None
    """Height of the picture as shown, in pixels; the width follows; by default as --scale."""

    size: Annotated[str | None, arg(metavar="WxH")] = None
    """Width and height of the picture as shown, such as 1920x1080; another aspect is kept by
    non-square pixels; by default as --scale."""

    start: Annotated[str | None, arg(metavar="T")] = None
    """Where to begin: seconds or [[HH:]MM:]SS from the first frame; by default 0."""

    duration: Annotated[str | None, arg(metavar="T")] = None
    """How much to enhance, written like --start; by default all of it."""

    clean: Share | None = None
    """Share of the cleaning stage's correction; by default 1 where the network has a stage, else 0.
    """

    steady: Share = 0.0
    """How much each result is blended with the one before it, moved along the optical flow: less
    flicker, for networks that see single frames."""

    strength: Share = 1.0
    """1 for the network's picture, 0 for the bicubic one, a blend in between."""

    deinterlace: Deinterlace = "auto"
    """auto: interlaced video only; frame: always; field: one frame per field, twice the rate."""

    filter: Annotated[str | None, arg(metavar="CHAIN")] = None
    """libavfilter chain run on the frames before the network, such as "crop=iw:ih-8"."""

    sound: SoundChoice = "copy"
    """copy: as in the input where the output's container holds it; pcm: uncompressed, for editing.
    """

    skip: Annotated[
        bool, arg(help="Compute every frame, also those that equal the one before it.")
    ] = True
    """Do not compute frames that equal the one before: they take its result."""

    inference: InferenceOptions = field(default_factory=InferenceOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    overwrite: bool = False
    """Replace the output if it exists."""

    allow_damage: bool = False
    """Take an input of which more than a tenth is lost: otherwise it is refused, or the output is
    named NAME.damaged."""

    piece: Positive = 240
    """Frames after which finished work survives an interruption; a keyframe starts each piece."""

    resume: Annotated[bool, arg(help="Start over: drop what an interrupted run finished.")] = True
    """Continue with what an interrupted run finished."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """How models are measured on a test set."""

    __pydantic_config__ = _STRICT

    protocol: ProtocolName
    """vid4, udm10, vimeo90k and folder measure Y, reds4 measures RGB. -bi shrinks bicubically, -bd
    by blur, -real degrades as cameras and codecs do, each clip by its name. folder takes any
    folder of videos or pictures as the truth."""

    inference: InferenceOptions = field(default_factory=InferenceOptions)

    whole_clip: bool = False
    """Process each clip at once, as papers do, not in windows (Vimeo-90K: played forth and back,
    both predictions averaged)."""

    border: Count = 0
    """Pixels left out at each edge."""

    frames: Positive | None = None
    """Frames of each clip, from the first; by default all."""

    metrics: Metrics = STANDARD
    """What is measured, comma-separated. psnr, ssim: always, on Y or RGB as the protocol says;
    higher is better; comparable with papers that follow the protocol. stlpips: how different frames
    look; lower is better; comparable with stlpips-pytorch 0.0.2 (alex), not with LPIPS. niqe: how
    unnatural a frame is, without a truth; lower is better; comparable with calculate_niqe of
    BasicSR. xpsnr: PSNR of Y, errors weighed by how well they are seen; higher is better;
    comparable with FFmpeg's filter on the same frames. tof, warping, flicker: unsteadiness; lower
    is better, down to the truth's own; comparable among results of vsr only. module:name: a
    function of your own of (output, truth), (H, W, 3) uint8 RGB each, to a number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """How a network is called in an ONNX file."""

    __pydantic_config__ = _STRICT

    window: Positive | None = None
    """Frames upscaled in one call; their state is passed on to the next call; by default 8."""

    lookahead: Count | None = None
    """Frames after them in each call that are only looked at; by default the model's own number."""

    around: Count | None = None
    """Without state instead: one frame from so many on both sides, all stacked as channels, as
    plugins for single pictures take it; by default only for networks without memory, with 0."""

    size: Annotated[str | None, arg(metavar="WxH")] = None
    """Fixed size of the input, such as 1280x720; by default any from 96x96 up."""


def validated(kind: Any, values: Any, name: str = "") -> Any:  # noqa: ANN401
    """Check options against the types and ranges of their annotations.

    Args:
        kind: The annotation, such as `Positive`, or a class of options.
        values: A value; or an instance of that class, or a mapping of its fields.
        name: How messages name a value alone; fields are named as flags of the command line.

    Returns:
        The value, or an instance of the class.

    Raises:
        ConfigError: Naming the option, what came and what it may be.
    """
    from pydantic import ValidationError

    try:
        return adapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_explain(kind, error.errors()[0], name)) from None


def text_of(value: Any, what: str) -> str:  # noqa: ANN401
    """Text or the path that a caller gave.

    Args:
        value: What came.
        what: It should name, for the message.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"text or a path wanted for {what}, got {type(value).__name__}")
    return os.fsdecode(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """End a message about an unknown name: "; did you mean 'lr'?", or nothing."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.65)
    return f"; did you mean '{near[0]}'?" if near else ""


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401
    """pydantic's adapter of a type, made once."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _explain(kind: Any, error: ErrorDetails, name: str) -> str:  # noqa: ANN401
    fault, place = error["type"], [str(part) for part in error["loc"]]
    if fault == "unexpected_keyword_argument":
        for part in place[:-1]:
            kind = get_type_hints(kind)[part]
        known = [field.name for field in fields(kind)]
        hint = nearest(place[-1], known)
        return f"unknown option '{'.'.join(place)}'{hint}; known: {', '.join(known)}"
    if named := [part for part in place if not part.isdigit()]:
        name = "--" + named[-1].replace("_", "-")
    got = error["input"]
    if fault == "greater_than_equal":
        return f"{name} must be at least {error['ctx']['ge']:g}; got {got}"
    if fault == "less_than_equal":
        return f"{name} must be at most {error['ctx']['le']:g}; got {got}"
    return f"{name} {error['msg'].replace('Input should be', 'must be')}; got {got!r}"


_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def names_code(text: str) -> bool:
    """Whether it names code of the user's: package.module:Name."""
    return _CODE.fullmatch(text) is not None


def imported(name: str) -> Any:  # noqa: ANN401
    """Import what package.module:Name names; modules in the current folder are found too.

    Raises:
        ConfigError: There is no such module or name in it, or importing it fails.
    """
    module, _, attribute = name.partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)
    try:
        found = importlib.import_module(module)
    except Exception as error:  # the module is the user's, and may raise anything
        missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(
            f"{error.name}."
        )
        raise ConfigError(
            f"no module '{module}' for '{name}'; install its package, or run vsr in the folder of "
            "the file"
            if missing
            else f"'{module}' for '{name}' cannot be imported: {type(error).__name__}: "
            f"{in_one_line(error)}"
        ) from error
    if not hasattr(found, attribute):
        names = [key for key in vars(found) if not key.startswith("_")]
        raise ConfigError(f"'{module}' has no '{attribute}'{nearest(attribute, names)}")
    return getattr(found, attribute)


def source_hash(name: str) -> str:
    """Hash the file that defines what package.module:Name names: edited code is other code."""
    file = inspect.getsourcefile(sys.modules[imported(name).__module__])
    found = Path(file).read_bytes() if file else name.encode()
    return hashlib.sha256(found).hexdigest()


_LONGEST = 10**9  # seconds; more does not fit a clock
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_SIZE = re.compile(r"(\d+)[x×](\d+)")


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """Read "name=value" options; the last of a name wins.

    Raises:
        ConfigError: One has no name or no value.
    """
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"--encoder-option wants name=value, such as tune=film; got '{text}'")
        options[name] = value
    return options


def parse_time(text: str, option: str) -> Fraction:
    """Read seconds or [[HH:]MM:]SS[.fraction], exactly.

    Raises:
        ConfigError: Naming the option.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"--{option} wants seconds or [[HH:]MM:]SS, such as 90 or 1:30.5; got '{text}'"
        )
    hours, minutes, seconds = match.groups()
    found = int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)
    if found > _LONGEST:
        raise ConfigError(f"--{option} wants a moment within the film; got '{text}'")
    return found


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT.

    Raises:
        ConfigError: It is not two positive integers.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    width, height = (int(side) for side in match.groups()) if match else (0, 0)
    if not (width and height):
        raise ConfigError(f"--size wants WIDTHxHEIGHT such as 1920x1080; got '{text}'")
    return width, height


def decode_options(options: EnhanceOptions) -> DecodeOptions:
    """What of the source is decoded, and through which filters."""
    return DecodeOptions(
        start=parse_time(options.start, "start") if options.start is not None else Fraction(0),
        duration=parse_time(options.duration, "duration") if options.duration is not None else None,
        deinterlace=options.deinterlace,
        filter_chain=options.filter,
        mark_repeats=options.skip,
    )


def checked(options: EnhanceOptions) -> EnhanceOptions:
    """Check options alone and against each other.

    Raises:
        ConfigError: Naming them.
    """
    options = validated(EnhanceOptions, options)
    chosen = [name for name in ("scale", "height", "size") if getattr(options, name) is not None]
    if len(chosen) > 1:
        both = " and ".join(f"--{name}" for name in chosen)
        raise ConfigError(f"{both} contradict each other; give one of them")
    if options.size is not None:
        parse_size(options.size)
    decode = decode_options(options)
    if decode.duration == 0:
        raise ConfigError(f"--duration must be more than 0; got {options.duration}")
    return options


def differences(before: Any, now: Any, name: str = "", *, common: bool = False) -> Iterator[str]:  # noqa: ANN401
    """What differs between two values of nested dicts: "options.strength was 1.0, is 0.5".

    Args:
        before, now: As JSON holds them.
        name: Of the values themselves.
        common: Leave out keys that only one of them has.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() & now.keys() if common else before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from differences(before.get(key), now.get(key), inner, common=common)
    elif before != now:
        yield f"{name} was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:  # noqa: ANN401
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
