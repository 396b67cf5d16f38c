"""What a person can get wrong, and what can go wrong: said in words, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from synthetic import make_video

from vsr.errors import CheckpointFormatError, ConfigError, VsrError, WeightsError
from vsr.training.loop import train
from vsr.training.options import (
    CompactOptions,
    DataOptions,
    LossOptions,
    OptimizerOptions,
    RunOptions,
    TrainOptions,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good video, and four that are not: garbage, empty, cut short, of too few frames."""
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "good.mp4", frames=6, size=(64, 48))
    make_video(folder / "short.mp4", frames=2, size=(64, 48))
    (folder / "garbage.mp4").write_bytes(bytes(range(256)) * 40)
    (folder / "empty.mkv").touch()
    make_video(folder / "cut.mkv", frames=12, size=(64, 48), codec_options={"g": "1"})
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    return folder


def tiny(videos: Path, output: Path, *, channels: int = 8, steps: int = 2) -> TrainOptions:
    folder = str(videos)
    return TrainOptions(
        data=DataOptions(
            train=folder, val=f"{folder}/val", cache=f"{folder}/cache", crop=10, length=3, batch=1,
            val_frames=1,
        ),
        network=CompactOptions(scale=2, channels=channels, blocks=1),
        optimizer=OptimizerOptions(steps=steps, warmup=1),
        run=RunOptions(output=str(output), device="cpu", precision="fp32", save_every=1),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _validation(videos: Path) -> None:
    (videos / "val").mkdir()
    make_video(videos / "val" / "val.mp4", frames=2, size=(64, 48))


def quiet(line: str) -> None:
    del line


def test_bad_videos_are_named_and_counted_and_the_rest_is_learnt_from(
    videos: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    train(tiny(videos, tmp_path), say=said.append)
    left_out = [line for line in said if line.startswith("left out")]
    for name in ("garbage.mp4", "empty.mkv", "cut.mkv", "short.mp4", "val.mp4"):
        assert sum(name in line for line in left_out) == 1, (name, said)
    assert not any("good.mp4" in line for line in left_out)
    assert "3 of 6 clips left out" in said
    assert "2 of 3 clips left out: too short or too small" in said
    assert "training on good.mp4 (6 frames); 1 shot" in said
    assert "validating on val.mp4 (2 frames)" in said


def test_clips_that_are_trained_and_validated_on_are_named(videos: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(tiny(videos, tmp_path, steps=1), say=said.append)
    (line,) = [line for line in said if "trained on as well" in line]
    assert line.startswith("1 of 1 validation clips are trained on as well (val.mp4)")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting wants root")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_good_checkpoint(videos: Path, small_disk: Path) -> None:
    output = small_disk / "run"
    options = tiny(videos, output, steps=3)
    stopping = replace(options, run=replace(options.run, max_minutes=1e-9))
    train(stopping, say=quiet)
    good = torch.load(output / "checkpoint.pt", weights_only=True)
    weights = load_file(output / "weights.safetensors")
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - 40_000)))

    with pytest.raises(WeightsError, match=r"No space left on device.*make room.*--resume"):
        train(options, resume=True, say=quiet)
    kept = torch.load(output / "checkpoint.pt", weights_only=True)
    assert kept["step"] == good["step"] == 1
    torch.testing.assert_close(kept["network"], good["network"], rtol=0, atol=0)
    torch.testing.assert_close(load_file(output / "weights.safetensors"), weights)
    assert not list(output.glob(".*.part"))

    filler.unlink()
    train(options, resume=True, say=quiet)
    assert torch.load(output / "checkpoint.pt", weights_only=True)["step"] == 3


def test_a_full_disk_leaves_the_last_weights_too(tmp_path: Path, small_disk: Path) -> None:
    from vsr.models.checkpoints import save_weights

    path = small_disk / "weights.safetensors"
    save_weights(path, {"a": torch.ones(10)}, {"name": "x"}, {})
    with pytest.raises(WeightsError, match="cannot write weights"):
        save_weights(path, {"a": torch.zeros(400_000)}, {"name": "x"}, {})
    assert torch.equal(load_file(path)["a"], torch.ones(10))
    assert [found.name for found in small_disk.iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize(
    "content", [b"hello", b"\x80\x04K\x01.", b"", b"PK\x03\x04" + bytes(100), {"params": {}}, [1]]
)
def test_what_is_no_checkpoint_is_said(content: object, videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointFormatError, match=r"damaged|not a checkpoint of `vsr train`"):
        train(tiny(videos, tmp_path), resume=True, say=quiet)


def test_a_checkpoint_of_another_network_is_refused_and_kept(videos: Path, tmp_path: Path) -> None:
    train(tiny(videos, tmp_path), say=quiet)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointFormatError, match=r"'channels': 8.*'channels': 16"):
        train(tiny(videos, tmp_path, channels=16), resume=True, say=quiet)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("name", ["checkpoint.pt", "weights.safetensors"])
def test_starting_anew_over_another_run_is_refused(name: str, videos: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"hours of work")
    with pytest.raises(ConfigError, match=rf"holds the {name} of another run.*--resume"):
        train(tiny(videos, tmp_path), say=quiet)
    assert (tmp_path / name).read_bytes() == b"hours of work"


def test_resuming_does_not_want_the_weights_that_were_started_from(
    videos: Path, tmp_path: Path
) -> None:
    train(tiny(videos, tmp_path / "first", steps=1), say=quiet)
    weights = tmp_path / "first" / "weights.safetensors"
    options = tiny(videos, tmp_path / "second", steps=1)
    options = replace(options, optimizer=replace(options.optimizer, init=str(weights)))
    train(options, say=quiet)
    weights.unlink()
    said: list[str] = []
    longer = replace(options, optimizer=replace(options.optimizer, steps=2))
    train(longer, resume=True, say=said.append)
    assert "resumed at step 1 of 2" in said
    assert "changed since: optimizer.steps was 1, is 2" in said
    assert not any("starting from" in line for line in said)


def test_resuming_what_is_done_is_said(videos: Path, tmp_path: Path) -> None:
    options = tiny(videos, tmp_path, steps=1)
    train(options, say=quiet)
    said: list[str] = []
    assert train(options, resume=True, say=said.append) == {}
    assert not any("changed" in line for line in said)
    assert any("nothing is left to do of optimizer.steps = 1" in line for line in said)


def test_a_second_signal_ends_the_validation_too(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def long_validation(*_: object, **__: object) -> dict[str, float]:
        if (tmp_path / "checkpoint.pt").exists():  # the rehearsal comes before
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return {"psnr": 0.0}

    monkeypatch.setattr("vsr.training.loop.validate", long_validation)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tiny(videos, tmp_path, steps=2), say=quiet)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_an_output_that_is_a_file_is_refused(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"run\.output.*cannot be written to"):
        train(tiny(videos, tmp_path / "file"), say=quiet)


def test_perceptual_without_weights_is_refused_at_once(tmp_path: Path) -> None:
    options = replace(tiny(tmp_path, tmp_path / "run"), loss=LossOptions(perceptual=1))
    with pytest.raises(VsrError, match=r"name the published file as loss\.vgg"):
        train(options, say=quiet)
