"""`vsr verify`: what `vsr enhance` checks at its end, on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vsr.cli.terminal import say
from vsr.cli.words import ReportFile
from vsr.errors import ConfigError
from vsr.options import Deinterlace, EnhanceOptions, SoundChoice, checked, decode_options


def verify(
    source: Annotated[Positional[Path], arg(metavar="IN")],
    target: Annotated[Positional[Path], arg(metavar="OUT")],
    *,
    start: Annotated[str | None, arg(metavar="T")] = None,
    duration: Annotated[str | None, arg(metavar="T")] = None,
    deinterlace: Deinterlace = "auto",
    filter_: Annotated[str | None, arg(metavar="CHAIN")] = None,
    sound: SoundChoice = "copy",
    report: ReportFile = None,
) -> int:
    """Compare an enhanced file with its source: frames, times, streams, colour, tags.

    Args:
        source: The file that was enhanced.
        target: The result.
        start, duration, deinterlace, filter_, sound: As for `vsr enhance`, whose help is shown.
        report: Read these options, and those of the encoder, from the report of the job or the
            summary of its batch.
    """
    from vsr.media.verify import Expected, is_about_streams
    from vsr.media.verify import verify as compare

    options = checked(
        EnhanceOptions(
            start=start, duration=duration, deinterlace=deinterlace, filter=filter_, sound=sound
        )
    )
    if report is None:
        expected = Expected(decode=decode_options(options), sound=sound)
    elif options == EnhanceOptions():
        from vsr.plan import expected_by_report

        expected = expected_by_report(source, target, report)
    else:
        raise ConfigError("--report holds all options; give either it or the options themselves")
    result = compare(source, target, expected)
    if report is None and any(found.wrong and is_about_streams(found) for found in result.checks):
        # Its streams may have been planned anew when it was rehearsed, as they are here.
        from vsr.rehearsal import settled_streams

        streams = settled_streams(source, target, options)
        if streams is not None:
            result = compare(source, target, replace(expected, streams=streams))
    for found in result.checks:
        word = "ok  " if found.passed else "note" if found.changed else "FAIL"
        say(f"{word} {found}")
    for warning in result.warnings:
        say(f"note {warning}")
    return 0 if result.passed else 1
