"""The command line: chooses the command, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Heavy modules are imported inside the
commands, so that `vsr --help` and `vsr info` are instant.
"""

from __future__ import annotations

import io
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import tyro

from vsr import __version__
from vsr.cli.batch import batch
from vsr.cli.compare import compare
from vsr.cli.enhance import enhance
from vsr.cli.evaluate import evaluate
from vsr.cli.export import export
from vsr.cli.info import info
from vsr.cli.models import models
from vsr.cli.terminal import say
from vsr.cli.train import train
from vsr.cli.ui import ui
from vsr.cli.verify import verify
from vsr.cli.words import REGISTRY, note_given
from vsr.errors import ConfigError, VsrError


def versions() -> str:
    """Versions of everything that decides the output, in three lines."""
    from vsr.media.source import ffmpeg_version

    return "\n".join(
        [
            f"vsr {__version__}",
            f"torch {_version('torch')}, PyAV {_version('av')}, FFmpeg {ffmpeg_version()}",
            f"Python {platform.python_version()}, {platform.platform()}",
        ]
    )


def _version(package: str) -> str:
    """Version of an installed package; importing torch to read it takes seconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


COMMANDS: dict[str, Callable[..., int]] = {
    "enhance": enhance,
    "batch": batch,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "compare": compare,
    "verify": verify,
    "info": info,
    "models": models,
    "ui": ui,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Without the program's name; `sys.argv` by default.

    Returns:
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names may be in another encoding than the terminal's; stderr escapes them by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except VsrError as error:
        say(f"vsr: error: {error}", sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("vsr: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # A reader such as `head` has closed the output. Python would write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # Foreseen refusals are VsrErrors by now; this one is the system's, not a fault of the code.
        say(f"vsr: error: {_refusal(error)}", sys.stderr)
        return 1


def _run(given: list[str]) -> int:
    """Read the arguments of one command, so that errors in them show the help of it alone."""
    if given == ["--version"]:
        print(versions())
        return 0
    rules: dict[str, Any] = {"config": (tyro.conf.FlagCreatePairsOff,), "registry": REGISTRY}
    if given and given[0] in COMMANDS:
        name, *rest = given
        note_given(rest)
        code: int = tyro.cli(COMMANDS[name], prog=f"vsr {name}", args=rest, **rules)
    else:
        code = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="vsr",
            description="Video super-resolution for real files: enhance, train, measure.\n\n"
            "vsr --version prints the versions of vsr and of what it uses.",
            args=given or ["--help"],
            **rules,
        )
    return code


def _refusal(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"the system refused: {reason}; solve this and repeat the command"
    return (
        f"{os.fsdecode(error.filename)}: could not be read or written: {reason}; check its path "
        "and permissions"
    )
