"""`vsr compare`: films side by side on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro


def compare(
    reference: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="REFERENCE")],
    outputs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="OUTPUT")],
    *,
    output: Path,
    at: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="T")] = (),
    moments: int = 6,
    start: str | None = None,
    overwrite: bool = False,
) -> int:
    """Compare films on one self-contained HTML page: slider, zoom, graphs, facts.

    Args:
        reference: The input of an enhancement, or the truth.
        outputs: One film or more to hold against it.
        output: The page to write.
        at: Show this moment too: seconds, or [[HH:]MM:]SS; may be given again.
        moments: How many moments are chosen by the program, where the films differ most.
        start: Where in the reference the outputs begin, if they show a part of it.
        overwrite: Replace the page if it exists.
    """
    from fractions import Fraction

    import torch
    from tqdm import tqdm

    from vsr.options import parse_time
    from vsr.report.compare import compare as run

    # Pictures are brought to the smaller size one by one: threads cost more there than they give
    # (11 ms with one, 64 with two on two shared cores), and decoding has its own.
    torch.set_num_threads(1)
    with tqdm(unit="frame", dynamic_ncols=True, leave=False) as bar:

        def advance(frames: int) -> None:
            bar.update(frames - bar.n)

        found = run(
            reference,
            outputs,
            output,
            at=[parse_time(time, "at") for time in at],
            moments=moments,
            start=parse_time(start, "start") if start else Fraction(0),
            overwrite=overwrite,
            progress=advance,
        )
    for name, problems in zip(outputs, found.problems, strict=True):
        for problem in problems:
            print(f"vsr: note: {name}: {problem}", file=sys.stderr)
    size = found.page.stat().st_size / 1e6
    print(
        f"{found.page}: {found.frames} frames compared, {len(found.moments)} shown, {size:.1f} MB"
    )
    return 0
