"""The training loop: everything it uses is built in sight."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from vsr.data.clips import Clip
from vsr.data.datasets import Stretch, stretches
from vsr.data.layouts import open_training
from vsr.errors import ConfigError
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.training.batches import Batch, batches
from vsr.training.checkpoint import load_checkpoint, save_checkpoint
from vsr.training.ema import Ema
from vsr.training.objective import Objective
from vsr.training.options import OptimizerOptions, TrainOptions
from vsr.training.record import Record, has_tensorboard
from vsr.training.start import start_from
from vsr.training.validation import validate
from vsr.training.world import World, join_world

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run works with, built once.

    Attributes:
        network, optimizer, ema: In training; `ema` is what is validated and kept.
        objective: Gives the loss of a batch; the network is in it.
        shape: Name and hyper-parameters of the network, as they go into files.
        found: Where training clips are cut from.
        val_clips: What is validated on.
        output: The folder of the run.
    """

    network: Compact
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    shape: dict[str, object]
    found: Sequence[Stretch]
    val_clips: Sequence[Clip]
    output: Path


def train(
    options: TrainOptions, *, resume: bool = False, say: Say = tqdm.write
) -> dict[str, float]:
    """Train a network as the options say and write its averaged weights.

    Writes into `options.run.output`: `checkpoint.pt` (to resume), `weights.safetensors` (the
    moving average, with step, options and validation in its metadata), `log.jsonl` and
    `validation/*.png`. SIGTERM and SIGINT end the run after the step at hand, saved. Under
    `torchrun` each process takes its share of every batch.

    Args:
        options: The whole run.
        resume: Go on from `checkpoint.pt`; on one CPU, bit for bit as if never stopped.
        say: Told each line a person should see, by the first process.

    Returns:
        The last validation's numbers; empty in all processes but the first.

    Raises:
        ConfigError, DatasetError, WeightsError: See each.
    """
    check(options)
    with join_world(options.run.device) as world:
        say = say if world.first else lambda line: None
        parts = build(options, world, say)
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
        writing = Record(parts.output, tensorboard=options.run.tensorboard)
        with _stop_on_signal() as stopped, writing if world.first else nullcontext() as record:
            return fit(parts, options, world, step, record, stopped, say)


def check(options: TrainOptions) -> None:
    """Refuse what could not end well.

    Raises:
        ConfigError: Naming the key.
    """
    if options.run.tensorboard and not has_tensorboard():
        raise ConfigError("run.tensorboard wants the extra 'train': pip install 'vsr[train]'")
    for name in ("batch", "length", "crop"):
        if getattr(options.data, name) < 1:
            raise ConfigError(f"data.{name} must be positive; got {getattr(options.data, name)}")
    if options.data.degradation == "bd" and options.network.scale != 4:
        raise ConfigError(
            f"data.degradation = 'bd' is defined for network.scale = 4; got {options.network.scale}"
        )


def build(options: TrainOptions, world: World, say: Say) -> Parts:
    """Decode the data and build network, optimiser and average."""
    data, schedule = options.data, options.optimizer
    if data.batch % world.size:
        raise ConfigError(
            f"data.batch = {data.batch} cannot be shared by {world.size} processes; "
            f"take a multiple of {world.size}"
        )
    torch.manual_seed(options.run.seed)
    output = Path(options.run.output)
    output.mkdir(parents=True, exist_ok=True)
    cache = Path(data.cache).expanduser()
    clips = open_training(
        Path(data.train), cache, layout=data.layout, half_size=data.half_size, progress=say
    )
    val_clips = open_training(Path(data.val), cache, layout=data.val_layout, progress=say)
    found = stretches(clips, length=data.length, side=data.crop * options.network.scale)

    shape: dict[str, object] = asdict(options.network)
    network = Compact(
        scale=options.network.scale,
        channels=options.network.channels,
        blocks=options.network.blocks,
    )
    if schedule.init:
        start_from(network, Path(schedule.init), say)
    network.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_flow = list(network.refine.parameters())
    others = [p for name, p in network.named_parameters() if not name.startswith("refine.")]
    optimizer = torch.optim.Adam(
        [
            {"params": of_flow, "factor": schedule.flow_lr_factor, "frozen": schedule.flow_frozen},
            {"params": others, "factor": 1.0, "frozen": 0},
        ],
        betas=schedule.betas,
    )
    objective: nn.Module = Objective(
        network, photometric_weight=schedule.photometric, degradation=data.degradation
    )
    if world.size > 1:
        objective = DistributedDataParallel(objective)
    count = sum(p.numel() for p in network.parameters())
    say(f"{len(clips)} clips, {len(found)} stretches; {count:,} parameters on {world.device}")
    return Parts(
        network=network,
        objective=objective,
        optimizer=optimizer,
        ema=Ema(network, schedule.ema),
        shape=shape,
        found=found,
        val_clips=val_clips,
        output=output,
    )


def fit(
    parts: Parts,
    options: TrainOptions,
    world: World,
    step: int,
    record: Record | None,
    stopped: Callable[[], bool],
    say: Say,
) -> dict[str, float]:
    """Take steps from `step` on to the end, or until stopped; give the last validation."""
    run, steps = options.run, options.optimizer.steps
    numbers: dict[str, float] = {}
    losses: list[float] = []
    skipped = 0
    begin = time.monotonic()
    hidden = None if world.first else True
    with tqdm(total=steps, initial=step, unit="step", dynamic_ncols=True, disable=hidden) as bar:
        for batch in batches(parts.found, options, world, first=step):
            loss = update(parts, options, batch.to(world.device), step)
            step += 1
            if math.isfinite(loss):
                losses.append(loss)
            else:
                skipped += 1
            bar.update()
            late = run.max_minutes > 0 and time.monotonic() - begin > run.max_minutes * 60
            last = step == steps or world.any(stopped() or late)
            if record is not None and (step % run.log_every == 0 or last):
                mean = sum(losses) / max(1, len(losses))
                bar.set_postfix(loss=f"{mean:.5f}")
                rate = learning_rate(step - 1, options.optimizer)
                record.add(step, loss=mean, lr=rate, skipped=skipped)
                losses = []
            if record is not None and (step % run.validate_every == 0 or last):
                numbers = _validated(parts, options, world.device)
                record.add(step, **numbers)
                say(f"step {step}: " + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))
            if record is not None and (step % run.save_every == 0 or last):
                _save(parts, options, step, numbers)
            if last:
                break
    if skipped:
        say(f"{skipped} steps had a gradient that was not finite and were left out")
    world.wait()
    return numbers


def update(parts: Parts, options: TrainOptions, batch: Batch, step: int) -> float:
    """Take one optimiser step.

    Returns:
        The loss on the picture; not finite where the step was left out: one bad batch must not
        poison the weights and the average of a run of hours.
    """
    schedule = options.optimizer
    for group in parts.optimizer.param_groups:
        frozen = step < group["frozen"]
        group["lr"] = 0.0 if frozen else learning_rate(step, schedule) * group["factor"]
    lq = None if batch.lq is None else batch.lq.float() / 255
    with _autocast(batch.gt.device, options):
        loss, picture = parts.objective(batch.gt.float() / 255, lq)
    parts.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(parts.network.parameters(), schedule.grad_clip)
    if not torch.isfinite(norm):
        return math.nan
    parts.optimizer.step()
    parts.ema.update(parts.network)
    return float(picture.detach())


def learning_rate(step: int, schedule: OptimizerOptions) -> float:
    """Linear warm-up, then a cosine down to `lr_final` at the last step."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    share = (1 + math.cos(math.pi * done)) / 2
    return schedule.lr_final + (schedule.lr - schedule.lr_final) * share


def _validated(parts: Parts, options: TrainOptions, device: torch.device) -> dict[str, float]:
    with parts.ema.applied(parts.network), _autocast(device, options):
        return validate(
            parts.network,
            parts.val_clips,
            frames=options.data.val_frames,
            scale=options.network.scale,
            degradation=options.data.degradation,
            recipe=options.real,
            device=device,
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
