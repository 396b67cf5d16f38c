"""`vsr`, and `python -m vsr`: the process around the command line."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command that was given, and exit with its code, whenever Ctrl-C comes.

    Python ends a process by the signal itself where it comes outside of any `try`, and from when
    it begins to clear up; neither is one of the exit codes promised.
    """
    code = 130
    try:
        from vsr.cli.main import main

        code = main()
        # What has been done is done.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    run()
