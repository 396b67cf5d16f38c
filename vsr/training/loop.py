"""The training loop: everything it uses is built in sight."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vsr.data.clips import Clip, open_clips
from vsr.data.datasets import sample_batch, stretches
from vsr.data.degrade import bicubic_down
from vsr.errors import ConfigError
from vsr.models.checkpoints import load_into, save_weights
from vsr.models.compact import Compact
from vsr.training.checkpoint import load_checkpoint, save_checkpoint
from vsr.training.ema import Ema
from vsr.training.losses import charbonnier, photometric
from vsr.training.options import OptimizerOptions, TrainOptions
from vsr.training.validation import validate


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
    run, data, schedule = options.run, options.data, options.optimizer
    device = _device(run.device)
    torch.manual_seed(run.seed)
    output = Path(run.output)
    output.mkdir(parents=True, exist_ok=True)

    cache = Path(data.cache).expanduser()
    clips = open_clips(Path(data.train), cache, half_size=data.half_size, progress=say)
    val_clips = open_clips(Path(data.val), cache, progress=say)
    shape = asdict(options.network)
    network = Compact(**{key: value for key, value in shape.items() if key != "name"})
    if schedule.init:
        load_into(network, Path(schedule.init))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        [
            {"params": list(network.refine.parameters()), "factor": schedule.flow_lr_factor},
            {
                "params": [p for name, p in network.named_parameters() if "refine." not in name],
                "factor": 1.0,
            },
        ],
        betas=schedule.betas,
    )
    ema = Ema(network, schedule.ema)
    step = 0
    if resume:
        step = load_checkpoint(
            output / "checkpoint.pt", network=network, optimizer=optimizer, ema=ema, shape=shape
        )
        say(f"resumed at step {step}")

    side = data.crop * options.network.scale
    found = stretches(clips, length=data.length, side=side)
    parameters = sum(p.numel() for p in network.parameters())
    say(f"{len(clips)} clips, {len(found)} stretches; {parameters:,} parameters on {device}")

    def save(numbers: dict[str, float]) -> None:
        save_checkpoint(
            output / "checkpoint.pt",
            step=step,
            network=network,
            optimizer=optimizer,
            ema=ema,
            shape=shape,
        )
        facts = {"step": step, "options": asdict(options), "validation": numbers}
        save_weights(output / "weights.safetensors", ema.weights, shape, facts)

    numbers: dict[str, float] = {}
    begin = time.monotonic()
    with (
        _stop_on_signal() as stopped,
        (output / "log.jsonl").open("a") as log,
        tqdm(total=schedule.steps, initial=step, unit="step", dynamic_ncols=True) as bar,
    ):
        running: list[float] = []
        while step < schedule.steps:
            gt = sample_batch(
                found,
                batch=data.batch,
                length=data.length,
                side=side,
                seed=(run.seed, step),
            )
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, schedule) * group["factor"]
            loss = _update(network, optimizer, gt.to(device), options)
            ema.update(network)
            step += 1
            running.append(loss)
            bar.update()

            out_of_time = run.max_minutes > 0 and time.monotonic() - begin > run.max_minutes * 60
            last = step == schedule.steps or stopped() or out_of_time
            if step % run.log_every == 0 or last:
                mean = sum(running) / len(running)
                bar.set_postfix(loss=f"{mean:.5f}")
                _record(log, step=step, loss=mean, lr=learning_rate(step - 1, schedule))
                running = []
            if step % run.validate_every == 0 or last:
                with ema.applied(network):
                    numbers = validate_all(network, val_clips, options, device, output)
                _record(log, step=step, **numbers)
                say(f"step {step}: " + "  ".join(f"{k} {v:.3f}" for k, v in numbers.items()))
            if step % run.save_every == 0 or last:
                save(numbers)
            if last:
                break
    return numbers


def learning_rate(step: int, schedule: OptimizerOptions) -> float:
    """Linear warm-up, then a cosine down to `lr_final` at the last step."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return (
        schedule.lr_final + (schedule.lr - schedule.lr_final) * (1 + math.cos(math.pi * done)) / 2
    )


def validate_all(
    network: nn.Module,
    clips: Sequence[Clip],
    options: TrainOptions,
    device: torch.device,
    output: Path,
) -> dict[str, float]:
    """Validate with the options of the run; pictures go to `output/validation`."""
    with torch.autocast(device.type, torch.bfloat16, enabled=options.run.precision == "bf16"):
        return validate(
            network,
            clips,
            frames=options.data.val_frames,
            scale=options.network.scale,
            device=device,
            pictures=output / "validation",
        )


def _update(
    network: Compact, optimizer: torch.optim.Optimizer, gt: Tensor, options: TrainOptions
) -> float:
    """One optimiser step on uint8 truth; gives back the loss on the picture."""
    schedule = options.optimizer
    gt = gt.float() / 255
    lq = bicubic_down(gt, options.network.scale)
    with torch.autocast(gt.device.type, torch.bfloat16, enabled=options.run.precision == "bf16"):
        sr, _, to_previous, to_next = network.forward_with_flow(lq)
    picture = charbonnier(sr.float(), gt)
    loss = picture + schedule.photometric * photometric(lq, to_previous, to_next)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(network.parameters(), schedule.grad_clip)
    # One bad batch must not poison the weights and the average of a run of hours.
    if torch.isfinite(norm):
        optimizer.step()
    return float(picture.detach())


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


def _record(log: Any, **values: float) -> None:  # noqa: ANN401
    log.write(json.dumps({"time": round(time.time(), 1), **values}) + "\n")
    log.flush()
