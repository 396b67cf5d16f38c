"""`vsr evaluate`: models on a test set."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from vsr.cli.terminal import print_line
from vsr.options import Measuring


def evaluate(
    *,
    model: Annotated[tuple[str, ...], arg(metavar="NAME|FILE|MODULE:CLASS")],
    data: Annotated[Path, arg(metavar="DIR")],
    measuring: Annotated[Measuring, arg(name=""), OmitArgPrefixes],
    json_: Annotated[Path | None, arg(metavar="FILE.json")] = None,
    markdown: Annotated[Path | None, arg(metavar="FILE.md")] = None,
    csv: Annotated[Path | None, arg(metavar="FILE.csv")] = None,
) -> int:
    """Measure models on a test set and print the table of the papers, bicubic first.

    Args:
        model: Names, weight files or classes of your own, several at once; required.
        data: Folder of the test set; a missing low-quality side is made; required.
        json_: Write all numbers, frame by frame; clips already in the file are not measured again.
        markdown: Write the table.
        csv: Write a line for each frame, and for the means of clips and models.
    """
    from vsr.benchmark import evaluate as run
    from vsr.files import check_place, write_text
    from vsr.media.containers import check_record
    from vsr.results import comma_separated
    from vsr.results import markdown as table

    for path, flag in ((markdown, "--markdown"), (csv, "--csv")):
        if path is not None:
            check_record(path, flag, is_json=False)
            check_place(path)
    results = run(
        model,
        data,
        measuring,
        results=json_,
        tell=lambda line: print_line(f"vsr: {line}", sys.stderr),
    )
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table(results, width))
    if markdown is not None:
        write_text(markdown, table(results) + "\n")
    if csv is not None:
        write_text(csv, comma_separated(results))
    return 0
