"""`vsr ui`: the local page for people without a terminal."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from annotated_types import Interval
from tyro.conf import UseAppendAction, arg

from vsr.cli.terminal import print_line
from vsr.errors import ConfigError

Port = Annotated[int, Interval(ge=1, le=65535)]


def ui(
    *,
    port: Port = 8477,
    root: Annotated[UseAppendAction[tuple[Path, ...]], arg(metavar="DIR")] = (),
    open_: Annotated[
        bool, arg(help="Only print the address of the page; do not open a browser.")
    ] = True,
) -> int:
    """Open a local page in the browser: choose films, try settings, fill a queue.

    Films half done go on when it is started again.

    Args:
        port: Of the page's address.
        root: A folder whose films the page may use, and write into; repeatable; by default your
            home.
        open_: Open the page in a browser.
    """
    try:
        from vsr.ui.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise ConfigError(f"vsr ui needs {error.name}: pip install 'vsr-enhance[ui]'") from error
    logging.basicConfig(format="vsr ui: %(message)s")
    serve(root or (Path.home(),), port, opens=open_, say=lambda text: print_line(text))
    return 0
