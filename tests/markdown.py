"""Reads the project's Markdown as the tests of README and docs/ need it.

What the pages promise: a block marked `sh` is run line by line, one marked `python` as a whole,
page by page from the top, in one folder. A block whose first line is a comment `# needs ...` is
not: its commands are parsed, its Python compiled.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNABLE = ("sh", "python")

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.M)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        language: What is written after the fence.
        text: Its lines.
        line: Number of its first line in the page, from 1.
    """

    language: str
    text: str
    line: int

    @property
    def runs(self) -> bool:
        """Whether the tests run it, or only read it."""
        return self.language in RUNNABLE and not self.text.startswith("# needs ")


def blocks(page: str) -> list[Block]:
    """Find the fenced blocks of a page."""
    return [
        Block(language=m[1], text=m[2], line=page.count("\n", 0, m.start()) + 2)
        for m in _FENCE.finditer(page)
    ]


def commands(block: Block) -> list[tuple[int, str]]:
    """List the commands of a `sh` block, with the numbers of their lines."""
    lines = block.text.replace("\\\n", "  ").splitlines()
    return [
        (n, line) for n, line in enumerate(lines, block.line) if shlex.split(line, comments=True)
    ]


def inline_code(page: str) -> list[str]:
    """List what stands in single backticks, outside fenced blocks."""
    return _INLINE.findall(_FENCE.sub("", page))


def links(page: str) -> list[str]:
    """List the targets of links and pictures that lie in this repository."""
    return [link for link in _LINK.findall(_FENCE.sub("", page)) if "://" not in link]


def anchors(page: str) -> set[str]:
    """List the anchors that GitHub gives the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", page))
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}
