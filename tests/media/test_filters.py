"""Filter chains are read as libavfilter reads them; scenes are scored beside the frames' way."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import synthetic

from vsr.errors import ConfigError
from vsr.media.filters import (
    TRANSPOSE,
    FrameFilter,
    SceneScorer,
    StreamShape,
    parse_chain,
    turn_of_matrix,
    upright_chain,
)

SHAPE = StreamShape(
    width=64,
    height=48,
    pix_fmt="yuv420p",
    time_base=Fraction(1, 25),
    frame_rate=Fraction(25),
    sample_aspect_ratio=Fraction(4, 3),
    matrix=1,
    range=1,
)


def frame(index: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    made = synthetic.make_frame(synthetic.draw_number(index), pix_fmt, (1, 1, 1, 1))
    made.pts, made.time_base = index, Fraction(1, 25)
    return made


def run(chain: str, frames: int = 4) -> list[av.VideoFrame]:
    graph = FrameFilter(SHAPE, parse_chain(chain))
    given = [out for index in range(frames) for out in graph.push(frame(index))]
    return given + list(graph.push(None))


def luma(made: av.VideoFrame) -> np.ndarray:
    return np.frombuffer(made.planes[0], np.uint8).reshape(made.height, -1)[:, : made.width]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("hflip", [("hflip", "")]),
        (" scale = 3:4 , hflip ", [("scale", "3:4"), ("hflip", "")]),
        ("scale='min(3,iw)':2", [("scale", "min(3,iw):2")]),
        (r"drawtext=text=a\,b\;c", [("drawtext", "text=a,b;c")]),
        (r"x=a\\:b", [("x", r"a\:b")]),
        ("crop@left=1:2", [("crop", "1:2")]),
    ],
)
def test_names_and_arguments_are_unquoted_once(text: str, calls: list[tuple[str, str]]) -> None:
    assert [(call.name, call.arguments) for call in parse_chain(text).calls] == calls


def test_labels_and_joints_are_read() -> None:
    first, second = parse_chain("[in]split[a][b];[a][b]hstack[out]").calls
    assert (first.inputs, first.outputs, first.joined) == (("in",), ("a", "b"), False)
    assert (second.inputs, second.outputs, second.joined) == (("a", "b"), ("out",), False)


@pytest.mark.parametrize("text", ["", " ", ",hflip", "hflip,,vflip", "hflip;", "[a hflip"])
def test_broken_grammar_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="filter chain"):
        parse_chain(text)


@pytest.mark.parametrize(
    "chain", ["hflip,hflip", "split[a][b];[b]nullsink;[a]null", "[in]null[out]"]
)
def test_chains_that_change_nothing_give_the_same_frames(chain: str) -> None:
    for index, made in enumerate(run(chain)):
        assert (made.pts, made.time_base) == (index, Fraction(1, 25))
        assert np.array_equal(luma(made), luma(frame(index)))


def test_branches_meet_in_the_order_of_their_labels() -> None:
    top_left = luma(run("split[a][b];[b]vflip[c];[c][a]vstack")[0])
    source = luma(frame(0))
    assert np.array_equal(top_left, np.vstack([source[::-1], source]))


def test_a_source_filter_can_be_laid_over_the_video() -> None:
    covered = run("color=black:s=64x24:r=25[bar];[in][bar]overlay=shortest=1")[0]
    assert luma(covered)[:24].max() <= 16
    assert np.array_equal(luma(covered)[24:], luma(frame(0))[24:])


def test_facts_tell_rate_and_aspect_after_the_filters() -> None:
    graph = FrameFilter(SHAPE, parse_chain("fps=50,setsar=2/1"))
    assert graph.facts is None
    for index in range(3):
        list(graph.push(frame(index)))
    assert graph.facts is not None
    assert graph.facts.frame_rate == 50
    assert graph.facts.sample_aspect_ratio == 2


def test_a_chain_that_leaves_the_rate_open_tells_none() -> None:
    graph = FrameFilter(SHAPE, parse_chain("setpts=PTS:strip_fps=1"))
    assert list(graph.push(frame(0)))
    assert graph.facts is not None
    assert graph.facts.frame_rate is None


def test_colour_tags_pass_through() -> None:
    made = run("scale=32:24")[0]
    assert (made.colorspace, made.color_range) == (1, 1)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ("nosuchfilter", "no filter nosuchfilter"),
        ("scale=nope=1", "nope"),
        ("crop=999:999", "999"),
        ("split", "2 outputs are left over"),
        ("[x]hflip", "no filter takes the video"),
        ("hflip,[x][in]hstack", "no filter outputs [x]"),
    ],
)
def test_what_libavfilter_says_is_passed_on(chain: str, words: str) -> None:
    with pytest.raises(ConfigError, match="libavfilter") as caught:
        FrameFilter(SHAPE, parse_chain(chain))
    assert words in str(caught.value)


def test_a_filter_that_has_had_enough_ends_the_stream() -> None:
    assert len(run("trim=end_frame=2", frames=6)) == 2


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray10le", "gbrp", "nv12"])
def test_scene_scores_know_a_cut_from_motion(pix_fmt: str) -> None:
    scorer = SceneScorer()
    scores = [scorer.score(frame(index, pix_fmt)) for index in (0, 0, 65535, 65534)]
    assert scores[0] == scores[1] == 0
    assert scores[2] > 40
    assert scores[3] < 10


def test_scoring_leaves_the_frame_as_it_was() -> None:
    scored = frame(3, "gbrp")
    before = luma(scored).copy()
    SceneScorer().score(scored)
    assert scored.format.name == "gbrp"
    assert np.array_equal(luma(scored), before)


def test_logging_is_left_as_it_was() -> None:
    before = av.logging.get_level()
    run("hflip")
    assert av.logging.get_level() == before


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
    return next(FrameFilter(shape, parse_chain(chain)).push(frame)).to_ndarray(format="rgb24")


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
    turn = parse_chain(chain).turn
    assert turn is not None
    assert np.array_equal(filtered(chain), moved(turn))


@pytest.mark.parametrize("chain", ["rotate=PI/2", "transpose=1:portrait", "split[a],[a]vflip"])
def test_turns_that_cannot_be_told_are_not_guessed(chain: str) -> None:
    assert parse_chain(chain).turn is None


@pytest.mark.parametrize("chain", [None, "scale=20:10,crop=4:4", "split[a][b];[a][b]hstack"])
def test_other_filters_turn_nothing(chain: str | None) -> None:
    assert parse_chain(chain).turn == (1, 0, 0, 1)


def test_a_display_matrix_is_undone_by_the_chain_that_is_named() -> None:
    phone = (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)  # turn clockwise
    assert upright_chain(phone) == "transpose=clock"
    half = (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30)
    assert upright_chain(half) == "hflip,vflip"
    assert parse_chain("hflip,vflip").turn == turn_of_matrix(half)
    skewed = (46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    assert turn_of_matrix(skewed) is None
    assert upright_chain(skewed) is None


def test_filters_that_need_fields_are_found_in_any_chain() -> None:
    chain = parse_chain("setfield=tff,fieldmatch,yadif=deint=interlaced,decimate")
    assert chain.deinterlacers == ("fieldmatch", "yadif")
    assert parse_chain("crop=4:4").deinterlacers == parse_chain(None).deinterlacers == ()
