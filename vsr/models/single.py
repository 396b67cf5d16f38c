"""Single-picture networks that others published, through spandrel: ESRGAN, SPAN, SwinIR, DAT, ...

spandrel knows more than forty architectures and finds out which one a file is for. Files reach it
as tensors, read by `checkpoints`; its own reader is not used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, ConfigError
from vsr.models.contract import NetworkFacts, State
from vsr.models.demand import bytes_at_most
from vsr.models.published import read_named, some
from vsr.ops.resize import resize

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

# Windows of attention are 8 to 32 pixels wide; tiles that start inside one would cut others.
_GRID = 32
_SIDE = 48  # of the picture by which memory is measured
_LUMA = (0.299, 0.587, 0.114)
_CHANNELS = {(1, 1), (3, 3), (4, 4), (4, 3)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What a file holds.

    Attributes:
        architecture: Its name in spandrel, such as "ESRGAN".
        tags: What spandrel says of its size, such as "64nf".
        facts: For planning.
        parameters: Number of values that training has set.
    """

    architecture: str
    tags: tuple[str, ...]
    facts: NetworkFacts
    parameters: int


class SinglePicture(nn.Module):
    """A network that takes one picture, as a `contract.VideoNetwork`: without state or lookahead.

    Args:
        network: Maps (1, 3, H, W), RGB, 0 to 1, to (1, 3, H * scale, W * scale).
        scale: Upscaling factor.
        enlarge: What calls it, where that is more than the network alone.
    """

    min_size = 1

    def __init__(
        self, network: nn.Module, scale: int, enlarge: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.scale = scale
        self._enlarge = enlarge or network

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Upscale a window, frame by frame; see `contract.VideoNetwork`."""
        shown = lq[:, : lq.shape[1] - lookahead]
        pictures = [self._picture(frame[None]) for frame in shown.flatten(0, 1)]
        return torch.stack(pictures, 1).view(*shown.shape[:2], *pictures[0].shape[1:]), ()

    def _picture(self, frame: Tensor) -> Tensor:
        """Enlarge one frame; what is brighter than white or darker than black is kept."""
        inside = frame.clamp(0, 1)
        sr = self._enlarge(inside.contiguous()).float()
        if torch.equal(inside, frame):
            return sr
        return sr + resize(frame - inside, *sr.shape[-2:])


def describe_single(path: Path, named: Mapping[str, object]) -> Described:
    """Find out what a file is for, and what its network needs.

    Args:
        path: Of the file, for messages.
        named: Its content, as `published.read_named` gives it.

    Raises:
        ConfigError: spandrel is missing or cannot be imported.
        CheckpointFormatError: spandrel does not know such a network, or it is none that makes a
            picture of a picture.
    """
    with _quiet():
        return _described(path, _descriptor(path, named))


def _described(path: Path, found: ImageModelDescriptor[nn.Module]) -> Described:
    wanted = found.size_requirements
    across, down = wanted.get_padding(_SIDE, _SIDE)
    lq = torch.rand(1, 1, 3, _SIDE + down, _SIDE + across, generator=torch.Generator())
    network = _wrapped(found)
    try:
        most, (sr, _) = bytes_at_most(network, lq)
    except Exception as error:
        raise CheckpointFormatError(
            f"'{path}' is read as {found.architecture.name}, and fails on a picture: {_line(error)}"
        ) from error
    pixels = lq.shape[-2] * lq.shape[-1]
    size = tuple(side * found.scale for side in lq.shape[-2:])
    if tuple(sr.shape[-2:]) != size or not bool(sr.isfinite().all()):
        raise CheckpointFormatError(
            f"'{path}' is read as {found.architecture.name}, and makes no picture of {size} with "
            "finite values; it is damaged or incomplete: download it again"
        )
    return Described(
        architecture=found.architecture.name,
        tags=tuple(found.tags),
        facts=NetworkFacts(
            scale=found.scale,
            window=1,
            lookahead=0,
            bytes_per_call=1.25 * most / pixels,
            bytes_per_frame=2 * 12.0 * (1 + found.scale**2),
            half=("fp16",) if found.supports_half else (),
            grid=_GRID,
            tiles=found.tiling.name == "SUPPORTED",
        ),
        parameters=sum(parameter.numel() for parameter in found.model.parameters()),
    )


def load_single(path: Path) -> SinglePicture:
    """Read a file and build its network.

    Raises:
        ConfigError, WeightsError: See `describe_single` and `published.read_named`.
    """
    with _quiet():
        return _wrapped(_descriptor(path, read_named(path)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings of others' code, about what its authors should change, from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _wrapped(found: ImageModelDescriptor[nn.Module]) -> SinglePicture:
    def enlarge(frame: Tensor) -> Tensor:
        if found.input_channels == 1:
            # As usual in the field: the network makes luma, colour is enlarged bicubically.
            luma = (frame * frame.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
            sr = found(luma).float()
            return resize(frame, *sr.shape[-2:]) + (sr - resize(luma, *sr.shape[-2:]))
        if found.input_channels == 4:
            opaque = torch.cat((frame, torch.ones_like(frame[:, :1])), dim=1)
            return found(opaque)[:, :3]
        return found(frame)

    found.model.eval()
    return SinglePicture(found.model, found.scale, enlarge)


def _descriptor(path: Path, named: Mapping[str, object]) -> ImageModelDescriptor[nn.Module]:
    """Let spandrel find the architecture and load the tensors.

    Raises:
        ConfigError, CheckpointFormatError: See `describe_single`.
    """
    spandrel = _spandrel(path)
    try:
        found = spandrel.ModelLoader().load_from_state_dict(dict(named))
    except spandrel.UnsupportedModelError as error:
        raise CheckpointFormatError(
            f"'{path}' is for no network that vsr or spandrel {_version()} knows; it holds "
            f"{some(named.keys())}"
        ) from error
    except Exception as error:  # each architecture fails in its own way where tensors are missing
        raise CheckpointFormatError(
            f"'{path}' looks like a network that spandrel knows, and cannot be loaded: "
            f"{_line(error)}"
        ) from error
    name = found.architecture.name
    if found.purpose not in ("SR", "Restoration"):
        what = {"FaceSR": "crops of faces", "Inpainting": "holes in pictures"}[found.purpose]
        raise CheckpointFormatError(
            f"'{path}' is {name}, which restores {what}, not whole frames; take another network"
        )
    if (found.input_channels, found.output_channels) not in _CHANNELS:
        raise CheckpointFormatError(
            f"'{path}' is {name} from {found.input_channels} to {found.output_channels} channels; "
            "wanted RGB to RGB, or luma to luma"
        )
    return found


def _spandrel(path: Path) -> Any:  # noqa: ANN401
    try:
        import spandrel
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "spandrel":
            raise ConfigError(
                f"'{path}' is for none of vsr's own networks; those of others are read with "
                "spandrel: pip install 'vsr-enhance[models]'"
            ) from error
        raise _broken(error) from error
    except Exception as error:  # torchvision of another build raises RuntimeError
        raise _broken(error) from error
    return spandrel


def _broken(error: Exception) -> ConfigError:
    return ConfigError(
        f"spandrel is installed and cannot be imported ({_line(error)}); torch and torchvision "
        "must be of one build: reinstall both with one command, pip install --force-reinstall "
        "torch torchvision"
    )


def _version() -> str:
    from importlib.metadata import version

    return version("spandrel")


def _line(error: Exception) -> str:
    """An error of a library in one line of some length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
