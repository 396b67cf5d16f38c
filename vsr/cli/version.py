"""`vsr --version`: what a report of a fault should name."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def versions() -> str:
    """Name the versions of all that decides what comes out, in a few lines."""
    from vsr.media.source import ffmpeg_version

    return "\n".join(
        [
            f"vsr {_version('vsr')}",
            f"torch {_version('torch')}, PyAV {_version('av')}, FFmpeg {ffmpeg_version()}",
            f"Python {platform.python_version()}, {platform.platform()}",
        ]
    )


def _version(package: str) -> str:
    """Read what is installed; importing torch to ask it takes seconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
