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

import tyro

from vsr import __version__
from vsr.cli.batch import batch
from vsr.cli.compare import compare
from vsr.cli.enhance import enhance
from vsr.cli.evaluate import evaluate
from vsr.cli.info import info
from vsr.cli.models import models
from vsr.cli.train import train
from vsr.cli.verify import verify
from vsr.cli.words import REGISTRY
from vsr.errors import ConfigError, VsrError


def versions() -> str:
    """Name the versions of all that decides what comes out, in a few lines."""
    from vsr.media.source import ffmpeg_version

    return "\n".join(
        [
            f"vsr {__version__}",
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


COMMANDS: dict[str, Callable[..., int]] = {
    "enhance": enhance,
    "batch": batch,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
    "verify": verify,
    "info": info,
    "models": models,
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
        # Names of files may be of another encoding than the terminal; stderr escapes them as well.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except VsrError as error:
        print(f"vsr: error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("vsr: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has enough. Python would write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # What was foreseen is a VsrError by now; this is the system's refusal, no fault of code.
        print(f"vsr: error: {_refusal(error)}", file=sys.stderr)
        return 1


def _run(given: list[str]) -> int:
    """Read the arguments of one command, so that what is wrong with them is told of it alone."""
    config = (tyro.conf.FlagCreatePairsOff,)
    code: int
    if given == ["--version"]:
        print(versions())
        return 0
    if given and given[0] in COMMANDS:
        name, *rest = given
        code = tyro.cli(
            COMMANDS[name], prog=f"vsr {name}", args=rest, config=config, registry=REGISTRY
        )
    else:
        code = tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="vsr",
            description="Video super-resolution for real files: enhance, train, measure.\n\n"
            "vsr --version names what is installed.",
            args=given or ["--help"],
            config=config,
            registry=REGISTRY,
        )
    return code


def _refusal(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"the system refused: {reason}; see to it, and give the command again"
    return (
        f"{os.fsdecode(error.filename)}: could not be read or written: {reason}; check that it "
        "is there and may be used"
    )
