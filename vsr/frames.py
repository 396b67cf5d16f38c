"""Frames in, frames out: the engine of `vsr enhance` for people with a loop of their own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from os import PathLike
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsr.devices import choose_device
from vsr.errors import ConfigError, FrameError
from vsr.inference.plan import Plan, make_plan
from vsr.inference.queues import Copies
from vsr.inference.runner import LqFrame, Position, SrFrame, finish, upscale
from vsr.inference.windows import Still, stills
from vsr.media.filters import SceneScorer
from vsr.models.contract import NetworkFacts, VideoNetwork, as_network, evaluating
from vsr.models.steady import Steady, steadied
from vsr.models.zoo import device_of, facts_of, find_model, load_network
from vsr.ops.color import to_levels, to_picture
from vsr.options import NEVER, Count, InferenceOptions, Positive, Share, validated

Frame = TypeVar("Frame", NDArray[Any], Tensor)

# Floats beyond these are no RGB from 0 to 1 with a little over- and undershoot.
_LOWEST, _HIGHEST = -0.5, 1.5
_WANTED = (
    "a numpy array (H, W, 3) or a torch tensor (3, H, W), RGB, uint8 from 0 to 255 or floating "
    "from 0 to 1"
)


def enhance_frames(
    frames: Iterable[Frame],
    model: str | PathLike[str] | VideoNetwork | None = None,
    *,
    height: int | None = None,
    width: int | None = None,
    strength: float = 1.0,
    steady: float = 0.0,
    cuts: Iterable[int] | None = None,
    skip: bool = True,
    inference: InferenceOptions | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Iterator[Frame]:
    """Upscale frames, one out for each one in, in order.

    Frames are drawn as needed: about `window + lookahead` different ones are held, however many
    there are, and the first one comes out when so many have gone in. The network remembers from
    window to window, and starts anew at each cut.

    Args:
        frames: RGB pictures of one shot or many, all of one size, type and device: numpy (H, W, 3)
            or torch (3, H, W); uint8, 0 to 255, or floating, 0 to 1. They are not changed. What
            OpenCV reads is BGR: turn it round by `frame[..., ::-1]`.
        model: A name that `vsr models` lists, a weight file, or what `vsr.load_model` gave; by
            default the bundled one that makes real footage four times as large. Networks of your
            own work, if they are as `vsr.models.contract` says; they run in evaluation mode.
        height, width: Of the pictures wanted, in pixels; one of them alone keeps the shape. By
            default the network's scale times the input's.
        strength: 1 for the network's picture, 0 for the bicubic one, between for a blend.
        steady: How much each result is blended with the one before it, moved along the optical
            flow, 0 to 1: less flicker.
        cuts: Numbers of the frames, from 0, with which a shot begins; () for none. By default
            cuts are found as in files (`inference.scene_threshold`), also in what is not film.
        skip: Do not compute frames that equal the one before: they take its picture, as if the
            network had not seen them. A frame that stays is computed again after 100 of them.
        inference: Window, lookahead, tile, device, precision, memory. With a loaded network,
            device "auto" is where that network is.
        warn: Gets a sentence for each thing that did not go as planned, such as a smaller window
            where memory ran out.

    Yields:
        Pictures of the type, dtype and device of those given: (height, width, 3) or
        (3, height, width). uint8 is rounded; floats are clamped to 0 to 1, or to the range of
        the input frame where that is wider.

    Raises:
        ConfigError: An option is wrong; at the call. The network's output is not as its contract
            says; when it comes.
        WeightsError: The model's weights are missing or do not fit; at the call.
        FrameError: `frames` is one picture or none at all; at the call. A frame is not as
            described; when it is drawn.
        OutOfMemoryError: Not even small tiles fit in memory.
    """
    _check_many(frames)
    inference = validated(InferenceOptions, inference or InferenceOptions())
    strength = validated(Share, strength, "strength")
    steady = validated(Share, steady, "steady")
    skip = validated(bool, skip, "skip")
    height = validated(Positive | None, height, "height")
    width = validated(Positive | None, width, "width")
    network, facts, inference = _network(model, inference)
    if steady:
        network, facts = Steady(network, steady), steadied(facts)
    known = None if cuts is None else frozenset(validated(tuple[Count, ...], cuts, "cuts"))
    if not callable(warn):
        raise ConfigError(f"warn must be a function of one sentence, got {type(warn).__name__}")
    wanted = _Wanted(height=height, width=width, strength=strength, cuts=known, skip=skip)
    return _stream(frames, network, facts, wanted, inference, warn)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    height: int | None
    width: int | None
    strength: float
    cuts: Set[int] | None
    skip: bool

    def size(self, height: int, width: int, scale: int) -> tuple[int, int]:
        """(height, width) of the pictures made from frames of a size."""
        if self.height is None and self.width is None:
            return height * scale, width * scale
        wide = self.width or max(1, round(width * (self.height or 0) / height))
        return self.height or max(1, round(height * wide / width)), wide


def _network(
    model: str | PathLike[str] | VideoNetwork | None, inference: InferenceOptions
) -> tuple[VideoNetwork, NetworkFacts, InferenceOptions]:
    """Load the network, unless it is loaded, and settle on its device."""
    if model is None or isinstance(model, str | PathLike):
        info = find_model(None if model is None else os.fspath(model))
        device = str(choose_device(inference.device))
        return load_network(info, device), info.facts, replace(inference, device=device)
    network = as_network(model)
    inference = replace(inference, device=device_of(network, inference.device))
    return network, facts_of(network), inference


def _check_many(frames: object) -> None:
    """Refuse what are no frames before anything is loaded.

    Raises:
        FrameError: One picture, a file name, or nothing that can be iterated over.
    """
    if isinstance(frames, np.ndarray | Tensor):
        if frames.ndim != 4:
            hint = "; put a single picture into a list" if frames.ndim == 3 else ""
            raise FrameError(
                f"wanted frames: an iterable of pictures, or all in one array (T, H, W, 3) or "
                f"tensor (T, 3, H, W); got {tuple(frames.shape)}{hint}"
            )
    elif isinstance(frames, str | bytes | PathLike):
        raise FrameError(f"wanted frames, got {frames!r}; files are for vsr.enhance")
    elif not isinstance(frames, Iterable) and not hasattr(frames, "__getitem__"):
        raise FrameError(f"wanted an iterable of frames, got {type(frames).__name__}")


def _stream(
    frames: Iterable[Any],
    network: VideoNetwork,
    facts: NetworkFacts,
    wanted: _Wanted,
    inference: InferenceOptions,
    warn: Callable[[str], None],
) -> Iterator[Any]:
    source = iter(frames)
    first = next(source, None)
    if first is None:
        return
    kind = _kind(first, 0)
    plan = make_plan(kind.height, kind.width, inference, facts)
    for note in plan.notes:
        warn(note)
    high, wide = wanted.size(kind.height, kind.width, network.scale)

    def picture(done: SrFrame[int]) -> tuple[Tensor, int, Position | None]:
        # Inference tensors may be changed in place only in inference mode.
        with torch.inference_mode():
            rgb = finish(done.sr, done.lq, height=high, width=wide, strength=wanted.strength)
        return rgb, done.source, done.position

    position = Position(state=None, frames=0, plan=plan, half_failures=0)
    copies = Copies(torch.device(plan.device))
    taken = _taken(chain([first], source), kind, wanted, _scorer(plan, wanted.cuts))
    del first
    with evaluating(network):
        given = map(partial(_lq_frame, copies=copies), stills(taken))
        for shot in _shots(given, wanted.cuts):
            start = replace(position, state=None, frames=0)
            upscaled = upscale(shot, network, plan, warn=warn, start=start)
            # `map` lets go of each network picture; the next window needs its room.
            for rgb, count, now in map(picture, upscaled):
                position = now or position
                for _ in range(count):
                    yield kind.give_back(rgb)


def _scorer(plan: Plan, cuts: Set[int] | None) -> SceneScorer | None:
    return SceneScorer() if cuts is None and plan.scene_threshold < NEVER else None


def _shots(
    frames: Iterator[LqFrame[int]], cuts: Set[int] | None
) -> Iterator[Iterator[LqFrame[int]]]:
    """Split the frames at the caller's cuts; without any, the runner finds cuts itself."""
    if cuts is None:
        yield frames
        return
    shot = 0

    def shot_of(frame: LqFrame[int]) -> int:
        nonlocal shot
        shot += frame.pts in cuts
        return shot

    for _, members in groupby(frames, shot_of):
        yield members


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Taken:
    """A frame of the caller's, as the network takes it."""

    rgb: Tensor
    index: int
    scene_score: float
    repeats: bool


def _lq_frame(still: Still[_Taken], copies: Copies) -> LqFrame[int]:
    """Its source is how many frames show it."""
    first = still.frames[0]
    (lq,) = copies.up([first.rgb]).tensors() if first.rgb.device.type == "cpu" else (first.rgb,)
    return LqFrame(source=len(still.frames), lq=lq, pts=first.index, scene_score=still.scene_score)


def _taken(
    frames: Iterable[Any], kind: _Kind, wanted: _Wanted, scorer: SceneScorer | None
) -> Iterator[_Taken]:
    before: Tensor | None = None
    for index, frame in enumerate(frames):
        found = _kind(frame, index)
        if found != kind:
            raise FrameError(
                f"frame {index} is {found}, those before are {kind}; give frames of one size and "
                "type, and others to a call of their own"
            )
        rgb = kind.take(frame, index)
        if before is not None and torch.equal(rgb, before):
            rgb = before
        repeats = rgb is before and index not in (wanted.cuts or ())
        if wanted.skip:
            before = rgb
        score = 0.0 if scorer is None or repeats else scorer.score_rgb(to_picture(rgb))
        yield _Taken(rgb=rgb, index=index, scene_score=score, repeats=repeats)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """What the caller's frames are, and so what is given back."""

    dtype: np.dtype[Any] | torch.dtype
    height: int
    width: int
    device: torch.device | None = None

    def __str__(self) -> str:
        """Describe it as an error should."""
        if isinstance(self.dtype, torch.dtype):
            return f"a tensor (3, {self.height}, {self.width}) of {self.dtype} on {self.device}"
        return f"an array ({self.height}, {self.width}, 3) of {self.dtype}"

    def take(self, frame: NDArray[Any] | Tensor, index: int) -> Tensor:
        """Return it as (3, H, W), float32, 0 to 1; never the caller's own memory.

        Raises:
            FrameError: Floats that cannot be meant as 0 to 1.
        """
        if isinstance(frame, np.ndarray):
            # Torch takes neither negative strides nor read-only arrays nor all kinds of floats.
            plain = np.uint8 if frame.dtype == np.uint8 else np.float32
            frame = torch.from_numpy(frame.astype(plain, order="C")).permute(2, 0, 1)
        if frame.dtype == torch.uint8:
            return frame.detach().to(torch.float32) / 255
        rgb = frame.detach().to(torch.float32, copy=True)
        low, high = (float(value) for value in torch.aminmax(rgb))
        if not (low >= _LOWEST and high <= _HIGHEST):
            raise FrameError(
                f"frame {index} has floats from {low:g} to {high:g}, wanted 0 to 1; bring them "
                "there (divide by 255, say), or give uint8"
            )
        return rgb

    def give_back(self, rgb: Tensor) -> NDArray[Any] | Tensor:
        """Return (3, H, W) as the caller's kind of frame, in memory of its own."""
        if self.dtype in (np.dtype(np.uint8), torch.uint8):
            rgb = to_levels(rgb)
        if isinstance(self.dtype, torch.dtype):
            return torch.empty_like(
                rgb, dtype=self.dtype, device=self.device, memory_format=torch.contiguous_format
            ).copy_(rgb)
        return rgb.permute(1, 2, 0).cpu().numpy().astype(self.dtype, order="C")


def _kind(frame: Any, index: int) -> _Kind:  # noqa: ANN401
    """Type and size of a frame.

    Raises:
        FrameError: Nothing that can be enhanced.
    """
    shape = tuple(getattr(frame, "shape", ()))
    if isinstance(frame, np.ndarray):
        known = frame.dtype == np.uint8 or frame.dtype.kind == "f"
        if known and frame.size and len(shape) == 3 and shape[2] == 3:
            return _Kind(dtype=frame.dtype, height=shape[0], width=shape[1])
    if isinstance(frame, Tensor):
        known = frame.dtype == torch.uint8 or frame.is_floating_point()
        if known and frame.numel() and len(shape) == 3 and shape[0] == 3:
            return _Kind(dtype=frame.dtype, height=shape[1], width=shape[2], device=frame.device)
    found = f"{type(frame).__name__} {shape} of {getattr(frame, 'dtype', 'no dtype')}"
    raise FrameError(f"frame {index}: wanted {_WANTED}; got {found}")
