"""What a training run is made from; `configs/*.toml` are read into these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from vsr.data.recipe import RealRecipe

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
# "" would be the current folder: what a shell makes of a variable that is not set.
Folder = Annotated[str, Field(min_length=1)]


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


NetworkOptions: TypeAlias = Annotated[
    CompactOptions | BasicVsrOptions | BasicVsrPlusPlusOptions | RealBasicVsrOptions,
    Field(discriminator="name"),
]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on."""

    __pydantic_config__ = _STRICT

    train: Folder
    """Folder to train on."""
    val: Folder
    """Folder to validate on."""
    layout: Literal["folder", "reds", "vimeo90k"] = "folder"
    """Of `train`: videos and folders of pictures in it and below; REDS less REDS4; Vimeo-90K."""
    val_layout: Literal["folder", "reds4"] = "folder"
    """Of `val`; "reds4" is measured in RGB, as papers do, all else on Y."""
    degradation: Literal["bicubic", "bd", "real"] = "bicubic"
    """How lq is made from the truth; `[real]` says what the last one draws from."""
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
    cache: Folder = "~/.cache/vsr/frames"
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
    init: str = ""
    """Weights to start from: of `vsr train`, of this scale or a multiple, or published ones."""
    flow_init: str = ""
    """Weights of SpyNet to start from, after `init`: a published file, or one of a whole network.
    """


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What a step minimises: the picture loss, and as much of the others as their weights say."""

    __pydantic_config__ = _STRICT

    picture: Literal["charbonnier", "l1", "mse"] = "charbonnier"
    """Output against truth; mse is what PSNR measures, and gives the mean where there is doubt."""
    photometric: NotNegative = 0.0
    """Weight of frames against their neighbours, warped by flow: teaches flow that can learn."""
    temporal: NotNegative = 0.0
    """Weight of output frames against the frames before, warped by flow: steadier, a little softer.
    """
    cleaning: NotNegative = 0.0
    """Weight of cleaned input against the shrunk truth (RealBasicVSR)."""
    perceptual: NotNegative = 0.0
    """Weight of the difference of VGG-19 features."""
    vgg: str = ""
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
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Of the convolutions; flow, warping and losses stay in float32. fp16 wants CUDA."""
    recompute: bool = False
    """Keep little for the backward pass and compute it again: slower, and longer clips fit."""
    validate_every: Positive = 1000
    """Steps between validations."""
    save_every: Positive = 250
    """Steps between checkpoints."""
    log_every: Positive = 50
    """Steps between lines in the log."""
    tensorboard: bool = False
    """Write TensorBoard event files too (extra "train")."""
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
    run: RunOptions = field(default_factory=RunOptions)
