"""The bundled networks on footage as it is: what they remember must not grow into artefacts."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import vsr

STREET = Path(__file__).parents[2] / "samples" / "street.mp4"


@pytest.mark.parametrize("model", ["compact-x4", "compact-x4-real", "compact-x2-real"])
def test_a_long_shot_comes_back_when_the_result_is_shrunk_again(model: str) -> None:
    """Weights that feed on their own artefacts fail here after some dozen frames."""
    with av.open(str(STREET)) as film:
        frames = [frame.to_ndarray(format="rgb24")[:90, :160] for frame in film.decode(video=0)]
    assert len(frames) == 60
    for before, after in zip(frames, vsr.enhance_frames(frames, model, cuts=()), strict=True):
        shrunk = cv2.resize(after, (160, 90), interpolation=cv2.INTER_AREA)
        error = np.mean((shrunk.astype(float) - before) ** 2)
        assert 10 * np.log10(255**2 / error) > 34
