"""Training options: their fields, and reading them from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from os.path import expanduser
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from vsr.data.recipe import FootageRecipe, RealRecipe
from vsr.errors import ConfigError
from vsr.options import TrainingPrecision, names_code, nearest

_STRICT = {"extra": "forbid"}


def _number(value: object) -> object:
    """Refuse true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "wanted a number")
    return value


Count = Annotated[int, BeforeValidator(_number), Field(ge=0, lt=2**63)]
Positive = Annotated[int, BeforeValidator(_number), Field(ge=1, lt=2**63)]
NotNegative = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
# Of the past, in a moving average.
Decay = Annotated[float, BeforeValidator(_number), Field(ge=0, lt=1)]


def _code(value: str) -> str:
    """Refuse what does not name code of the user's."""
    if not names_code(value):
        raise PydanticCustomError("code", "wanted package.module:name")
    return value


def _picture_loss(value: str) -> str:
    if not (value in PICTURE_LOSSES or names_code(value)):
        hint = nearest(value, PICTURE_LOSSES)
        raise PydanticCustomError(
            "picture", f"wanted {', '.join(PICTURE_LOSSES)}, or package.module:name{hint}"
        )
    return value


PICTURE_LOSSES = ("charbonnier", "l1", "mse", "log_mse")
Code = Annotated[str, AfterValidator(_code)]
# No shell expands ~ in a TOML file, or after the second = of --set run.output=~/runs.
File = Annotated[str, AfterValidator(expanduser)]
# "" would be the current folder: what a shell makes of a variable that is not set.
Folder = Annotated[str, Field(min_length=1), AfterValidator(expanduser)]


@dataclass(frozen=True, kw_only=True)
class CompactOptions:
    """The project's own network."""

    __pydantic_config__ = _STRICT

    name: Literal["compact"] = "compact"
    """Architecture."""
    scale: Positive = 4
    """Upscaling factor."""
    channels: Positive = 48
    """Features in each trunk."""
    blocks: Positive = 5
    """Residual blocks in each trunk."""
    clean: bool = False
    """A cleaning stage before flow and propagation."""


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """The cleaning stage on its own: the size stays."""

    __pydantic_config__ = _STRICT

    name: Literal["clean"] = "clean"
    """Architecture."""
    channels: Positive = 64
    """Features, at half the size of the picture."""
    blocks: Positive = 8
    """Residual blocks."""

    scale: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class BasicVsrOptions:
    """BasicVSR, x4."""

    __pydantic_config__ = _STRICT

    name: Literal["basicvsr"] = "basicvsr"
    """Architecture."""
    channels: Positive = 64
    """Features in each trunk."""
    blocks: Positive = 30
    """Residual blocks in each trunk."""

    scale: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True)
class BasicVsrPlusPlusOptions:
    """BasicVSR++, x4."""

    __pydantic_config__ = _STRICT

    name: Literal["basicvsr_pp"] = "basicvsr_pp"
    """Architecture."""
    channels: Positive = 64
    """Features in each branch, a multiple of 16."""
    blocks: Positive = 7
    """Residual blocks in each branch."""

    scale: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True)
class RealBasicVsrOptions:
    """RealBasicVSR, x4."""

    __pydantic_config__ = _STRICT

    name: Literal["realbasicvsr"] = "realbasicvsr"
    """Architecture."""
    channels: Positive = 64
    """Features."""
    blocks: Positive = 20
    """Residual blocks in each trunk of BasicVSR."""
    cleaning_blocks: Positive = 20
    """Residual blocks of the cleaning module."""
    threshold: Annotated[float, Field(gt=0)] = 5.0
    """Residue below which a frame counts as clean, in 8-bit levels; training cleans once anyway."""

    scale: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True)
class OwnOptions:
    """A network of your own."""

    __pydantic_config__ = _STRICT

    name: Code
    """Class, as package.module:Class; see docs/own_network.md."""
    scale: Positive = 4
    """Upscaling factor; that of the class."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments that it is built with."""


def _kind_of_network(values: Any) -> str:  # noqa: ANN401
    """The name of an architecture; "own" for that of a class."""
    name = values.get("name") if isinstance(values, dict) else getattr(values, "name", None)
    return "own" if isinstance(name, str) and names_code(name) else str(name)


NetworkOptions: TypeAlias = Annotated[
    Annotated[CompactOptions, Tag("compact")]
    | Annotated[CleanOptions, Tag("clean")]
    | Annotated[BasicVsrOptions, Tag("basicvsr")]
    | Annotated[BasicVsrPlusPlusOptions, Tag("basicvsr_pp")]
    | Annotated[RealBasicVsrOptions, Tag("realbasicvsr")]
    | Annotated[OwnOptions, Tag("own")],
    Discriminator(_kind_of_network),
]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on."""

    __pydantic_config__ = _STRICT

    train: Folder
    """Folder to train on, or one video."""
    val: Folder
    """Folder to validate on, or one video."""
    layout: Literal["folder", "reds", "vimeo90k"] = "folder"
    """Of `train`: videos and folders of pictures in it and below; REDS less REDS4; Vimeo-90K."""
    val_layout: Literal["folder", "reds4"] = "folder"
    """Of `val`; "reds4" is measured in RGB, as papers do, all else on Y."""
    degradation: Literal["bicubic", "bd", "real", "footage"] = "bicubic"
    """How lq is made from the truth. "real" degrades each crop, drawing from `[real]`; "footage"
    degrades whole films once, drawing from `[footage]`, and cuts crops out of them."""
    variants: Positive = 3
    """Films that "footage" makes of each shot of a clip."""
    renew_every: Positive = 4000
    """Steps after which "footage" makes new films."""
    shrink: tuple[Positive, ...] = (1,)
    """Factors by which the truth is shrunk first; every video counts once for each."""
    mirror: bool = False
    """Play each clip forth and back: `length` 7 gives 14 frames (Vimeo-90K)."""
    reverse: bool = True
    """Play half of the clips backwards."""
    replay_every: Count = 0
    """One step in so many goes on from what the network remembers after its clip was played forth
    and back, once to three times, so that long shots stay stable; 0: none."""
    sharpen: bool = False
    """Sharpen the truth, for all but the adversarial loss: "real" degrades the sharpened clip."""
    half_size: tuple[str, ...] = ()
    """File name patterns of training videos to shrink to half: compressed too hard as they are."""
    cache: Annotated[str, Field(min_length=1)] = "~/.cache/vsr/frames"
    """Folder of the decoded frames, about 1.5 MB per 960x540 frame."""
    crop: Positive = 56
    """Side of the square lq crops, pixels."""
    length: Positive = 8
    """Frames per training clip."""
    batch: Positive = 2
    """Clips per step, over all processes."""
    workers: Count = 0
    """Processes that read ahead; 0 reads in between steps, which is best on a CPU."""
    val_frames: Positive = 32
    """Frames of each validation video that are used, from the first."""


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """How it is trained."""

    __pydantic_config__ = _STRICT

    steps: Positive = 9000
    """Optimiser updates in all."""
    lr: NotNegative = 8e-4
    """Highest learning rate of Adam."""
    lr_final: NotNegative = 1e-6
    """Learning rate at the end of the cosine."""
    warmup: Count = 200
    """Steps of linear warm-up."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Adam's momenta."""
    flow_lr_factor: NotNegative = 0.25
    """Learning rate of the flow parts, as a factor."""
    flow_frozen: Count = 0
    """First steps in which the flow parts stay as they are."""
    grad_clip: NotNegative = 0.5
    """Largest norm of the gradient; 0: any."""
    ema: Decay = 0.999
    """Decay of the moving average of the weights, which is what is kept."""
    init: File = ""
    """Weights to start from: of `vsr train`, of this scale or a multiple, or published ones."""
    clean_init: File = ""
    """Weights of a network "clean" for the cleaning stage, after `init`."""
    flow_init: File = ""
    """Weights of SpyNet to start from, after `init`: a published file, or one of a whole network.
    """


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What a step minimises: the picture loss, and as much of the others as their weights say."""

    __pydantic_config__ = _STRICT

    picture: Annotated[str, AfterValidator(_picture_loss)] = "charbonnier"
    """Output against truth: charbonnier, l1, mse, log_mse, or a function of your own. mse gives the
    mean where there is doubt; log_mse does too, and counts each frame alike, as the mean of PSNR
    does."""
    own: dict[Code, NotNegative] = field(default_factory=dict)
    """Weights of losses of your own, by package.module:name; see docs/own_network.md."""
    photometric: NotNegative = 0.0
    """Weight of frames against their neighbours, warped by flow: teaches flow that can learn."""
    temporal: NotNegative = 0.0
    """Weight of output frames against the frames before, warped by flow: steadier, a little softer.
    """
    cleaning: NotNegative = 0.0
    """Weight of cleaned input against the shrunk truth (RealBasicVSR)."""
    perceptual: NotNegative = 0.0
    """Weight of the difference of VGG-19 features."""
    vgg: File = ""
    """Published weights of VGG-19, for `perceptual`: a file such as vgg19-dcbb9e9d.pth."""


@dataclass(frozen=True, kw_only=True)
class AdversarialOptions:
    """A discriminator that learns to tell output from truth."""

    __pydantic_config__ = _STRICT

    weight: NotNegative = 0.0
    """Of its judgement in what the network minimises; 0: no discriminator."""
    channels: Positive = 64
    """Features at full size."""
    lr: NotNegative = 1e-4
    """Learning rate of its Adam, constant."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how it runs."""

    __pydantic_config__ = _STRICT

    output: Folder = "runs/compact_x4"
    """Folder for checkpoints, weights, logs and pictures."""
    seed: Count = 0
    """Seed of weights and sampling."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: TrainingPrecision = "auto"
    """Of the convolutions; flow, warping and losses stay in float32. auto: bf16 on CUDA, on a CPU
    what is faster there. fp16 wants CUDA."""
    recompute: bool = False
    """Keep little for the backward pass and compute it again: slower, and longer clips fit."""
    validate_every: Positive = 1000
    """Steps between validations."""
    save_every: Positive = 250
    """Steps between checkpoints."""
    log_every: Positive = 50
    """Steps between lines in the log."""
    metrics: tuple[Code, ...] = ()
    """Metrics of your own, as package.module:name, that validation computes as well."""
    tensorboard: bool = False
    """Write TensorBoard event files too, with the validation's pictures (extra "train")."""
    keep: bool = True
    """Keep the output; false removes it, and a cache within it, when the run has finished: for
    trials."""
    max_minutes: NotNegative = 0.0
    """Save and stop after so many minutes; 0: no limit. `--resume` goes on from there."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """A whole training run."""

    __pydantic_config__ = _STRICT

    data: DataOptions
    network: NetworkOptions = field(default_factory=CompactOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    adversarial: AdversarialOptions = field(default_factory=AdversarialOptions)
    real: RealRecipe = field(default_factory=RealRecipe)
    footage: FootageRecipe = field(default_factory=FootageRecipe)
    run: RunOptions = field(default_factory=RunOptions)


# What pydantic says of types, in terms of TOML.
_WANTED = {
    "string_type": 'wanted text in quotes, such as "x"',
    "string_too_short": "wanted a name",
    "tuple_type": 'wanted a list, such as ["x"] or [0, 1]',
    "dataclass_type": "wanted a table",
    "int_type": "wanted a whole number",
    "int_parsing": "wanted a whole number",
    "int_from_float": "wanted a whole number",
    "float_type": "wanted a number",
    "float_parsing": "wanted a number",
    "bool_type": "wanted true or false",
    "bool_parsing": "wanted true or false",
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
    given = {_override(values, override): override for override in overrides}
    if isinstance(network := values.setdefault("network", {}), dict):
        network.setdefault("name", "compact")
    _fill_orders(values)
    try:
        return TypeAdapter(TrainOptions).validate_python(values)
    except ValidationError as error:
        key, fault = _explain(error)
        source = next((text for name, text in given.items() if _within(name, key)), None)
        place = f"configuration '{path}'" if source is None else f"--set {source}"
        raise ConfigError(f"{place}: {fault}") from error


def validated(values: Mapping[str, Any]) -> TrainOptions:
    """Check sections and values, and make options of them.

    Raises:
        ConfigError: Naming the key.
    """
    try:
        return TypeAdapter(TrainOptions).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_explain(error)[1]) from error


def _override(values: dict[str, Any], text: str) -> str:
    """Put in one value, and return its key."""
    key, equals, value = text.partition("=")
    *sections, name = key.strip().split(".")
    if not (equals and name and sections and all(sections)):
        hint = _elsewhere(name) if equals and not sections else ""
        raise ConfigError(f"--set wants section.name=value, such as run.seed=1; got '{text}'{hint}")
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
    return ".".join([*sections, name])


def _within(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _fill_orders(values: dict[str, Any]) -> None:
    """Fill in the defaults of what `[real.first]` and `[real.second]` leave out."""
    real = values.get("real")
    for name in ("first", "second"):
        if isinstance(real, dict) and isinstance(given := real.get(name), dict):
            real[name] = {**asdict(getattr(RealRecipe(), name)), **given}


def _explain(error: ValidationError) -> tuple[str, str]:
    """The key of the first error, and what is wrong, in terms of the file."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "union_tag_invalid":
        known = (
            first["ctx"]["expected_tags"].replace("'", "").replace("own", "package.module:Class")
        )
        tag = str(first["ctx"]["tag"])
        key = f"{place[0]}.name"
        return key, f"'{key}' is '{tag}'{nearest(tag, known.split(', '))}; known: {known}"
    # Pydantic counts the name of a network as a level of its own: ("network", "compact", "scale").
    key = ".".join(place if place[0] != "network" else [place[0], *place[2:]])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        names = _known(place[:-1])
        prefix = key.removesuffix(place[-1])
        near = nearest(key, [prefix + name for name in names])
        hint = near if nearest(place[-1], names) else _elsewhere(place[-1])
        if place[:2] == ["network", "own"]:
            hint = (
                f"; what the class is built with goes into network.arguments, {{{place[-1]} = ...}}"
            )
        return key, f"unknown key '{key}'{hint}; known here: {', '.join(names)}"
    if first["type"] in ("missing", "missing_argument"):
        return key, f"key '{key}' is missing"
    if first["type"] == "value_error":
        return key, f"[{key}]: {first['ctx']['error']}"
    wanted = _WANTED.get(first["type"], first["msg"].replace("Input should be", "wanted"))
    if first["type"] == "literal_error":
        wanted += nearest(str(first["input"]), re.findall("'(.*?)'", first["ctx"]["expected"]))
    return key, f"'{key}' is {first['input']!r}: {wanted}"


def _elsewhere(name: str) -> str:
    """Where a key that is in the wrong section, or in none, belongs: a hint for a message."""
    for section, hint in get_type_hints(TrainOptions).items():
        kinds = get_args(hint) if section == "network" else (hint,)
        if any(name in get_type_hints(kind) for kind in kinds):
            return f"; did you mean '{section}.{name}'?"
    return ""


def _known(place: Sequence[str]) -> list[str]:
    kind: Any = TrainOptions
    for part in place:
        if kinds := get_args(kind):
            kind = next(one for one in kinds if getattr(one, "name", "own") == part)
        else:
            kind = get_type_hints(kind)[part]
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []
