"""The training loop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from vsr.data.clips import Clip, described, in_both, why_no_film
from vsr.data.datasets import Shot, shots
from vsr.data.footage import LONGEST
from vsr.data.layouts import open_training
from vsr.devices import training_precision
from vsr.errors import ConfigError, VsrError
from vsr.evaluation.metrics import own_metric
from vsr.models.checkpoints import save_weights
from vsr.models.contract import TrainableNetwork
from vsr.models.layers import Recomputable
from vsr.models.zoo import build as build_from
from vsr.training.adversary import Adversary
from vsr.training.batches import Batch, batches
from vsr.training.checkpoint import (
    Ema,
    Moments,
    Seen,
    Stateful,
    changed_since,
    descend,
    load_checkpoint,
    pixels_seen,
    save_checkpoint,
    start_clean_from,
    start_flow_from,
    start_from,
)
from vsr.training.objective import Judged, Objective
from vsr.training.options import OptimizerOptions, OwnOptions, TrainOptions, validated
from vsr.training.record import (
    Meter,
    Record,
    has_tensorboard,
    make_folder,
    refuse_overwriting,
    remove,
)
from vsr.training.validation import (
    Show,
    check_clips,
    described_scores,
    validate,
)
from vsr.training.world import World, join_world


def replays(step: int, every: int) -> int:
    """How often the clips of a step are played first: once to three times in turn, mostly never."""
    return 1 + step // every % 3 if every and step % every == 0 else 0


def learning_rate(step: int, schedule: OptimizerOptions) -> float:
    """Linear warm-up, then a cosine down to `lr_final` at the last step."""
    if step < schedule.warmup:
        return schedule.lr * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    share = (1 + math.cos(math.pi * done)) / 2
    return schedule.lr_final + (schedule.lr - schedule.lr_final) * share


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a question asked after each step.

    A second signal of a kind does what it does elsewhere: whoever stops a run may not have the
    time for a validation, and files appear whole or not at all.
    """
    caught: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in previous:
        signal.signal(number, catch)
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


Say = Callable[[str], None]

_LONG_WAIT = 0.05  # share of a step's time that is worth a word


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run works with, built once.

    Attributes:
        network, optimizer, ema: In training; `ema` is what is validated and kept.
        scaler: Scales the loss in fp16; elsewhere it does nothing.
        objective: Gives the loss of a batch; the network is in it.
        adversary: The discriminator; None without an adversarial loss.
        shape: Name and hyper-parameters of the network, as they go into files.
        output: The folder of the run.
        seen: Counts the pixels that were learnt from.
    """

    network: TrainableNetwork
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: GradScaler
    adversary: Adversary | None
    ema: Ema
    shape: dict[str, object]
    output: Path
    seen: Seen

    def saved(self) -> dict[str, Stateful]:
        """Name what a checkpoint holds."""
        saved: dict[str, Stateful] = {
            "network": self.network,
            "optimizer": Moments(self.optimizer),
            "ema": self.ema,
            "seen": self.seen,
        }
        if self.scaler.is_enabled():
            saved["scaler"] = self.scaler
        if self.adversary is not None:
            saved["adversary"] = self.adversary
        return saved


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run learns from.

    Attributes:
        clips: All that were opened to train on.
        found: Where training clips are cut from.
        val_clips: What is validated on.
    """

    clips: Sequence[Clip]
    found: Sequence[Shot]
    val_clips: Sequence[Clip]

    @property
    def counts(self) -> dict[str, int]:
        """How much of each there is, for the weights and for a run that goes on."""
        return {
            "train": len(self.clips),
            "shots": len(self.found),
            "frames": sum(shot.last - shot.first for shot in self.found),
            "val": len(self.val_clips),
            "val_frames": sum(len(clip.frames) for clip in self.val_clips),
        }


def train(
    options: TrainOptions, *, resume: bool = False, say: Say = tqdm.write
) -> dict[str, float]:
    """Train a network as the options say and write its averaged weights.

    Writes into `options.run.output`: `checkpoint.pt` (to resume), `weights.safetensors` (the
    moving average, with step, options and validation in its metadata), `log.jsonl` and
    `validation/*.png`. SIGTERM and SIGINT end the run after the step at hand, saved, and at once
    if they come again. Under `torchrun` each process takes its share of every batch.

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
        precision = training_precision(options.run.precision, world.device)
        options = replace(options, run=replace(options.run, precision=precision))
        make_folder(Path(options.run.output))
        if not resume:
            refuse_overwriting(Path(options.run.output))
        # The checkpoint holds what became of the weights that it started from.
        unstarted = replace(
            options, optimizer=replace(options.optimizer, init="", clean_init="", flow_init="")
        )
        parts = build(unstarted if resume else options, world, say)
        with world.first_alone():
            data = open_data(options, say)
        step = resumed(parts, data, options, say) if resume else 0
        if world.first:
            rehearse_validation(parts, data, options, world.device)
        writing: AbstractContextManager[Record | None] = (
            Record(parts.output, after=step, tensorboard=options.run.tensorboard)
            if world.first
            else nullcontext()
        )
        with stop_on_signal() as stopped, writing as record:
            step, numbers = fit(parts, data, options, world, step, record, stopped, say)
        if world.first and step >= options.optimizer.steps and not options.run.keep:
            stays = remove(parts.output, Path(options.data.cache).expanduser())
            say(f"removed '{parts.output}'" + (f", but for {', '.join(stays)}" if stays else ""))
        return numbers


def resumed(parts: Parts, data: Data, options: TrainOptions, say: Say) -> int:
    """Load the checkpoint, say what is not as it was then, and give the number of steps done."""
    path = parts.output / "checkpoint.pt"
    step = load_checkpoint(path, shape=parts.shape, parts=parts.saved())
    steps = options.optimizer.steps
    say(f"resumed at step {step} of {steps}")
    changed = changed_since(path.with_name("weights.safetensors"), options, data.counts)
    if changed is None:
        say("weights.safetensors is gone: what changed since is not known")
    elif changed:
        say(f"changed since: {'; '.join(changed)}")
    else:
        say("options and data are as they were")
    if step >= steps:
        say(f"nothing is left to do of optimizer.steps = {steps}; raise it to train on")
    return step


def check(options: TrainOptions) -> None:
    """Refuse what could not end well.

    Raises:
        ConfigError: Naming the key.
    """
    if options.run.tensorboard and not has_tensorboard():
        raise ConfigError("run.tensorboard needs TensorBoard: pip install tensorboard")
    validated(asdict(options))
    for name in options.run.metrics:
        own_metric(name)
    if options.loss.perceptual and not options.loss.vgg:
        raise ConfigError(
            "loss.perceptual wants the weights of VGG-19: name the published file as loss.vgg"
        )
    for name in ("photometric", "temporal"):
        weight = getattr(options.loss, name)
        if options.data.length == 1 and weight and not options.data.mirror:
            raise ConfigError(
                f"loss.{name} = {weight} compares neighbours, and data.length = 1 leaves none; "
                "take a length of 2 or more, or 0"
            )
    if options.data.degradation == "bd" and options.network.scale != 4:
        raise ConfigError(
            f"data.degradation = 'bd' is defined for network.scale = 4; got {options.network.scale}"
        )
    if options.data.degradation == "footage" and options.data.sharpen:
        raise ConfigError(
            "data.sharpen = true is for other degradations: 'footage' keeps films of the truth as "
            "it is; leave one of them out"
        )
    if options.data.shrink != (1,) and options.data.layout != "folder":
        raise ConfigError(
            f"data.shrink = {list(options.data.shrink)} is for data.layout = 'folder'; got "
            f"'{options.data.layout}': leave it out, or take 'folder'"
        )


def build(options: TrainOptions, world: World, say: Say) -> Parts:
    """Build network, optimiser, average and losses."""
    data, schedule = options.data, options.optimizer
    if data.batch % world.size:
        raise ConfigError(
            f"data.batch = {data.batch} cannot be shared by {world.size} processes; "
            f"take a multiple of {world.size}"
        )
    torch.manual_seed(options.run.seed)
    network, optimizer = build_network(options, world, say)
    fp16 = options.run.precision == "fp16"
    adversary = None
    if options.adversarial.weight:
        adversary = Adversary(options.adversarial, betas=schedule.betas, world=world, fp16=fp16)
    objective: nn.Module = Objective(
        network, options.loss, degradation=data.degradation, sharpen=data.sharpen
    ).to(world.device)
    if world.size > 1:
        # Buffers are constants, or statistics of which those of the first process are saved anyway;
        # to send one that is channels last, PyTorch would copy it onto itself.
        objective = DistributedDataParallel(
            objective,
            broadcast_buffers=False,
            # A single frame needs no flow, so nothing is learnt about it.
            find_unused_parameters=data.length == 1 and not data.mirror,
        )
    count = sum(p.numel() for p in network.parameters())
    say(f"{count:,} parameters on {world.device}")
    return Parts(
        network=network,
        objective=objective,
        optimizer=optimizer,
        scaler=GradScaler(world.device.type, enabled=fp16),
        adversary=adversary,
        ema=Ema(network, schedule.ema),
        shape=asdict(options.network),
        output=Path(options.run.output),
        seen=Seen(pixels_seen(schedule.init)),
    )


def open_data(options: TrainOptions, say: Say) -> Data:
    """Decode what the cache does not hold, and find the shots to cut from."""
    data = options.data
    cache = Path(data.cache).expanduser()
    clips = open_training(
        Path(data.train),
        cache,
        layout=data.layout,
        half_size=data.half_size,
        shrink=data.shrink,
        progress=say,
    )
    val_clips = open_training(Path(data.val), cache, layout=data.val_layout, progress=say)
    if known := in_both(clips, val_clips):
        say(
            f"{len(known)} of {len(val_clips)} validation clips are trained on as well "
            f"({', '.join(known[:5])}): scores on them say nothing about other films"
        )
    check_clips(val_clips, scale=options.network.scale, degradation=data.degradation)
    side = data.crop * options.network.scale
    longest = LONGEST if data.degradation == "footage" else None
    found = shots(clips, length=data.length, side=side, longest=longest, progress=say)
    used = list({id(shot.clip): shot.clip for shot in found}.values())
    parts = f"{len(found)} shot{'s' * (len(found) > 1)}"
    say(f"training on {described(used)}; {parts}")
    say(f"validating on {described(val_clips)}")
    for key, layout, some in (
        ("train", data.layout, used),
        ("val", data.val_layout, val_clips),
    ):
        for clip in some if layout == "folder" else ():
            if reason := why_no_film(clip, data.length):
                say(f"'{clip.name}' of data.{key}: {reason}; if it is no film, move it away")
    return Data(clips=clips, found=found, val_clips=val_clips)


def build_network(
    options: TrainOptions, world: World, say: Say
) -> tuple[TrainableNetwork, torch.optim.Optimizer]:
    """Build network and optimiser, with the weights that the options start from."""
    schedule = options.optimizer
    network = shaped(options)
    if schedule.init:
        start_from(network, Path(schedule.init), say)
    if schedule.clean_init:
        start_clean_from(network, Path(schedule.clean_init), say)
    if schedule.flow_init:
        start_flow_from(network, Path(schedule.flow_init), say)
    for part in network.modules():
        if isinstance(part, Recomputable):
            part.recompute = options.run.recompute
    network.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_flow = list(network.flow_parameters())
    apart = {id(parameter) for parameter in of_flow}
    others = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    factors = ((of_flow, schedule.flow_lr_factor, schedule.flow_frozen), (others, 1.0, 0))
    groups = [
        {"params": [p for p in some if p.requires_grad], "factor": factor, "frozen": frozen}
        for some, factor, frozen in factors
    ]
    return network, torch.optim.Adam(groups, betas=schedule.betas)


def shaped(options: TrainOptions) -> TrainableNetwork:
    """Build the network of the options, without weights.

    Raises:
        ConfigError: It cannot be built so, or not be trained.
    """
    given, name = asdict(options.network), options.network.name
    own = isinstance(options.network, OwnOptions)
    given.pop("name")
    try:
        network = build_from(name, given["arguments"] if own else given)
    except ValueError as error:
        raise ConfigError(f"network: {error}") from error
    if not isinstance(network, TrainableNetwork):
        raise ConfigError(
            f"network.name = '{name}' is a {type(network).__name__}, which cannot be trained; "
            "wanted a subclass of vsr.models.contract.TrainableNetwork"
        )
    if network.scale != options.network.scale:
        raise ConfigError(
            f"network.scale = {options.network.scale}, and {name} is for {network.scale}; set "
            f"network.scale = {network.scale}"
        )
    return network


def fit(
    parts: Parts,
    data: Data,
    options: TrainOptions,
    world: World,
    step: int,
    record: Record | None,
    stopped: Callable[[], bool],
    say: Say,
) -> tuple[int, dict[str, float]]:
    """Take steps from `step` on to the end, or until stopped.

    Returns:
        The steps done, and the last validation.
    """
    run, steps = options.run, options.optimizer.steps
    numbers: dict[str, float] = {}
    meter = Meter()
    begin = time.monotonic()
    with _bar(steps, step, world) as bar:
        for batch in meter.drawn(batches(data.found, options, world, first=step)):
            if isinstance(batch, VsrError):
                raise batch
            meter.add(update(parts, options, batch.to(world.device), step))
            step += 1
            parts.seen.pixels += pixels_per_step(options)
            bar.update()
            late = run.max_minutes > 0 and time.monotonic() - begin > run.max_minutes * 60
            last = step == steps or world.any(stopped() or late)
            if last and step < steps:
                say(
                    f"stopping: step {step} of {steps} is saved, then measured; a second signal "
                    "leaves the measuring out, --resume goes on"
                )
            if step % run.log_every == 0 or last:
                means = meter.means(world)
                if record is not None:
                    rate, pixels = learning_rate(step - 1, options.optimizer), parts.seen.pixels
                    counts = {"lr": rate, "skipped": meter.skipped, "pixels": pixels}
                    record.add(step, "training", **means, **counts)
                    bar.set_postfix_str(in_words(means))
                    if bar.disable:  # stderr is a file: a bar would fill it
                        say(f"step {step} of {steps}: {in_words(means, steps - step)}")
            # Before validating: whoever stops a run may not wait for that.
            if record is not None and (step % run.save_every == 0 or last):
                _save(parts, data, options, step)
            if record is not None and (step % run.validate_every == 0 or last):
                words, bar.postfix = bar.postfix, "validating"
                bar.refresh()
                show = partial(record.add_picture, step)
                with parts.ema.applied(parts.network):
                    numbers = _validated(parts.network, data.val_clips, options, world.device, show)
                record.add(step, "validation", **numbers)
                _save_weights(parts, data, options, step, numbers)
                bar.postfix = words
                say(f"step {step}: {described_scores(numbers)}")
            if last:
                break
    if meter.skipped:
        say(f"{meter.skipped} steps had a gradient that was not finite and were left out")
    world.wait()
    return step, numbers


def _bar(steps: int, step: int, world: World) -> tqdm[Any]:
    """A bar on stderr, if that is a terminal."""
    return tqdm(
        total=steps,
        initial=step,
        dynamic_ncols=True,
        disable=None if world.first else True,
        bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
    )


def in_words(means: Mapping[str, float], left: int | None = None) -> str:
    """Where a run stands: loss, pace, whether it waits for data, and the time for `left` steps."""
    seconds, waits = means["step_seconds"], means["data_wait"]
    words = [f"loss {means['loss']:.5f}"] if "loss" in means else ["no step was finite"]
    words.append(f"{seconds:.2f} s/step")
    if waits >= _LONG_WAIT:
        words.append(f"{waits:.0%} of it for data")
    if left is not None:
        words.append(f"{timedelta(seconds=round(left * seconds))} left")
    return ", ".join(words)


def pixels_per_step(options: TrainOptions) -> int:
    """Low-quality pixels of the clips of one step, over all processes."""
    data = options.data
    return data.batch * data.length * (1 + data.mirror) * data.crop**2


def update(parts: Parts, options: TrainOptions, batch: Batch, step: int) -> dict[str, float]:
    """Take one optimiser step, and one of the discriminator if there is one.

    Returns:
        Each loss as it is, "loss" the picture's, and "total", their weighed sum, if there are
        several; "grad_norm", before clipping. All not finite where a step was left out.
    """
    schedule, adversary = options.optimizer, parts.adversary
    for group in parts.optimizer.param_groups:
        group["lr"] = learning_rate(step, schedule) * group["factor"]
    gt = batch.gt.float() / 255
    lq = None if batch.lq is None else batch.lq.float() / 255
    with _autocast(gt.device, options):
        judged: Judged = parts.objective(gt, lq, replays(step, options.data.replay_every))
        loss, losses = judged.loss, judged.losses
        if adversary is not None:
            losses["adversarial"] = adversary.judge(judged.sr)
            loss = loss + options.adversarial.weight * losses["adversarial"]
    if len(losses) > 1:
        losses["total"] = loss
    parts.optimizer.zero_grad(set_to_none=True)
    parts.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    for group in parts.optimizer.param_groups:
        if step < group["frozen"]:
            # Without a gradient they count neither in its norm nor in Adam's momenta.
            for p in group["params"]:
                p.grad = None
    trained = [p for group in parts.optimizer.param_groups for p in group["params"]]
    norm = descend(parts.optimizer, parts.scaler, trained, clip=schedule.grad_clip)
    taken = math.isfinite(norm)
    if taken:
        parts.ema.update(parts.network)
    values = {name: float(value.detach()) for name, value in losses.items()}
    values["grad_norm"] = norm
    if adversary is not None:
        values["discriminator"] = math.nan
        if taken:
            values["discriminator"] = adversary.learn(judged.sr, gt, _autocast(gt.device, options))
    return values


def rehearse_validation(
    parts: Parts, data: Data, options: TrainOptions, device: torch.device
) -> None:
    """Validate on two frames of the largest clip, so that what fails does so before step 1.

    Raises:
        VsrError: It fails.
    """
    largest = max(data.val_clips, key=lambda clip: math.prod(clip.frames.shape[1:3]))
    few = replace(options.data, val_frames=min(2, options.data.val_frames))
    _validated(parts.network, [largest], replace(options, data=few), device)


def _validated(
    network: TrainableNetwork,
    clips: Sequence[Clip],
    options: TrainOptions,
    device: torch.device,
    show: Show | None = None,
) -> dict[str, float]:
    with _autocast(device, options):
        return validate(
            network,
            clips,
            frames=options.data.val_frames,
            scale=options.network.scale,
            degradation=options.data.degradation,
            recipe=options.real,
            # Papers measure REDS in RGB.
            on_luma=options.data.val_layout != "reds4",
            device=device,
            metrics=options.run.metrics,
            show=show,
        )


def _save(parts: Parts, data: Data, options: TrainOptions, step: int) -> None:
    save_checkpoint(
        parts.output / "checkpoint.pt", step=step, shape=parts.shape, parts=parts.saved()
    )
    # The last validation was of other weights.
    _save_weights(parts, data, options, step, {})


def _save_weights(
    parts: Parts, data: Data, options: TrainOptions, step: int, numbers: dict[str, float]
) -> None:
    facts = {
        "step": step,
        "pixels": parts.seen.pixels,
        "clips": data.counts,
        "options": asdict(options),
        "validation": numbers,
    }
    save_weights(parts.output / "weights.safetensors", parts.ema.weights, parts.shape, facts)


def _autocast(device: torch.device, options: TrainOptions) -> torch.autocast:
    kind = torch.float16 if options.run.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=options.run.precision != "fp32")
