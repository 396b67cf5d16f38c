"""Fill the page's template and write it; everything the page needs is inside it."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from vsr.durable import check_place, write_text
from vsr.errors import ConfigError

_DATA, _TITLE = "{{data}}", "{{title}}"
_SUFFIXES = (".html", ".htm")


def check_page(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot or must not become a page, before any work is done.

    Raises:
        ConfigError: The name is not that of a page, or it exists.
        MuxError: It cannot be written there.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"a page is named something.html; got '{path}'")
    if path.exists() and not overwrite:
        raise ConfigError(f"'{path}' exists; give another name, or --overwrite")
    check_place(path)


def write_page(path: Path, value: dict[str, Any]) -> None:
    """Write the page; it appears whole or not at all.

    Args:
        path: The file.
        value: See `render`.

    Raises:
        MuxError: The disk refuses.
    """
    write_text(path, render(value))


def render(value: dict[str, Any]) -> str:
    """Make the page.

    Args:
        value: What `page.html` draws, ready for JSON; its "title" names the page.

    Returns:
        HTML that opens without a network.
    """
    template = files("vsr.report").joinpath("page.html").read_text(encoding="utf-8")
    # "</script>" in a file name must not end the data.
    data = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    head, tail = template.split(_DATA)
    return head.replace(_TITLE, html.escape(value["title"])) + data + tail
