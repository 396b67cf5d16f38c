"""The layers hold: a module imports only from lower layers or its own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vsr

ROOT = Path(vsr.__file__).parent
# One file to one file; resuming is its inside, so `jobs` is above and not beneath it.
PIPELINE = {
    "options", "planning", "pipeline", "estimate", "reporting", "resume", "ledger", "recording",
    "identity", "space", "benchmark", "results", "frames", "__init__",
}  # fmt: skip
LAYERS: list[set[str]] = [
    {"errors"},
    {"durable", "locks", "cuts", "devices"},
    {"ops", "media"},
    {"models", "data", "evaluation"},
    {"inference"},
    {*PIPELINE, "training"},
    {"jobs", "report"},
    {"cli", "__main__"},
]
FORBIDDEN = {
    ("training", "inference"),
    ("ops", "media"),
    ("media", "ops"),
    ("jobs", "report"),
    ("report", "jobs"),
}


def folder_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def layer(folder: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if folder in names)


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(("vsr", *path.relative_to(ROOT).with_suffix("").parts)), path)
        for path in sorted(ROOT.rglob("*.py"))
    ]


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down(module: str, path: Path) -> None:
    here = folder_of(module)
    for name in imports(path):
        if not name.startswith("vsr"):
            continue
        there = folder_of(name)
        same = here == there or {here, there} <= PIPELINE or here == "__main__"
        assert same or layer(there) < layer(here), (
            f"{module} (layer {layer(here)}) imports {name} (layer {layer(there)})"
        )
        assert (here, there) not in FORBIDDEN, f"{module} imports {name}"


@pytest.mark.parametrize(("library", "home"), [("av", "media"), ("ray", "jobs")])
def test_a_library_is_imported_in_one_folder_only(library: str, home: str) -> None:
    users = {
        folder_of(module)
        for module, path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert users <= {home}


@pytest.mark.parametrize("folder", ["media", "errors", "options"])
def test_torch_is_not_imported_there(folder: str) -> None:
    for module, path in modules():
        if folder_of(module) == folder:
            assert not any(name.split(".")[0] == "torch" for name in imports(path)), module


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["enhance", "--help"]])
def test_the_command_line_starts_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys, vsr.cli.main as m; m.main(sys.argv[1:]); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "False"
    assert "usage: vsr" in done.stdout
