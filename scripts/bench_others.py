"""The part of `bench.py` that compares speed with a network that many use on CPUs."""

from __future__ import annotations

import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from measuring import table
from profile_network import moving_clip
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vsr.devices import has_fast_bf16
from vsr.inference.runner import computing
from vsr.models.layers import calibrate
from vsr.models.zoo import find_model, load_network
from vsr.ops.convolve import fused_flops

CPU = torch.device("cpu")
SHOWN, LOOKAHEAD = 12, 4
CHANNELS, CONVOLUTIONS, SCALE = 64, 16, 4
Precision = Literal["fp32", "bf16", "int8"]


class SrVgg(nn.Module):
    """SRVGGNetCompact in the shape of realesr-animevideov3, with random weights.

    Source: Real-ESRGAN (Wang et al., ICCVW 2021), `srvgg_arch.py`.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 3, padding=1), nn.PReLU(CHANNELS)]
        for _ in range(CONVOLUTIONS):
            layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.PReLU(CHANNELS)]
        self.body = nn.Sequential(*layers, nn.Conv2d(CHANNELS, 3 * SCALE**2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3, 4 * H, 4 * W)."""
        return F.pixel_shuffle(self.body(x), SCALE) + F.interpolate(x, scale_factor=SCALE)


def others(
    *,
    model: str = "compact-x4",
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "int8"),
    height: int = 180,
    width: int = 320,
    repeats: int = 3,
) -> None:
    """Print the speed of a network beside that of SRVGGNetCompact, x4, on one thread.

    The other one sees single frames; it runs in PyTorch, channels last, and in ncnn if that is
    installed. The multiplications of `model` are those of a frame in windows of 12 and 4 ahead.

    Args:
        model: Name or weight file.
        precisions: Of `model`, and of the other where PyTorch has them.
        height, width: Of the input.
        repeats: Runs, of which the fastest counts.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lq = moving_clip(SHOWN + LOOKAHEAD, height, width)
    frame = lq[:, 0].contiguous(memory_format=torch.channels_last)
    srvgg = SrVgg().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = load_network(find_model(model), CPU)
    ours = _gmac(lambda: network(lq, None, LOOKAHEAD)) / SHOWN
    theirs = _gmac(lambda: srvgg(frame))
    rows = []

    def add(name: str, seconds: float, gmac: float) -> None:
        rows.append((name, f"{seconds:.3f} s", f"{gmac:.1f}", f"{gmac / seconds:.0f}"))

    for precision in precisions:
        if precision == "int8":
            calibrate(network)
        with computing(precision, CPU):
            seconds = _fastest(lambda: network(lq, None, LOOKAHEAD), repeats) / SHOWN
            add(f"{model}, {precision}", seconds, ours)
            if precision != "int8":
                seconds = _fastest(lambda: srvgg(frame), 3 * repeats)
                add(f"SRVGGNetCompact in PyTorch, {precision}", seconds, theirs)
    found = _in_ncnn(srvgg, frame, 3 * repeats)
    if found is None:
        print("ncnn is not measured: pip install ncnn\n")
    else:
        seconds, difference = found
        add("SRVGGNetCompact in ncnn", seconds, theirs)
        print(f"largest difference between ncnn and PyTorch {difference:.1e}\n")
    table((f"{width}x{height} x4", "processor, a frame", "GMAC", "GMAC/s"), rows)
    fast = "has" if has_fast_bf16(Path("/proc/cpuinfo").read_text()) else "has no"
    print(f"\none thread; this CPU {fast} fast bf16")


@torch.inference_mode()
def _fastest(function: Callable[[], object], repeats: int) -> float:
    """Processor seconds of this thread, the least of some runs after one that warms up."""
    function()
    times = []
    for _ in range(repeats):
        begin = time.thread_time()
        function()
        times.append(time.thread_time() - begin)
    return min(times)


@torch.inference_mode()
def _gmac(function: Callable[[], object]) -> float:
    with FlopCounterMode(display=False, custom_mapping=fused_flops()) as counter:
        function()
    return counter.get_total_flops() / 2e9


def _in_ncnn(network: SrVgg, frame: Tensor, repeats: int) -> tuple[float, float] | None:
    """Seconds in ncnn and the largest difference to PyTorch; None where it is not installed."""
    try:
        import ncnn
    except ImportError:
        return None
    runner = ncnn.Net()
    runner.opt.num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        parameters, weights = Path(folder) / "net.param", Path(folder) / "net.bin"
        parameters.write_text(_ncnn_layers(network))
        weights.write_bytes(_ncnn_weights(network))
        runner.load_param(str(parameters))
        runner.load_model(str(weights))
    values = np.ascontiguousarray(frame[0].numpy())  # ncnn does not keep it
    picture = ncnn.Mat(values).clone()

    def run() -> np.ndarray:  # type: ignore[type-arg]
        extractor = runner.create_extractor()
        extractor.input("picture", picture)
        return np.array(extractor.extract("made")[1])

    seconds = _fastest(run, repeats)
    with torch.inference_mode():
        difference = float((torch.from_numpy(run()) - network(frame)[0]).abs().max())
    return seconds, difference


def _ncnn_layers(network: SrVgg) -> str:
    """The layers as ncnn's text format has them."""
    lines = ["Input in 0 1 picture", "Split split 1 2 picture x0 base"]
    for i, layer in enumerate(network.body):
        ends = f"l{i} 1 1 x{i} x{i + 1}"
        if isinstance(layer, nn.Conv2d):
            sizes = f"0={layer.out_channels} 1=3 4=1 5=1 6={layer.weight.numel()}"
            lines.append(f"Convolution {ends} {sizes}")
        else:
            lines.append(f"PReLU {ends} 0={CHANNELS}")
    lines += [
        f"PixelShuffle shuffle 1 1 x{len(network.body)} detail 0={SCALE}",
        f"Interp larger 1 1 base larger 0=1 1={SCALE}.0 2={SCALE}.0",
        "BinaryOp sum 2 1 detail larger made 0=0",
    ]
    names = {name for line in lines for name in _outputs(line)}
    return "\n".join(["7767517", f"{len(lines)} {len(names)}", *lines]) + "\n"


def _outputs(line: str) -> list[str]:
    _, _, inputs, outputs, *names = line.split()
    return names[int(inputs) : int(inputs) + int(outputs)]


def _ncnn_weights(network: SrVgg) -> bytes:
    """The weights as ncnn's binary format has them: float32, marked by 0 in convolutions."""
    parts = []
    for layer in network.body:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            parts += [struct.pack("<I", 0), _raw(layer.weight), _raw(layer.bias)]
        elif isinstance(layer, nn.PReLU):
            parts.append(_raw(layer.weight))
    return b"".join(parts)


def _raw(weight: Tensor) -> bytes:
    return weight.detach().contiguous().numpy().astype("<f4").tobytes()
