"""`vsr evaluate`: models on a test set."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vsr.options import InferenceOptions

ProtocolName = Literal[
    "vid4-bi",
    "vid4-bd",
    "reds4",
    "vimeo90k-bi",
    "vimeo90k-bd",
    "udm10-bd",
    "folder-bi",
    "folder-bd",
    "folder-real",
]


def evaluate(
    *,
    model: tuple[str, ...],
    data: Path,
    protocol: ProtocolName,
    inference: Annotated[
        InferenceOptions, tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes
    ] = InferenceOptions(),  # noqa: B008
    whole_clip: bool = False,
    border: int = 0,
    frames: int | None = None,
    over_time: bool = True,
    json_: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
    markdown: Path | None = None,
) -> int:
    """Measure models on a test set and print the table of the papers, bicubic first.

    Args:
        model: Names or weight files, several at once.
        data: The folder of the test set; the low-quality side is made where it is not there.
        protocol: vid4, udm10, vimeo90k and folder measure Y, reds4 measures RGB. -bi shrinks
            bicubically, -bd by blur, -real degrades as cameras and codecs do, each clip by its
            name. folder takes any folder of videos or pictures as the truth.
        whole_clip: Give each clip to the network at once, as papers do, not in windows.
        border: Pixels left out at each edge.
        frames: Of each clip, from the first; by default all.
        over_time: Measure steadiness too: tOF, warping error, flicker.
        json_: Write all numbers, frame by frame; clips in an existing file are not done again.
        markdown: Write the table.
    """
    from vsr.benchmark import Measuring
    from vsr.benchmark import evaluate as run
    from vsr.benchmark import markdown as table
    from vsr.files import check_place, write_text
    from vsr.media.containers import check_record

    if markdown is not None:
        check_record(markdown, "--markdown", is_json=False)
        check_place(markdown)
    measuring = Measuring(
        protocol=protocol,
        inference=inference,
        whole_clip=whole_clip,
        border=border,
        frames=frames,
        over_time=over_time,
    )
    results = run(
        model,
        data,
        measuring,
        results=json_,
        tell=lambda line: print(f"vsr: {line}", file=sys.stderr),
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table(results, width))
    if markdown is not None:
        write_text(markdown, table(results) + "\n")
    return 0
