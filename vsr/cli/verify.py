"""`vsr verify`: what `vsr enhance` checks at its end, on its own."""

from __future__ import annotations

from pathlib import Path

import tyro


def verify(source: tyro.conf.Positional[Path], target: tyro.conf.Positional[Path]) -> int:
    """Compare an enhanced file with its source: frames, times, sound, streams, colour, tags.

    Args:
        source: What was enhanced.
        target: What came out.
    """
    from vsr.media.verify import verify as compare

    result = compare(source, target)
    for check in result.checks:
        mark = "ok  " if check.passed else "FAIL"
        print(f"{mark} {check.name}: {check.detail}")
    for warning in result.warnings:
        print(f"note {warning}")
    return 0 if result.passed else 1
