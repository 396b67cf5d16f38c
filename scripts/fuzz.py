"""Damage small files at random, enhance each in a process of its own, and judge what came out.

    python scripts/fuzz.py FOLDER [--cases 500] [--seed 1] [--case K] [--limit 60]

FOLDER holds small films, and folders of pictures; where it is empty or absent, eight of a dozen
frames are made in it. The damage depends on the seed and the number of the case alone: --case K
repeats one and keeps its files in FOLDER/case-K. Prints a table by outcome, and the numbers of the
faulty cases; the exit code is 1 if there are any.

What is right is found without vsr's reader: PyAV decodes the damaged file, packet by packet, and
its frames must be in the output, each looking like the input's; its sound must last as long, unless
a note names it.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a forked process has no threads

import av
import av.error
import av.logging
import numpy as np

from vsr.cli.main import main as vsr

FORK = multiprocessing.get_context("fork")
GOOD = ("done", "done, loss reported", "kept as damaged", "refused")
BAD = ("traceback", "hang", "crash", "silent short file", "wrong", "unclear", "failed at the end")
# Codecs of picture, pixels and sound of the films that are made.
FILMS = {
    ".mp4": ("libx264", "yuv420p", "aac"),
    ".mov": ("mpeg4", "yuv420p", "pcm_s16le"),
    ".mkv": ("ffv1", "yuv420p", "flac"),
    ".webm": ("libvpx", "yuv420p", "libopus"),
    ".avi": ("mpeg4", "yuv420p", "libmp3lame"),
    ".ts": ("libx264", "yuv420p", "ac3"),
    ".mpg": ("mpeg2video", "yuv420p", "mp2"),
}
FRAMES, WIDTH, HEIGHT, RATE = 12, 64, 48, 24
READ_RETRIES = 20
ALIKE = 12.0  # mean difference of luma, of 255, up to which two pictures are one
SOUND_OFF = 0.15  # seconds; a few packets
OUTPUT_CORRUPT = 1 << 3  # libavcodec/avcodec.h


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for each case")
    given = parser.parse_args()
    sources = find_sources(given.folder)
    found: dict[str, list[int]] = defaultdict(list)
    for case in range(given.cases) if given.case is None else [given.case]:
        with tempfile.TemporaryDirectory() as name:
            verdict = try_case(sources, given.seed, case, Path(name), given.limit)
            if given.case is not None:
                kept = given.folder / f"case-{case}"
                shutil.copytree(name, kept, dirs_exist_ok=True)
                print(f"kept in {kept}")
        found[verdict.outcome].append(case)
        if verdict.outcome in BAD or given.case is not None:
            line = f"case {case}, {verdict.source}: {verdict.outcome}: {verdict.why}"
            print(line, file=sys.stderr, flush=True)
    print(f"{'outcome':<20} {'cases':>6}  of seed {given.seed}")
    for outcome in (*GOOD, *BAD):
        cases = found[outcome]
        which = " ".join(map(str, cases)) if outcome in BAD else ""
        print(f"{outcome:<20} {len(cases):>6}  {which}".rstrip())
    return 1 if any(found[outcome] for outcome in BAD) else 0


# The inputs.


def find_sources(folder: Path) -> list[Path]:
    """List the films and folders of pictures, in order of their names; make them if there are none.

    Results of --case are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not list(listed(folder)):
        for suffix in FILMS:
            make_film(folder / f"film{suffix}")
        make_pictures(folder / "pictures")
    return sorted(listed(folder))


def listed(folder: Path) -> Iterator[Path]:
    """Visible files and folders that are no results."""
    for path in folder.iterdir():
        if not path.name.startswith((".", "case-")):
            yield path


def drawn(index: int) -> np.ndarray:
    """A picture that moves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    red = 128 + 80 * np.sin((x + 3 * index) / 9)
    green = 128 + 80 * np.cos((y + 2 * index) / 7)
    return np.stack([red, green, (red + green) / 2], axis=2).astype(np.uint8)


def make_film(path: Path) -> None:
    """Write a film with sound, two keyframes and a title."""
    codec, pix_fmt, coder = FILMS[path.suffix]
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "A film"
        video = output.add_stream(codec, rate=RATE, options={"g": "6"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pix_fmt
        sound = output.add_stream(coder, rate=48000, layout="stereo")
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(drawn(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        resampler = av.AudioResampler(
            sound.format, "stereo", 48000, frame_size=sound.codec_context.frame_size or 1024
        )
        count = 48000 * FRAMES // RATE
        wave = (6000 * np.sin(np.arange(count) / 20)).astype(np.int16).repeat(2)[None]
        samples = av.AudioFrame.from_ndarray(wave, "s16", "stereo")
        samples.sample_rate, samples.time_base, samples.pts = 48000, Fraction(1, 48000), 0
        for each in (samples, None):
            for part in resampler.resample(each):
                output.mux(sound.encode(part))
        output.mux(sound.encode(None))


def make_pictures(folder: Path) -> None:
    """Write numbered PNG files."""
    folder.mkdir()
    for index in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(drawn(index), format="rgb24")
        with av.open(str(folder / f"{index + 1:04d}.png"), "w", format="image2") as output:
            stream = output.add_stream("png", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def damaged_copy(source: Path, into: Path, rng: random.Random) -> Path:
    """Copy a film, or folder of pictures, and damage it."""
    target = into / source.name
    if source.is_dir():
        shutil.copytree(source, target)
        names = sorted(path for path in target.iterdir() if path.is_file())
        for path in rng.sample(names, rng.randint(1, 3)):
            path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        target.write_bytes(damaged(source.read_bytes(), rng))
    return target


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double or move bytes of a file, one to three times."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        length = min(len(data) - at, round(2 ** rng.uniform(0, 12)))
        run, rest = data[at : at + length], data[:at] + data[at + length :]
        kind = rng.choice(("flip", "cut", "end", "double", "move"))
        if kind == "flip":
            flipped = bytearray(data)
            for _ in range(round(2 ** rng.uniform(0, 7))):
                flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            data = bytes(flipped)
        elif kind == "cut":
            data = rest
        elif kind == "end":
            data = data[: max(1, at)]
        elif kind == "double":
            data = data[:at] + run + data[at:]
        else:
            to = rng.randrange(len(rest) + 1)
            data = rest[:to] + run + rest[to:]
        if not data:
            return b"\0"
    return data


# One case.


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a case.

    Attributes:
        source: Name of the file that was damaged.
        outcome: One of `GOOD` or `BAD`.
        why: What was seen.
    """

    source: str
    outcome: str
    why: str


def try_case(sources: list[Path], seed: int, case: int, folder: Path, limit: float) -> Verdict:
    """Damage one of the sources, each in its turn, enhance it and judge."""
    rng = random.Random(f"{seed} {case}")
    origin = sources[case % len(sources)]
    source = damaged_copy(origin, folder, rng)
    (folder / "out").mkdir()
    target = folder / "out" / (source.name if source.is_file() else "")
    target_name = str(target) + ("/pictures/" if source.is_dir() else "")
    said = folder / "said.txt"
    code = apart(enhance, limit, str(source), target_name, said)
    outcome, why = judge(code, said.read_text(errors="replace"), limit)
    if outcome == "":
        # What decodes damaged files may crash as well.
        answer = folder / "verdict.txt"
        ended = apart(compare, 4 * limit, source, folder / "out", said, answer)
        if ended == 0:
            outcome, _, why = answer.read_text().partition("\t")
        else:
            outcome, why = "wrong", f"the output cannot be judged (exit code {ended})"
    return Verdict(source=origin.name, outcome=outcome, why=why)


def apart(function: object, limit: float, *arguments: object) -> int | None:
    """Run a function in a process of its own; its exit code, None if it had to be killed."""
    process = FORK.Process(target=function, args=arguments)  # type: ignore[arg-type]
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def enhance(source: str, target: str, said: Path) -> None:
    """Run the command line, all that it prints into a file."""
    handle = os.open(said, os.O_CREAT | os.O_WRONLY)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), write_through=True)
    sys.exit(vsr(["enhance", source, target, "--model", "bicubic", "--scale", "2"]))


def judge(code: int | None, said: str, limit: float) -> tuple[str, str]:
    """Judge a run by its exit code and words; an empty outcome where the output decides."""
    lines = [line for line in said.splitlines() if not line.startswith("vsr: note:")]
    if "Traceback (most recent call last)" in said:
        return "traceback", lines[-1]
    if code is None:
        return "hang", f"more than {limit:g} s"
    if code < 0:
        return "crash", f"signal {-code}"
    if code == 0 or ".damaged" in said:
        return "", ""
    if re.search(r"returned -?\d+|\[Errno|Error \d+ occurred", said):
        return "unclear", lines[-1] if lines else ""
    if "the finished file is not what its source calls for" in said:
        return "failed at the end", lines[-1]
    # The lines before it are those of the plan.
    errors = [line for line in lines if line.startswith("vsr: ")]
    if code in (1, 2) and errors == lines[-1:] and errors[0].startswith("vsr: error: "):
        return "refused", errors[0]
    return "unclear", f"exit code {code}, {len(errors)} remarks, at last {lines[-1:]}"


# The judge, in a process of its own.


def compare(source: Path, folder: Path, said: Path, answer: Path) -> None:
    """Compare the output with what PyAV decodes of the damaged source."""
    av.logging.set_level(av.logging.PANIC)
    words = said.read_text(errors="replace")
    made = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if not made:
        answer.write_text("silent short file\tno output")
        return
    wanted, _ = pictures_of(source)
    again, _ = pictures_of(source, held=True)
    sure = [np.abs(one - other).mean() < 1 for one, other in zip(wanted, again, strict=True)]
    got, faults = pictures_of(made[0])
    outcome, why = judged(wanted, sure, got, faults, words)
    if outcome.startswith("done") and made[0].is_file():
        there, here = seconds_of_sound(source), seconds_of_sound(made[0])
        noted = "stream" in words or "audio" in words or "sound" in words
        if abs(there - here) > SOUND_OFF and not noted:
            outcome, why = "wrong", f"{here:.2f} s of sound, {there:.2f} s wanted; nothing said"
    if outcome.startswith("done") and ".damaged" in made[0].name:
        outcome = "kept as damaged"
    answer.write_text(f"{outcome}\t{why}")


def judged(
    wanted: list[np.ndarray], sure: list[bool], got: list[np.ndarray], faults: int, words: str
) -> tuple[str, str]:
    """Judge the frames of an output; those that decode differently each time are only counted."""
    # A note, and the message at the end, may name the same loss.
    runs = set(re.findall(r"frames lost (between .*? s: )(\d+)", words))
    lost = sum(int(count) for _, count in runs)
    counts = f"{len(got)} frames, {len(wanted)} decode, {lost} reported lost"
    if faults:
        return "wrong", f"{faults} packets of the output do not decode; {counts}"
    if len(got) < len(wanted):
        return ("wrong" if lost else "silent short file"), counts
    if len(got) > len(wanted):
        return "wrong", counts
    for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
        off = np.abs(one - other).mean()
        if sure[index] and off > ALIKE:
            return "wrong", f"frame {index} is {off:.1f} levels off; {counts}"
    return ("done, loss reported" if lost else "done"), counts


def pictures_of(path: Path, *, held: bool = False) -> tuple[list[np.ndarray], int]:
    """Luma of all frames that decode, at the size of the inputs, and the number of errors.

    Where data are missing, some decoders show what was in the memory before: with all frames held,
    that is something else.
    """
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    found, faults = [], 0
    for each in paths:
        frames = decoded(each, "video")
        for frame in list(frames) if held else frames:
            if frame is None:
                faults += 1
                continue
            grey = frame.reformat(WIDTH, HEIGHT, "gray")
            found.append(grey.to_ndarray().astype(np.float32))
    return found, faults


def seconds_of_sound(path: Path) -> float:
    """How much sound decodes."""
    frames = [frame for frame in decoded(path, "audio") if frame is not None]
    return sum(frame.samples / frame.sample_rate for frame in frames if frame.sample_rate)


def decoded(path: Path, kind: str) -> Iterator[av.VideoFrame | av.AudioFrame | None]:
    """Frames of the first stream of a kind in order; None for each packet that fails."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError):
        yield None
        return
    with container:
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return
        stream = container.streams.best(kind) or streams[0]
        stream.thread_type = "SLICE"
        stream.codec_context.flags |= OUTPUT_CORRUPT
        for packet in [*packets_of(container, stream), None]:
            if packet is not None and not packet.size:
                continue
            try:
                yield from stream.codec_context.decode(packet)
            except (av.error.FFmpegError, ValueError):
                yield None


def packets_of(container: object, stream: object) -> Iterator[av.Packet]:
    """All packets of a stream, read on after errors."""
    for _ in range(READ_RETRIES):
        try:
            yield from container.demux(stream)  # type: ignore[attr-defined]
            return
        except av.error.FFmpegError:
            continue


if __name__ == "__main__":
    sys.exit(main())
