"""The wheel holds all that is needed: built, unpacked elsewhere, run."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from vsr import __version__

ROOT = Path(__file__).parents[1]


def test_the_wheel_alone_upscales_with_the_bundled_weights(tmp_path: Path) -> None:
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    wheel = tmp_path / done.stdout.split()[-1]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "vsr/models/weights/compact-x4.safetensors" in names
    assert {"vsr/py.typed", "vsr/report/divider.js", "vsr/ui/static/index.html"} <= set(names)
    about = tmp_path / "site" / f"vsr_enhance-{__version__}.dist-info"
    assert "vsr = vsr.__main__:run" in (about / "entry_points.txt").read_text()
    code = (
        "import torch, vsr; print(vsr.__file__); "
        "print(vsr.read_profile('tape').deinterlace); "
        "sr, _ = vsr.load_model()(torch.rand(1, 2, 3, 8, 9)); print(tuple(sr.shape))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    place, deinterlace, shape = ran.stdout.splitlines()
    assert place.startswith(str(tmp_path / "site"))
    assert deinterlace == "field"  # of configs/enhance, which the wheel has inside the package
    assert shape == "(1, 2, 3, 32, 36)"
