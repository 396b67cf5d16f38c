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


@pytest.fixture(autouse=True)
def _seeds() -> None:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
