"""`vsr compare`: films side by side, on one page or in one film."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import tyro


def open_page(page: Path) -> None:
    """Open a page in the browser of this desktop; say so where there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        print(f"vsr: note: no browser could be opened; the page is '{page}'", file=sys.stderr)


def compare(
    reference: tyro.conf.Positional[str],
    outputs: tyro.conf.Positional[tuple[str, ...]],
    *,
    output: Path | None = None,
    video: str | None = None,
    at: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    moments: int = 6,
    divider: Literal["moving", "fixed"] = "moving",
    start: str | None = None,
    overwrite: bool = False,
    open_: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> int:
    """Compare films on one self-contained HTML page, or as a split-screen film.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: One film or more to hold against it; required.
        output: The page to write.
        video: The split-screen film to write; more than two films stand in a grid. Sound and times
            are those of the reference.
        at: Of a page: show this moment too: seconds, or [[HH:]MM:]SS; may be given again.
        moments: Of a page: how many moments are chosen by the program, where the films differ most.
        divider: Of a split-screen film: moving goes to and fro in eight seconds.
        start: Where in the reference the outputs begin, if they show a part of it; by default 0.
        overwrite: Replace the page or film if it exists.
        open_: Open the page in a browser.
    """
    import torch

    from vsr.errors import ConfigError
    from vsr.media.containers import check_target
    from vsr.options import parse_time

    if output is None and video is None:
        raise ConfigError("compare wants --output page.html, --video film.mp4, or both")
    if open_ and output is None:
        raise ConfigError("--open opens the page of --output, which is not given")
    if at and output is None:
        raise ConfigError("--at chooses moments of the page of --output, which is not given")
    if video is not None:
        check_target(reference, video, overwrite=overwrite)
    begin = parse_time(start, "start") if start else Fraction(0)
    # Pictures are scaled one by one: threads cost more there than they give (11 ms with one, 64
    # with two on two shared cores), and decoding has its own.
    torch.set_num_threads(1)
    if output is not None:
        times = [parse_time(time, "at") for time in at]
        _write_page(reference, outputs, output, times, moments, begin, overwrite)
    if video is not None:
        _write_film(reference, outputs, video, divider, begin, overwrite)
    if open_ and output is not None:
        open_page(output)
    return 0


def _write_page(
    reference: str,
    outputs: Sequence[str],
    page: Path,
    at: Sequence[Fraction],
    moments: int,
    start: Fraction,
    overwrite: bool,
) -> None:
    from vsr.report.compare import compare

    with _bar("comparing", reference, start) as advance:
        found = compare(
            reference,
            outputs,
            page,
            at=at,
            moments=moments,
            start=start,
            overwrite=overwrite,
            progress=advance,
        )
    _note(found.notes)
    for name, problems in zip(outputs, found.problems, strict=True):
        _note(f"{name}: {problem}" for problem in problems)
    size = page.stat().st_size / 1e6
    print(f"{page}: {found.frames} frames compared, {len(found.moments)} shown, {size:.1f} MB")


def _write_film(
    reference: str,
    outputs: Sequence[str],
    target: str,
    divider: Literal["moving", "fixed"],
    start: Fraction,
    overwrite: bool,
) -> None:
    from vsr.report.film import film

    with _bar("filming", reference, start) as advance:
        found = film(
            reference,
            outputs,
            target,
            divider=divider,
            start=start,
            overwrite=overwrite,
            progress=advance,
        )
    _note(found.notes)
    width, height = found.size
    print(f"{found.path}: {found.frames} frames of {width}x{height}, verified")


def _note(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        print(f"vsr: note: {sentence}", file=sys.stderr)


@contextmanager
def _bar(name: str, reference: str, start: Fraction) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how many frames are done, of about how many."""
    from tqdm import tqdm

    from vsr.media.probe import probe
    from vsr.options import DecodeOptions
    from vsr.plan import estimate_frames

    info = probe(reference)
    total = estimate_frames(info, DecodeOptions(start=start), info.video.frame_rate)
    with tqdm(
        desc=name, total=total, unit="frame", dynamic_ncols=True, leave=False, disable=None
    ) as bar:

        def advance(frames: int) -> None:
            bar.update(frames - bar.n)

        yield advance
