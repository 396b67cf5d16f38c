"""Networks that are not the project's: files that spandrel reads, and classes of the user's own.

spandrel knows more than forty architectures of single-picture networks (ESRGAN, SPAN, SwinIR, ...)
and finds out which one a file is for. Files reach it as tensors, read by `checkpoints`; its own
reader is not used. Classes are named as package.module:Class.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vsr.errors import CheckpointFormatError, ConfigError, in_one_line
from vsr.models.contract import (
    NetworkFacts,
    State,
    VideoNetwork,
    as_network,
    check_output,
    evaluating,
)
from vsr.models.published import read_named, some
from vsr.ops.resize import resize
from vsr.options import imported

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

_SIDE = 48  # of the frames by which a network is tried
# Windows of attention are 8 to 32 pixels wide; tiles that start inside one would cut others.
_GRID = 32
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
        # A GPU would have to finish before it could be asked.
        if frame.device.type == "cpu" and torch.equal(inside, frame):
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
    except Exception as error:  # the network is others' code, which fails in its own ways
        raise CheckpointFormatError(
            f"'{path}' is read as {found.architecture.name}, and fails on a picture: "
            f"{in_one_line(error)}"
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
            sr: Tensor = found(luma).float()
            return resize(frame, *sr.shape[-2:]) + (sr - resize(luma, *sr.shape[-2:]))
        if found.input_channels == 4:
            opaque = torch.cat((frame, torch.ones_like(frame[:, :1])), dim=1)
            return cast("Tensor", found(opaque))[:, :3]
        return cast("Tensor", found(frame))

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
            f"{in_one_line(error)}"
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
        f"spandrel is installed and cannot be imported ({in_one_line(error)}); torch and "
        "torchvision must be of one build: reinstall both with one command, pip install "
        "--force-reinstall torch torchvision"
    )


def _version() -> str:
    from importlib.metadata import version

    return version("spandrel")


def build_own(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Import a class and make a network of it.

    Args:
        name: package.module:Class.
        arguments: Keyword arguments that it is called with.

    Raises:
        ConfigError: It cannot be imported or called, or makes no network.
    """
    kind = imported(name)
    try:
        network = kind(**arguments)
    except Exception as error:  # the class is the user's, and may raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(
            f"{name}({given}): {type(error).__name__}: {in_one_line(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{name} makes a {type(network).__name__}; wanted a torch.nn.Module")
    if not hasattr(network, "min_size"):
        network.min_size = 1  # type: ignore[assignment]
    as_network(network)
    return network


def own_facts(name: str, network: nn.Module) -> NetworkFacts:
    """Try a network by its contract, and learn what planning needs.

    What it says itself is taken: `window`, `lookahead` and `margin`, whole numbers.

    Args:
        name: Its class, for messages.
        network: On the CPU.

    Raises:
        ConfigError: It does not do what `contract.VideoNetwork` says, naming what.
    """
    called = cast("VideoNetwork", network)
    with evaluating(called):
        few, state = _tried(name, called, 2, 0, None)
        many, state = _tried(name, called, 4, 0, state)
        _tried(name, called, 3, 1, state)
    each = max(12.0 * called.scale**2, 1.25 * (many - few) / 2)
    facts = NetworkFacts(
        scale=called.scale,
        bytes_per_call=max(0.0, 1.25 * few - 2 * each),
        bytes_per_frame=each,
    )
    stated = {key: getattr(network, key, None) for key in ("window", "lookahead", "margin")}
    numbers: dict[str, Any] = {k: value for k, value in stated.items() if isinstance(value, int)}
    for key, value in numbers.items():
        least = 1 if key == "window" else 0
        if isinstance(value, bool) or value < least:
            raise ConfigError(f"{name}: {key} must be a whole number from {least} up; got {value}")
    return replace(facts, **numbers)


def _tried(
    name: str, network: VideoNetwork, frames: int, lookahead: int, state: State | None
) -> tuple[float, State]:
    """Call it; give the bytes it took for each pixel, and its state."""
    lq = torch.rand(1, frames, 3, _SIDE, _SIDE)
    try:
        most, made = bytes_at_most(network, lq, state, lookahead)
    except Exception as error:  # the class is the user's, and may raise anything
        raise ConfigError(
            f"{name}, called with lq {tuple(lq.shape)}, lookahead {lookahead} and "
            f"{'no state' if state is None else 'the state it gave'}: "
            f"{type(error).__name__}: {in_one_line(error)}"
        ) from error
    check_output(network, lq, lookahead, made)
    return most / _SIDE**2, made[1]


@torch.inference_mode()
def bytes_at_most(
    network: VideoNetwork, lq: Tensor, state: State | None = None, lookahead: int = 0
) -> tuple[int, tuple[Tensor, State]]:
    """Call a network and count the bytes of all tensors that it makes, where most are alive.

    Weights and input do not count.

    Args:
        network: On the device of `lq`.
        lq, state, lookahead: See `contract.VideoNetwork`.

    Returns:
        The bytes, and what the network gave.
    """
    with _Counter() as counter:
        made = network(lq, state, lookahead)
    return counter.most, made


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of tensors from when an operator gives them to when nothing holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        given = {_place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            # A view of what was given takes nothing; nor does what is counted already.
            if isinstance(x, Tensor) and not (_place(x) in given or _place(x) in self._known):
                self._add(x.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        self._known.add(place)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()
