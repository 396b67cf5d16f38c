"""`vsr export`: networks for other engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from vsr.cli.terminal import print_line
from vsr.options import ExportOptions


def export(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    target: Annotated[Positional[Path], arg(metavar="OUT")],
    *,
    options: Annotated[ExportOptions, arg(name=""), OmitArgPrefixes] = ExportOptions(),  # noqa: B008
    safetensors: bool = False,
    overwrite: bool = False,
) -> int:
    """Write a network as ONNX, for TensorRT, OpenVINO, VapourSynth and others.

    The file appears only after onnxruntime has computed with it what PyTorch does.

    Args:
        model: A name from `vsr models`, or a weight file.
        target: The file: .onnx, or .safetensors for the weights alone.
        safetensors: Write the weights with the network's name and what it is built with; `--model`
            reads the file. Implied by OUT.safetensors.
        overwrite: Replace the file if it exists.
    """
    from vsr.errors import ConfigError

    safetensors = safetensors or target.suffix.lower() == ".safetensors"
    wanted = ".safetensors" if safetensors else ".onnx"
    if target.suffix.lower() != wanted:
        raise ConfigError(f"OUT must end in {wanted}; got '{target.name}'")
    if safetensors and options != ExportOptions():
        raise ConfigError(
            "--window, --lookahead, --around and --size are for ONNX; weights have none of them"
        )
    if target.exists() and not overwrite:
        raise ConfigError(f"'{target}' exists; give another name, or --overwrite")

    from vsr.export import export_onnx, export_safetensors

    if safetensors:
        done = export_safetensors(model, target)
        print_line(f"{target}: weights of {model}, licence {done.facts['licence']}")
        return 0
    done = export_onnx(
        model, target, options, tell=lambda line: print_line(f"vsr: {line}", sys.stderr)
    )
    print_line(f"{target}: x{done.facts['scale']}, licence {done.facts['licence']}")
    _print_shapes("in", done.inputs)
    _print_shapes("out", done.outputs)
    if len(done.inputs) > 1:
        print_line(f"  state  begins with {done.facts['state_start']}")
    print_line(f"  check  onnxruntime differs from PyTorch by at most {done.difference:.1g} of 1")
    return 0


def _print_shapes(label: str, shapes: Mapping[str, Sequence[int | str]]) -> None:
    for name, shape in shapes.items():
        print_line(f"  {label:<5}  {name:<13}{json.dumps(shape).replace(chr(34), '')}")
        label = ""
