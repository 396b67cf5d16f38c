"""Fill the page's template; everything the page needs is inside it."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

_DATA, _TITLE = "{{data}}", "{{title}}"


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
