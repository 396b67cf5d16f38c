"""The state of a training run: its start, its steps, its averages, its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.files import whole
from vsr.models.checkpoints import check_fit, is_own, load_into, read_metadata, read_tensors
from vsr.models.compact import Compact
from vsr.models.contract import TrainableNetwork
from vsr.models.published import load_named, load_published, load_spynet, read_published
from vsr.models.spynet import SpyNet
from vsr.models.zoo import ARCHITECTURES
from vsr.options import differences
from vsr.training.options import TrainOptions

Say = Callable[[str], None]


def start_from(network: TrainableNetwork, path: Path, say: Say) -> None:
    """Load a weight file into a network.

    Args:
        network: What is to be trained.
        path: What `vsr train` wrote for the same architecture, of the same scale or (`Compact`) a
            multiple of it; or a published checkpoint.
        say: Told what was done.

    Raises:
        WeightsError: If there is no such file.
        CheckpointFormatError: If it is of another network or of a scale that cannot be averaged.
    """
    if path.suffix != ".safetensors" or (path.is_file() and not is_own(path)):
        if type(network) not in ARCHITECTURES.values():
            load_named(network, path)
            say(f"starting from '{path}'")
            return
        checkpoint = read_published(path)
        if ARCHITECTURES[checkpoint.architecture] is not type(network):
            raise CheckpointFormatError(
                f"optimizer.init = '{path}' is of {checkpoint.architecture}, wanted weights of "
                f"{type(network).__name__}; change network.name or the file"
            )
        load_published(network, checkpoint)
        say(f"starting from '{path}', a published checkpoint")
        return
    if isinstance(network, Compact):
        _start_compact(network, path, say)
        return
    load_into(network, path)
    say(f"starting from '{path}'")


def start_clean_from(network: TrainableNetwork, path: Path, say: Say) -> None:
    """Load weights of `Clean` into the cleaning stage of a network.

    Args:
        network: In training.
        path: Weights that `vsr train` wrote for the network "clean".
        say: Told what was done.

    Raises:
        ConfigError: The network has no cleaning stage.
        WeightsError: There is no such file.
        CheckpointFormatError: It is of another network.
    """
    stage = getattr(network, "clean", None)
    if stage is None:
        raise ConfigError(
            f"optimizer.clean_init = '{path}' wants a network with a cleaning stage; set "
            "network.clean = true or leave it out"
        )
    load_into(stage, path)
    say(f"cleaning stage starting from '{path}'")


def pixels_seen(init: str) -> int:
    """Pixels that the weights to start from have learnt from; 0 where that is not known."""
    if not init or not is_own(Path(init)):
        return 0
    return int(read_metadata(Path(init)).get("pixels", 0))


def start_flow_from(network: TrainableNetwork, path: Path, say: Say) -> None:
    """Load the weights of SpyNet into a network that has one.

    Args:
        network: What is to be trained.
        path: See `load_spynet`.
        say: Told what was done.

    Raises:
        ConfigError: If the network has none.
        WeightsError: If there is no such file.
        CheckpointFormatError: If it holds no SpyNet.
    """
    spynet = next((part for part in network.modules() if isinstance(part, SpyNet)), None)
    if spynet is None:
        raise ConfigError(
            f"optimizer.flow_init = '{path}' wants a network with SpyNet, which "
            f"{type(network).__name__} is not; leave it out"
        )
    load_spynet(spynet, path)
    say(f"flow starting from '{path}'")


def changed_since(
    weights: Path, options: TrainOptions, clips: Mapping[str, int]
) -> list[str] | None:
    """What is not as it was when a weight file of the same run was written.

    Args:
        weights: The file.
        options: Of the run, now.
        clips: Counts of what it learns from, now.

    Returns:
        Sentences without an end; None without such a file.
    """
    try:
        before = read_metadata(weights)
    except WeightsError:
        return None
    now = json.loads(json.dumps(asdict(options)))
    kept = before.get("clips", {})
    return [
        *differences(before.get("options", {}), now, common=True),
        *differences(kept, dict(clips), "clips", common=True),
    ]


def _start_compact(network: Compact, path: Path, say: Say) -> None:
    """Load weights of the compact network, of the same scale or a multiple, cleaning stage or not.

    Trunks and flow work at the size of the input, whatever the scale. From a larger scale the last
    layer is averaged over sub-pixels: the network then adds to its bicubic picture the box average
    of what the larger one adds to its. A cleaning stage that the file lacks starts as it is.
    """
    scale = int(read_metadata(path)["network"].get("scale", network.scale))
    if scale % network.scale:
        raise CheckpointFormatError(
            f"optimizer.init = '{path}' is of scale {scale}, wanted {network.scale} or a multiple "
            "of it: sub-pixels can be averaged, not made up; leave optimizer.init out"
        )
    weights, said = read_tensors(path), f"starting from '{path}'"
    if scale != network.scale:
        for name in ("tail.2.weight", "tail.2.bias"):
            if name in weights and weights[name].shape[0] == 3 * scale**2:
                weights[name] = averaged_sub_pixels(weights[name], scale, network.scale)
        factor = scale // network.scale
        said += (
            f", which is of scale {scale}: trunks and flow taken over, last layer averaged over "
            f"{factor}x{factor} sub-pixels for scale {network.scale}"
        )
    own = network.state_dict()
    if not any(name.startswith("clean.") for name in weights):
        weights |= {name: value for name, value in own.items() if name.startswith("clean.")}
    check_fit(weights, own, path, type(network).__name__)
    network.load_state_dict(weights)
    say(said)


def averaged_sub_pixels(parameter: Tensor, scale: int, wanted: int) -> Tensor:
    """Average the weights or biases of a sub-pixel layer over boxes of sub-pixels.

    Args:
        parameter: (C * scale^2, ...), in the order of `nn.PixelShuffle`.
        scale: Of the layer.
        wanted: Scale it shall have; `scale` is a multiple of it.

    Returns:
        (C * wanted^2, ...).
    """
    factor = scale // wanted
    rest = parameter.shape[1:]
    boxes = parameter.reshape(-1, wanted, factor, wanted, factor, *rest)
    return boxes.mean(dim=(2, 4)).reshape(-1, *rest)


def descend(
    optimizer: Optimizer,
    scaler: GradScaler,
    parameters: Sequence[nn.Parameter],
    *,
    clip: float = 0.0,
) -> float:
    """Step down the gradient that `scaler.scale(loss).backward()` left.

    Args:
        optimizer: Of the parameters.
        scaler: Enabled for fp16 only; it halves its scale where the gradient overflowed.
        parameters: All that are trained.
        clip: Largest norm of the gradient; 0: any.

    Returns:
        The norm of the gradient before clipping. Where it is not finite no step was taken: one bad
        batch must not poison the weights of a run of hours.
    """
    scaler.unscale_(optimizer)
    norm = float(nn.utils.clip_grad_norm_(parameters, clip or inf))
    if isfinite(norm):
        scaler.step(optimizer)
    scaler.update()
    return norm


class Ema:
    """A moving average of a network's parameters and buffers.

    The decay warms up as (1 + n) / (10 + n), so early averages forget the initial weights.

    Args:
        network: Whose weights are followed.
        decay: Weight of the past at each update.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Put the averaged weights into the network inside the block, its own again after it."""
        own = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """All that `load_state_dict` needs to go on."""
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, on the device where this average is."""
        self.updates = state["updates"]
        self.weights = {
            name: state["weights"][name].to(value.device, copy=True)
            for name, value in self.weights.items()
        }


class Stateful(Protocol):
    """A part of a run with a state of its own."""

    def state_dict(self) -> Mapping[str, Any]:
        """All that `load_state_dict` needs to go on."""

    def load_state_dict(self, state: Any, /) -> Any:  # noqa: ANN401
        """Go on from a saved state."""


@dataclass
class Seen:
    """How much a network has learnt from.

    Attributes:
        pixels: Low-quality pixels of all training clips, those of the weights a run started from
            included.
    """

    pixels: int = 0

    def state_dict(self) -> dict[str, int]:
        """All that `load_state_dict` needs to go on."""
        return {"pixels": self.pixels}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a saved count."""
        self.pixels = state["pixels"]


class Moments:
    """What an optimiser has learnt of its gradients; its settings are those of this run.

    A checkpoint of torch's own holds both, and loading it would undo what the options say.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved moments."""
        groups = self._optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        self._optimizer.load_state_dict(state)
        for group, own in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(own)


def save_checkpoint(
    path: Path, *, step: int, shape: Mapping[str, object], parts: Mapping[str, Stateful]
) -> None:
    """Write a checkpoint; the one before stays whole until this one is.

    Args:
        path: Target.
        step: Updates done.
        shape: Name and hyper-parameters of the network, checked on loading.
        parts: What is saved, by name.

    Raises:
        WeightsError: If it cannot be written; the one before is untouched.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    try:
        with whole(path, alone=True) as part, part.open("wb") as file:
            torch.save({"step": step, "shape": dict(shape), **states}, file)
    except (OSError, RuntimeError) as error:
        # Torch hides why its file object refused the bytes.
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise WeightsError(
            f"checkpoint '{path}' could not be written: {cause}; the one before it is untouched, "
            "make room and go on with --resume"
        ) from error


def load_checkpoint(
    path: Path, *, shape: Mapping[str, object], parts: Mapping[str, Stateful]
) -> int:
    """Load a checkpoint into its parts.

    Returns:
        The number of updates done.

    Raises:
        WeightsError: If there is none.
        CheckpointFormatError: If it is damaged, of another network, or of a run with other parts.
    """
    if not path.is_file():
        raise WeightsError(f"nothing to resume: no checkpoint '{path}'; leave --resume out")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle of garbage raises whatever it stumbles over
        reason = f"{type(error).__name__}: {str(error).partition('. ')[0]}"
        raise CheckpointFormatError(
            f"checkpoint '{path}' is damaged ({reason}); start afresh without --resume"
        ) from error
    if not isinstance(saved, dict) or not {"step", "shape"} <= saved.keys():
        raise CheckpointFormatError(
            f"'{path}' is not a checkpoint of `vsr train`; to start from weights of others, "
            "name them as optimizer.init"
        )
    if saved["shape"] != shape:
        raise CheckpointFormatError(
            f"checkpoint '{path}' is of network {saved['shape']}, the options say {dict(shape)}; "
            "take the options it was trained with, or another output folder"
        )
    held = saved.keys() - {"step", "shape"}
    if held != parts.keys():
        raise CheckpointFormatError(
            f"checkpoint '{path}' holds {', '.join(sorted(held))}; this run has "
            f"{', '.join(sorted(parts))}: adversarial.weight or run.precision changed; take those "
            "it was trained with, or start another output folder with optimizer.init"
        )
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointFormatError(
            f"checkpoint '{path}' does not fit this run: {error}; take the version and the options "
            "it was trained with"
        ) from error
    step: int = saved["step"]
    return step
