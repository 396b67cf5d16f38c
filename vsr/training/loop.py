"""The training loop: everything it uses is built in sight."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, TextIO

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vsr.data.clips import Clip, open_clips
from vsr.data.datasets import Stretch, stretches
from vsr.data.degrade import bicubic_down
from vsr.errors import ConfigError
from vsr.models.checkpoints import load_into, save_weights
from vsr.models.compact import Compact
from vsr.training.batches import batches
from vsr.training.checkpoint import load_checkpoint, save_checkpoint
from vsr.training.ema import Ema
from vsr.training.losses import charbonnier, photometric
from vsr.training.options import OptimizerOptions, TrainOptions
from vsr.training.validation import validate


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run works with, built once.

    Attributes:
        network, optimizer, ema: In training; `ema` is what is validated and kept.
        shape: Name and hyper-parameters of the network, as they go into files.
        found: Where training clips are cut from.
        val_clips: What is validated on.
        device: Where the network is.
        output: The folder of the run.
    """

    network: Compact
    optimizer: torch.optim.Optimizer
    ema: Ema
    shape: dict[str, object]
    found: Sequence[Stretch]
    val_clips: Sequence[Clip]
    device: torch.device
    output: Path


def train(
    options: TrainOptions, *, resume: bool = False, say: Callable[[str], None] = tqdm.write
) -> dict[str, float]:
    """Train a network as the options say and write its averaged weights.

    Writes into `options.run.output`: `checkpoint.pt` (to resume), `weights.safetensors` (the
    moving average, with step, options and validation in its metadata), `log.jsonl` and
    `validation/*.png`. SIGTERM and SIGINT end the run after the step at hand, saved.

    Args:
        options: The whole run.
        resume: Go on from `checkpoint.pt`; on one CPU, bit for bit as if never stopped.
        say: Told each line a person should see.

    Returns:
        The last validation's numbers.

    Raises:
        ConfigError, DatasetError, WeightsError: See each.
    """
    parts = build(options, say)
    step = 0
    if resume:
        step = load_checkpoint(
            parts.output / "checkpoint.pt",
            network=parts.network,
            optimizer=parts.optimizer,
            ema=parts.ema,
            shape=parts.shape,
        )
        say(f"resumed at step {step}")
    with (
        _stop_on_signal() as stopped,
        (parts.output / "log.jsonl").open("a") as log,
        tqdm(
            total=options.optimizer.steps,
            initial=step,
            unit="step",
            dynamic_ncols=True,
            disable=None,
        ) as bar,
    ):
        return fit(parts, options, step, log, bar, stopped, say)


def build(options: TrainOptions, say: Callable[[str], None]) -> Parts:
    """Decode the data and build network, optimiser and average."""
    data, schedule = options.data, options.optimizer
    device = _device(options.run.device)
    torch.manual_seed(options.run.seed)
    output = Path(options.run.output)
    output.mkdir(parents=True, exist_ok=True)
    cache = Path(data.cache).expanduser()
    clips = open_clips(Path(data.train), cache, half_size=data.half_size, progress=say)
    val_clips = open_clips(Path(data.val), cache, progress=say)
    found = stretches(clips, length=data.length, side=data.crop * options.network.scale)

    shape: dict[str, object] = asdict(options.network)
    network = Compact(
        scale=options.network.scale,
        channels=options.network.channels,
        blocks=options.network.blocks,
    )
    if schedule.init:
        load_into(network, Path(schedule.init))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_flow = list(network.refine.parameters())
    others = [p for name, p in network.named_parameters() if not name.startswith("refine.")]
    optimizer = torch.optim.Adam(
        [
            {"params": of_flow, "factor": schedule.flow_lr_factor},
            {"params": others, "factor": 1.0},
        ],
        betas=schedule.betas,
    )
    count = sum(p.numel() for p in network.parameters())
    say(f"{len(clips)} clips, {len(found)} stretches; {count:,} parameters on {device}")
    return Parts(
        network=network,
        optimizer=optimizer,
        ema=Ema(network, schedule.ema),
        shape=shape,
        found=found,
        val_clips=val_clips,
        device=device,
        output=output,
    )


def fit(
    parts: Parts,
    options: TrainOptions,
    step: int,
    log: TextIO,
    bar: tqdm[NoReturn],
    stopped: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, float]:
    """Take steps from `step` on to the end, or until stopped; give the last validation."""
    run, schedule = options.run, options.optimizer
    numbers: dict[str, float] = {}
    losses: list[float] = []
    begin = time.monotonic()
    for batch in batches(parts.found, options, first=step, device=parts.device):
        losses.append(update(parts, options, batch, step))
        step += 1
        bar.update()
        out_of_time = run.max_minutes > 0 and time.monotonic() - begin > run.max_minutes * 60
        last = step == schedule.steps or stopped() or out_of_time
        if step % run.log_every == 0 or last:
            mean = sum(losses) / len(losses)
            bar.set_postfix(loss=f"{mean:.5f}")
            _record(log, step=step, loss=mean, lr=learning_rate(step - 1, schedule))
            losses = []
        if step % run.validate_every == 0 or last:
            numbers = _validated(parts, options)
            _record(log, step=step, **numbers)
            say(f"step {step}: " + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))
        if step % run.save_every == 0 or last:
            _save(parts, options, step, numbers)
        if last:
            break
    return numbers


def update(parts: Parts, options: TrainOptions, batch: Tensor, step: int) -> float:
    """Take one optimiser step on uint8 truth; give back the loss on the picture."""
    schedule = options.optimizer
    for group in parts.optimizer.param_groups:
        group["lr"] = learning_rate(step, schedule) * group["factor"]
    gt = batch.to(parts.device, non_blocking=True).float() / 255
    lq = bicubic_down(gt, options.network.scale)
    with _autocast(parts.device, options):
        sr, _, to_previous, to_next = parts.network.forward_with_flow(lq)
    picture = charbonnier(sr.float(), gt)
    loss = picture + schedule.photometric * photometric(lq, to_previous, to_next)
    parts.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(parts.network.parameters(), schedule.grad_clip)
    # One bad batch must not poison the weights and the average of a run of hours.
    if torch.isfinite(norm):
        parts.optimizer.step()
    parts.ema.update(parts.network)
    return float(picture.detach())


def learning_rate(step: int, schedule: OptimizerOptions) -> float:
    """Linear warm-up, then a cosine down to `lr_final` at the last step."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return (
        schedule.lr_final + (schedule.lr - schedule.lr_final) * (1 + math.cos(math.pi * done)) / 2
    )


def _validated(parts: Parts, options: TrainOptions) -> dict[str, float]:
    with parts.ema.applied(parts.network), _autocast(parts.device, options):
        return validate(
            parts.network,
            parts.val_clips,
            frames=options.data.val_frames,
            scale=options.network.scale,
            device=parts.device,
            pictures=parts.output / "validation",
        )


def _save(parts: Parts, options: TrainOptions, step: int, numbers: dict[str, float]) -> None:
    save_checkpoint(
        parts.output / "checkpoint.pt",
        step=step,
        network=parts.network,
        optimizer=parts.optimizer,
        ema=parts.ema,
        shape=parts.shape,
    )
    facts = {"step": step, "options": asdict(options), "validation": numbers}
    save_weights(parts.output / "weights.safetensors", parts.ema.weights, parts.shape, facts)


def _autocast(device: torch.device, options: TrainOptions) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=options.run.precision == "bf16")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"run.device '{name}': wanted auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"run.device '{name}' wanted, {torch.cuda.device_count()} GPUs found; "
            "take run.device = 'auto' or 'cpu'"
        )
    return device


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a question asked after each step."""
    caught: list[int] = []
    previous = {
        number: signal.signal(number, lambda received, _: caught.append(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _record(log: TextIO, **values: float) -> None:
    log.write(json.dumps({"time": round(time.time(), 1), **values}) + "\n")
    log.flush()
