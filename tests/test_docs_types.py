"""The Python of docs/python.md is typed as its users' own code may be: `mypy --strict` passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown import ROOT, blocks

# Torch's own types take mypy a minute; those of `vsr` are what is asked about.
CONFIGURATION = """
[mypy]
strict = true
follow_imports = silent
disallow_subclassing_any = false

[mypy-torch.*,scipy.*,skimage.*,pydantic.*,tyro.*,ray.*]
follow_imports = skip
"""


def test_examples_pass_mypy(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="part of the extras test and dev")
    page = ROOT / "docs" / "python.md"
    examples = [block for block in blocks(page.read_text()) if block.language == "python"]
    assert examples
    for number, block in enumerate(examples):
        (tmp_path / f"python_{number}.py").write_text("\n" * (block.line - 1) + block.text)
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    places = [f"--config-file={tmp_path / 'mypy.ini'}", f"--cache-dir={tmp_path / 'cache'}"]
    out, error, code = api.run([*places, str(tmp_path)])
    assert code == 0, out + error
