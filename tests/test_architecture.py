"""The layers hold: a module imports only from lower layers or its own folder, without circles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from synthetic import make_video

import vsr

ROOT = Path(vsr.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
# Those of one line do not know each other, but for what `vsr` itself offers to be imported.
LAYERS: list[set[str]] = [
    {"errors"},
    {"options", "color", "files"},
    {"profiles"},
    {"devices", "ops", "media"},
    {"models", "data", "evaluation"},
    {"inference", "results"},
    {"plan", "training", "benchmark", "export"},
    {"rehearsal"},
    {"reporting"},
    {"work"},
    {"pipeline"},
    {"unfinished"},
    {"estimate"},
    {"frames"},
    {"jobs", "report"},
    {"ui"},
    {"cli"},
    {"__init__", "__main__"},
]
PLANNED: set[str] = set()
# Within a line `data` may use `media`, which computes nothing; `devices` and `ops` stand apart.
# Files are not the business of what computes; training reaches them through `data`.
FORBIDDEN: dict[str, set[str]] = {
    "models": {"media"},
    "evaluation": {"media", "files"},
    "inference": {"files", "data", "evaluation"},
    "training": {"media", "inference"},
}
# What a folder may use of one that is otherwise not its business: plain numbers.
ALLOWED: dict[str, set[str]] = {"inference": {"vsr.media.timing"}}
TORCH_FREE = ("errors", "options", "profiles", "color", "files", "media")
TORCH_FREE_MODULES = ("vsr.data.recipe", "vsr.training.options")
MOST_FILES = 140
MOST_LINES = 800
LONGEST_FUNCTION = 70
MOST_LOADED = 64


def folder_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def layer(folder: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if folder in names)


def imports(path: Path) -> list[str]:
    """Name the modules that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            assert not node.level, "relative imports are not resolved here"
            # The version is a constant of the package, open to every layer.
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            parts = [f"{node.module}.{name}" for name in names]
            found += [part if is_module(part) else node.module for part in parts]
    return found


def is_module(name: str) -> bool:
    first, *rest = name.split(".")
    path = ROOT.joinpath(*rest)
    return first == "vsr" and bool(rest) and (path.is_dir() or path.with_suffix(".py").is_file())


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(("vsr", *path.relative_to(ROOT).with_suffix("").parts)), path)
        for path in sorted(ROOT.rglob("*.py"))
    ]


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_go_down(module: str, path: Path) -> None:
    here = folder_of(module)
    for name in imports(path):
        if name.split(".")[0] != "vsr":
            continue
        there = folder_of(name)
        assert here == there or layer(there) < layer(here), (
            f"{module} (layer {layer(here)}) imports {name} (layer {layer(there)})"
        )
        assert there not in FORBIDDEN.get(here, ()), f"{module} imports {name}"
        if here in ALLOWED and there == "media":
            assert name in ALLOWED[here], f"{module} imports {name}"


def test_no_imports_go_round() -> None:
    """Within a folder too, and whether they are at the top of a file or in a function."""
    graph = {
        module: {name for name in imports(path) if name.startswith("vsr.")} - {module}
        for module, path in modules()
        if folder_of(module) != "__init__"
    }
    TopologicalSorter(graph).prepare()  # raises where there is a circle, and names it


@pytest.mark.parametrize("folder", ["inference"])
def test_files_are_not_opened_there(folder: str) -> None:
    for module, path in modules():
        if folder_of(module) != folder:
            continue
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "id")}
        assert "open" not in names, module
        assert not {"os", "io", "pathlib", "shutil"} & set(imports(path)), module


@pytest.mark.parametrize(
    ("library", "home"), [("av", "vsr.media."), ("ray", "vsr.jobs.ray_cluster")]
)
def test_a_library_is_imported_in_one_place_only(library: str, home: str) -> None:
    users = [
        module
        for module, path in modules()
        if any(name.split(".")[0] == library for name in imports(path))
    ]
    assert users
    assert all(module.startswith(home) for module in users), users


def test_torch_is_not_imported_there() -> None:
    for module, path in modules():
        if folder_of(module) in TORCH_FREE or module in TORCH_FREE_MODULES:
            assert not any(name.split(".")[0] == "torch" for name in imports(path)), module


def test_every_module_has_its_layer() -> None:
    named = [name for names in LAYERS for name in names]
    found = {folder_of(module) for module, _ in modules()}
    assert len(named) == len(set(named))
    assert found <= set(named)
    assert set(named) - found <= PLANNED


def test_names_say_what_a_module_is_about() -> None:
    for module, _ in modules():
        assert not {"utils", "common", "base", "helpers"} & set(module.split(".")), module


def test_files_and_functions_have_a_size() -> None:
    assert len(modules()) <= MOST_FILES
    for module, path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{module}.{node.name}"


def test_one_file_to_one_file_takes_few_modules() -> None:
    code = (
        "import sys, vsr.pipeline; print(sum(m.split('.')[0] == 'vsr' for m in list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= MOST_LOADED


def run(*arguments: str) -> tuple[str, set[str]]:
    """Run `vsr` in a process of its own; what it prints, and the slow libraries it imported."""
    code = (
        "import sys, vsr.cli.main as m; m.main(sys.argv[1:]); "
        "print(*{'torch', 'pydantic', 'numpy', 'av'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["info", "--help"], ["enhance", "--help"]])
def test_the_command_line_starts_without_slow_libraries(arguments: list[str]) -> None:
    text, imported = run(*arguments)
    assert "usage: vsr" in text
    assert not imported


def test_a_file_is_looked_at_without_torch(tmp_path: Path) -> None:
    text, imported = run("info", str(make_video(tmp_path / "a.mp4", frames=2)))
    assert "64x48" in text
    assert not {"torch", "pydantic"} & imported


def rows_of_the_page(heading: str) -> list[tuple[Path, list[str]]]:
    """Files of a table of docs/architecture.md, and the values that each hands on."""
    section = re.split(r"^## ", PAGE.read_text(), flags=re.M)
    (table,) = [text for text in section if text.startswith(f"{heading}\n")]
    rows = re.findall(r"^\| `(vsr/\S+)` \|.*\| ([^|]+) \|$", table, re.M)
    return [(ROOT.parent / path, re.findall(r"`(\w+)`", values)) for path, values in rows]


@pytest.mark.parametrize(
    ("heading", "most"),
    [("The way of a frame", 20), ("To `forward`", 5), ("The way of a training step", 10)],
)
def test_the_page_of_architecture_is_true(heading: str, most: int) -> None:
    rows = rows_of_the_page(heading)
    assert 0 < len(rows) <= most
    assert len({path for path, _ in rows}) == len(rows)
    reached: set[str] = set()
    for path, values in rows:
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        assert not reached or module in reached, f"{module}: no file above it imports it"
        reached |= set(imports(path))
        names = set(re.findall(r"\w+", path.read_text()))
        assert set(values) <= names, f"{module} does not know {set(values) - names}"


def test_every_file_on_the_page_of_architecture_exists() -> None:
    for name in re.findall(r"`((?:vsr|tests)/[^`\s]+)`", PAGE.read_text()):
        assert (PAGE.parents[1] / name).is_file(), name
