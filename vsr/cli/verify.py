"""`vsr verify`: what `vsr enhance` checks at its end, on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from vsr.errors import ConfigError
from vsr.options import Deinterlace, EnhanceOptions, check, decode_options


def verify(
    source: tyro.conf.Positional[Path],
    target: tyro.conf.Positional[Path],
    *,
    start: str | None = None,
    duration: str | None = None,
    deinterlace: Deinterlace = "auto",
    filter_: Annotated[str | None, tyro.conf.arg(name="filter")] = None,
    report: Path | None = None,
) -> int:
    """Compare an enhanced file with its source: frames, times, streams, colour, tags.

    Args:
        source: What was enhanced.
        target: What came out.
        start: Where to begin: seconds, or [[HH:]MM:]SS, from the first frame; by default 0.
        duration: How much to enhance, written like start; by default all of it.
        deinterlace: auto: on interlaced video only; frame: always; field: a frame per field,
            twice the rate.
        filter_: A libavfilter chain run on the frames before the network, such as
            "crop=iw:ih-8".
        report: The report of the job, or the summary of its batch: all options, those of the
            encoder too, are read from it.
    """
    from vsr.media.verify import Expected
    from vsr.media.verify import verify as compare

    options = EnhanceOptions(
        start=start, duration=duration, deinterlace=deinterlace, filter=filter_
    )
    check(options)
    if report is None:
        expected = Expected(decode=decode_options(options))
    elif options == EnhanceOptions():
        from vsr.plan import expected_by_report

        expected = expected_by_report(source, target, report)
    else:
        raise ConfigError("--report has all options already; give it, or the options themselves")
    result = compare(source, target, expected)
    for found in result.checks:
        mark = "ok  " if found.passed else "FAIL"
        print(f"{mark} {found.name}: {found.detail}")
    for warning in result.warnings:
        print(f"note {warning}")
    return 0 if result.passed else 1
