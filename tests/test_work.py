"""Killed at any moment, the same call goes on, and the file is the one it would have been."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_disk import make_room, small_disk
from synthetic import draw_number, make_pictures, make_video

from vsr.errors import CancelledError, DiskError, MediaError, MuxError, OutOfMemoryError
from vsr.jobs.local import do_file
from vsr.media.containers import damaged_kind, target_kind
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import ModelInfo, load_network
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import EnhanceResult, Progress, enhance
from vsr.reporting import _hash, _hash_of_source
from vsr.work import Ledger, WorkFolder, request

FRAMES = 30
# The threshold lies between the motion of the drawn frames, some of which score about 7, and their
# cuts: processors and versions of libswscale differ a little.
SMALL = InferenceOptions(window=4, lookahead=2, precision="fp32", scene_threshold=50)
FAST = EncodeOptions(preset="ultrafast", crf=20, encoder_option=("bf=2",))


def options(**changes: Any) -> EnhanceOptions:  # noqa: ANN401
    return EnhanceOptions(
        **({"model": "bicubic", "encode": FAST, "inference": SMALL, "piece": 7} | changes)
    )


def shots(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """Cut after frames 9 and 10: no piece and no window ends at a round number."""
    picture = draw_number(index, width, height)
    return picture if index < 10 else 255 - picture // 3 if index > 10 else picture // 4


def flat(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A picture that takes few bytes."""
    return np.full((height, width, 3), 60 + index, np.uint8)


def film(path: Path, **facts: Any) -> Path:  # noqa: ANN401
    ticks = [1000 + 40 * i + 7 * (i % 3) + 200 * (i > 20) for i in range(FRAMES)]
    return make_video(
        path,
        size=(32, 24),
        pts=ticks,
        time_base=Fraction(1, 1000),
        picture=shots,
        codec_options={"bf": "2"},
        container_options={"movie_timescale": "90000"} if path.suffix == ".mp4" else None,
        **({"audio": ("aac",)} | facts),
    )


def random_weights(path: Path, seed: int = 3) -> str:
    torch.manual_seed(seed)
    network = Compact(channels=8, blocks=1)
    torch.nn.init.normal_(network.tail[2].weight, std=0.05)
    shape = {"name": "compact", "scale": 4, "channels": 8, "blocks": 1}
    save_weights(path, network.state_dict(), shape, {})
    return str(path)


def content(path: Path) -> list[tuple[Fraction, int, str, bytes]]:
    """Everything a player sees: times, decoded pictures, the packets of all else."""
    found = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            found.append((frame.pts * frame.time_base, 0, "", frame.to_ndarray().tobytes()))
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.size:
                time = (packet.dts if packet.dts is not None else packet.pts) * packet.time_base
                found.append((time, packet.stream.index, packet.stream.type, bytes(packet)))
    return found


def stop_at(frame: int, stop: Callable[[], None]) -> Callable[[Progress], None]:
    def watch(now: Progress) -> None:
        if now.frames >= frame:
            stop()

    return watch


def interrupt() -> None:
    raise KeyboardInterrupt


def interrupted(source: Path, target: Path | str, chosen: EnhanceOptions, frame: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        enhance(source, target, chosen, progress=stop_at(frame, interrupt))


@pytest.mark.parametrize(
    ("make", "frame"),
    [(threading.Event, 1), (multiprocessing.Event, 12), (threading.Event, FRAMES)],
)
def test_a_cancelled_film_goes_on_and_equals_the_uninterrupted_one(
    make: Callable[[], threading.Event], frame: int, tmp_path: Path
) -> None:
    source = film(tmp_path / "in.mp4")
    whole = enhance(source, tmp_path / "whole.mp4", options())
    event = make()
    progress = stop_at(frame, event.set)
    with pytest.raises(CancelledError, match="the same call continues"):
        enhance(source, tmp_path / "out.mp4", options(), progress=progress, cancel=event)
    assert not (tmp_path / "out.mp4").exists()
    event.clear()
    result = enhance(source, tmp_path / "out.mp4", options(), cancel=event)
    assert result.frames == whole.frames == FRAMES
    # With the first window done, 4 frames, no piece is; after the last frame all but verifying is.
    assert (result.resumed == 0) == (frame == 1)
    assert content(tmp_path / "out.mp4") == content(tmp_path / "whole.mp4")


def test_a_job_cancelled_before_it_begins_leaves_nothing(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    event = threading.Event()
    event.set()
    with pytest.raises(CancelledError):
        enhance(source, tmp_path / "out.mp4", options(), cancel=event)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_film_may_be_cancelled_while_finished_frames_are_skipped(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    interrupted(source, tmp_path / "out.mp4", options(), FRAMES)

    class Late(threading.Event):
        """Set once it has been asked for the plan, the start, and ten skipped frames."""

        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 13

    seen: list[Progress] = []
    with pytest.raises(CancelledError):
        enhance(source, tmp_path / "out.mp4", options(), progress=seen.append, cancel=Late())
    assert [now.frames - now.resumed for now in seen] == [0]


DOOMED = """
import os, pickle, signal, sys
import torch
from vsr.pipeline import enhance

source, target, chosen, frame = pickle.load(sys.stdin.buffer)
torch.set_num_threads(1)

def die(now):
    if now.frames >= frame:
        os.kill(os.getpid(), signal.SIGKILL)

enhance(source, target, chosen, progress=die)
"""


OLDER = """
import vsr

vsr.__version__ = "0.0.9"
"""


def killed(
    source: Path, target: Path, chosen: EnhanceOptions, frame: int, *, older: bool = False
) -> None:
    """Have another process, or another version of the program, start a film and kill it."""
    arguments = pickle.dumps((source, target, chosen, frame))
    program = [sys.executable, "-c", OLDER * older + DOOMED]
    done = subprocess.run(program, input=arguments, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


def hidden(target: Path) -> Path:
    return target.with_name(f".{target.name}.vsr")


def test_killed_twice_the_film_is_the_same_bit_by_bit(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    chosen = options(model=random_weights(tmp_path / "net.safetensors"))
    whole, target = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    uninterrupted = enhance(source, whole, chosen)
    for frame in (14, 25):
        killed(source, target, chosen, frame)
        assert not target.exists()
        assert hidden(target).is_dir()
    result = enhance(source, target, chosen)
    assert 15 <= result.resumed < FRAMES
    assert result.report["fidelity"] == uninterrupted.report["fidelity"]
    assert content(target) == content(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.mp4", "net.safetensors", "out.mp4", "whole.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm", ".ts", ".avi"])
def test_every_container_goes_on(tmp_path: Path, suffix: str) -> None:
    steady = {"pts": None, "time_base": None, "frames": FRAMES} if suffix == ".avi" else {}
    source = make_video(
        tmp_path / "in.mkv", size=(32, 24), frames=FRAMES, rate=Fraction(25), picture=shots
    ) if steady else film(tmp_path / "in.mkv", audio=("libopus",))  # fmt: skip
    encode = EncodeOptions(encoder_option=("cpu-used=8",)) if suffix == ".webm" else FAST
    if suffix == ".avi":
        encode = EncodeOptions(preset="ultrafast")
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    enhance(source, whole, options(encode=encode))
    interrupted(source, target, options(encode=encode), 20)
    result = enhance(source, target, options(encode=encode))
    assert result.resumed > 0
    assert content(target) == content(whole)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "ffv1"])
def test_every_encoder_goes_on(tmp_path: Path, codec: str) -> None:
    source = film(tmp_path / "in.mkv")
    preset = {"libsvtav1": "12", "ffv1": None}.get(codec, "ultrafast")
    chosen = options(encode=EncodeOptions(codec=codec, preset=preset), size="64x64")
    whole, target = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    enhance(source, whole, chosen)
    interrupted(source, target, chosen, 20)
    assert enhance(source, target, chosen).resumed > 0
    assert content(target) == content(whole)


def test_pictures_go_on(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=20, size=(32, 24))
    chosen = options(encode=EncodeOptions())
    enhance(source, f"{tmp_path}/whole/", chosen)
    interrupted(source, f"{tmp_path}/out/", chosen, 15)
    assert not (tmp_path / "out").exists()
    assert enhance(source, f"{tmp_path}/out/", chosen).resumed > 0
    whole, found = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("whole", "out")
    )
    assert len(whole) == 20
    assert found == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def said_on_second_run(
    source: Path, target: Path, second: EnhanceOptions, change: Callable[[], object] = lambda: None
) -> tuple[EnhanceResult, str]:
    interrupted(source, target, options(), 25)
    change()
    result = enhance(source, target, second)
    return result, " ".join(result.warnings)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"strength": 0.5}, "options.strength was 1.0, is 0.5"),
        ({"encode": EncodeOptions(preset="ultrafast", crf=30)}, "crf"),
        ({"scale": 2}, "options.scale"),
        ({"inference": replace(SMALL, window=5)}, "window"),
        ({"duration": "0.8"}, "options.duration"),
    ],
)
def test_another_option_is_noticed(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    result, said = said_on_second_run(source, target, options(**changed))
    assert result.resumed == 0
    assert "is not continued" in said
    assert named in said


def test_another_source_is_noticed(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    result, said = said_on_second_run(
        source, target, options(), lambda: film(source, audio=()).touch()
    )
    assert result.resumed == 0
    assert "source was" in said


def test_other_weights_are_noticed(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    chosen = options(model=random_weights(tmp_path / "net.safetensors"))
    interrupted(source, target, chosen, 25)
    network = Compact(channels=8, blocks=1)
    shape = {"name": "compact", "scale": 4, "channels": 8, "blocks": 1}
    save_weights(tmp_path / "net.safetensors", network.state_dict(), shape, {})
    result = enhance(source, target, chosen)
    assert result.resumed == 0
    assert any("network.weights was" in warning for warning in result.warnings)


def test_what_another_version_began_is_begun_anew_and_never_mixed(tmp_path: Path) -> None:
    source, whole, target = film(tmp_path / "in.mp4"), tmp_path / "whole.mp4", tmp_path / "out.mp4"
    enhance(source, whole, options())
    killed(source, target, options(), 25, older=True)
    finished = sorted(hidden(target).glob("*.piece"))
    assert finished
    for piece in finished:
        piece.write_bytes(b"pictures of another version")
    result = enhance(source, target, options())
    assert result.resumed == 0
    assert any(
        "is not continued, since versions.vsr was 0.0.9, is" in text for text in result.warnings
    )
    assert content(target) == content(whole)
    assert not hidden(target).exists()


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"job": 1, "plan": 2}', '{"job": {}}'])
def test_a_record_of_another_form_is_no_record(tmp_path: Path, record: str) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    result, said = said_on_second_run(
        source, target, options(), lambda: (hidden(target) / "job.json").write_text(record)
    )
    assert result.resumed == 0
    assert "the work of an earlier run is not continued" in said
    assert result.frames == FRAMES


def test_a_plan_of_another_form_is_no_plan(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"

    def change() -> None:
        path = hidden(target) / "job.json"
        record = json.loads(path.read_text())
        record["plan"]["windows"] = record["plan"].pop("window")
        path.write_text(json.dumps(record))

    result, said = said_on_second_run(source, target, options(), change)
    assert result.resumed == 0
    assert "its record is damaged, or of another version" in said


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"pts": 3}'])
def test_a_piece_whose_record_is_damaged_is_made_again(tmp_path: Path, record: str) -> None:
    source, whole, target = film(tmp_path / "in.mp4"), tmp_path / "whole.mp4", tmp_path / "out.mp4"
    enhance(source, whole, options())
    result, _ = said_on_second_run(
        source, target, options(), lambda: (hidden(target) / "000001.json").write_text(record)
    )
    assert 0 < result.resumed < 14
    assert content(target) == content(whole)


def test_starting_afresh_can_be_asked_for(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    result, said = said_on_second_run(source, target, options(resume=False))
    assert result.resumed == 0
    assert "earlier run" not in said
    assert not hidden(target).exists()


def test_what_goes_on_is_said(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        enhance(source, target, options(), progress=stop_at(25, interrupt), warn=said.append)
    kept = said[-1]
    seen: list[Progress] = []
    result = enhance(source, target, options(), progress=seen.append)
    assert kept.startswith(f"{result.resumed} finished frames are kept in ")
    assert f"{result.resumed} frames were finished by an earlier run" in " ".join(result.warnings)
    assert result.report["resumed_frames"] == result.resumed == seen[0].frames
    assert seen[-1].frames == FRAMES


def test_a_smaller_limit_of_memory_goes_on_with_less_at_once(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"

    def limited(mebibytes: int) -> EnhanceOptions:
        inference = InferenceOptions(
            device="cpu", precision="fp32", memory_limit=mebibytes, scene_threshold=50
        )
        return options(inference=inference)

    interrupted(source, target, limited(100), frame=15)
    calls: list[int] = []

    def watched(model: ModelInfo, device: str) -> VideoNetwork:
        network: Any = load_network(model, device)
        network.register_forward_pre_hook(lambda _, lq: calls.append(lq[0].shape[1]))
        return cast("VideoNetwork", network)

    result = enhance(source, target, limited(1), load=watched)
    assert result.resumed > 0
    assert max(calls) < 16
    assert any("from there on, for --memory-limit: window " in x for x in result.warnings)

    interrupted(source, tmp_path / "b.mp4", limited(1), frame=15)
    result = enhance(source, tmp_path / "b.mp4", limited(100))
    assert result.resumed > 0
    assert result.report["inference"]["window"] < 16


def test_other_weights_under_the_same_name_are_another_request(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    chosen = options(model=random_weights(tmp_path / "net.safetensors"))
    before = request(source, chosen)
    assert request(source, chosen) == before
    random_weights(tmp_path / "net.safetensors", seed=1)
    assert request(source, chosen) != before


def test_unfinished_work_of_other_pictures_in_the_folder_is_kept(tmp_path: Path) -> None:
    source, folder = film(tmp_path / "in.mp4"), tmp_path / "out"
    chosen = options(encode=EncodeOptions())
    interrupted(source, f"{folder}/a_%05d.png", chosen, 25)
    with pytest.raises(MuxError, match=r"unfinished work of another output, .*a_%05d\.png"):
        enhance(source, f"{folder}/b_%05d.png", chosen)
    assert enhance(source, f"{folder}/a_%05d.png", chosen).resumed > 0
    assert enhance(source, f"{folder}/b_%05d.png", chosen).frames == FRAMES


def test_what_began_afresh_does_not_go_on_by_the_same_command(tmp_path: Path) -> None:
    source, target, said = film(tmp_path / "in.mp4"), tmp_path / "out.mp4", []
    with pytest.raises(KeyboardInterrupt):
        enhance(
            source, target, options(resume=False), progress=stop_at(25, interrupt), warn=said.append
        )
    assert said[-1].endswith("the same command without --no-resume goes on from there")


def test_a_damaged_film_lies_beside_the_file_that_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.mkv"
    link.symlink_to(tmp_path / "disk" / "film.mkv")
    assert damaged_kind(target_kind(link)).pattern == tmp_path / "disk" / "film.damaged.mkv"


def test_what_is_set_aside_lies_beside_the_file_that_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.mkv"
    link.symlink_to(tmp_path / "disk" / "film.mkv")
    ledger = Ledger(tmp_path, link, "cpu")
    ledger.joined.write_bytes(b"film")
    assert ledger.set_aside() == tmp_path / "disk" / "film.unverified.mkv"


def test_a_source_that_its_disk_cannot_give_fails_alone(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"

    def failing(path: Path) -> tuple[str, Any]:
        def load(model: ModelInfo, device: str) -> VideoNetwork:
            raise DiskError(path, "input/output error")

        return do_file(source, target, options(), load, lambda kind, content: None)

    assert failing(source)[0] == "failed"
    assert failing(target)[0] == "parked"


@pytest.mark.skipif(sys.platform != "linux", reason="this file is Linux's")
def test_a_source_whose_disk_fails_has_no_hash() -> None:
    # The start of a process's memory is an input/output error to read.
    assert _hash_of_source(Path("/proc/self/mem")) is None
    with pytest.raises(DiskError):
        _hash(Path("/proc/self/mem"))


def test_running_out_of_memory_beside_the_network_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> torch.Tensor:
        return torch.empty(2**58)  # PyTorch's own failure, on any machine

    monkeypatch.setattr("vsr.pipeline.squared_errors", too_large)
    with pytest.raises(OutOfMemoryError, match=r"in\.mp4: out of memory beside the network"):
        enhance(film(tmp_path / "in.mp4"), tmp_path / "out.mp4", options())


def test_stopped_before_anything_is_finished_leaves_nothing(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    interrupted(source, target, options(), 2)
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_two_at_once_on_one_output_are_refused(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    refused: list[str] = []

    def meanwhile(now: Progress) -> None:
        if now.frames == 3:
            with pytest.raises(MuxError, match="another vsr is at work") as error:
                enhance(source, target, options())
            refused.append(str(error.value))

    enhance(source, target, options(), progress=meanwhile)
    assert len(refused) == 1
    assert target.is_file()


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    interrupted(source, target, options(), 25)
    piece = hidden(target) / "000000.piece"
    data = bytearray(piece.read_bytes())
    data[-10] ^= 255
    piece.write_bytes(data)
    with pytest.raises(MuxError, match="damaged on the disk; start afresh with --no-resume"):
        enhance(source, target, options())
    assert not target.exists()


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    interrupted(source, target, options(), 25)
    (hidden(target) / "000000.piece").unlink()
    with pytest.raises(MuxError, match=r"000000.piece: a finished piece is missing; start afresh"):
        enhance(source, target, options())


def test_a_damaged_memory_of_the_network_is_named(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    without_cuts = replace(SMALL, scene_threshold=101)
    chosen = options(model=random_weights(tmp_path / "net.safetensors"), inference=without_cuts)
    interrupted(source, target, chosen, 25)
    (state,) = hidden(target).glob("*.state")
    state.write_bytes(state.read_bytes()[:50])
    with pytest.raises(MuxError, match=r"cannot be read .*; start afresh with --no-resume"):
        enhance(source, target, chosen)


def test_a_disk_without_room_for_the_memory_of_the_network_is_full(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=16, size=(160, 120), picture=flat)
    without_cuts = replace(SMALL, scene_threshold=101)
    model = random_weights(tmp_path / "net.safetensors")
    chosen = options(model=model, scale=1, inference=without_cuts)
    with small_disk(tmp_path / "disk", 300_000) as disk:
        with pytest.raises(DiskError, match="the disk is full"):
            enhance(source, disk / "out.mp4", chosen)
        make_room(disk, 50 * 2**20)
        assert enhance(source, disk / "out.mp4", chosen).frames == 16


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"result": 1}', '{"result": {}}'])
def test_a_damaged_note_of_an_output_is_none(tmp_path: Path, note: str) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    hidden(target).mkdir()
    (hidden(target) / "published.json").write_text(note)
    assert enhance(source, target, options()).frames == FRAMES
    assert not hidden(target).exists()


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone.mp4: cannot be read \(No such file"):
        request(tmp_path / "gone.mp4", options())


def test_the_length_of_pieces_changes_no_time_and_no_lossless_picture(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv")
    lossless = EncodeOptions(codec="ffv1")
    for length in (3, 1000):
        enhance(source, tmp_path / f"{length}.mkv", options(encode=lossless, piece=length))
    frames = [content(tmp_path / f"{length}.mkv")[:FRAMES] for length in (3, 1000)]
    assert frames[0] == frames[1]


def test_killed_while_it_tidies_up_the_same_call_knows_its_own_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "remove", lambda self: interrupt())
        with pytest.raises(KeyboardInterrupt):
            enhance(source, target, options())
    assert target.is_file()
    assert hidden(target).is_dir()
    before = target.stat()
    result = enhance(source, target, options())
    assert result.frames == result.report["frames"] == FRAMES
    assert target.stat() == before
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4"]
    with pytest.raises(MuxError, match="exists already"):
        enhance(source, target, options())


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_while_pictures_are_moved_the_same_call_moves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    source, out = make_pictures(tmp_path / "in", frames=6, size=(32, 24)), tmp_path / "out"
    chosen = options(encode=EncodeOptions(), overwrite=overwrite)
    enhance(source, f"{tmp_path}/whole/", chosen)
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    if overwrite:
        make_pictures(out, frames=9, size=(32, 24))
    moved = []

    def replace(path: Path, target: Path) -> Path:
        if target.parent == out:
            if len(moved) == 2:
                interrupt()
            moved.append(target)
        os.replace(path, target)
        return target

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            enhance(source, f"{out}/", chosen)
    assert len(moved) == 2
    result = enhance(source, f"{out}/", chosen)
    assert result.frames == result.report["frames"] == 6
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    whole, found = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "whole", out)
    )
    assert found == whole
    assert sorted(os.listdir(tmp_path)) == ["in", "out", "whole"]


def test_killed_after_the_folder_of_pictures_got_its_name_the_same_call_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_pictures(tmp_path / "in", frames=3, size=(32, 24)), tmp_path / "out"
    chosen = options(encode=EncodeOptions())
    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, "remove", lambda self: interrupt())
        with pytest.raises(KeyboardInterrupt):
            enhance(source, f"{out}/", chosen)
    before = out.stat()
    assert enhance(source, f"{out}/", chosen).frames == 3
    assert out.stat() == before
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]
    with pytest.raises(MuxError, match="--overwrite"):
        enhance(source, f"{out}/", chosen)
