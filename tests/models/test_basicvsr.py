"""BasicVSR answers as BasicSR's and mmagic's do."""

from __future__ import annotations

import golden
import pytest
import torch

from vsr.models.basicvsr import BasicVSR
from vsr.models.published import Family


@pytest.mark.parametrize("family", ["basicsr", "mmagic"])
def test_the_published_output_is_reproduced(family: Family) -> None:
    network = golden.fill(BasicVSR(), family)
    assert golden.difference(network(golden.clip())[0], f"basicvsr_{family}") < 1e-4


def test_it_has_as_many_parameters_as_published() -> None:
    assert sum(p.numel() for p in BasicVSR().parameters()) == 6_291_311


def test_every_neighbour_matters() -> None:
    network = golden.fill(BasicVSR(channels=16, blocks=2), "mmagic")
    lq = torch.rand(1, 5, 3, 16, 16)
    whole = network(lq)[0][:, 2]
    for i in (0, 1, 3, 4):
        changed = lq.clone()
        changed[:, i] = torch.rand(3, 16, 16)
        assert (network(changed)[0][:, 2] - whole).abs().max() > 1e-5
