"""The public names are these, documented, and import no torch before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vsr


@pytest.mark.parametrize("name", vsr.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(vsr, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'upscale'"):
        _ = vsr.upscale


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, vsr; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
