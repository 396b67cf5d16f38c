"""The networks by name, and the card of each."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import nn

from vsr.devices import choose_device
from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.files import sha256
from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.bicubic import Bicubic
from vsr.models.catalogue import PUBLISHED, Degradation, check_digest, weights_folder
from vsr.models.checkpoints import is_own, load_into, read_metadata
from vsr.models.clean import Clean, Cleaned
from vsr.models.compact import Compact
from vsr.models.contract import NetworkFacts, VideoNetwork
from vsr.models.foreign import (
    Described,
    build_own,
    describe_single,
    load_single,
    own_facts,
)
from vsr.models.published import (
    is_optional,
    load_named,
    load_published,
    published,
    read_named,
    read_published,
    recognised,
)
from vsr.models.realbasicvsr import RealBasicVSR
from vsr.options import names_code, source_hash, text_of

WEIGHTS = Path(__file__).parent / "weights"

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "bicubic": Bicubic,
    "compact": Compact,
    "clean": Clean,
    "basicvsr": BasicVSR,
    "basicvsr_pp": BasicVSRPlusPlus,
    "realbasicvsr": RealBasicVSR,
}
SINGLE = "spandrel"
_CLASS = re.compile(r"([\w.]+:\w+)(?:@(.+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A network that can be loaded.

    Attributes:
        name: As `--model` takes it: a name of `MODELS`, or the path of a weight file.
        architecture: Key of `ARCHITECTURES`; `SINGLE` for a file that spandrel reads; or a class of
            the user's, "package.module:Class".
        hyper_parameters: What the architecture is built with; of `SINGLE`, what it is.
        weights: The file, None where the network has no parameters.
        licence: Of the weights, SPDX.
        purpose: One sentence: for which input it is made.
        degradation: What its training undid.
        digest: SHA-256 of the published weight file, or its first digits; None where any file goes.
        clean: Share of the cleaning stage's correction, 0 to 1; None: 1 where the network has a
            stage of its own, else 0. A network without one gets that of `clean-x1`.
        steady: How much results are blended with those before, 0 to 1.
        stated: What planning needs to know, where the architecture does not tell.
    """

    name: str
    architecture: str
    hyper_parameters: Mapping[str, Any]
    weights: Path | None
    licence: str
    purpose: str
    degradation: Degradation = "unknown"
    digest: str | None = None
    clean: float | None = None
    steady: float = 0.0
    stated: NetworkFacts | None = None

    @property
    def facts(self) -> NetworkFacts:
        """What planning needs to know about it."""
        facts = self.stated or _facts(self.architecture, self.hyper_parameters)
        if self.steady:
            from vsr.models.steady import steadied

            facts = steadied(facts)
        if not self.cleaned_apart:
            return facts
        stage = _facts("clean", {})
        return replace(
            facts,
            lookahead=max(facts.lookahead, stage.lookahead),
            bytes_per_call=facts.bytes_per_call + stage.bytes_per_call,
            bytes_per_frame=facts.bytes_per_frame + stage.bytes_per_frame,
        )

    @property
    def has_stage(self) -> bool:
        """Whether the network has a cleaning stage of its own."""
        return self.architecture == "clean" or bool(self.hyper_parameters.get("clean"))

    @property
    def cleaning(self) -> float:
        """Share of a cleaning stage's correction that is taken."""
        return float(self.has_stage) if self.clean is None else self.clean

    @property
    def cleaned_apart(self) -> bool:
        """Whether the stage of `clean-x1` is put before it."""
        return bool(self.clean) and not self.has_stage

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        return self.facts.scale

    @property
    def weight_hash(self) -> str | None:
        """Hash the weight file, with the code of a class of the user's; 64 hex digits."""
        hashes = [] if self.weights is None else [sha256(self.weights)]
        if names_code(self.architecture):
            hashes.append(source_hash(self.architecture))
        if len(hashes) > 1:
            return hashlib.sha256("".join(hashes).encode()).hexdigest()
        return hashes[0] if hashes else None

    @property
    def stage_hash(self) -> str | None:
        """Hash the weights of a cleaning stage that is put before the network."""
        return MODELS[_STAGE].weight_hash if self.cleaned_apart else None


def _compact(
    name: str,
    scale: int,
    degradation: Degradation,
    purpose: str,
    *,
    channels: int = 48,
    clean: bool = False,
) -> ModelInfo:
    return ModelInfo(
        name=name,
        architecture="compact",
        hyper_parameters={"scale": scale, "channels": channels, "blocks": 5}
        | ({"clean": True} if clean else {}),
        weights=WEIGHTS / f"{name}.safetensors",
        licence="Apache-2.0",
        purpose=purpose,
        degradation=degradation,
    )


MODELS: Mapping[str, ModelInfo] = {
    "compact-x4": _compact("compact-x4", 4, "bicubic", "clean video that was shrunk bicubically"),
    "compact-x4-real": _compact(
        "compact-x4-real",
        4,
        "real",
        "real footage, compressed or noisy; the default beyond twice the size",
        channels=64,
        clean=True,
    ),
    "compact-x2-real": _compact(
        "compact-x2-real",
        2,
        "real",
        "real footage, compressed or noisy; the default up to twice the size",
    ),
    "clean-x1": ModelInfo(
        name="clean-x1",
        architecture="clean",
        hyper_parameters={"channels": 64, "blocks": 8},
        weights=WEIGHTS / "clean-x1.safetensors",
        licence="Apache-2.0",
        purpose="real footage that keeps its size: noise, compression; the default of --scale 1",
        degradation="real",
    ),
    "bicubic": ModelInfo(
        name="bicubic",
        architecture="bicubic",
        hyper_parameters={"scale": 4},
        weights=None,
        licence="Apache-2.0",
        purpose="the baseline: interpolation, no network",
        degradation="any",
    ),
}
_LARGEST, _TWICE, _STAGE = "compact-x4-real", "compact-x2-real", "clean-x1"
_BASICVSR = NetworkFacts(lookahead=8, bytes_per_call=12_000.0, bytes_per_frame=700.0)
# What is known of a kind of network, whoever trained it. Lookahead: the smallest of 0, 1, 2, 4, 8,
# 16 with which the worst frame of each comes within 45 dB of the whole clip (`bench.py seams`,
# table in docs/networks.md; weights drawn by a formula, tests/golden.py): some need 2 or 4, but
# trained weights may look further. Bytes: a quarter above the peak that 2 to 10 frames took
# (float32, CPU, 64 channels; bicubic at x4).
_FACTS: Mapping[str, NetworkFacts] = {
    "bicubic": NetworkFacts(lookahead=0, bytes_per_call=120.0, bytes_per_frame=365.0),
    "compact": NetworkFacts(int8=True),
    "clean": NetworkFacts(lookahead=1, bytes_per_call=250.0, bytes_per_frame=75.0),
    "basicvsr": _BASICVSR,
    "basicvsr_pp": NetworkFacts(lookahead=8, bytes_per_call=20_000.0, bytes_per_frame=1_500.0),
    "realbasicvsr": _BASICVSR,
}
_RESTORATION = NetworkFacts(lookahead=8, bytes_per_call=1_100.0, bytes_per_frame=150.0)


def default_model(factor: float) -> ModelInfo:
    """Choose the bundled network for real footage that fits the size asked for.

    Args:
        factor: How many times wider or higher the picture shall be, the larger of both.
    """
    if factor <= 1:
        return MODELS[_STAGE]
    return MODELS[_TWICE if factor <= 2 else _LARGEST]


def find_model(name: str | None = None) -> ModelInfo:
    """Find a network by its name or by the path of a weight file.

    Args:
        name: A key of `MODELS`; a key of `catalogue.PUBLISHED` that was downloaded; a file that
            `vsr train` wrote; a checkpoint of BasicSR, mmediting or mmagic; a file that spandrel
            reads; or a class of the user's, package.module:Class, with @FILE for its weights. None
            for the default of four times the size.

    Raises:
        ConfigError: If it is none of them; the known names are given.
        WeightsError: If the file is not there or cannot be used.
    """
    name = name or _LARGEST
    if name in MODELS:
        return MODELS[name]
    if name in PUBLISHED:
        info = published_model(name)
        if info.weights is None or not info.weights.is_file():
            raise WeightsError(
                f"the weights of '{name}' are not here; run `vsr models download {name}`, or put "
                f"{PUBLISHED[name].address} at {info.weights}"
            )
        return info
    path = Path(name)
    own = _CLASS.fullmatch(name)
    if own is not None and names_code(own[1]) and not path.exists():
        return _own_class(own[1], Path(own[2]) if own[2] else None)
    if not (path.suffix or path.exists()):
        known = ", ".join([*MODELS, *PUBLISHED])
        raise ConfigError(
            f"no model '{name}'; known: {known}, or give the path of a weight file, or a class of "
            "your own as package.module:Class"
        )
    if path.suffix == ".safetensors" and (is_own(path) or not path.is_file()):
        return _own_model(path)
    return _foreign_model(path)


def published_model(name: str) -> ModelInfo:
    """Describe a network of `catalogue.PUBLISHED`, whether it was downloaded or not."""
    entry = PUBLISHED[name]
    return ModelInfo(
        name=name,
        architecture=entry.architecture,
        hyper_parameters=entry.hyper_parameters,
        weights=weights_folder() / entry.file_name,
        licence=entry.licence,
        purpose=entry.purpose,
        degradation=entry.degradation,
        digest=entry.digest,
    )


def _facts(architecture: str, hyper_parameters: Mapping[str, Any]) -> NetworkFacts:
    """Look up what planning needs to know; memory grows with the channels."""
    fixed = getattr(ARCHITECTURES[architecture], "scale", 4)
    scale, facts, share = hyper_parameters.get("scale", fixed), _FACTS[architecture], 1.0
    if architecture == "basicvsr_pp" and scale == 1:
        facts = _RESTORATION
    if architecture.startswith(("basicvsr", "realbasicvsr")):
        share = max(1.0, hyper_parameters.get("channels", 64) / 64)
    if architecture == "compact":
        share = max(1.0, hyper_parameters.get("channels", 48) / 48)
    return replace(
        facts,
        scale=scale,
        bytes_per_call=facts.bytes_per_call * share,
        bytes_per_frame=facts.bytes_per_frame * share,
    )


def facts_of(network: VideoNetwork) -> NetworkFacts:
    """What planning needs to know about a loaded network.

    Where its architecture is none of `ARCHITECTURES`, and it was not loaded by its name or file, it
    is taken to need what the compact one does, and not to be meant for int8.
    """
    if isinstance(stated := getattr(network, "stated", None), NetworkFacts):
        return stated
    known = {"scale": network.scale}
    if hasattr(network, "channels"):
        known["channels"] = network.channels
    own: object = type(network)
    names = [name for name, kind in ARCHITECTURES.items() if kind is own]
    if names:
        return _facts(names[0], known)
    return replace(_facts("compact", known), int8=False)


def _own_model(path: Path) -> ModelInfo:
    network = read_metadata(path)["network"]
    architecture = network.pop("name", None)
    if names_code(str(architecture)):
        raise CheckpointFormatError(
            f"'{path}' is for the class {architecture}, and a file's word is not enough to run "
            f"code; if that class is yours: --model {architecture}@{path}"
        )
    if architecture not in ARCHITECTURES:
        raise CheckpointFormatError(
            f"'{path}' is for a network '{architecture}'; known: {', '.join(ARCHITECTURES)}"
        )
    return ModelInfo(
        name=str(path),
        architecture=architecture,
        hyper_parameters=network,
        weights=path,
        licence="its author's",
        purpose="a weight file",
    )


def _own_class(name: str, path: Path | None) -> ModelInfo:
    arguments: Mapping[str, Any] = {}
    if path is not None and is_own(path):
        written = read_metadata(path)["network"]
        if written.get("name") != name:
            raise CheckpointFormatError(f"'{path}' is for {written.get('name')}, not for {name}")
        arguments = written.get("arguments", {})
    network = build_own(name, arguments)
    return ModelInfo(
        name=name if path is None else f"{name}@{path}",
        architecture=name,
        hyper_parameters=arguments,
        weights=path,
        licence="its author's",
        purpose="a class of your own",
        stated=own_facts(name, network),
    )


def _single_model(path: Path) -> ModelInfo:
    found = _described(path)
    return ModelInfo(
        name=str(path),
        architecture=SINGLE,
        hyper_parameters={"name": found.architecture, "tags": list(found.tags)},
        weights=path,
        licence="its author's",
        purpose=f"{found.architecture}, which sees single pictures",
        stated=found.facts,
    )


def _described(path: Path) -> Described:
    seen = path.stat()
    return _described_once(path, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=8)
def _described_once(path: Path, size: int, changed: int) -> Described:
    return describe_single(path, read_named(path))


def _foreign_model(path: Path) -> ModelInfo:
    named = read_named(path)
    if recognised(named) is None:
        return _single_model(path)
    checkpoint = published(named, path)
    found = sha256(path)
    for name, entry in PUBLISHED.items():
        if found.startswith(entry.digest):
            return replace(published_model(name), name=str(path), weights=path)
    return ModelInfo(
        name=str(path),
        architecture=checkpoint.architecture,
        hyper_parameters=checkpoint.hyper_parameters,
        weights=path,
        licence="its author's",
        purpose=f"a checkpoint of {'BasicSR' if checkpoint.family == 'basicsr' else 'mmagic'}",
    )


def load_network(info: ModelInfo, device: torch.device | str = "cpu") -> VideoNetwork:
    """Build a network and load its weights, ready for inference.

    Args:
        info: From `find_model`.
        device: Where it shall run.

    Returns:
        A module in evaluation mode, channels last.

    Raises:
        WeightsError: If the weights are missing, are not the published ones, or do not fit.
    """
    network = _loaded(info)
    if info.clean is not None:
        network = _with_clean(network, info)
    if info.steady:
        from vsr.models.steady import Steady

        network = Steady(cast("VideoNetwork", network), info.steady)
    network.eval().requires_grad_(False)
    # Others' code may ask for views that only contiguous tensors have.
    layout = torch.channels_last if info.stated is None else torch.preserve_format
    network.to(device, memory_format=layout)  # type: ignore[call-overload]
    return cast("VideoNetwork", network)


def _loaded(info: ModelInfo) -> nn.Module:
    if info.architecture == SINGLE:
        assert info.weights is not None
        network: nn.Module = load_single(info.weights)
    else:
        network = build(info.architecture, info.hyper_parameters)
    if info.stated is not None:
        network.stated = info.stated  # type: ignore[assignment]
    if info.weights is None or info.architecture == SINGLE:
        return network
    if info.digest is not None:
        check_digest(info.weights, info.digest)
    if is_own(info.weights):
        load_into(network, info.weights)
    elif info.architecture in ARCHITECTURES:
        load_published(network, read_published(info.weights))
    else:
        load_named(network, info.weights)
    return network


def build(architecture: str, hyper_parameters: Mapping[str, Any]) -> nn.Module:
    """Build a network without weights.

    Args:
        architecture: Key of `ARCHITECTURES`, or "package.module:Class".
        hyper_parameters: What it is built with.

    Raises:
        ConfigError: A class of the user's cannot be built.
    """
    if names_code(architecture):
        return build_own(architecture, hyper_parameters)
    return ARCHITECTURES[architecture](**hyper_parameters)


def _with_clean(network: nn.Module, info: ModelInfo) -> nn.Module:
    """Set the share of the correction that is taken; put a stage before a network without one."""
    assert info.clean is not None
    if info.cleaned_apart:
        stage = load_network(replace(MODELS[_STAGE], clean=info.clean))
        return Cleaned(cast("Clean", stage), cast("VideoNetwork", network))
    stage_of_its_own = network if isinstance(network, Clean) else getattr(network, "clean", None)
    if isinstance(stage_of_its_own, Clean):
        stage_of_its_own.strength = info.clean
    return network


def load_model(
    name: str | PathLike[str] | None = None, device: torch.device | str = "cpu"
) -> VideoNetwork:
    """Load a network by name or weight file, ready for inference.

    Args:
        name: As `vsr models` lists it, or a weight file; None for the default of four times the
            size.
        device: Where it shall run: "auto", "cpu", "cuda", "cuda:N", or a device of torch.

    Returns:
        A module in evaluation mode; see `vsr.models.contract.VideoNetwork` for its call.

    Raises:
        ConfigError: No such model or device.
        WeightsError: The weights are missing, are not the published ones, or do not fit.
    """
    name = None if name is None else text_of(name, "a model")
    if not isinstance(device, str | torch.device):
        raise ConfigError(f"device must be text or a torch.device, got {type(device).__name__}")
    return load_network(find_model(name), choose_device(str(device)))


def device_of(network: VideoNetwork, wanted: str) -> str:
    """The device that a network of the caller computes on.

    Args:
        network: With its weights on one device; one without any runs where it is wanted.
        wanted: The device option; "auto" for wherever the network is.

    Raises:
        ConfigError: It is on another device than the one wanted, or there is no such device.
    """
    weights = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    if weights is None:
        return str(choose_device(wanted))
    if wanted != "auto" and choose_device(wanted) != weights.device:
        raise ConfigError(
            f"device {wanted} wanted, the network given is on {weights.device}; move it there by "
            f".to({wanted!r}), or leave the device at auto"
        )
    return str(weights.device)


def loader() -> Callable[[ModelInfo, str], VideoNetwork]:
    """Make a `load_network` that keeps the network it loaded last, for one job after the other."""
    kept: dict[tuple[object, ...], VideoNetwork] = {}

    def load(info: ModelInfo, device: str) -> VideoNetwork:
        key = (info.name, info.weight_hash, info.clean, info.steady, device)
        if key not in kept:
            kept.clear()
            kept[key] = load_network(info, device)
        return kept[key]

    return load


def gmac(
    architecture: str, hyper_parameters: Mapping[str, Any], *, size: tuple[int, int] = (320, 180)
) -> float:
    """Count the multiplications of the convolutions, in billions for a frame inside a film.

    Args:
        architecture: Key of `ARCHITECTURES`.
        hyper_parameters: What it is built with.
        size: (width, height) that is run to count them; smaller is quicker, and tells a little more
            of networks that pad their input to some multiple.
    """
    return _gmac(build(architecture, hyper_parameters), size)


def _gmac(network: nn.Module, size: tuple[int, int]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    from vsr.ops.convolve import fused_flops

    width, height = size
    counts: list[int] = []
    # The first and the last frame of a clip cost less than those between.
    for frames in (2, 3):
        counter = FlopCounterMode(display=False, custom_mapping=fused_flops())
        with torch.no_grad(), counter:
            network(torch.rand(1, frames, 3, height, width))
        counts.append(counter.get_total_flops())
    share = width * height / (320 * 180)
    return (counts[1] - counts[0]) / 2 / share / 1e9


_MADE_FOR = {
    "bicubic": "Clean video, shrunk bicubically",
    "blur": "Clean video, blurred and then subsampled",
    "compression": "Compressed video",
    "noise": "Noisy video",
    "motion blur": "Video blurred by motion",
    "real": "Real footage, degraded in unknown ways",
}
# As a card tells them; what else a file knows comes after.
_ORDER = ("validation", "degradation", "data", "step", "pixels", "hours", "hardware", "note")
_SHA256 = 64  # hex digits
_QUICK = (64, 36)  # of what is run to count the work: (width, height)
_NOTE = (
    "* bundled: Y-PSNR over bicubic on validation clips; others: as published, in dB",
    "`vsr models NAME|FILE` tells more; `vsr models download NAME` fetches weights.",
)


def table() -> str:
    """List the networks, one line each, and what they are made for, in 80 columns."""
    rows = [("name", "scale", "parameters", "licence", "weights", "measured*")]
    infos = [*MODELS.values(), *(published_model(name) for name in PUBLISHED)]
    for info in infos:
        count = parameters(info)
        size = f"{count / 1e6:.2f} M" if count else "0"
        rows.append((info.name, f"x{info.scale}", size, info.licence, _where(info), _score(info)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines = [line.rstrip() for line in lines]
    for degradation in dict.fromkeys(info.degradation for info in infos):
        names = [info.name for info in infos if info.degradation == degradation]
        if degradation in _MADE_FOR:
            text = f"{_MADE_FOR[degradation]}: {', '.join(names)}"
            lines += ["", *textwrap.wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)]
    return "\n".join([*lines, "", *_NOTE])


def card(name: str) -> str:
    """All that is known of one network, for a terminal.

    Raises:
        ConfigError, WeightsError: If there is no such network.
    """
    info = published_model(name) if name in PUBLISHED else find_model(name)
    lines = [
        *textwrap.wrap(f"{info.name}: {info.purpose}", 80, subsequent_indent="  "),
        f"  architecture  {info.architecture} {json.dumps(dict(info.hyper_parameters))}",
        f"  scale         {info.scale}, computed in {', '.join(['fp32', *info.facts.half])}",
        f"  parameters    {parameters(info):,}",
        f"  licence       {info.licence}",
        f"  lookahead     {info.facts.lookahead} frame{'s' * (info.facts.lookahead != 1)}",
    ]
    if name in PUBLISHED:
        entry = PUBLISHED[name]
        scores = ", ".join(f"{data} {score:.2f}" for data, score in entry.scores.items())
        lines += [
            f"  work          {entry.gmac:g} GMAC per frame of 320x180",
            *([f"  published     PSNR in dB: {scores}"] if scores else []),
            f"  sha256        {_digest(entry.digest)}",
            f"  address       {entry.address}",
            f"  file          {info.weights} ({_where(info)})",
        ]
        return "\n".join(lines)
    if info.weights is not None:
        lines.append(f"  work          {_work(info):.3g} GMAC per frame of 320x180")
        lines.append(f"  sha256        {sha256(info.weights)}")
    known = facts(info)
    if isinstance(options := known.get("options"), dict):
        known["options"] = _used(options)
    for key in sorted(known, key=_place):
        lines += _item(key, known[key], depth=1)
    return "\n".join(lines)


def _work(info: ModelInfo) -> float:
    """Count what a frame costs, or take what is known of a published network of this shape."""
    for entry in PUBLISHED.values():
        if (entry.architecture, entry.hyper_parameters) == (
            info.architecture,
            info.hyper_parameters,
        ):
            return entry.gmac
    return _gmac(cast("nn.Module", load_network(info)), _QUICK)


def _digest(known: str) -> str:
    """The published part of a hash; a file is checked by that."""
    return known if len(known) == _SHA256 else f"begins with {known} (no more was published)"


def _used(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a run's options what it did not use, and count its patterns of files."""
    used = dict(options)
    data = dict(used.get("data", {}))
    if data.get("half_size"):
        data["half_size"] = f"{len(data['half_size'])} patterns of file names"
    for degradation in ("real", "footage"):
        if data.get("degradation") != degradation:
            used.pop(degradation, None)
    if data.get("degradation") != "footage":
        for name in ("variants", "renew_every"):
            data.pop(name, None)
    if not used.get("adversarial", {}).get("weight"):
        used.pop("adversarial", None)
    # All but the name of the picture's loss are weights.
    loss = {name: value for name, value in used.get("loss", {}).items() if value}
    return {**used, "data": data, "loss": loss}


def _where(info: ModelInfo) -> str:
    if info.name not in PUBLISHED:
        return "none" if info.weights is None else "bundled"
    return "here" if info.weights is not None and info.weights.is_file() else "download"


def _score(info: ModelInfo) -> str:
    if info.name in PUBLISHED:
        scores = iter(PUBLISHED[info.name].scores.items())
        data, score = next(scores, ("", 0.0))
        return f"{score:.2f} {data}" if data else "-"
    gain = facts(info).get("validation", {}).get("gain")
    return "-" if gain is None else f"{gain:+.2f} dB"


def facts(info: ModelInfo) -> dict[str, Any]:
    """Read what the weight file says of its making; empty where there is none."""
    if info.weights is None or not is_own(info.weights):
        return {}
    return {key: value for key, value in read_metadata(info.weights).items() if key != "network"}


def parameters(info: ModelInfo) -> int:
    """Count the values that training has set."""
    if info.name in PUBLISHED:
        return PUBLISHED[info.name].parameters
    if info.architecture == SINGLE and info.weights is not None:
        return _described(info.weights).parameters
    if names_code(info.architecture):
        network = build_own(info.architecture, info.hyper_parameters)
        return sum(parameter.numel() for parameter in network.parameters())
    if info.weights is None:
        return 0
    if is_own(info.weights):
        with safe_open(info.weights, framework="pt") as file:
            names = file.keys()
            return sum(prod(file.get_slice(name).get_shape()) for name in names)
    weights = read_published(info.weights).weights.items()
    return sum(value.numel() for name, value in weights if not is_optional(name))


def _place(key: str) -> int:
    return _ORDER.index(key) if key in _ORDER else len(_ORDER)


def _item(key: str, value: Any, depth: int) -> list[str]:  # noqa: ANN401
    if isinstance(value, dict):
        inner = [line for name, item in value.items() for line in _item(name, item, depth + 1)]
        return [f"{'  ' * depth}{key}", *inner]
    return textwrap.wrap(
        _plain(value),
        width=80,
        initial_indent=f"{'  ' * depth}{key:<13} ",
        subsequent_indent=" " * (14 + 2 * depth),
    )


def _plain(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
