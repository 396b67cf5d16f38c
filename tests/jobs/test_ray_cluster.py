"""A batch on a real Ray cluster of this machine: the same files, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import draw_number, make_video

from vsr.cli.main import main
from vsr.jobs.journal import open_journal
from vsr.models.checkpoints import save_weights
from vsr.models.compact import Compact
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

pytest.importorskip("ray")

FRAMES = 144
COMMON = ["--preset", "ultrafast", "--precision", "fp32", "--window", "4", "--lookahead", "2"]
COMMON += ["--piece", "8", "--progress", "none"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Start a cluster with room for two workers; give its address and its first process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = tmp_path_factory.mktemp("ray") / "log"
    process = start(address, log)
    try:
        yield address, process.pid
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


def start(address: str, log: Path, attempts: int = 5) -> subprocess.Popen[bytes]:
    """Start Ray; on a very busy machine it gives up after 30 s, so try again."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += ["--node-ip-address=127.0.0.1", f"--port={address.rpartition(':')[2]}"]
    command += ["--num-cpus=2", "--num-gpus=0", f"--object-store-memory={80 * 2**20}"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    # Otherwise `ray start` asks for the token in the home folder, if there is one.
    # Ray makes workers give way to all else, which would have them wait for other tests.
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    while b"Ray runtime started" not in log.read_bytes():
        if process.poll() is not None:
            assert attempts > 1, log.read_text()
            return start(address, log, attempts - 1)
        time.sleep(0.1)
    return process


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(3)
    made = Compact(channels=8, blocks=1)
    torch.nn.init.normal_(made.tail[2].weight, std=0.05)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    shape = {"name": "compact", "scale": 4, "channels": 8, "blocks": 1}
    save_weights(path, made.state_dict(), shape, {})
    return str(path)


def shots(index: int, width: int, height: int) -> NDArray[np.uint8]:
    picture = draw_number(index, width, height)
    return (picture, 255 - picture // 3, picture // 4)[index // 19 % 3]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, network: str) -> tuple[Path, Path]:
    """Make two films, and what one machine makes of them."""
    folder = tmp_path_factory.mktemp("films")
    tapes, out = folder / "tapes", folder / "out"
    tapes.mkdir()
    out.mkdir()
    torch.set_num_threads(1)  # as the tasks have it
    options = EnhanceOptions(
        model=network,
        encode=EncodeOptions(preset="ultrafast"),
        inference=InferenceOptions(window=4, lookahead=2, precision="fp32"),
        piece=8,
    )
    for name, frames in (("long.mp4", FRAMES), ("short.mp4", 9)):
        make_video(
            tapes / name, frames=frames, size=(32, 24), rate=Fraction(24), picture=shots,
            codec_options={"bf": "2", "g": "12"}, audio=("aac",),
        )  # fmt: skip
        enhance(tapes / name, out / name, options)
    return tapes, out


def descendants(parent: int) -> dict[int, str]:
    """The processes below one, by what they call themselves."""
    children: dict[int, list[tuple[int, str]]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                above = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except (OSError, ValueError):
                continue
            children.setdefault(above, []).append((int(entry.name), title))
    found, waiting = {}, [parent]
    while waiting:
        for child, title in children.get(waiting.pop(), []):
            found[child] = title
            waiting.append(child)
    return found


class Killer(threading.Thread):
    """Kills one process that works on a part, as soon as a piece is finished."""

    def __init__(self, parent: int, work: Path) -> None:
        super().__init__(daemon=True)
        self.killed: list[int] = []
        self.finished = 0
        self._parent, self._work = parent, work
        self._done = threading.Event()

    def run(self) -> None:
        while not self.killed and not self._done.wait(0.01):
            self.finished = len(list(self._work.glob("[0-9]*.json")))
            for process, title in descendants(self._parent).items() if self.finished else ():
                if title.startswith("ray::enhance_part"):
                    os.kill(process, signal.SIGKILL)
                    self.killed.append(process)
                    break

    def stop(self) -> None:
        self._done.set()
        self.join()


@pytest.fixture
def own() -> Iterator[str]:
    """A path that leads this process to a film, and others nowhere."""
    with (Path(__file__).parents[2] / "samples" / "street.mp4").open("rb") as film:
        os.dup2(film.fileno(), 900)
    yield "/proc/self/fd/900"
    os.close(900)


def test_two_workers_make_the_files_of_one_machine_and_name_what_they_cannot_read(
    cluster: tuple[str, int],
    films: tuple[Path, Path],
    network: str,
    own: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tapes, expected = films
    monkeypatch.chdir(tmp_path)  # where no node works
    out, summary = Path("out"), Path("summary.json")
    (tmp_path / "rotten.mp4").write_bytes(b"no film")
    command = ["batch", os.path.relpath(tapes), "rotten.mp4", own, "--output-dir"]
    command += [str(out)]
    command += ["--model", os.path.relpath(network), "--ray", cluster[0], "--workers", "2"]
    command += ["--summary", str(summary), "--retries", "1", *COMMON]
    assert main(command) == 1
    text = capfd.readouterr()
    assert "2 done, 2 failed" in text.out
    assert "vsr: failed: rotten.mp4: the mp4/mov has no index" in text.err
    assert f"vsr: failed: {own}: node {os.uname().nodename} cannot read it (No such" in text.err
    assert "Traceback" not in text.err
    for name in ("long.mp4", "short.mp4"):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        ".vsr-batch.lock", ".vsr-batch.sqlite", "long.mp4", "short.mp4",
    ]  # fmt: skip
    jobs = {Path(job["source"]).name: job for job in json.loads(summary.read_text())["jobs"]}
    assert jobs["long.mp4"]["frames"] == FRAMES
    assert jobs["long.mp4"]["report"]["frames_made_on"] == [os.uname().nodename]
    limit = jobs["long.mp4"]["report"]["options"]["inference"]["memory_limit"]
    assert 2 * limit < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert jobs["rotten.mp4"]["attempts"] == 2
    before = (out / "long.mp4").stat()
    assert main(command) == 1
    assert (out / "long.mp4").stat() == before
    assert main(["batch", "--status", str(out)]) == 1


def test_a_killed_worker_costs_nothing_of_the_file(
    cluster: tuple[str, int],
    films: tuple[Path, Path],
    network: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tapes, expected = films
    killer = Killer(cluster[1], tmp_path / ".long.mp4.vsr")
    killer.start()
    command = ["batch", str(tapes / "long.mp4"), "--output-dir", str(tmp_path)]
    try:
        assert main([*command, "--model", network, "--ray", cluster[0], *COMMON]) == 0
    finally:
        killer.stop()
    assert capfd.readouterr().out.startswith("1 done; in ")
    assert len(killer.killed) == 1
    assert 0 < killer.finished < FRAMES // 8
    assert (tmp_path / "long.mp4").read_bytes() == (expected / "long.mp4").read_bytes()
    with open_journal(tmp_path) as journal:
        (entry,) = journal.jobs()
    assert (entry.state, entry.attempts) == ("done", 1), "Ray ran it again, not the batch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ray", "ray://127.0.0.1:1"], "--ray must be HOST:PORT"),
        (["--ray", "CLUSTER", "--device", "cuda"], "no node of the Ray cluster has a GPU"),
        (["--ray", "CLUSTER", "--device", "cuda:1"], "--device must be auto, cpu or cuda"),
    ],
)
def test_what_no_cluster_can_do_is_refused(
    cluster: tuple[str, int],
    films: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [cluster[0] if word == "CLUSTER" else word for word in arguments]
    source = str(films[0] / "short.mp4")
    assert main(["batch", source, "--output-dir", str(tmp_path), *given, *COMMON]) == 2
    assert message in capfd.readouterr().err
