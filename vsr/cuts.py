"""Which frames begin a scene, told from the scores of libavfilter's `scdet`."""

from __future__ import annotations

CUT_SCORE = 7.0


def is_cut(score: float, since: int, threshold: float = CUT_SCORE) -> bool:
    """Tell whether a frame begins a scene; the second frame of a scene never does.

    `scdet` compares the change to the change before it; there is none for the second frame of a
    file, and after a cut it is the cut, so the score is just how fast things move there.

    Args:
        score: 0 to 100, how much the frame differs from the one before.
        since: Frames of its scene before it, were it no cut.
        threshold: The lowest score of a cut.
    """
    return score >= threshold and since >= 2
