"""`vsr compare`: films side by side, on one page or in one film."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro


def compare(
    reference: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="REFERENCE")],
    outputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="OUTPUT")],
    *,
    output: Path | None = None,
    video: str | None = None,
    at: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="T")] = (),
    moments: int = 6,
    divider: Literal["moving", "fixed"] = "moving",
    start: str | None = None,
    overwrite: bool = False,
    open_: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> int:
    """Compare films on one self-contained HTML page (slider, zoom, graphs, facts), or as a film.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: One film or more to hold against it.
        output: The page to write.
        video: The split-screen film to write; more than two films stand in a grid. Sound and times
            are those of the reference.
        at: Of a page: show this moment too: seconds, or [[HH:]MM:]SS; may be given again.
        moments: Of a page: how many moments are chosen by the program, where the films differ most.
        divider: Of a split-screen film: moving goes to and fro in eight seconds.
        start: Where in the reference the outputs begin, if they show a part of it.
        overwrite: Replace the page or film if it exists.
        open_: Open the page in a browser.
    """
    import torch

    from vsr.cli.browser import open_page
    from vsr.errors import ConfigError
    from vsr.options import parse_time

    if output is None and video is None:
        raise ConfigError("compare wants --output page.html, --video film.mp4, or both")
    if open_ and output is None:
        raise ConfigError("--open opens the page of --output, which is not given")
    begin = parse_time(start, "start") if start else Fraction(0)
    # Pictures are scaled one by one: threads cost more there than they give (11 ms with one, 64
    # with two on two shared cores), and decoding has its own.
    torch.set_num_threads(1)
    if output is not None:
        from vsr.report.compare import compare as write_page

        times = [parse_time(time, "at") for time in at]
        with _bar("comparing", reference, begin) as advance:
            found = write_page(
                reference, outputs, output, at=times, moments=moments, start=begin,
                overwrite=overwrite, progress=advance,
            )  # fmt: skip
        for name, problems in zip(outputs, found.problems, strict=True):
            _note(f"{name}: {problem}" for problem in problems)
        size = output.stat().st_size / 1e6
        print(
            f"{output}: {found.frames} frames compared, {len(found.moments)} shown, {size:.1f} MB"
        )
    if video is not None:
        from vsr.report.film import film

        with _bar("filming", reference, begin) as advance:
            filmed = film(
                reference, outputs, video, start=begin, divider=divider, overwrite=overwrite,
                progress=advance,
            )  # fmt: skip
        _note(filmed.notes)
        width, height = filmed.size
        print(f"{filmed.path}: {filmed.frames} frames of {width}x{height}, verified")
    if open_ and output is not None:
        open_page(output)
    return 0


def _note(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"vsr: note: {sentence}", file=sys.stderr)


@contextmanager
def _bar(name: str, reference: str, start: Fraction) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how many frames are done, of about how many."""
    from tqdm import tqdm

    from vsr.media.decode import DecodeOptions
    from vsr.media.probe import probe
    from vsr.planning import estimate_frames

    info = probe(reference)
    total = estimate_frames(info, DecodeOptions(start=start), info.video.frame_rate)
    with tqdm(desc=name, total=total, unit="frame", dynamic_ncols=True, leave=False) as bar:

        def advance(frames: int) -> None:
            bar.update(frames - bar.n)

        yield advance
