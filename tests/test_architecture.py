"""The layers hold: a module imports only from lower layers or its own folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import make_video

import vsr

ROOT = Path(vsr.__file__).parent
# Those of one line do not know each other, but for what `vsr` itself offers to be imported.
LAYERS: list[set[str]] = [
    {"errors"},
    {"durable", "locks", "cuts", "devices"},
    {"ops", "media"},
    {"models", "data", "evaluation"},
    {"inference", "training"},
    {"options", "ledger", "results"},
    {"planning", "benchmark"},
    {"space", "reporting", "frames", "rechecking"},
    {"recording", "identity"},
    {"resume", "estimate"},
    {"pipeline"},
    {"jobs", "report"},
    {"cli"},
    {"__init__", "__main__"},
]
# Files are not the business of what computes; training reaches them through `data`.
FORBIDDEN: dict[str, set[str]] = {
    "models": {"media"},
    "evaluation": {"media"},
    "inference": {"media", "data", "evaluation"},
    "training": {"media"},
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
        elif isinstance(node, ast.ImportFrom) and node.module == "vsr":
            found += [f"vsr.{alias.name}" for alias in node.names]
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
        assert here == there or layer(there) < layer(here), (
            f"{module} (layer {layer(here)}) imports {name} (layer {layer(there)})"
        )
        assert there not in FORBIDDEN.get(here, ()), f"{module} imports {name}"


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


def test_every_module_has_its_layer() -> None:
    named = [name for names in LAYERS for name in names]
    assert sorted(named) == sorted({folder_of(module) for module, _ in modules()})


def run_and_tell_torch(*arguments: str) -> tuple[str, bool]:
    """Run `vsr` in a process of its own; give what it prints, and whether it imported torch."""
    code = (
        "import sys, vsr.cli.main as m; m.main(sys.argv[1:]); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout, {"True": True, "False": False}[done.stderr.strip()]


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["enhance", "--help"]])
def test_the_command_line_starts_without_torch(arguments: list[str]) -> None:
    text, torch = run_and_tell_torch(*arguments)
    assert "usage: vsr" in text
    assert not torch


def test_a_file_is_looked_at_without_torch(tmp_path: Path) -> None:
    text, torch = run_and_tell_torch("info", str(make_video(tmp_path / "a.mp4", frames=2)))
    assert "64x48" in text
    assert not torch
