"""What README and docs/ tell people to type works: run here, page by page; see `markdown.py`."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from markdown import PAGES, ROOT, RUNNABLE, anchors, blocks, commands, inline_code, links
from named_files import make_named_files

from vsr.cli.main import COMMANDS, main
from vsr.training.options import read_options

PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

# Runs of hours are cut to two small steps, and keep their decoded frames in the test's folder.
SHORT_TRAINING = (
    "optimizer.steps=2",
    "optimizer.warmup=1",
    "run.validate_every=2",
    "run.save_every=2",
    "run.log_every=1",
    "data.cache=cache",
    "data.crop=16",
    "data.length=3",
    "data.val_frames=3",
)

# Pictures are shown at a sixth of the size asked for, as the films are of a sixth or less.
SMALLER = 6


@PAGE
def test_what_a_page_says_works(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text()
    make_named_files(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # where decoded clips are kept
    for block in blocks(text):
        if block.runs and block.language == "python":
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, {"__name__": "__main__"})
        elif block.runs:
            for line, command in commands(block):
                say(f"{page.name}:{line}: {command}")
                run(command)


@PAGE
def test_what_a_page_says_of_other_machines_is_well_formed(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for name, command in COMMANDS.items():
        monkeypatch.setitem(COMMANDS, name, accepting(command))
    for block in blocks(page.read_text()):
        assert block.language, f"line {block.line}: say what it is: sh, python, text"
        if block.language == "python":
            compile(block.text, str(page), "exec")
        elif block.language == "sh" and not block.runs:
            for line, command in commands(block):
                say(f"{page.name}:{line}: {command}")
                parse(command)


@PAGE
def test_options_named_in_the_text_exist(page: Path) -> None:
    for code in inline_code(page.read_text()):
        words = code.split()
        if words[0] == "vsr" and len(words) > 1 and words[1] in COMMANDS:
            known = flags_of(words[1])
        elif words[:1] == ["python"] and len(words) > 1:
            known = flags_of_script(words[1])
        elif words[0].startswith("--"):
            known = frozenset().union(*map(flags_of, COMMANDS))
        else:
            continue
        assert set(FLAG.findall(code)) <= known, code


@PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_every_page_is_linked_to() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in links(index.read_text())}
    assert {page.resolve() for page in PAGES} - {index} <= linked
    assert "docs/README.md" in links((ROOT / "README.md").read_text())


def say(line: str) -> None:
    """Place of a page; pytest shows it where a test fails."""
    sys.stdout.write(f"{line}\n")


def run(command: str) -> None:
    """Run a command of a page, in this process.

    Raises:
        AssertionError: It fails, or is none that the tests can run.
    """
    words = [smaller(*pair) for pair in pairwise(["", *shlex.split(command, comments=True)])]
    if words[0] == "pip":
        assert command in (ROOT / ".ci" / "run").read_text(), ".ci/run does not run this line"
    elif words[:2] == ["vsr", "train"]:
        sets = [part for option in SHORT_TRAINING for part in ("--set", option)]
        assert main([*words[1:], *sets]) == 0
    elif words[0] == "vsr":
        assert main(words[1:]) == 0
    else:
        assert words[0] == "python", "the tests know how to run vsr, python and pip"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words[1:])
            patch.syspath_prepend(Path(words[1]).resolve().parent)
            runpy.run_path(words[1], run_name="__main__")


def smaller(before: str, word: str) -> str:
    """Divide what stands after an option that means pixels; sides stay even."""
    if before not in ("--height", "--size", "--side"):
        return word
    return re.sub(r"\d+", lambda match: str(int(match[0]) // SMALLER // 2 * 2), word)


def parse(command: str) -> None:
    """Read a command of a page as its program would, and do nothing.

    Raises:
        AssertionError: The program would refuse it.
    """
    words = shlex.split(command, comments=True)
    if words[0] == "torchrun":
        words = words[words.index("-m") + 1 :]
    if words[0] == "vsr":
        assert main(words[1:]) == 0
        if words[1] == "train":
            sets = [after for word, after in pairwise(words) if word == "--set"]
            read_options(Path(words[2]), sets)
    elif words[0] == "python":
        assert set(FLAG.findall(command)) <= flags_of_script(words[1])
    else:
        assert words[0] in ("pip", "ray", "pytest"), "the tests do not know this program"


def accepting(command: Callable[..., int]) -> Callable[..., int]:
    """Make a command that takes the same options and does nothing."""

    @functools.wraps(command)
    def accept(*_: object, **__: object) -> int:
        return 0

    return accept


@functools.cache
def flags_of(command: str) -> frozenset[str]:
    """List the options of a command of `vsr`, by its help."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        main([command, "--help"])
    return frozenset(FLAG.findall(text.getvalue()))


@functools.cache
def flags_of_script(path: str) -> frozenset[str]:
    """List the options of a script: its arguments and all that might be parameters.

    Those of scripts that it takes parts from as well.
    """
    source = (ROOT / path).read_text()
    for name in re.findall(r"^from (\w+) import", source, re.M):
        beside = (ROOT / path).with_name(f"{name}.py")
        source += beside.read_text() if beside.exists() else ""
    names = re.findall(r"^    (\w+): ", source, re.M)
    return frozenset(
        [*FLAG.findall(source), *(f"--{n.strip('_')}".replace("_", "-") for n in names)]
    )


def test_blocks_are_of_known_kinds() -> None:
    kinds = {block.language for page in PAGES for block in blocks(page.read_text())}
    assert kinds <= {*RUNNABLE, "text", "toml", "json"}
