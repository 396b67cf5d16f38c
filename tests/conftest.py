"""Shared by all tests: one torch thread, fixed seeds, `synthetic` (made-up media) on the path."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell that runs things in the background has them ignore SIGINT, and their children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=[False, True], ids=["waits", "queues ahead"])
def _ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runner work on a CPU as it does there, and as it does on a GPU."""
    monkeypatch.setattr("vsr.inference.runner.works_apart", lambda device: request.param)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
