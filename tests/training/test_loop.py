"""The loop on tiny clips: it learns, resumes bit for bit, and stops cleanly."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from skimage import data
from synthetic import make_video

from vsr.data.footage import CASES
from vsr.data.recipe import RealRecipe
from vsr.errors import CheckpointFormatError, ConfigError, DatasetError, EncodeError, WeightsError
from vsr.models.checkpoints import read_metadata
from vsr.training.batches import batches
from vsr.training.loop import build, learning_rate, open_data, train
from vsr.training.options import (
    CleanOptions,
    CompactOptions,
    DataOptions,
    LossOptions,
    OptimizerOptions,
    RunOptions,
    TrainOptions,
    read_options,
)
from vsr.training.record import Meter
from vsr.training.validation import validate
from vsr.training.world import World


def test_learning_rate_warms_up_and_falls_to_its_end() -> None:
    schedule = OptimizerOptions(steps=100, warmup=10, lr=1.0, lr_final=0.1)
    rates = [learning_rate(step, schedule) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def moving_photograph(index: int, width: int, height: int) -> NDArray[np.uint8]:
    picture = data.astronaut()
    return picture[20 : 20 + height, 170 + 2 * index : 170 + 2 * index + width].copy()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(
        folder / "clip.mp4",
        frames=6,
        size=(96, 64),
        picture=moving_photograph,
        codec_options={"crf": "10"},
    )
    return folder


def tiny(videos: Path, output: Path, *, steps: int = 4, **optimizer: float) -> TrainOptions:
    return TrainOptions(
        data=DataOptions(
            train=str(videos),
            val=str(videos),
            cache=str(videos / "cache"),
            crop=12,
            length=3,
            batch=1,
            val_frames=2,
        ),
        network=CompactOptions(scale=2, channels=8, blocks=1),
        optimizer=OptimizerOptions(steps=steps, warmup=2, **optimizer),
        run=RunOptions(output=str(output), precision="fp32", save_every=2, log_every=1),
    )


def quiet(line: str) -> None:
    del line


def test_the_picture_loss_falls(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path, steps=120, lr=3e-3, ema=0.9), say=quiet)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-20:]) < 0.85 * sum(losses[:20])
    assert lines[-1]["psnr"] > lines[-1]["psnr_bicubic"]


def test_stop_at_3_and_resume_equals_6_straight_bit_for_bit(videos: Path, tmp_path: Path) -> None:
    straight = tiny(videos, tmp_path / "straight", steps=6)
    train(straight, say=quiet)

    part = tiny(videos, tmp_path / "parts", steps=6)
    stopping = replace(part, run=replace(part.run, max_minutes=1e-9))
    for resumed in (False, True, True):
        train(stopping, resume=resumed, say=quiet)
    train(part, resume=True, say=quiet)

    expected = torch.load(tmp_path / "straight" / "checkpoint.pt", weights_only=True)
    actual = torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)
    assert actual["step"] == 6
    for part_name in ("network", "ema", "optimizer"):
        torch.testing.assert_close(actual[part_name], expected[part_name], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork, from 3.12 on
def test_workers_give_the_same_run(videos: Path, tmp_path: Path) -> None:
    weights = []
    for workers in (0, 1):
        options = tiny(videos, tmp_path / str(workers), steps=2)
        train(replace(options, data=replace(options.data, workers=workers)), say=quiet)
        weights.append(load_file(tmp_path / str(workers) / "weights.safetensors"))
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)


def test_two_processes_with_half_the_batch_give_what_one_gives(
    videos: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f"""
        [data]
        train = "{videos}"
        val = "{videos}"
        cache = "{videos / "cache"}"
        crop = 12
        length = 3
        batch = 2
        val_frames = 1
        [network]
        scale = 2
        channels = 8
        blocks = 1
        [optimizer]
        steps = 3
        warmup = 1
        [adversarial]
        weight = 0.05
        channels = 4
        [run]
        device = "cpu"
        precision = "fp32"
        recompute = true
        """
    )
    train(read_options(config, [f"run.output={tmp_path / '1'}"]), say=quiet)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run(
        [*torchrun, "-m", "vsr", "train", str(config), "--set", f"run.output={tmp_path / '2'}"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    one, two = (
        torch.load(tmp_path / count / "checkpoint.pt", weights_only=True) for count in ("1", "2")
    )
    assert one["step"] == two["step"] == 3
    torch.testing.assert_close(two["network"], one["network"], atol=1e-5, rtol=1e-4)
    learnt, wanted = two["adversary"]["network"], one["adversary"]["network"]
    torch.testing.assert_close(learnt, wanted, atol=1e-5, rtol=1e-4)
    logs = [(tmp_path / count / "log.jsonl").read_text().splitlines() for count in ("1", "2")]
    alone, shared = ([x for x in map(json.loads, log) if "loss" in x] for log in logs)
    assert len(alone) == len(shared) > 0
    for name in ("loss", "adversarial", "discriminator"):
        found = [line[name] for line in shared]
        assert found == pytest.approx([line[name] for line in alone], rel=1e-3)


def test_frozen_flow_stays_as_it_is(videos: Path, tmp_path: Path) -> None:
    base = tiny(videos, tmp_path / "base", steps=1, lr=0.0, lr_final=0.0)
    frozen = tiny(videos, tmp_path / "frozen", steps=3, flow_frozen=2)
    thawed = tiny(videos, tmp_path / "thawed", steps=3, flow_frozen=3)
    saved, known = {}, {}
    for name, options in (("base", base), ("frozen", frozen), ("thawed", thawed)):
        train(options, say=quiet)
        checkpoint = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        saved[name] = checkpoint["network"]["refine.layers.4.weight"]
        moments = checkpoint["optimizer"]
        known[name] = set(moments["param_groups"][0]["params"]) & set(moments["state"])
    assert torch.equal(saved["thawed"], saved["base"])
    assert not known["thawed"]
    assert not torch.equal(saved["frozen"], saved["base"])


def test_a_gradient_that_is_not_finite_is_left_out_and_counted(
    videos: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    options = replace(tiny(videos, tmp_path, steps=3), loss=LossOptions(photometric=1e300))
    train(options, say=said.append)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["skipped"] for line in lines if "skipped" in line][-1] == 3
    assert any("3 steps" in line and "not finite" in line for line in said)
    weights = load_file(tmp_path / "weights.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_tensorboard_gets_the_numbers_and_the_pictures(videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = tiny(videos, tmp_path, steps=2)
    train(replace(options, run=replace(options.run, tensorboard=True, validate_every=1)), say=quiet)
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0})
    events.Reload()
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for group, name in (("training", "grad_norm"), ("validation", "gain")):
        found = [event.value for event in events.Scalars(f"{group}/{name}")]
        assert found == pytest.approx([line[name] for line in logged if name in line])
    pictures = events.Images("validation/clip")
    assert [picture.step for picture in pictures] == [1, 2]
    shown = cv2.imdecode(np.frombuffer(pictures[-1].encoded_image_string, np.uint8), -1)
    np.testing.assert_array_equal(shown, cv2.imread(str(tmp_path / "validation" / "clip.png")))


def test_the_log_has_the_parts_of_the_loss_and_where_the_time_goes(
    videos: Path, tmp_path: Path
) -> None:
    options = tiny(videos, tmp_path, steps=1)
    options = replace(options, loss=LossOptions(photometric=0.3, temporal=0.2))
    begin = time.monotonic()
    train(options, say=quiet)
    seconds = time.monotonic() - begin
    logged, _ = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    parts = logged["loss"] + 0.3 * logged["photometric"] + 0.2 * logged["temporal"]
    assert logged["total"] == pytest.approx(parts)
    assert 0 < logged["step_seconds"] < seconds
    assert 0 < logged["data_wait"] < 1

    world = World(rank=0, size=1, device=torch.device("cpu"))
    untrained = build(replace(options, run=replace(options.run, output="unused")), world, quiet)
    (batch,) = batches(open_data(options, quiet).found, options, world, first=0)
    untrained.objective(batch.gt.float() / 255).loss.backward()
    squares = [float(p.grad.square().sum()) for p in untrained.network.parameters()]
    assert logged["grad_norm"] == pytest.approx(math.sqrt(sum(squares)), rel=1e-4)


def test_waiting_for_data_is_told_from_computing() -> None:
    def slowly() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.05)
            yield number

    meter = Meter()
    for number in meter.drawn(slowly()):
        time.sleep(0.01)
        meter.add({"loss": float(number)} if number else {"loss": math.nan})
        time.sleep(0.2)  # validating, say: not the step's time
    means = meter.means(World(rank=0, size=1, device=torch.device("cpu")))
    assert means["loss"] == 1.5
    assert meter.skipped == 1
    assert 0.06 <= means["step_seconds"] < 0.2
    assert 0.5 < means["data_wait"] < 0.95


def test_a_trial_leaves_nothing_once_it_is_done(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path / "run", steps=2)
    options = replace(
        options,
        data=replace(options.data, cache=str(tmp_path / "run" / "frames")),
        run=replace(options.run, keep=False, tensorboard=True),
    )
    stopping = replace(options, run=replace(options.run, max_minutes=1e-9))
    train(stopping, say=quiet)
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    (tmp_path / "run" / "notes.txt").touch()
    said: list[str] = []
    assert train(options, resume=True, say=said.append)["psnr"] > 0
    assert said[-1] == f"removed '{tmp_path / 'run'}', but for notes.txt"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    (tmp_path / "run" / "notes.txt").unlink()
    train(options, say=quiet)
    assert list(tmp_path.iterdir()) == []


def test_what_changed_since_is_said_on_resuming(videos: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "one.mp4").symlink_to(videos / "clip.mp4")
    options = tiny(videos, tmp_path / "run", steps=2)
    options = replace(options, data=replace(options.data, train=str(clips)))
    train(replace(options, run=replace(options.run, max_minutes=1e-9)), say=quiet)
    make_video(clips / "two.mp4", frames=4, size=(96, 64))
    said: list[str] = []
    train(replace(options, run=replace(options.run, log_every=2)), resume=True, say=said.append)
    assert "resumed at step 1 of 2" in said
    (line,) = [line for line in said if line.startswith("changed since: ")]
    for change in ("run.log_every was 1, is 2", "clips.train was 1, is 2", "clips.frames was 6"):
        assert change in line


def test_what_is_no_film_is_named(videos: Path, tmp_path: Path) -> None:
    """Pictures that have nothing to do with each other, and some of several shots, as of a page."""
    rng = np.random.default_rng(0)
    for name, repeats in (("unlike", 1), ("strips", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(8):
            if index % repeats == 0:
                cells = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
            picture = np.kron(cells, np.ones((16, 16, 1), np.uint8))
            assert cv2.imwrite(str(tmp_path / "data" / name / f"{index}.png"), picture)
    (tmp_path / "data" / "clip.mp4").symlink_to(videos / "clip.mp4")
    said: list[str] = []
    options = tiny(videos, tmp_path / "run", steps=1)
    data = replace(options.data, train=str(tmp_path / "data"), val=str(tmp_path / "data"))
    train(replace(options, data=data), say=said.append)
    assert any(line.startswith("left out: strips has 2 frames without a cut") for line in said)
    hint = "; if it is no film, move it away"
    few = f"'strips' of data.val: no more than 2 of its 8 frames are without a cut{hint}"
    unlike = [
        f"'unlike' of data.{k}: its frames have little in common{hint}" for k in ("train", "val")
    ]
    assert sorted(line for line in said if hint in line) == sorted([few, *unlike])
    assert any(x.startswith("training on clip.mp4 (6 frames), unlike (8 frames); ") for x in said)
    assert "validating on clip.mp4 (6 frames), strips (8 frames), unlike (8 frames)" in said


def test_a_batch_that_cannot_be_shared_is_refused(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path)
    world = World(rank=0, size=2, device=torch.device("cpu"))
    with pytest.raises(ConfigError, match="multiple of 2"):
        build(options, world, quiet)


def test_fp16_on_a_cpu_is_refused(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path)
    run = replace(options.run, precision="fp16", device="cpu")
    with pytest.raises(ConfigError, match=r"wants CUDA.*take 'bf16'"):
        train(replace(options, run=run), say=quiet)


def test_what_must_be_positive_is_named(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path)
    for section, name in (("run", "log_every"), ("network", "blocks"), ("data", "val_frames")):
        changed = replace(getattr(options, section), **{name: 0})
        with pytest.raises(ConfigError, match=rf"{section}\.{name}' is 0: .* greater"):
            train(replace(options, **{section: changed}), say=quiet)


def test_a_device_that_is_not_there_is_refused(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path)
    with pytest.raises(ConfigError, match=r"run\.device cuda:99 wanted, \d+ GPUs? found"):
        train(replace(options, run=replace(options.run, device="cuda:99")), say=quiet)
    for device in ("meta", "mps", "cuda:", "cpu:0"):
        with pytest.raises(ConfigError, match=r"run\.device must be auto, cpu, cuda or cuda:N"):
            train(replace(options, run=replace(options.run, device=device)), say=quiet)


@pytest.mark.parametrize("losses", [LossOptions(photometric=0.1), LossOptions(temporal=0.1)])
def test_neighbours_of_a_single_frame_are_refused(
    losses: LossOptions, videos: Path, tmp_path: Path
) -> None:
    options = replace(tiny(videos, tmp_path), loss=losses)
    with pytest.raises(ConfigError, match=r"data\.length = 1 leaves none"):
        train(replace(options, data=replace(options.data, length=1)), say=quiet)


def test_weights_say_how_they_came_about(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path, steps=2), say=quiet)
    metadata = read_metadata(tmp_path / "weights.safetensors")
    network = {"name": "compact", "scale": 2, "channels": 8, "blocks": 1, "clean": False}
    assert metadata["network"] == network
    assert metadata["step"] == 2
    assert metadata["validation"]["psnr_bicubic"] > 20
    assert metadata["options"]["optimizer"]["steps"] == 2
    assert (tmp_path / "validation" / "clip.png").is_file()


def test_weights_carry_no_numbers_of_others(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = []

    def first_look(*arguments: object, **named: object) -> dict[str, float]:
        if (weights := tmp_path / "weights.safetensors").exists():  # the rehearsal has none yet
            carried.append(read_metadata(weights)["validation"])
        return validate(*arguments, **named)

    monkeypatch.setattr("vsr.training.loop.validate", first_look)
    options = tiny(videos, tmp_path)
    train(replace(options, run=replace(options.run, validate_every=2)), say=quiet)
    assert carried == [{}, {}]
    assert read_metadata(tmp_path / "weights.safetensors")["validation"]


def test_the_average_of_constant_weights_is_those_weights(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path, steps=3, lr=0.0, lr_final=0.0), say=quiet)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    weights = load_file(tmp_path / "weights.safetensors")
    torch.testing.assert_close(weights, dict(saved["network"]))


def test_sigterm_saves_and_stops(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path, steps=10_000)

    def kill(line: str) -> None:
        if "parameters" in line:
            signal.setitimer(signal.ITIMER_REAL, 0.3)

    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        train(options, say=kill)
    finally:
        signal.signal(signal.SIGALRM, previous)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert 0 < saved["step"] < 10_000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork, from 3.12 on
def test_a_signal_to_the_whole_group_leaves_a_checkpoint(videos: Path, tmp_path: Path) -> None:
    sets = {
        "data.train": videos,
        "data.val": videos,
        "data.cache": videos / "cache",
        "data.crop": 12,
        "data.length": 3,
        "data.batch": 1,
        "data.workers": 1,
        "data.val_frames": 2,
        "network.channels": 8,
        "network.blocks": 1,
        "run.output": tmp_path,
        "run.log_every": 1,
    }
    config = tmp_path / "run.toml"
    config.write_text("")
    chosen = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    run = subprocess.Popen(
        [sys.executable, "-m", "vsr", "train", str(config), *chosen],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    log = tmp_path / "log.jsonl"
    while run.poll() is None and not (log.is_file() and log.read_text().count("\n") > 2):
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said.decode()
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["step"] > 2
    assert read_metadata(tmp_path / "weights.safetensors")["validation"]["psnr"] > 10


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork, from 3.12 on
@pytest.mark.parametrize("workers", [0, 1])
def test_what_fails_while_clips_are_made_keeps_its_name(
    videos: Path, tmp_path: Path, workers: int
) -> None:
    options = tiny(videos, tmp_path)
    options = replace(
        options,
        data=replace(options.data, degradation="real", workers=workers),
        real=RealRecipe(clean=0, last_codec=1, codecs=("no-such-encoder",)),
    )
    with pytest.raises(EncodeError, match="no-such-encoder"):
        train(options, say=quiet)


def test_a_clip_too_short_is_said(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path)
    long = replace(options, data=replace(options.data, length=20))
    with pytest.raises(DatasetError, match="20 frames"):
        train(long, say=quiet)


def test_resuming_nothing_is_said(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nothing to resume"):
        train(tiny(videos, tmp_path), resume=True, say=quiet)


def test_resuming_another_network_is_refused(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path, steps=2)
    train(options, say=quiet)
    wider = replace(options, network=replace(options.network, channels=16))
    with pytest.raises(CheckpointFormatError, match="16"):
        train(wider, resume=True, say=quiet)


def test_a_resumed_run_has_the_settings_of_its_options_and_says_what_changed(
    videos: Path, tmp_path: Path
) -> None:
    options = tiny(videos, tmp_path, steps=1)
    train(options, say=quiet)
    optimizer = replace(
        options.optimizer, steps=2, betas=(0.5, 0.6), flow_lr_factor=0.5, flow_frozen=9
    )
    said: list[str] = []
    train(replace(options, optimizer=optimizer), resume=True, say=said.append)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    flow, others = saved["optimizer"]["param_groups"]
    assert flow["betas"] == others["betas"] == (0.5, 0.6)
    assert (flow["factor"], flow["frozen"], others["factor"]) == (0.5, 9, 1.0)
    (line,) = [line for line in said if "changed" in line]
    for change in (
        "steps was 1, is 2",
        "betas was [0.9, 0.99], is [0.5, 0.6]",
        "flow_frozen was 0, is 9",
    ):
        assert f"optimizer.{change}" in line
    assert "data." not in line


@pytest.mark.parametrize("scale", [1, 2])
def test_training_on_films_learns_resumes_and_measures_each_degradation(
    videos: Path, tmp_path: Path, scale: int
) -> None:
    """Films are made once; a run that stopped goes on bit for bit; pixels are counted."""
    options = tiny(videos, tmp_path / "straight", steps=3)
    options = replace(
        options,
        data=replace(options.data, degradation="footage", shrink=(1, 2), variants=1),
        network=CleanOptions(channels=8, blocks=1)
        if scale == 1
        else CompactOptions(scale=2, channels=8, blocks=1, clean=True),
        loss=LossOptions(picture="log_mse", cleaning=0.0 if scale == 1 else 0.1),
    )
    numbers = train(options, say=quiet)
    assert {f"gain_{case}" for case in CASES if scale > 1 or case != "clean"} <= numbers.keys()
    assert numbers["worst"] <= numbers["gain"]
    films = sorted((videos / "cache" / "films").glob("*.film"))
    parts = replace(options, run=replace(options.run, output=str(tmp_path / "parts")))
    train(replace(parts, run=replace(parts.run, max_minutes=1e-9)), say=quiet)
    train(parts, resume=True, say=quiet)
    assert sorted((videos / "cache" / "films").glob("*.film")) == films
    weights = [tmp_path / name / "weights.safetensors" for name in ("straight", "parts")]
    assert read_metadata(weights[1])["pixels"] == 3 * 3 * 12 * 12
    one, other = (load_file(path) for path in weights)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_cleaning_stage_starts_from_weights_of_its_own(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path / "clean", steps=1, lr=1e-2)
    options = replace(options, network=CleanOptions())
    options = replace(options, data=replace(options.data, degradation="footage"))
    train(options, say=quiet)
    weights = tmp_path / "clean" / "weights.safetensors"
    network = CompactOptions(scale=2, channels=8, blocks=1, clean=True)
    started = replace(
        options,
        network=network,
        optimizer=replace(options.optimizer, clean_init=str(weights)),
    )
    world = World(rank=0, size=1, device=torch.device("cpu"))
    stage = build(started, world, quiet).network.clean
    assert all(torch.equal(stage.state_dict()[k], v) for k, v in load_file(weights).items())
    plain = replace(started, network=replace(network, clean=False))
    with pytest.raises(ConfigError, match=r"clean_init .* wants a network with a cleaning stage"):
        build(plain, world, quiet)
