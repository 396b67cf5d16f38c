"""Networks for other engines: ONNX, compared with PyTorch before it appears; safetensors."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr import __version__
from vsr.errors import ConfigError, ExportError, in_one_line
from vsr.files import check_place, whole, write_error
from vsr.models.checkpoints import save_weights
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import ARCHITECTURES, ModelInfo, facts, find_model, load_network
from vsr.options import ExportOptions, parse_size, validated

if TYPE_CHECKING:
    import onnxruntime

OPSET = 18
TOLERANCE = 1e-3
"""Largest difference to PyTorch that a file may have, of values from 0 to 1."""
WINDOW = 8

# While recorded: branches by size must be those of all larger sizes, also of odd ones. Optical flow
# has all levels of its pyramid from 93 pixels on, that of SPyNet resizes all but multiples of 32.
_RECORDED = (98, 117)
_LEAST_SIDE = 96
_SIZES = ((96, 128), (133, 99))
_CALLS = 3  # windows in a row, state passed on


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        inputs, outputs: Names and shapes; a side that may vary is a word.
        facts: Metadata of the file.
        difference: Largest to PyTorch, of values from 0 to 1; None for safetensors.
    """

    path: Path
    inputs: Mapping[str, Sequence[int | str]]
    outputs: Mapping[str, Sequence[int | str]]
    facts: Mapping[str, Any]
    difference: float | None


class _Window(nn.Module):
    """A window of frames, the state as further inputs and outputs."""

    def __init__(self, network: VideoNetwork, lookahead: int) -> None:
        super().__init__()
        self.network = network
        self.lookahead = lookahead

    def forward(self, lq: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        sr, after = self.network(lq, state or None, self.lookahead)
        return (sr, *after) if state else (sr,)


class _Middle(nn.Module):
    """The middle one of some frames, which lie one after the other as channels; no state."""

    def __init__(self, network: VideoNetwork, around: int) -> None:
        super().__init__()
        self.network = network
        self.around = around

    def forward(self, lq: Tensor) -> tuple[Tensor, ...]:
        count, channels, height, width = lq.shape
        frames = lq.view(count, channels // 3, 3, height, width)
        return (self.network(frames, None, self.around)[0][:, self.around],)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """How a network is called in the file.

    Attributes:
        module: Called with the inputs.
        frames: In one call.
        lookahead: Of them, only seen.
        stacked: Frames are channels of one picture.
        state: Channels of each tensor of the state.
        start: How the state begins; see `_start_of`.
        size: Fixed (height, width); None for any.
    """

    module: nn.Module
    frames: int
    lookahead: int
    stacked: bool
    state: tuple[int, ...] = ()
    start: str = "none"
    size: tuple[int, int] | None = None

    def first(self, lq: Tensor) -> tuple[Tensor, ...]:
        """Inputs of the first call of a segment."""
        height, width = lq.shape[-2:]
        if self.stacked:
            return (lq.view(1, -1, height, width),)
        return (lq, *_started(self.start, self.state, lq))


def export_onnx(
    model: str,
    target: Path,
    options: ExportOptions,
    *,
    tell: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write a network as ONNX, once onnxruntime computes with it what PyTorch does.

    Args:
        model: Name or weight file.
        target: The file, `.onnx`.
        options: Window, lookahead and size.
        tell: Gets a line for each stage.

    Raises:
        ConfigError: The model is not known, options contradict, or the extra is not installed.
        ExportError: PyTorch cannot write the network, or the file computes something else.
        MuxError: The disk refuses.
    """
    options = validated(ExportOptions, options)
    _need_extra()
    check_place(target)
    info = find_model(model)
    network = load_network(info)
    form = _form(info, network, options)
    described = _facts(info, network, form)
    tell("recording the network")
    try:
        with whole(target) as part:
            _record(form, part)
            _describe(part, described)
            tell("comparing onnxruntime with PyTorch")
            difference = _compared(part, form)
    except OSError as error:
        raise write_error(target, error) from error
    inputs, outputs = _shapes(form, network.scale)
    return Exported(
        path=target,
        inputs=inputs,
        outputs=outputs,
        facts=described,
        difference=difference,
    )


def export_safetensors(model: str, target: Path) -> Exported:
    """Write the weights of a network as safetensors, with what it is built of; `--model` reads it.

    Args: see `export_onnx`.

    Raises:
        ConfigError: The model is not known, or has no weights.
        WeightsError: The weights are missing, or the file cannot be written.
        MuxError: There is no such place.
    """
    check_place(target)
    info = find_model(model)
    if info.weights is None or info.architecture not in ARCHITECTURES:
        what = "has no weights" if info.weights is None else "is of no network of this project"
        raise ConfigError(f"'{model}' {what}; nothing to write as safetensors")
    network = cast("nn.Module", load_network(info))
    named = {"name": info.architecture, **info.hyper_parameters}
    known = {"licence": info.licence, "origin": info.name, **facts(info)}
    save_weights(target, network.state_dict(), named, known)
    return Exported(path=target, inputs={}, outputs={}, facts=known, difference=None)


def _need_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"exporting needs {error.name}: pip install 'vsr-enhance[export]'"
        ) from error


def _form(info: ModelInfo, network: VideoNetwork, options: ExportOptions) -> _Form:
    """Decide how the network is called.

    Raises:
        ConfigError: Options contradict, or its state cannot be passed on.
    """
    size = None if options.size is None else parse_size(options.size)[::-1]
    known = info.facts
    lookahead = known.lookahead if options.lookahead is None else options.lookahead
    around = options.around
    if around is not None and (options.window is not None or options.lookahead is not None):
        raise ConfigError("--around goes without --window and --lookahead: it has no state")
    tried = _frames(3, size or (_LEAST_SIDE, _LEAST_SIDE))
    state = () if around is not None else _state_of(network, tried)
    if around is None and not state and not lookahead and options.window is None:
        around = 0
    if around is not None:
        frames = 2 * around + 1
        return _Form(
            module=_Middle(network, around),
            frames=frames,
            lookahead=around,
            stacked=True,
            size=size,
        )
    return _Form(
        module=_Window(network, lookahead),
        frames=(options.window or WINDOW) + lookahead,
        lookahead=lookahead,
        stacked=False,
        state=state,
        start=_start_of(info.name, network, state, tried),
        size=size,
    )


def _state_of(network: VideoNetwork, lq: Tensor) -> tuple[int, ...]:
    """Channels of the tensors of the state after some frames."""
    with torch.inference_mode():
        _, state = network(lq)
    return tuple(layer.shape[1] for layer in state)


# What a state may begin with, so that the result is that of none.
_STARTS = {
    "none": "no state",
    "zeros": "zeros",
    "first frame": "zeros; where a state has three channels, the first frame",
}


def _started(start: str, state: tuple[int, ...], lq: Tensor) -> State:
    first = lq[:, 0]
    return tuple(
        first.clone()
        if channels == first.shape[1] and start == "first frame"
        else first.new_zeros(first.shape[0], channels, *first.shape[-2:])
        for channels in state
    )


def _start_of(name: str, network: VideoNetwork, state: tuple[int, ...], lq: Tensor) -> str:
    """Find out by trying with what state a segment begins.

    Raises:
        ConfigError: With none that can be an input.
    """
    if not state:
        return "none"
    with torch.inference_mode():
        wanted, after = network(lq)
        for start in ("zeros", "first frame"):
            found, then = network(lq, _started(start, state, lq))
            pairs = zip((wanted, *after), (found, *then), strict=True)
            if all(torch.allclose(a, b, rtol=0, atol=1e-5) for a, b in pairs):
                return start
    raise ConfigError(
        f"'{name}' begins a segment in another way than it continues one, so its state cannot be "
        "an input; --around 3 exports it without state, each frame from three on both sides"
    )


def _frames(count: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """A smooth film that pans, (1, T, 3, H, W): noise alone would have no motion to find."""
    chance = torch.Generator().manual_seed(seed)
    height, width = size
    coarse = torch.rand(1, 3, height // 4 + 2, width // 4 + count + 2, generator=chance)
    wide = nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")
    wide = (wide + 0.05 * torch.rand(wide.shape, generator=chance)).clamp(0, 1)
    moved = [wide[..., i : i + height, 2 * i : 2 * i + width] for i in range(min(count, 4))]
    return torch.stack((moved * count)[:count], dim=1)


def _names(form: _Form) -> tuple[list[str], list[str]]:
    states = [f"state_{i}" for i in range(len(form.state))]
    return ["lq", *states], ["sr", *(f"next_{name}" for name in states)]


def _shapes(
    form: _Form, scale: int
) -> tuple[dict[str, Sequence[int | str]], dict[str, Sequence[int | str]]]:
    """Names and shapes of inputs and outputs; a side that may vary is a word."""
    height, width = form.size or ("height", "width")
    large = (
        [side * scale for side in form.size]
        if form.size
        else [f"{side} * {scale}" if scale > 1 else side for side in ("height", "width")]
    )
    states = [(1, channels, height, width) for channels in form.state]
    ins, outs = _names(form)
    if form.stacked:
        return {"lq": (1, 3 * form.frames, height, width)}, {"sr": (1, 3, *large)}
    shown = form.frames - form.lookahead
    first = (1, form.frames, 3, height, width)
    return (
        dict(zip(ins, (first, *states), strict=True)),
        dict(zip(outs, ((1, shown, 3, *large), *states), strict=True)),
    )


def _facts(info: ModelInfo, network: VideoNetwork, form: _Form) -> dict[str, Any]:
    inputs, outputs = _shapes(form, network.scale)
    return {
        "name": info.name,
        "licence": info.licence,
        "weights_sha256": info.weight_hash,
        "written_by": f"vsr {__version__}, torch {torch.__version__}",
        "scale": network.scale,
        "values": "RGB, 0 to 1, float32; sr is not clamped",
        "min_size": network.min_size if form.size else max(network.min_size, _LEAST_SIDE),
        "frames": form.frames,
        "lookahead": form.lookahead,
        "stacked": form.stacked,
        "state_start": _STARTS[form.start],
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        "outputs": {name: list(shape) for name, shape in outputs.items()},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the recorder prints: of branches, which `_compared` checks, and its graphs."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _record(form: _Form, path: Path) -> None:
    """Record the network as ONNX.

    By TorchScript's tracer: `torch.export`, which newer versions take by default, needs more than
    ten minutes for optical flow of any size.

    Raises:
        ExportError: PyTorch cannot.
    """
    lq = _frames(form.frames, form.size or _RECORDED)
    inputs, outputs = _names(form)
    given = form.first(lq)
    dynamic = {}
    if form.size is None:
        dynamic = {
            name: {rank: "height", rank + 1: "width"}
            for name, rank in zip(inputs, (tensor.dim() - 2 for tensor in given), strict=True)
        }
        dynamic |= {name: dynamic[name.removeprefix("next_")] for name in outputs[1:]}
    try:
        # With gradients on, networks take the operators of training, which every engine has.
        with _quiet(), torch.enable_grad():
            torch.onnx.export(
                form.module.eval(),
                given,
                str(path),
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=dynamic,
                opset_version=OPSET,
                dynamo=False,
            )
    except OSError:
        raise
    except Exception as error:  # the network's own code runs here, and may be anybody's
        raise ExportError(
            f"PyTorch cannot write this network as ONNX: {in_one_line(error)}"
        ) from error


def _describe(path: Path, described: Mapping[str, Any]) -> None:
    """Check a file by its rules, and put in metadata and the shapes of the outputs."""
    import onnx

    model = onnx.load(str(path))
    for key, value in described.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=key, value=text)
    model.producer_name, model.producer_version = "vsr", __version__
    for output in model.graph.output:
        sides = output.type.tensor_type.shape.dim
        for side, value in zip(sides, described["outputs"][output.name], strict=True):
            side.Clear()
            if isinstance(value, int):
                side.dim_value = value
            else:
                side.dim_param = value
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _compared(path: Path, form: _Form) -> float:
    """Compare a file with PyTorch, state passed on.

    Returns:
        The largest difference.

    Raises:
        ExportError: It is too large, or onnxruntime cannot run the file.
    """
    worst = 0.0
    session = open_session(path)
    sizes = (form.size,) if form.size else _SIZES
    for index, size in enumerate(sizes):
        calls = _CALLS if index == 0 and form.state else 1
        ours: tuple[Tensor, ...] = ()
        theirs: list[NDArray[np.float32]] = []
        for call in range(calls):
            lq = _frames(form.frames, size, seed=call)
            given = (lq, *ours[1:]) if ours else form.first(lq)
            fed = [lq.numpy(), *theirs[1:]] if theirs else [x.numpy() for x in given]
            with torch.inference_mode():
                ours = form.module(*given)
            theirs = run_session(session, fed)
            for a, b in zip(ours, theirs, strict=True):
                difference = float(np.abs(a.numpy() - b).max())
                # Neither "not a number" nor a difference passes.
                worst = difference if not difference <= worst else worst
        if not worst <= TOLERANCE:
            raise ExportError(
                f"the file computes something else than PyTorch: a difference of {worst:.2g} at "
                f"{size[1]}x{size[0]}, at most {TOLERANCE:g} wanted; nothing was written"
            )
    return worst


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file on the CPU.

    Raises:
        ExportError: onnxruntime refuses it.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), settings, ["CPUExecutionProvider"])
    except Exception as error:  # the only class that onnxruntime's errors have in common
        raise ExportError(f"onnxruntime refuses the file: {in_one_line(error)}") from error


def run_session(
    session: onnxruntime.InferenceSession, given: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Call it with its inputs in order.

    Raises:
        ExportError: onnxruntime fails.
    """
    names = [item.name for item in session.get_inputs()]
    try:
        return cast(
            "list[NDArray[np.float32]]", session.run(None, dict(zip(names, given, strict=True)))
        )
    except Exception as error:  # as above
        raise ExportError(f"onnxruntime cannot run the file: {in_one_line(error)}") from error
