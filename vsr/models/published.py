"""Checkpoints of BasicSR and mmagic: which network they are for, and their tensor names.

BasicSR writes {"params": ..., "params_ema": ...}; mmediting and mmagic write {"state_dict": ...}
with the prefix "generator." and sometimes "generator_ema.". Averaged weights are preferred: the
published results are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vsr.errors import CheckpointFormatError, WeightsError
from vsr.models.checkpoints import Inert, check_fit, load_tensors
from vsr.models.spynet import SpyNet

Family = Literal["basicsr", "mmagic"]

_TRUNKS = {
    "basicsr": {"backward_trunk": "backward_trunk", "forward_trunk": "forward_trunk"},
    "mmagic": {"backward_trunk": "backward_resblocks", "forward_trunk": "forward_resblocks"},
}
_SUB_PIXEL = {"basicsr": "upconv{}", "mmagic": "upsample{}.upsample_conv"}
# The first part of some of its tensors' names: the architecture.
_PARTS = {
    "edvr": "edvr",
    "image_cleaning": "realbasicvsr",
    "deform_align": "basicvsr_pp",
    "fusion": "basicvsr",
}
_TAIL = {0: "1", 3: "2", 6: "conv_hr", 8: "conv_last"}
# Where a file has the tensors of a network, the first that is there; averaged ones before others.
_INSIDE = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")
# Constants and counters, not in every file.
_OPTIONAL = re.compile(r"(?:^|\.)(?:spynet\.(?:mean|std)|step_counter)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A published checkpoint.

    Attributes:
        path: The file.
        family: Naming scheme of its tensors.
        architecture: Key of `zoo.ARCHITECTURES`.
        hyper_parameters: Arguments of the architecture, inferred from the shapes.
        weights: By name in the file, without prefixes.
    """

    path: Path
    family: Family
    architecture: str
    hyper_parameters: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def read_published(path: Path) -> Checkpoint:
    """Read a checkpoint of BasicVSR, BasicVSR++ or RealBasicVSR, tensors only.

    Args:
        path: A `.pth` file, or a `.safetensors` file with the same names.

    Raises:
        WeightsError: No such file.
        CheckpointFormatError: It is no checkpoint, holds more than tensors and plain values, or is
            for another network.
    """
    return published(read_named(path), path)


def published(named: Mapping[str, object], path: Path) -> Checkpoint:
    """Find out which network the content of a file is for; see `read_published`."""
    weights = _tensors(named, path)
    names = weights.keys()
    family: Family = "basicsr" if any("upconv1." in name for name in names) else "mmagic"
    architecture = recognised(names)
    if architecture == "realbasicvsr":
        shape = _basicvsr_shape(weights, "basicvsr.", family, path)
        shape["cleaning_blocks"] = _blocks(names, "image_cleaning.0.")
    elif architecture == "basicvsr_pp":
        shape = {
            "scale": 4 if "feat_extract.main.0.weight" in names else 1,
            "channels": _width(weights, "backbone.backward_1.main.0.weight", path),
            "blocks": _blocks(names, "backbone.backward_1."),
        }
    elif architecture == "basicvsr":
        shape = _basicvsr_shape(weights, "", family, path)
    elif architecture == "edvr":
        raise CheckpointFormatError(f"'{path}' is for IconVSR or EDVR, which vsr does not support")
    else:
        raise CheckpointFormatError(
            f"'{path}' is not for BasicVSR, BasicVSR++ or RealBasicVSR; it holds {some(names)}; "
            "`vsr models` lists the supported networks"
        )
    return Checkpoint(
        path=path,
        family=family,
        architecture=architecture,
        hyper_parameters=shape,
        weights=weights,
    )


def recognised(names: Collection[str]) -> str | None:
    """Name the architecture that has such tensors; None for one of another family."""
    begins = {name.partition(".")[0] for name in names}
    for part, architecture in _PARTS.items():
        if part in begins:
            return architecture
    return None


def some(names: Collection[str]) -> str:
    """The first names of what a file holds, for a message."""
    return ", ".join(sorted(names)[:3]) + ", ..." if names else "nothing"


def load_published(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a published checkpoint strictly.

    Raises:
        CheckpointFormatError: Tensors are missing, surplus or of another shape; the message has
            their names in the file.
    """
    own = network.state_dict()
    published = {name: published_name(name, checkpoint.family, network) for name in own}
    wanted = {published[name]: value for name, value in own.items()}
    given = dict(checkpoint.weights)
    for name in [name for name in given if is_optional(name) and name not in wanted]:
        del given[name]
    for name, value in wanted.items():
        if is_optional(name):
            given.setdefault(name, value)
    check_fit(given, wanted, checkpoint.path, type(network).__name__)
    network.load_state_dict({name: given[published[name]] for name in own})


def load_named(network: nn.Module, path: Path) -> None:
    """Load a file whose tensors have the names that they have in the network.

    Raises:
        WeightsError, CheckpointFormatError: See `read_named` and `check_fit`.
    """
    weights = _tensors(read_named(path), path)
    check_fit(weights, network.state_dict(), path, type(network).__name__)
    network.load_state_dict(weights)


def load_spynet(network: SpyNet, path: Path) -> None:
    """Load only the flow network, from its own file or that of a whole network.

    Args:
        network: Loaded in place.
        path: SpyNet as published by BasicSR (spynet_sintel_final-3d2a1287.pth) or mmediting
            (spynet_20210409-c6c1bd09.pth), or a checkpoint of BasicVSR, BasicVSR++ or
            RealBasicVSR, published or from `vsr train`.

    Raises:
        WeightsError: No such file.
        CheckpointFormatError: It lacks SpyNet, or a part of it.
    """
    given = _tensors(read_named(path), path)
    ours = False
    for prefix in ("flow.", "basicvsr.flow.", "spynet.", "basicvsr.spynet."):
        inside = {name for name in given if name.startswith(prefix)}
        if inside:
            given = {name.removeprefix(prefix): given[name] for name in inside}
            ours = prefix.endswith("flow.")
            break
    family: Family = "mmagic" if any(".conv." in name for name in given) else "basicsr"
    own = network.state_dict()
    names = {name: name if ours else _spynet_name(name, family) for name in own}
    for constant in ("mean", "std"):
        given.setdefault(constant, own[constant])
    check_fit(given, {names[name]: value for name, value in own.items()}, path, "SpyNet")
    network.load_state_dict({name: given[names[name]] for name in own})


def is_optional(name: str) -> bool:
    """Whether a tensor in a file is a constant or counter, not a weight."""
    return _OPTIONAL.search(name) is not None


def published_name(name: str, family: Family, network: nn.Module) -> str:
    """Translate a tensor name of this package into that of a family of checkpoints."""
    if name.startswith("basicvsr."):
        return "basicvsr." + published_name(name.removeprefix("basicvsr."), family, network)
    part, _, rest = name.partition(".")
    if part == "flow":
        return "spynet." + _spynet_name(rest, family)
    if part == "fusion":
        return "fusion." + rest.removeprefix("0.")
    if part == "tail":
        index, _, kind = rest.partition(".")
        target = _TAIL[int(index)]
        return f"{_SUB_PIXEL[family].format(target) if target.isdigit() else target}.{kind}"
    if part == "shrink":
        return "feat_extract." + rest
    if part == "extract":
        return ("feat_extract.4." if hasattr(network, "shrink") else "feat_extract.") + _main(rest)
    if part == "align":
        return "deform_align." + rest.replace(".offset.", ".conv_offset.")
    if part == "trunks":
        branch, _, rest = rest.partition(".")
        return f"backbone.{branch}.{_main(rest)}"
    if part == "cleaning":
        index, _, rest = rest.partition(".")
        return f"image_cleaning.{index}." + (_main(rest) if index == "0" else rest)
    return f"{_TRUNKS[family].get(part, part)}.{_main(rest)}"


def _main(name: str) -> str:
    """Translate a name within a trunk: "0.weight", or "5.conv1.weight" for the fourth block."""
    index, _, rest = name.partition(".")
    return f"main.2.{int(index) - 2}.{rest}" if rest.startswith("conv") else f"main.{name}"


def _spynet_name(name: str, family: Family) -> str:
    found = re.fullmatch(r"levels\.(\d)\.(\d)\.(\w+)", name)
    if found is None:  # mean and std
        return name
    level, layer, kind = found.groups()
    if family == "mmagic":
        layer = f"{int(layer) // 2}.conv"
    return f"basic_module.{level}.basic_module.{layer}.{kind}"


def read_named(path: Path) -> dict[str, object]:
    """Read the tensors of a file by name, without the prefixes of those who trained.

    Args:
        path: A `.pth` file, or a `.safetensors` file with the same names.

    Returns:
        By name; plain values may be among them.

    Raises:
        WeightsError: No such file.
        CheckpointFormatError: It cannot be read as tensors, or holds code.
    """
    if not path.is_file():
        raise WeightsError(f"no weight file '{path}'; `vsr models` lists what can be downloaded")
    found: object
    if path.suffix == ".safetensors":
        try:
            found = load_file(path)
        except SafetensorError as error:
            raise CheckpointFormatError(
                f"'{path}' is not a safetensors file ({error}); download it again"
            ) from error
    else:
        found = load_tensors(path)
    if not (isinstance(found, Mapping) and found):
        what = "nothing" if isinstance(found, Mapping) else _kind(found)
        raise CheckpointFormatError(f"'{path}' holds {what}, not named tensors")
    found = next((found[key] for key in _INSIDE if isinstance(found.get(key), Mapping)), found)
    named = {str(name).removeprefix("module."): value for name, value in found.items()}
    for prefix in ("generator_ema.", "generator."):
        if any(name.startswith(prefix) for name in named):
            named = {
                name.removeprefix(prefix): value
                for name, value in named.items()
                if name.startswith(prefix)
            }
            break
    for name, value in named.items():
        if isinstance(value, Inert):
            raise _no_tensor(path, name, value)
    return named


def _tensors(named: Mapping[str, object], path: Path) -> dict[str, Tensor]:
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    for name in named.keys() - tensors.keys():
        raise _no_tensor(path, name, named[name])
    return tensors


def _no_tensor(path: Path, name: str, value: object) -> CheckpointFormatError:
    return CheckpointFormatError(f"'{path}' holds {_kind(value)} as {name}, not a tensor")


def _kind(value: object) -> str:
    if isinstance(value, Inert):
        return "code (not run)"
    return f"a {type(value).__name__}"


def _basicvsr_shape(
    weights: Mapping[str, Tensor], prefix: str, family: Family, path: Path
) -> dict[str, Any]:
    trunk = f"{prefix}{_TRUNKS[family]['backward_trunk']}."
    return {
        "channels": _width(weights, f"{trunk}main.0.weight", path),
        "blocks": _blocks(weights.keys(), trunk),
    }


def _width(weights: Mapping[str, Tensor], name: str, path: Path) -> int:
    if name not in weights:
        raise CheckpointFormatError(f"'{path}' lacks {name}; use the complete checkpoint")
    return weights[name].shape[0]


def _blocks(names: Any, trunk: str) -> int:  # noqa: ANN401
    pattern = re.compile(re.escape(trunk) + r"main\.2\.(\d+)\.")
    found = [int(match[1]) for name in names if (match := pattern.match(name))]
    return max(found, default=-1) + 1
