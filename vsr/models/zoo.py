"""The networks by name: the one place where a choice by name happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from vsr.errors import CheckpointFormatError, ConfigError, WeightsError
from vsr.models.basicvsr import BasicVSR
from vsr.models.basicvsr_pp import BasicVSRPlusPlus
from vsr.models.bicubic import Bicubic
from vsr.models.catalogue import PUBLISHED, Degradation
from vsr.models.checkpoints import is_own, load_into, read_metadata, sha256
from vsr.models.compact import Compact
from vsr.models.contract import NetworkFacts, VideoNetwork
from vsr.models.download import check_digest, weights_folder
from vsr.models.published import load_published, read_published
from vsr.models.realbasicvsr import RealBasicVSR

WEIGHTS = Path(__file__).parent / "weights"

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "bicubic": Bicubic,
    "compact": Compact,
    "basicvsr": BasicVSR,
    "basicvsr_pp": BasicVSRPlusPlus,
    "realbasicvsr": RealBasicVSR,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A network that can be loaded.

    Attributes:
        name: As `--model` takes it: a name of `MODELS`, or the path of a weight file.
        architecture: Key of `ARCHITECTURES`.
        hyper_parameters: What the architecture is built with.
        weights: The file, None where the network has no parameters.
        licence: Of the weights, SPDX.
        purpose: One sentence: for which input it is made.
        degradation: What its training undid.
        digest: SHA-256 of the published weight file, or its first digits; None where any file goes.
    """

    name: str
    architecture: str
    hyper_parameters: Mapping[str, Any]
    weights: Path | None
    licence: str
    purpose: str
    degradation: Degradation = "unknown"
    digest: str | None = None

    @property
    def facts(self) -> NetworkFacts:
        """What planning needs to know about it."""
        return _facts(self.architecture, self.hyper_parameters)

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        return self.facts.scale

    @property
    def weight_hash(self) -> str | None:
        """Hash the weight file, 64 hex digits."""
        return None if self.weights is None else sha256(self.weights)


def _compact(name: str, scale: int, degradation: Degradation, purpose: str) -> ModelInfo:
    return ModelInfo(
        name=name,
        architecture="compact",
        hyper_parameters={"scale": scale, "channels": 48, "blocks": 5},
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
    ),
    "compact-x2-real": _compact(
        "compact-x2-real",
        2,
        "real",
        "real footage, compressed or noisy; the default up to twice the size",
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
_LARGEST, _TWICE = "compact-x4-real", "compact-x2-real"
_BASICVSR = NetworkFacts(lookahead=8, bytes_per_call=12_000.0, bytes_per_frame=700.0)
# What is known of a kind of network, whoever trained it. Lookahead: the smallest of 0, 1, 2, 4, 8,
# 16 with which the worst frame of each comes within 45 dB of the whole clip (`bench.py seams`,
# table in docs/networks.md; weights drawn by a formula, tests/golden.py): some need 2 or 4, but
# trained weights may look further. Bytes: a quarter above the peak that 2 to 10 frames took
# (float32, CPU, 64 channels; bicubic at x4).
_FACTS: Mapping[str, NetworkFacts] = {
    "bicubic": NetworkFacts(lookahead=0, bytes_per_call=120.0, bytes_per_frame=365.0),
    "compact": NetworkFacts(),
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
    return MODELS[_TWICE if factor <= 2 else _LARGEST]


def find_model(name: str | None = None) -> ModelInfo:
    """Find a network by its name or by the path of a weight file.

    Args:
        name: A key of `MODELS`; a key of `catalogue.PUBLISHED` that was downloaded; a file that
            `vsr train` wrote; or a checkpoint of BasicSR, mmediting or mmagic. None for the default
            of four times the size.

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
    if not (path.suffix or path.exists()):
        known = ", ".join([*MODELS, *PUBLISHED])
        raise ConfigError(f"no model '{name}'; known: {known}, or give the path of a weight file")
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
    scale, facts, share = hyper_parameters.get("scale", 4), _FACTS[architecture], 1.0
    if architecture == "basicvsr_pp" and scale == 1:
        facts = _RESTORATION
    if architecture.startswith(("basicvsr", "realbasicvsr")):
        share = max(1.0, hyper_parameters.get("channels", 64) / 64)
    return replace(
        facts,
        scale=scale,
        bytes_per_call=facts.bytes_per_call * share,
        bytes_per_frame=facts.bytes_per_frame * share,
    )


def facts_of(network: VideoNetwork) -> NetworkFacts:
    """Give what planning needs to know about a loaded network.

    Where its architecture is none of `ARCHITECTURES`, it is taken to need what the compact one
    does.
    """
    known = {"scale": network.scale, "channels": getattr(network, "channels", 64)}
    own: object = type(network)
    names = [name for name, kind in ARCHITECTURES.items() if kind is own]
    return _facts(names[0] if names else "compact", known)


def _own_model(path: Path) -> ModelInfo:
    network = read_metadata(path)["network"]
    architecture = network.pop("name", None)
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


def _foreign_model(path: Path) -> ModelInfo:
    checkpoint = read_published(path)
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
    network = ARCHITECTURES[info.architecture](**info.hyper_parameters)
    if info.weights is not None:
        if info.digest is not None:
            check_digest(info.weights, info.digest)
        if is_own(info.weights):
            load_into(network, info.weights)
        else:
            load_published(network, read_published(info.weights))
    network.eval().requires_grad_(False)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return cast("VideoNetwork", network)


def load_model(name: str | None = None, device: torch.device | str = "cpu") -> VideoNetwork:
    """Load a network by name or weight file; see `find_model` and `load_network`."""
    return load_network(find_model(name), device)


def loader() -> Callable[[ModelInfo, str], VideoNetwork]:
    """Make a `load_network` that keeps the network it loaded last, for one job after the other."""
    kept: dict[tuple[str, str | None, str], VideoNetwork] = {}

    def load(info: ModelInfo, device: str) -> VideoNetwork:
        key = (info.name, info.weight_hash, device)
        if key not in kept:
            kept.clear()
            kept[key] = load_network(info, device)
        return kept[key]

    return load
