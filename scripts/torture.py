"""Kill one job at random moments, continue it each time, and compare with the uninterrupted run.

    python scripts/torture.py [--source FILE] [--model NAME] [--frames 600] [--kills 20] [--fulls 5]

Prints a table. Without a source it makes one: variable rate, late start, cuts, sound. "Equal" means
that all decoded frames, all times and all packets of the other streams are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COMMAND = [sys.executable, "-m", "vsr", "enhance"]


def main() -> int:
    """Run the tortures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path)
    parser.add_argument("--model", default="bicubic")
    parser.add_argument("--suffix", default=".mp4")
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--piece", type=int, default=40)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--fulls", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random.seed(given.seed)
    # A shell starts background jobs with SIGINT ignored, which their children would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = given.source or make_film(folder / "in.mp4", given.frames)
        options = ["--model", given.model, "--piece", str(given.piece), "--progress", "none"]
        whole = folder / f"whole{given.suffix}"
        with started(source, whole, options) as process:
            begin = time.monotonic()
            process.communicate()
        seconds = time.monotonic() - begin
        wanted = content(whole)
        size = whole.stat().st_size
        print(f"uninterrupted: {seconds:.1f} s, {len(wanted)} frames and packets, {size} bytes")
        print(f"{'torture':<12} {'at':>12} {'kept':>6} {'last words':<44} equal  left")
        found: dict[str, list[bool]] = {}
        counts = {
            signal.SIGKILL: given.kills,
            signal.SIGTERM: given.kills,
            signal.SIGINT: min(3, given.kills),
        }
        for kind, count in counts.items():
            for _ in range(count):
                at = random.uniform(0, seconds)
                target = folder / f"out{given.suffix}"
                while (result := kill(source, target, options, kind, at))[0] == 0:
                    target.unlink()  # it was faster this time
                    at *= 0.8
                good = finish(source, target, options, wanted, kind.name, f"{at:.2f} s", result)
                found.setdefault(kind.name, []).append(good)
        for _ in range(given.fulls):
            room = random.randint(size // 10, 3 * size // 2) // 4096 * 4096
            with small_disk(folder / "disk", room) as disk:
                target = disk / f"out{given.suffix}"
                result = attempt(source, target, options)
                remount(disk, 100 * size)
                good = finish(source, target, options, wanted, "full disk", f"{room} B", result)
                found.setdefault("full disk", []).append(good)
    print("\nequal, and nothing left behind:")
    for name, results in found.items():
        print(f"{name:<12} {sum(results)} of {len(results)}")
    return 0 if all(map(all, found.values())) else 1


def make_film(path: Path, frames: int, *, height: int = 48) -> Path:
    """Write a film with all that makes resuming hard."""
    ticks = [3000 + 40 * i + 11 * (i % 3) + 400 * (i // 97) for i in range(frames)]
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 255, (frames // 60 + 1, 6, 8, 3), np.uint8)
    options = {"movie_timescale": "90000"}
    with av.open(str(path), "w", container_options=options) as output:
        video = output.add_stream("libx264", rate=25, options={"bf": "2", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 64, height, "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, 1000)
        sound = output.add_stream("aac", rate=48000)
        for index, tick in enumerate(ticks):
            picture = scenes[index // 60].repeat(8, 0).repeat(8, 1)
            picture = np.roll(picture, index % 60, axis=1)[:height]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for first in range(0, ticks[-1] * 48, 1024):
            wave = (6000 * np.sin(np.arange(first, first + 1024) / 20)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
            samples.sample_rate, samples.time_base, samples.pts = 48000, Fraction(1, 48000), first
            output.mux(sound.encode(samples))
        output.mux(sound.encode(None))
    return path


def content(path: Path) -> list[tuple[Fraction, int, str]]:
    """List times and hashes of all frames of the video and all packets of everything else."""
    found = []
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            pixels = hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()
            found.append((frame.pts * frame.time_base, 0, pixels))
    with av.open(str(path)) as file:
        others = [stream for stream in file.streams if stream.type != "video"]
        for packet in file.demux(others) if others else ():
            if packet.size and packet.pts is not None:
                payload = hashlib.sha256(bytes(packet)).hexdigest()
                found.append((packet.pts * packet.time_base, packet.stream.index, payload))
    return found


def quiet() -> dict[str, str]:
    """An environment with one thread, so that a busy machine tortures no less."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@contextmanager
def started(source: Path, target: Path, options: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start the job and wait for its first piece: loading libraries is no part of the torture."""
    process = subprocess.Popen(
        [*COMMAND, str(source), str(target), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=quiet(),
    )  # fmt: skip
    while process.poll() is None and not any(work_folder(target).glob("000000.piece*")):
        time.sleep(0.002)
    yield process


def work_folder(target: Path) -> Path:
    """Name the hidden folder beside a target."""
    return target.with_name(f".{target.name}.vsr")


def kill(
    source: Path, target: Path, options: list[str], kind: signal.Signals, at: float
) -> tuple[int, str]:
    """Start the job, end it by a signal, and return its exit code and last words."""
    with started(source, target, options) as process:
        try:
            _, said = process.communicate(timeout=at)
        except subprocess.TimeoutExpired:
            process.send_signal(kind)
            _, said = process.communicate()
    return process.returncode, said


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[Path]:
    """Mount a disk in memory that holds so many bytes; needs root."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, room: int) -> None:
    """Make room."""
    subprocess.run(["mount", "-o", f"remount,size={room}", folder], check=True)


def attempt(source: Path, target: Path, options: list[str]) -> tuple[int, str]:
    """Run the job to its end, good or bad."""
    done = subprocess.run(
        [*COMMAND, str(source), str(target), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=quiet(), check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def finish(
    source: Path,
    target: Path,
    options: list[str],
    wanted: list[tuple[Fraction, int, str]],
    kind: str,
    at: str,
    result: tuple[int, str],
) -> bool:
    """Repeat the same command, compare, print a row, and clean up."""
    code, said = result
    work = work_folder(target)
    kept = len(list(work.glob("[0-9]*.json")))
    if not target.exists():
        subprocess.run(
            [*COMMAND, str(source), str(target), *options],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet(),
        )  # fmt: skip
    equal = content(target) == wanted
    left = [path.name for path in target.parent.glob(".*")]
    last = [line for line in said.splitlines() if not line.startswith("vsr: note:")][-1:]
    words = " ".join(last).split(f"{target}: ")[-1][:38]
    print(
        f"{kind:<12} {at:>12} {kept:>6} {f'{code} {words}':<44} "
        f"{'yes' if equal else 'NO':<6} {' '.join(left) or 'nothing'}",
        flush=True,
    )
    target.unlink()
    shutil.rmtree(work, ignore_errors=True)
    return equal and not left


if __name__ == "__main__":
    sys.exit(main())
