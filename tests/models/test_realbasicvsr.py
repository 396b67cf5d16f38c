"""RealBasicVSR answers as mmagic's does, and cleans each frame as often as that frame needs."""

from __future__ import annotations

from itertools import pairwise

import golden
import pytest
import torch
from torch import nn

from vsr.models.realbasicvsr import RealBasicVSR


def small(threshold: float) -> RealBasicVSR:
    network = RealBasicVSR(channels=16, blocks=1, cleaning_blocks=1, threshold=threshold)
    golden.fill(network, "mmagic")
    return network


@pytest.fixture(scope="module")
def published() -> nn.Module:
    return golden.fill(RealBasicVSR(), "mmagic")


@pytest.mark.parametrize(("name", "threshold"), [("one_pass", 255.0), ("thres5", 5.0)])
def test_the_published_output_is_reproduced(
    published: RealBasicVSR, name: str, threshold: float
) -> None:
    published.threshold = threshold
    output, _ = published(golden.clip())
    assert golden.difference(output, f"realbasicvsr_mmagic_{name}") < 1e-4


def test_it_has_as_many_parameters_as_published() -> None:
    assert sum(p.numel() for p in RealBasicVSR().parameters()) == 6_294_834


def residue(network: RealBasicVSR, frame: torch.Tensor) -> torch.Tensor:
    return network.cleaning(frame)


def level(network: RealBasicVSR, frame: torch.Tensor) -> float:
    return float(residue(network, frame).abs().mean()) * 255


@pytest.mark.parametrize(("share", "passes"), [(1.5, 1), (0.5, 3)])
def test_cleaning_stops_where_a_frame_is_clean(share: float, passes: int) -> None:
    network, frame = small(1.0), torch.rand(1, 3, 16, 16)
    network.threshold = level(network, frame) * share
    cleaned = frame
    for _ in range(passes):
        cleaned = cleaned + residue(network, cleaned)
    torch.testing.assert_close(network.clean(frame), cleaned)


def test_at_the_threshold_cleaning_changes_by_degrees() -> None:
    """Else neighbouring frames on both sides of it would flicker."""
    network, frame = small(1.0), torch.rand(1, 3, 16, 16)
    around = level(network, frame) * torch.linspace(0.8, 1.25, 46)
    results = []
    for threshold in around:
        network.threshold = float(threshold)
        results.append(network.clean(frame))
    steps = [float((b - a).abs().max()) for a, b in pairwise(results)]
    whole = float((results[-1] - results[0]).abs().max())
    assert 0 < max(steps) < 0.2 * whole


def test_a_frame_is_cleaned_alike_in_any_company() -> None:
    """The published mean over the clip makes results depend on where a film is cut."""
    network = small(1.0)
    dirty, clean = torch.rand(1, 3, 16, 16) * 8, torch.zeros(1, 3, 16, 16)
    network.threshold = (level(network, dirty) + level(network, clean)) / 2
    alone = network.clean(clean)
    torch.testing.assert_close(network.clean(torch.cat((dirty, clean)))[1:], alone)
