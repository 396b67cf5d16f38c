"""Measure the figures of docs/measured.md: quality, seams, speed, memory, cuts, audio sync.

    python scripts/bench.py quality --data FOLDER      Y-PSNR of a model on a folder of videos
    python scripts/bench.py seams --data FOLDER        windows and tiles against the whole clip
    python scripts/bench.py stability --data FOLDER    long shots: does the state do harm
    python scripts/bench.py steady --data FOLDER       what --steady gains and costs
    python scripts/bench.py speed                      `vsr enhance` against its parts alone
    python scripts/bench.py beside                     the same beside a busy process
    python scripts/bench.py codecs                     size, quality and speed of encoders
    python scripts/bench.py workers                    a batch by two workers against one
    python scripts/bench.py scaling                    cost against size, length and threads
    python scripts/bench.py profile                    what a frame costs, by kind of operator
    python scripts/bench.py others                     against a network that others use on CPUs
    python scripts/bench.py memory                     peak memory on a clip ten times as long
    python scripts/bench.py long                       memory and open files over twenty minutes
    python scripts/bench.py ui                         the page's first preview
    python scripts/bench.py rehearsal                  what it costs before a film of ten minutes
    python scripts/bench.py cut                        frames after a cut against that shot alone
    python scripts/bench.py repeats                    a clip of which two of three frames repeat
    python scripts/bench.py sync                       times of video and audio, mp4 and mkv
    python scripts/bench.py data CONFIG --steps N      speed of reading and of training
    python scripts/bench.py train CONFIG --set A.B=X   steps per second, busy GPU, memory
    python scripts/bench.py published                  streaming against the published code
    python scripts/bench.py deform                     torchvision's operator against plain torch
    python scripts/bench.py limits                     memory allowed and memory taken
    python scripts/bench.py gpu                        half precision, compiled, 16 GB
    python scripts/bench.py cluster                    Ray: two workers against one; an archive

Each prints a table. Compare speeds only within one run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
import tyro
from bench_cluster import cluster
from bench_films import films
from bench_gpu import gpu
from bench_long import long, rehearsal
from bench_networks import deform, limits, published
from bench_others import others
from bench_scaling import beside, codecs, scaling, speed, workers
from bench_speed import profile
from bench_stability import stability, steady
from bench_training import data, train
from bench_ui import ui
from measuring import (
    CACHE,
    autocast,
    decibels,
    moving_frames,
    named_network,
    plan_for,
    run_frames,
    table,
    write_video,
)
from numpy.typing import NDArray
from torch import Tensor

from vsr.data.clips import Clip
from vsr.data.datasets import truth
from vsr.data.degrade import bicubic_down
from vsr.data.footage import CASES, Case
from vsr.data.layouts import open_training
from vsr.models.zoo import find_model, load_network
from vsr.options import EncodeOptions, EnhanceOptions, parse_size
from vsr.pipeline import enhance
from vsr.training.validation import measure

SAMPLE = Path(__file__).parents[1] / "samples" / "street.mp4"
LOOKAHEADS = (0, 1, 2, 4, 8, 16)


def main() -> None:
    tyro.extras.subcommand_cli_from_dict(
        {
            "quality": quality,
            "seams": seams,
            "stability": stability,
            "steady": steady,
            "speed": speed,
            "scaling": scaling,
            "workers": workers,
            "beside": beside,
            "codecs": codecs,
            "profile": profile,
            "others": others,
            "memory": memory,
            "long": long,
            "ui": ui,
            "rehearsal": rehearsal,
            "cut": cut,
            "repeats": repeats,
            "sync": sync,
            "data": data,
            "train": train,
            "published": published,
            "deform": deform,
            "limits": limits,
            "gpu": gpu,
            "cluster": cluster,
        },
        description=__doc__,
    )


def quality(
    data: Path,
    *,
    model: str = "compact-x4",
    degradation: Literal["bicubic", "bd", "real", "all"] | Case = "bicubic",
    draws: int = 1,
    frames: int | None = None,
    clips: int | None = None,
    cache: Path = CACHE,
) -> None:
    """Print Y-PSNR and SSIM per clip: bicubic, frames one by one, whole clip.

    Of films degraded by name (`vsr.data.footage.named_film`), or in all eight ways: Y-PSNR,
    ST-LPIPS (lower is better) and mean absolute warping error of bicubic and of the model, for
    scale 1 of the input and of the model; then what is worse by more than 0.02 dB or 1 % of
    ST-LPIPS, and the means.

    Args:
        data: Folder of videos, used as truth.
        model: Name or weight file.
        degradation: How the input is made: bicubic, bd, real; or a film degraded by name; or all
            of these.
        draws: Ways that "real" goes with each clip; the means over them are printed.
        frames: Of each video, from the first; by default 32, of films degraded by name 16.
        clips: So many videos only, the first ones.
        cache: Where decoded frames are kept.
    """
    if degradation == "all" or degradation in CASES:
        films(data, model=model, case=degradation, frames=frames, clips=clips, cache=cache)
        return
    frames = frames or 32
    info = find_model(model)
    plan = plan_for(info, 180, 320)
    network = load_network(info, plan.device)
    rows = []
    for clip in open_training(data, cache)[:clips]:
        with autocast(plan):
            found = [
                measure(
                    network,  # type: ignore[arg-type]
                    clip,
                    frames=frames,
                    scale=info.scale,
                    degradation=degradation,
                    draw=draw,
                    device=torch.device(plan.device),
                )
                for draw in range(draws)
            ]
        rows.append((clip.name[:30], *np.mean([list(x.values()) for x in found], axis=0)))
    rows.append(("mean", *np.mean([row[1:] for row in rows], axis=0)))
    head = ("clip", "PSNR", "SSIM", "bicubic", "one by one", "gain", "neighbours")
    table(head, [(row[0], *(f"{value:.4f}" for value in row[1:])) for row in rows])
    said = f"{model}, x{info.scale} {degradation}, Y channel, 8 bit, {plan.precision}"
    drawn = f", {draws} draws" if draws > 1 else ""
    print(f"\n{said}, {frames} frames{drawn}")


def seams(
    data: Path,
    *,
    model: str = "compact-x4",
    window: int | None = None,
    frames: int = 48,
    clips: int | None = None,
    crop: str | None = None,
    tiles: tuple[int, ...] = (),
    cache: Path = CACHE,
) -> None:
    """Print PSNR of windows, per lookahead, and of tiles against the whole clip at once.

    Args:
        data: Folder of videos, used as truth.
        model: Name or weight file; published weights that are missing are drawn by a formula.
        window: Frames at once; default: that of `vsr enhance`.
        frames: Number per video, from the first.
        clips: Number of videos, from the first.
        crop: WIDTHxHEIGHT of the middle of the input; default: all of it.
        tiles: Longest sides of tiles to measure too, each on the whole clip at once.
        cache: Folder of decoded frames.
    """
    info, network, said = named_network(model)
    plan = plan_for(info, 180, 320, window=window)
    network.to(plan.device)
    at_once = replace(plan, window=frames, lookahead=0)
    plans = {f"lookahead {n}": replace(plan, lookahead=n) for n in LOOKAHEADS}
    plans |= {f"tiles of {tile}": replace(at_once, tile=tile) for tile in tiles}
    means: dict[str, list[float]] = {name: [] for name in plans}
    for clip in open_training(data, cache)[:clips]:
        lq = middle(degraded(clip, frames, info.scale), crop)
        whole = run_frames(network, lq, at_once)
        for name, parted in plans.items():
            parts = run_frames(network, lq, parted)
            means[name] += [decibels(a, b) for a, b in zip(parts, whole, strict=True)]
    rows = [
        (name, f"{min(values):.1f}", f"{np.median(values):.1f}") for name, values in means.items()
    ]
    table(("", "worst frame, dB", "median frame, dB"), rows)
    print(f"\n{said}, windows of {plan.window}, {plan.precision}; infinite: bit-identical")


def degraded(clip: Clip, frames: int, scale: int) -> Tensor:
    """Shrink the first frames of a clip, (T, 3, H, W); scale 1 changes nothing."""
    gt = truth(clip, frames=frames, scale=scale)
    return gt if scale == 1 else bicubic_down(gt, scale)


def middle(lq: Tensor, crop: str | None) -> Tensor:
    """Cut the middle out of (T, 3, H, W)."""
    if crop is None:
        return lq
    width, height = parse_size(crop)
    top, left = (lq.shape[-2] - height) // 2, (lq.shape[-1] - width) // 2
    return lq[..., top : top + height, left : left + width].contiguous()


def memory(*, model: str = "compact-x4", frames: int = 64) -> None:
    """Print the peak memory of `vsr enhance` on a short clip and on one ten times as long.

    Args:
        model: Name or weight file.
        frames: Length of the short clip, 160x90.
    """
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count in (frames, 10 * frames):
            source = Path(folder) / f"{count}.mp4"
            write_video(source, list(moving_frames(count)), Fraction(24))
            peaks.append(peak_memory(source, Path(folder) / f"{count}.out.mp4", model))
            rows.append((str(count), f"{peaks[-1]:.0f} MiB"))
    table(("frames", "peak RSS"), rows)
    print(f"\nten times as long takes {peaks[1] / peaks[0] - 1:+.1%}")


def peak_memory(source: Path, target: Path, model: str) -> float:
    """Peak resident memory of `vsr enhance` in its own process, MiB."""
    code = (
        "import resource, sys; from vsr.cli.main import main; "
        "code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    arguments = ["enhance", str(source), str(target), "--model", model, "--progress", "none"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) / 1024


def cut(*, model: str = "compact-x4") -> None:
    """Print how many frames after a cut are bit-identical to the second shot alone.

    Args:
        model: Name or weight file.
    """
    first, second = list(moving_frames(20)), [255 - x for x in moving_frames(20)]
    options = EnhanceOptions(model=model, encode=EncodeOptions(codec="ffv1"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = []
        for name, frames in (("both", first + second), ("second", second)):
            source, target = Path(folder) / f"{name}.mkv", Path(folder) / f"{name}.out.mkv"
            write_video(source, frames, Fraction(24), codec="ffv1")
            enhance(source, target, options)
            outputs.append(decoded(target))
    same = sum(np.array_equal(a, b) for a, b in zip(outputs[0][20:], outputs[1], strict=True))
    table(("frames after the cut", "equal"), [(str(len(outputs[1])), str(same))])


def repeats(*, model: str = "compact-x4", pictures: int = 12, rounds: int = 3) -> None:
    """Print network time and pictures of a clip that shows each picture three times.

    Args:
        model: Name or weight file.
        pictures: Different ones, 320x180: a pan over a photograph.
        rounds: Runs of each clip, in turn; the shortest time counts.
    """
    once = list(moving_frames(pictures, 320, 180))
    thrice = [picture for picture in once for _ in range(3)]
    options = EnhanceOptions(model=model, encode=EncodeOptions(codec="ffv1"), overwrite=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "once.mkv", Path(folder) / "thrice.mkv"
        for source, frames in zip(sources, (once, thrice), strict=True):
            write_video(source, frames, Fraction(24), codec="ffv1")
        runs = {
            "without repeats": (sources[0], options),
            "two of three repeat": (sources[1], options),
            "the same, --no-skip": (sources[1], replace(options, skip=False)),
        }
        targets = [Path(folder) / f"{number}.mkv" for number in range(len(runs))]
        found = [
            [
                enhance(source, target, chosen)
                for (source, chosen), target in zip(runs.values(), targets, strict=True)
            ]
            for _ in range(rounds)
        ]
        expected, came, _ = (decoded(target) for target in targets)
        pairs = zip(*(times(path, "video") for path in (sources[1], targets[1])), strict=True)
        late = max(abs(after - before) for before, after in pairs)
    seconds = [min(x.network_seconds for x in results) for results in zip(*found, strict=True)]
    rows = [
        (name, str(x.frames), str(x.report["repeated_frames"]), f"{spent:.2f} s")
        for name, x, spent in zip(runs, found[0], seconds, strict=True)
    ]
    table(("", "frames", "repeats", "in the network"), rows)
    ratio = seconds[2] / seconds[1]
    same = sum(np.array_equal(came[i], expected[i // 3]) for i in range(len(came)))
    right = same == len(came) == len(thrice)
    print(f"\nnetwork time {ratio:.2f} times less, wanted 2.5: {verdict(ratio >= 2.5)}")
    print(f"bit for bit the clip without repeats, {same} of {len(thrice)}: {verdict(right)}")
    print(f"largest difference of a time {float(late) * 1000:.3f} ms: {verdict(late == 0)}")


def verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """The planes of all frames of a video."""
    with av.open(str(path)) as file:
        return [frame.to_ndarray() for frame in file.decode(video=0)]


def sync(*, source: Path = SAMPLE) -> None:
    """Print the difference between timestamps of output and source.

    Args:
        source: A video with sound.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".mp4", ".mkv"):
            target = Path(folder) / f"out{suffix}"
            enhance(source, target, EnhanceOptions(model="bicubic"))
            for kind in ("video", "audio"):
                before, after = times(source, kind), times(target, kind)
                worst = max(abs(a - b) for a, b in zip(before, after, strict=True))
                offset = float(after[0] - before[0]) * 1000
                rows.append(
                    (suffix, kind, str(len(after)), f"{offset:+.3f}", f"{float(worst) * 1000:.3f}")
                )
    table(("container", "stream", "packets", "start off by, ms", "worst, ms"), rows)


def times(path: Path, kind: str) -> list[Fraction]:
    """Times of a stream's packets in presentation order."""
    with av.open(str(path)) as file:
        stream = file.streams.best(kind)  # type: ignore[call-overload]
        return sorted(p.pts * p.time_base for p in file.demux(stream) if p.size)


if __name__ == "__main__":
    begin = time.monotonic()
    main()
    print(f"({time.monotonic() - begin:.0f} s)")
