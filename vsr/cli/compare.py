"""`vsr compare`: films side by side, on one page or in one film."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from vsr.cli.terminal import advance, bar, counted, note, print_line
from vsr.options import Count


def open_page(page: Path) -> None:
    """Open a page in the browser of this desktop; print a note if there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        note(f"no browser could be opened; the page is '{page}'")


def compare(
    reference: Annotated[Positional[str], arg(metavar="REFERENCE")],
    outputs: Annotated[Positional[tuple[str, ...]], arg(metavar="OUTPUT...")],
    *,
    output: Annotated[Path | None, arg(metavar="PAGE.html")] = None,
    video: Annotated[str | None, arg(metavar="FILM")] = None,
    at: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="T")] = (),
    moments: Count = 6,
    divider: Literal["moving", "fixed"] = "moving",
    start: Annotated[str | None, arg(metavar="T")] = None,
    overwrite: bool = False,
    open_: bool = False,
) -> int:
    """Compare films on one self-contained HTML page, or as a split-screen film.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: One or more films to compare with it; required.
        output: The page to write.
        video: The split-screen film to write, with sound and times of the reference; more than two
            films stand in a grid.
        at: On the page: also show this moment, in seconds or [[HH:]MM:]SS; repeatable.
        moments: On the page: how many moments to choose where the films differ most.
        divider: In the film: moving swings to and fro in eight seconds.
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
    # Pictures are scaled one by one: threads cost more there than they save (11 ms with one, 64
    # with two on two shared cores), and decoding has its own.
    torch.set_num_threads(1)
    same: dict[str, Any] = {"start": begin, "overwrite": overwrite}
    if output is not None:
        times = [parse_time(time, "at") for time in at]
        _write_page(reference, outputs, output, at=times, moments=moments, **same)
    if video is not None:
        _write_film(reference, outputs, video, divider=divider, **same)
    if open_ and output is not None:
        open_page(output)
    return 0


def _write_page(reference: str, outputs: tuple[str, ...], page: Path, **options: Any) -> None:  # noqa: ANN401
    from vsr.report.compare import compare

    with _bar("comparing", reference, options["start"]) as show:
        found = compare(reference, outputs, page, progress=show, **options)
    for text in found.notes:
        note(text)
    for name, problems in zip(outputs, found.problems, strict=True):
        for problem in problems:
            note(f"{name}: {problem}")
    size = page.stat().st_size / 1e6
    frames = counted(found.frames, "frame")
    print_line(f"{page}: {frames} compared, {len(found.moments)} shown, {size:.1f} MB")


def _write_film(reference: str, outputs: tuple[str, ...], target: str, **options: Any) -> None:  # noqa: ANN401
    from vsr.report.film import film

    with _bar("filming", reference, options["start"]) as show:
        found = film(reference, outputs, target, progress=show, **options)
    for text in found.notes:
        note(text)
    width, height = found.size
    print_line(f"{found.path}: {counted(found.frames, 'frame')} of {width}x{height}, verified")


@contextmanager
def _bar(name: str, reference: str, start: Fraction) -> Iterator[Callable[[int], None]]:
    """A function that shows how many frames are done, of about how many."""
    from vsr.media.probe import probe
    from vsr.options import DecodeOptions
    from vsr.plan import estimate_frames

    info = probe(reference)
    total = estimate_frames(info, DecodeOptions(start=start), info.video.frame_rate)
    with bar(desc=name, total=total, unit="frame") as shown:
        yield lambda frames: advance(shown, frames, total)
