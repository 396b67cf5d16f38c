"""Weights that a run starts from, and what it was when it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.models.checkpoints import check_fit, is_own, load_into, read_metadata, read_tensors
from vsr.models.compact import Compact
from vsr.models.contract import TrainableNetwork
from vsr.models.published import load_published, load_spynet, read_published
from vsr.models.spynet import SpyNet
from vsr.models.zoo import ARCHITECTURES
from vsr.training.config import differences
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
        checkpoint = read_published(path)
        if ARCHITECTURES[checkpoint.architecture] is not type(network):
            raise CheckpointFormatError(
                f"optimizer.init = '{path}' is of {checkpoint.architecture}, wanted weights of "
                f"{type(network).__name__}; change network.name or the file"
            )
        load_published(network, checkpoint)
        say(f"starting from '{path}', a published checkpoint")
        return
    scale = int(read_metadata(path)["network"].get("scale", network.scale))
    if isinstance(network, Compact) and scale != network.scale:
        _start_from_larger_scale(network, path, scale, say)
        return
    load_into(network, path)
    say(f"starting from '{path}'")


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


def changed_since(weights: Path, options: TrainOptions) -> list[str]:
    """Say which options are not those that a weight file of the same run was made with.

    A run can go on without the file; then nothing is known to have changed.
    """
    try:
        return differences(read_metadata(weights).get("options", {}), options)
    except WeightsError:
        return []


def _start_from_larger_scale(network: Compact, path: Path, scale: int, say: Say) -> None:
    """Take over trunks and flow as they are; average the last layer over sub-pixels.

    They work at the size of the input, whatever the scale. The network then adds to its bicubic
    picture the box average of what the larger one adds to its.
    """
    if scale % network.scale:
        raise CheckpointFormatError(
            f"optimizer.init = '{path}' is of scale {scale}, wanted {network.scale} or a multiple "
            "of it: sub-pixels can be averaged, not made up; leave optimizer.init out"
        )
    factor = scale // network.scale
    weights = read_tensors(path)
    for name in ("tail.2.weight", "tail.2.bias"):
        if name in weights and weights[name].shape[0] == 3 * scale**2:
            weights[name] = averaged_sub_pixels(weights[name], scale, network.scale)
    check_fit(weights, network.state_dict(), path, type(network).__name__)
    network.load_state_dict(weights)
    say(
        f"starting from '{path}', which is of scale {scale}: trunks and flow taken over, "
        f"last layer averaged over {factor}x{factor} sub-pixels for scale {network.scale}"
    )


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
