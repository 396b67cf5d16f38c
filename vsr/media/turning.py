"""Whether a picture that asks players to turn it still does after a user's filters."""

from __future__ import annotations

from dataclasses import replace

from vsr.media.chains import UPRIGHT, turn_of, turn_of_matrix, upright_chain
from vsr.media.probe import SourceInfo


def as_turned(info: SourceInfo, chain: str | None) -> tuple[SourceInfo, tuple[str, ...]]:
    """Take the rotation out where the filters have done it; warn where they turn otherwise."""
    video = info.video
    turn = turn_of(chain)
    if video.display_matrix is None or turn == UPRIGHT:
        return info, ()
    asked = turn_of_matrix(video.display_matrix)
    if asked == UPRIGHT:
        return info, ()
    if turn is not None and turn == asked:
        return replace(info, video=replace(video, rotation=0, display_matrix=None)), (
            f"the filters turn the picture as the input asks players to ({video.rotation} "
            "degrees), so the output does not ask for it again",
        )
    upright = upright_chain(video.display_matrix)
    advice = f"; only {upright} makes it upright for good" if upright else ""
    return info, (
        "the filters turn the picture as it lies in the file, and players will turn it by "
        f"{video.rotation} degrees after that, as the input asks{advice}",
    )
