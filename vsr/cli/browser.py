"""Show a page where somebody asked for it."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path


def open_page(page: Path) -> None:
    """Open a page in the browser of this desktop; say so where there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        print(f"vsr: note: no browser could be opened; the page is '{page}'", file=sys.stderr)
