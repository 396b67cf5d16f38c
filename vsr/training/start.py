"""Weights that a run starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from vsr.errors import CheckpointFormatError
from vsr.models.checkpoints import check_fit, load_into, read_metadata, read_tensors
from vsr.models.compact import Compact


def start_from(network: Compact, path: Path, say: Callable[[str], None]) -> None:
    """Load a weight file into a network, of the same scale or of a multiple of it.

    Trunks and flow work at the size of the input, whatever the scale, and are taken over as they
    are. Of a larger scale, the last layer is averaged over the sub-pixels that fall into one: the
    network then adds to its bicubic picture the box average of what the larger one adds to its.

    Args:
        network: What is to be trained.
        path: What `vsr train` wrote for the same architecture.
        say: Told what was done.

    Raises:
        WeightsError: If there is no such file.
        CheckpointFormatError: If it is of another network or of a scale that cannot be averaged.
    """
    scale = int(read_metadata(path)["network"].get("scale", network.scale))
    if scale == network.scale:
        load_into(network, path)
        say(f"starting from '{path}'")
        return
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
