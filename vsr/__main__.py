"""`vsr`, and `python -m vsr`: the process around the command line."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run a command and exit with its code, whenever Ctrl-C comes.

    Outside of any `try`, and while Python shuts down, it would end the process by the signal: with
    none of the promised exit codes.
    """
    code = 130
    try:
        from vsr.cli.main import main

        code = main()
        # From here on the command is done.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    run()
