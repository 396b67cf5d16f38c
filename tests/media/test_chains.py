"""What a filter chain turns and deinterlaces, held against what libavfilter makes of a picture."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from vsr.media.chains import (
    TRANSPOSE,
    deinterlacers,
    turn_of,
    turn_of_matrix,
    upright_chain,
)
from vsr.media.filters import FrameFilter, StreamShape

ONE = 65536
PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def filtered(chain: str) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(PICTURE, "rgb24")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    shape = StreamShape(
        width=6,
        height=4,
        pix_fmt="rgb24",
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        sample_aspect_ratio=None,
        matrix=2,
        range=0,
    )
    return next(FrameFilter(shape, chain).push(frame)).to_ndarray(format="rgb24")


def moved(turn: tuple[int, int, int, int]) -> np.ndarray:
    """Send every pixel where the turn says, around the centre."""
    a, b, c, d = turn
    height, width = (4, 6) if a else (6, 4)
    made = np.zeros((height, width, 3), np.uint8)
    for y in range(4):
        for x in range(6):
            far, low = 2 * x - 5, 2 * y - 3  # twice the distance from the centre
            to_x, to_y = a * far + c * low, b * far + d * low
            made[(to_y + height - 1) // 2, (to_x + width - 1) // 2] = PICTURE[y, x]
    return made


@pytest.mark.parametrize(
    "chain",
    [
        "transpose",
        *(f"transpose={name}" for name in TRANSPOSE),
        "transpose=dir=cclock",
        "hflip",
        "vflip",
        "hflip,vflip",
        "transpose=1,transpose=1",
        "transpose=clock,hflip,null,transpose=cclock_flip",
    ],
)
def test_the_turn_of_a_chain_is_what_libavfilter_does(chain: str) -> None:
    turn = turn_of(chain)
    assert turn is not None
    assert np.array_equal(filtered(chain), moved(turn))


@pytest.mark.parametrize("chain", ["rotate=PI/2", "transpose=1:portrait", "split[a],[a]vflip"])
def test_turns_that_cannot_be_told_are_not_guessed(chain: str) -> None:
    assert turn_of(chain) is None


@pytest.mark.parametrize("chain", [None, "scale=20:10,crop=4:4", "split[a][b];[a][b]hstack"])
def test_other_filters_turn_nothing(chain: str | None) -> None:
    assert turn_of(chain) == (1, 0, 0, 1)


def test_a_display_matrix_is_undone_by_the_chain_that_is_named() -> None:
    phone = (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)  # turn clockwise
    assert upright_chain(phone) == "transpose=clock"
    half = (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30)
    assert upright_chain(half) == "hflip,vflip"
    assert turn_of("hflip,vflip") == turn_of_matrix(half)
    skewed = (46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    assert turn_of_matrix(skewed) is None
    assert upright_chain(skewed) is None


def test_filters_that_need_fields_are_found_in_any_chain() -> None:
    assert deinterlacers("setfield=tff,fieldmatch,yadif=deint=interlaced,decimate") == (
        "fieldmatch",
        "yadif",
    )
    assert deinterlacers("crop=4:4") == deinterlacers(None) == ()
