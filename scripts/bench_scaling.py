"""The parts of `bench.py` about whole films: how cost grows, and what the network alone takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from measuring import moving_frames, plan_for, run_frames, table, write_video

from vsr.media.clock import output_clock, output_range
from vsr.media.decode import Decoder
from vsr.media.pieces import PieceWriter
from vsr.media.probe import probe
from vsr.media.types import Plane
from vsr.models.zoo import find_model, load_network
from vsr.options import DecodeOptions, EncodeOptions, EnhanceOptions
from vsr.pipeline import TimedNetwork, enhance
from vsr.plan import Job, plan_job

FLAT = 1.15  # times the least: what is more is not flat

SAMPLE = Path(__file__).parents[1] / "samples" / "street.mp4"
CODECS = {
    "x264.mp4": EncodeOptions(codec="libx264"),
    "x265.mp4": EncodeOptions(codec="libx265", pix_fmt="yuv420p10le"),
    "av1.mkv": EncodeOptions(codec="libsvtav1", pix_fmt="yuv420p10le"),
    "vp9.webm": EncodeOptions(codec="libvpx-vp9"),
    "prores.mov": EncodeOptions(
        codec="prores_ks", pix_fmt="yuv422p10le", encoder_option=("profile=hq",)
    ),
    "ffv1.mkv": EncodeOptions(codec="ffv1"),
}

_CHILD = """
import json, resource, sys
from vsr.cli.main import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall and processor, of a process or a frame; MiB at the peak of the process."""

    wall: float
    processor: float
    peak: float


def scaling(
    *,
    model: str = "compact-x4",
    heights: tuple[int, ...] = (90, 180, 360, 540, 1080),
    lengths: tuple[int, ...] = (100, 1000, 10_000),
    threads: tuple[int, ...] = (1, 2),
    repeats: int = 2,
) -> None:
    """Print what a frame of a film costs against size, length and threads, and the peak memory.

    A frame's time is the difference of two films over that of their lengths, so that the start and
    the rehearsal fall away. A line says where the cost is not flat.

    Args:
        model: Name or weight file.
        heights: Of the input, 16:9; one thread, windows of 2 frames and 1 ahead.
        lengths: Frames of films of 64x36, against one of 20 frames; one thread.
        threads: Of the network, at 320x180.
        repeats: Runs, of which the fastest counts.
    """
    each = partial(_each, model, repeats)
    sizes = [(height * 16 // 9, height) for height in heights]
    short = ["--window", "2", "--lookahead", "1"]
    found = [each(size, (2, 6), short) for size in sizes]
    areas = [width * height / 1e6 for width, height in sizes]
    by_area = [cost.processor / area for cost, area in zip(found, areas, strict=True)]
    names = [f"{width}x{height}" for width, height in sizes]
    rows = [
        (name, f"{cost.processor:.3f} s", f"{seconds:.2f} s")
        for name, cost, seconds in zip(names, found, by_area, strict=True)
    ]
    table(("input", "processor, a frame", "a megapixel"), rows)
    _judge("processor time of a megapixel", names, by_area)

    found = [each((64, 36), (20, length), []) for length in lengths]
    names = [f"{length} frames" for length in lengths]
    rows = [
        (name, f"{1000 * cost.processor:.1f} ms", f"{cost.peak:.0f} MiB")
        for name, cost in zip(names, found, strict=True)
    ]
    table(("64x36", "processor, a frame", "peak memory"), rows)
    _judge("processor time of a frame", names, [cost.processor for cost in found])
    _judge("peak memory", names, [cost.peak for cost in found])

    found = [each((320, 180), (16, 48), [], count) for count in threads]
    names = [str(count) for count in threads]
    rows = [
        (name, f"{cost.processor:.3f} s", f"{cost.wall:.3f} s")
        for name, cost in zip(names, found, strict=True)
    ]
    table(("threads, 320x180", "processor, a frame", "wall, a frame"), rows)
    _judge("processor time of a frame", names, [cost.processor for cost in found])
    print(f"{model}, {os.cpu_count()} processors")


def workers(*, model: str = "compact-x4", films: int = 4, frames: int = 48) -> None:
    """Print how much faster a batch is with two workers of one thread than with one.

    Args:
        model: Name or weight file.
        films: Of the batch, 320x180.
        frames: Of each.
    """
    taken = []
    with tempfile.TemporaryDirectory() as name:
        for index in range(films):
            _film(Path(name) / f"{index}.mp4", frames, (320, 180))
        sources = sorted(map(str, Path(name).glob("*.mp4")))
        for count in (1, 2):
            output = ["--output-dir", str(Path(name) / str(count)), "--workers", str(count)]
            command = [sys.executable, "-m", "vsr", "batch", *sources, *output, "--model", model]
            begin = time.monotonic()
            subprocess.run(
                [*command, "--no-skip", "--progress", "none"],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=True,
            )
            taken.append(time.monotonic() - begin)
    table(
        ("workers of one thread", "time"), [(str(i), f"{t:.1f} s") for i, t in enumerate(taken, 1)]
    )
    print(f"\ntwo are {taken[0] / taken[1]:.2f} times as fast as one")
    print(f"{model}, {films} films of {frames} frames, {os.cpu_count()} processors")


def speed(*, model: str = "compact-x4", frames: int = 240, source: Path | None = None) -> None:
    """Print what `vsr enhance` takes from command to file, and its parts alone.

    Args:
        model: Name or weight file.
        frames: Length of the generated clip, 320x180: a pan over a photograph.
        source: A video to use instead.
    """
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = _enhance(_film(folder / "one.mp4", 1, (320, 180)), model, [], threads, 3).wall
        film = _film(folder / "in.mp4", frames, (320, 180))
        if source is not None:
            shutil.copy(source, film)
        result = enhance(film, folder / "out.mp4", EnhanceOptions(model=model, skip=False))
        network = network_alone(model, film)
        encoder = encoder_alone(model, film, folder / "out.mp4")
        whole = _enhance(film, model, [], threads).wall
    rows = [
        (name, f"{seconds:.2f} s", f"{result.frames / seconds:.2f}")
        for name, seconds in (
            ("vsr enhance, from command to file", whole),
            ("start-up: a film of one frame", start),
            ("the network alone", network),
            ("the encoder alone", encoder),
            ("in Python, all in all", result.seconds),
            ("of these in the network", result.network_seconds),
        )
    ]
    table(("", "time", "frames/s"), rows)
    print(
        f"\nfrom command to file, less start-up, against network and encoder alone: "
        f"{(whole - start) / (network + encoder):.2f}"
    )
    print(f"network's share of the wall time {result.network_seconds / result.seconds:.1%}")
    print(f"{model}, {result.frames} frames, {threads} threads")


def beside(
    *,
    model: str = "compact-x4",
    frames: int = 24,
    spins: tuple[int, ...] = (1000,),
) -> None:
    """Print what `vsr enhance` takes alone, and beside a process that keeps a processor busy.

    Args:
        model: Name or weight file.
        frames: Of the film, 320x180.
        spins: GOMP_SPINCOUNT: how often a waiting thread of GNU's OpenMP looks before it sleeps.
            `vsr` sets 1000, the library 300000.
    """
    threads = torch.get_num_threads()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        film = _film(Path(name) / "in.mp4", frames, (320, 180))
        for spin in spins:
            os.environ["GOMP_SPINCOUNT"] = str(spin)
            alone = _enhance(film, model, [], threads).wall
            busy = subprocess.Popen(
                [sys.executable, "-c", "while True: pass"],
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # as a program of its own: Linux shares by session
            )
            try:
                shared = _enhance(film, model, [], threads).wall
            finally:
                busy.kill()
                busy.wait()
            rows.append((str(spin), f"{alone:.1f} s", f"{shared:.1f} s", f"{shared / alone:.1f}"))
    table(("GOMP_SPINCOUNT", "alone", "beside a busy process", "times as long"), rows)
    print(f"\n{model}, {frames} frames, {threads} threads on {os.cpu_count()} processors")


def network_alone(model: str, source: Path) -> float:
    """Seconds of the network alone on the same frames in the same windows."""
    with av.open(str(source)) as file:
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    lq = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    info = find_model(model)
    plan = plan_for(info, lq.shape[-2], lq.shape[-1])
    network = TimedNetwork(load_network(info, plan.device))
    run_frames(network, lq, plan)
    return network.seconds


def encoder_alone(model: str, source: Path, made: Path) -> float:
    """Seconds of the encoder alone on the pictures of a finished film."""
    job = plan_job(source, made.with_name("again.mp4"), EnhanceOptions(model=model))
    return _encode(job, _decode(made), made.with_suffix(".piece"))


def codecs(*, model: str = "compact-x4", source: Path = SAMPLE) -> None:
    """Print size, quality and speed of encoders with their defaults, on an enhanced film.

    Quality is the PSNR of luma against the pictures that were handed over; speed that of the
    encoder alone, with as many threads as it takes.

    Args:
        model: Enhances the film first.
        source: A short film.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        master = Path(name) / "master.mkv"
        lossless = EncodeOptions(codec="ffv1")
        enhance(source, master, EnhanceOptions(model=model, encode=lossless, skip=False))
        handed: dict[str, list[list[Plane]]] = {}
        for suffix, options in CODECS.items():
            target = Path(name) / suffix
            asked = EnhanceOptions(model="bicubic", scale=1, encode=options, skip=False)
            job = plan_job(master, target, asked)
            enhance(master, target, asked)
            made = _decode(target)
            pix_fmt = job.encode.pix_fmt
            if pix_fmt not in handed:
                exact = Path(name) / f"{pix_fmt}.mkv"
                enhance(master, exact, replace(asked, encode=replace(lossless, pix_fmt=pix_fmt)))
                handed[pix_fmt] = _decode(exact)
            seconds = _encode(job, made, target.with_suffix(".piece"))
            with av.open(str(target)) as file:
                size = sum(packet.size for packet in file.demux(video=0))
            errors = [
                np.square((one[0].astype(float) - other[0]) / (4 if other[0].itemsize == 2 else 1))
                for one, other in zip(handed[pix_fmt], made, strict=True)
            ]
            mean = float(np.mean(errors))
            quality = f"{10 * np.log10(255**2 / mean):.1f} dB" if mean else "lossless"
            count = len(made)
            rows.append(
                (
                    f"{options.codec} {pix_fmt}",
                    f"{size / count / 1000:.1f} kB",
                    quality,
                    f"{count / seconds:.1f}",
                )
            )
        height, width = made[0][0].shape
    table((f"{width}x{height}", "a frame", "PSNR of luma", "frames/s"), rows)


def _decode(film: Path) -> list[list[Plane]]:
    with Decoder(probe(film), DecodeOptions()) as decoder:
        return [[plane.copy() for plane in frame.planes] for frame in decoder]


def _encode(job: Job, pictures: list[list[Plane]], path: Path) -> float:
    """Encode as a job would, and take the time."""
    clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
    with Decoder(job.info, job.decode) as decoder:
        times = [(frame.pts, frame.duration) for frame in decoder]
    begin = time.monotonic()
    with PieceWriter(path, job.target.pattern, job.encode, clock) as writer:
        for picture, (pts, duration) in zip(pictures, times, strict=True):
            writer.write(picture, pts, duration)
        writer.finish()
    return time.monotonic() - begin


def _judge(what: str, names: Sequence[str], values: Sequence[float]) -> None:
    """Say whether values are flat and, if not, where they are largest."""
    most = max(range(len(values)), key=values.__getitem__)
    ratio = values[most] / min(values)
    verdict = "flat" if ratio <= FLAT else f"not flat: {ratio:.2f} times the least at {names[most]}"
    print(f"\n{what}: {verdict}\n")


def _each(
    model: str,
    repeats: int,
    size: tuple[int, int],
    lengths: tuple[int, int],
    options: Sequence[str],
    threads: int = 1,
) -> Cost:
    """The cost of a frame by two films, and the peak memory of the longer."""
    with tempfile.TemporaryDirectory() as folder:
        costs = []
        for length in lengths:
            film = _film(Path(folder) / f"{length}.mp4", length, size)
            costs.append(_enhance(film, model, options, threads, repeats))
    few, many = costs
    frames = lengths[1] - lengths[0]
    return Cost(
        (many.wall - few.wall) / frames, (many.processor - few.processor) / frames, many.peak
    )


def _film(path: Path, frames: int, size: tuple[int, int]) -> Path:
    width = min(size[0], 480)  # the photograph is not much larger
    pictures = [cv2.resize(x, size) for x in moving_frames(frames, width, width * 9 // 16)]
    write_video(path, pictures, Fraction(24))
    return path


def _enhance(
    film: Path, model: str, options: Sequence[str], threads: int, repeats: int = 1
) -> Cost:
    """The cost of `vsr enhance`, from command to file; of each figure the least of all runs."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    target = film.with_suffix(".out.mp4")
    arguments = [str(film), str(target), "--model", model, *options]
    command = [sys.executable, "-c", _CHILD, "enhance", *arguments, "--overwrite"]
    costs = []
    for _ in range(repeats):
        begin = time.monotonic()
        done = subprocess.run(
            [*command, "--no-skip", "--progress", "none"],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        wall = time.monotonic() - begin
        costs.append((wall, *json.loads(done.stdout.splitlines()[-1])))
    return Cost(*(min(values) for values in zip(*costs, strict=True)))
