"""Every frame, once, in order, at its own time: read from the bar codes the frames carry."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import synthetic
import torch
from decoded import decode
from numpy.typing import NDArray
from synthetic import make_pictures, make_video, read_number, splice

from vsr.data.pictures import color_layout
from vsr.errors import ConfigError, DecodeError
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.types import PlanarFrame
from vsr.ops.color import planes_to_rgb

TICKS = Fraction(1, 90000)
VFR = [0, 3003, 4100, 9000, 9900, 30000, 31000, 34003, 37006, 40000]


def numbers(frames: list[PlanarFrame]) -> list[int]:
    """Read the codes; from R, G and B or from luma alone."""
    return [
        synthetic.read_number(np.stack(f.planes, -1) if f.format.chroma == "rgb" else f.planes[0])
        for f in frames
    ]


def seconds(frames: list[PlanarFrame], decoder: Decoder) -> list[Fraction]:
    return [frame.pts * decoder.time_base for frame in frames]


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov", "ts", "avi", "webm", "mpg"])
def test_constant_rate_gives_every_frame_in_order(tmp_path: Path, container: str) -> None:
    codec = {"webm": "libvpx", "mpg": "mpeg2video", "avi": "mpeg4"}.get(container, "libx264")
    quality = {"q:v": "2"} if container in ("mpg", "avi") else {"b:v": "2M"}
    path = synthetic.make_video(
        tmp_path / f"a.{container}", rate=Fraction(25), codec=codec, codec_options=quality
    )
    frames, summary, decoder = decode(path)
    assert numbers(frames) == list(range(12))
    times = seconds(frames, decoder)
    assert [time - times[0] for time in times] == pytest.approx([i / 25 for i in range(12)])
    assert [float(f.duration * decoder.time_base) for f in frames] == pytest.approx([0.04] * 12)
    assert (summary.frames, summary.decoded, summary.packets) == (12, 12, 12)
    assert (summary.lost, summary.corrupt, summary.errors) == ((), (), ())
    assert summary.warnings == ()


@pytest.mark.parametrize("b_frames", [False, True])
def test_variable_rate_keeps_every_pts_to_the_tick(tmp_path: Path, b_frames: bool) -> None:
    path = synthetic.make_video(
        tmp_path / "vfr.mp4",
        pts=VFR,
        time_base=TICKS,
        codec_options=synthetic.WITH_B_FRAMES if b_frames else None,
    )
    frames, summary, decoder = decode(path)
    assert decoder.time_base == TICKS
    assert [frame.pts for frame in frames] == VFR
    assert [f.duration for f in frames[:-1]] == np.diff(VFR).tolist()
    assert numbers(frames) == list(range(len(VFR)))
    assert (summary.lost, summary.warnings) == ((), ())


def test_last_frame_keeps_its_own_duration(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mp4", pts=[0, 3000, 6000], durations=[3000, 3000, 7777], time_base=TICKS
    )
    assert [frame.duration for frame in decode(path)[0]] == [3000, 3000, 7777]


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_start_other_than_zero_stays(tmp_path: Path, container: str) -> None:
    pts = [900000 + 3600 * i for i in range(6)]
    path = synthetic.make_video(
        tmp_path / f"a.{container}",
        pts=pts,
        time_base=TICKS,
        container_options={"mpegts_copyts": "1"} if container == "ts" else {},
    )
    frames, _, decoder = decode(path)
    assert seconds(frames, decoder) == [Fraction(tick, 90000) for tick in pts]
    assert decoder.origin == 10


def test_edit_list_hides_what_lies_before_it(tmp_path: Path) -> None:
    pts = [3600 * i for i in range(-4, 8)]  # the muxer hides frames before 0 by an edit list
    path = synthetic.make_video(tmp_path / "a.mp4", pts=pts, time_base=TICKS)
    frames, summary, _ = decode(path)
    assert numbers(frames) == list(range(4, 12))
    assert [frame.pts for frame in frames] == pts[4:]
    assert summary.lost == ()


def test_raw_stream_without_pts_gets_them_from_the_rate(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "raw.h264", format="h264", codec_options=synthetic.WITH_B_FRAMES
    )
    frames, summary, decoder = decode(path)
    assert numbers(frames) == list(range(12))
    assert seconds(frames, decoder) == [Fraction(1001 * i, 24000) for i in range(12)]
    assert summary.synthesised_pts == 12


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_program_stream_with_few_pts_is_whole_and_even(tmp_path: Path, b_frames: str) -> None:
    # Frames smaller than a pack of 2048 bytes: only the first in each pack has a pts.
    path = synthetic.make_video(
        tmp_path / "a.mpg",
        frames=60,
        rate=Fraction(25),
        codec="mpeg2video",
        codec_options={"q:v": "2", "bf": b_frames},
    )
    frames, summary, _ = decode(path)
    assert numbers(frames) == list(range(60))
    assert {frame.duration for frame in frames} == {3600}
    assert (summary.lost, summary.gaps, summary.repaired_pts) == ((), (), 0)


def test_avi_with_b_frames_comes_in_order(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "b.avi", rate=Fraction(25), codec_options=synthetic.WITH_B_FRAMES
    )
    frames, summary, decoder = decode(path)
    assert numbers(frames) == list(range(12))
    times = seconds(frames, decoder)
    assert [time - times[0] for time in times] == [Fraction(i, 25) for i in range(12)]
    assert frames[-1].duration * decoder.time_base == Fraction(1, 25)
    assert summary.lost == ()


def test_spliced_transport_stream_goes_on_without_a_seam(tmp_path: Path) -> None:
    part = synthetic.make_video(
        tmp_path / "a.ts", rate=Fraction(25), codec_options=synthetic.WITH_B_FRAMES, audio=["aac"]
    )
    frames, summary, decoder = decode(synthetic.splice(tmp_path / "aa.ts", part, part))
    assert numbers(frames) == [*range(12), *range(12)]
    steps = np.diff([float(time) for time in seconds(frames, decoder)])
    # The second part's clock follows whichever track comes first at the seam; AAC frames are
    # 21 ms long, so the seam is right to less than two of them.
    assert steps == pytest.approx([0.04] * 23, abs=0.043)
    assert np.delete(steps, 11) == pytest.approx([0.04] * 22)
    assert len(summary.discontinuities) == 1


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("mode", ["auto", "frame", "field", "off"])
def test_deinterlacing_counts_and_times(tmp_path: Path, order: str, mode: str) -> None:
    path = synthetic.make_video(
        tmp_path / "i.mp4", rate=Fraction(25), size=(64, 64), field_order=order
    )
    frames, _, decoder = decode(path, deinterlace=mode)
    per_frame = 2 if mode == "field" else 1
    assert len(frames) == 12 * per_frame
    assert decoder.frame_rate == 25 * per_frame
    assert seconds(frames, decoder) == [Fraction(i, 25 * per_frame) for i in range(12 * per_frame)]
    assert {frame.duration * decoder.time_base for frame in frames} == {1 / decoder.frame_rate}
    assert numbers(frames)[::per_frame] == list(range(12))


def combed(index: int, width: int, height: int) -> np.ndarray:
    """Draw two moments of a moving edge, one in each field, the top one first."""
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[0::2, : 8 + 8 * index] = 220
    picture[1::2, : 12 + 8 * index] = 220
    return picture


@pytest.mark.parametrize(("mode", "comb_expected"), [("off", True), ("auto", False)])
def test_auto_removes_the_comb_of_interlaced_video(
    tmp_path: Path, mode: str, comb_expected: bool
) -> None:
    path = synthetic.make_video(
        tmp_path / "i.mp4", frames=5, size=(64, 64), field_order="tff", picture=combed
    )
    middle = decode(path, deinterlace=mode)[0][2].planes[0].astype(int)
    comb = np.abs(middle[16:48:2] - middle[17:49:2]).max(axis=1).min()
    assert bool(comb > 100) is comb_expected


def test_auto_leaves_progressive_video_untouched(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "p.mp4", picture=combed)
    as_is, automatic = decode(path, deinterlace="off")[0], decode(path)[0]
    for one, other in zip(as_is, automatic, strict=True):
        assert np.array_equal(one.planes[0], other.planes[0])


@pytest.mark.parametrize(
    ("pix_fmt", "planar", "chroma", "depth"),
    [
        ("yuv420p", "yuv420p", "420", 8),
        ("yuv422p", "yuv422p", "422", 8),
        ("yuv444p", "yuv444p", "444", 8),
        ("yuv411p", "yuv411p", "411", 8),
        ("yuv410p", "yuv410p", "410", 8),
        ("yuv440p", "yuv440p", "440", 8),
        ("gray", "gray", "gray", 8),
        ("gray10le", "gray10le", "gray", 10),
        ("yuv420p10le", "yuv420p10le", "420", 10),
        ("yuv422p10le", "yuv422p10le", "422", 10),
        ("yuv444p16le", "yuv444p16le", "444", 16),
        ("gbrp12le", "gbrp12le", "rgb", 12),
        ("bgr0", "gbrp", "rgb", 8),
    ],
)
def test_planes_hold_exactly_what_was_stored(
    tmp_path: Path, pix_fmt: str, planar: str, chroma: str, depth: int
) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mkv", frames=2, size=(66, 50), codec="ffv1", pix_fmt=pix_fmt
    )
    frames, summary, decoder = decode(path)
    assert (decoder.format.name, decoder.format.chroma) == (planar, chroma)
    assert decoder.format.bit_depth == depth
    stored = synthetic.rgb_to_planes(synthetic.draw_number(1, 66, 50), planar)
    expected = [stored[i] for i in (2, 0, 1)] if chroma == "rgb" else stored
    assert len(frames[1].planes) == len(expected)
    for plane, values in zip(frames[1].planes, expected, strict=True):
        assert plane.dtype == (np.uint8 if depth == 8 else np.uint16)
        assert np.array_equal(plane, values)
    assert summary.warnings == ()


def test_alpha_is_left_out(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="yuva420p", frames=2)
    frames, _, _ = decode(path)
    assert [len(frame.planes) for frame in frames] == [3, 3]


def test_filters_that_change_the_size_in_mid_film_are_refused(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", codec="ffv1", frames=6)
    with pytest.raises(ConfigError, match=r"change the size from 64x48 to 32x48 in mid-film"):
        decode(path, filter_chain="scale=w='if(lt(n,3),64,32)':h=48:eval=frame")


def test_float_pixels_are_refused_with_advice(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="gray", frames=2)
    with pytest.raises(DecodeError, match=r"grayf32le pixels are not integers.*--filter"):
        decode(path, filter_chain="format=grayf32le")


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi", "h264"])
@pytest.mark.parametrize(("start", "duration"), [(0, 1), (1, None), (3, 1), (4, Fraction(1, 2))])
def test_start_and_duration_choose_exact_frames(
    tmp_path: Path, container: str, start: int, duration: Fraction | None
) -> None:
    path = synthetic.make_video(
        tmp_path / f"a.{container}",
        frames=60,
        rate=Fraction(12),
        codec_options=synthetic.WITH_B_FRAMES | {"g": "9"},
    )
    whole, _, whole_decoder = decode(path)
    frames, summary, decoder = decode(path, start=Fraction(start), duration=duration)
    last = 60 if duration is None else int(12 * (start + duration))
    origin = decoder.origin
    wanted = [
        time
        for time in seconds(whole, whole_decoder)
        if start <= time - origin and (duration is None or time - origin < start + duration)
    ]
    assert seconds(frames, decoder) == wanted
    if container != "avi":  # whose frames all come later by the decoder's delay
        assert numbers(frames) == list(range(start * 12, last))
    assert summary.lost == ()


def test_frames_after_a_seek_equal_those_of_a_whole_pass(tmp_path: Path) -> None:
    options = {"preset": "veryfast", "bf": "3", "g": "10", "x264-params": "open-gop=1"}
    path = synthetic.make_video(
        tmp_path / "a.mkv", frames=80, rate=Fraction(10), codec_options=options
    )
    whole = {frame.pts: frame for frame in decode(path)[0]}
    for start in (3, 5, 7):
        for frame in decode(path, start=Fraction(start))[0]:
            for plane, same in zip(frame.planes, whole[frame.pts].planes, strict=True):
                assert np.array_equal(plane, same)


def test_start_in_a_spliced_stream_gives_the_times_of_a_whole_pass(tmp_path: Path) -> None:
    part = synthetic.make_video(tmp_path / "a.ts", frames=40, rate=Fraction(10), audio=["mp2"])
    path = synthetic.splice(tmp_path / "aaa.ts", part, part, part)
    whole, _, decoder = decode(path)
    late, _, _ = decode(path, start=Fraction(9))
    assert [f.pts for f in late] == [
        f.pts for f in whole if f.pts * decoder.time_base >= decoder.origin + 9
    ]
    assert numbers(late) == numbers(whole)[-len(late) :]


def test_start_after_the_end_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4")
    with pytest.raises(DecodeError, match=r"no frames from 99 s on.*earlier start"):
        decode(path, start=Fraction(99))


def test_frames_that_filters_give_one_time_move_by_ticks_and_are_counted(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=6, rate=Fraction(25))
    frames, summary, decoder = decode(path, filter_chain="settb=1/20,setpts=trunc(PTS/2)")
    assert (decoder.time_base, [frame.pts for frame in frames]) == (Fraction(1, 20), [*range(6)])
    assert summary.warnings == (
        "5 frames leave the filters with times no later than those before them; "
        "they are moved later",
    )


def test_filter_chain_sets_size_rate_and_aspect(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", rate=Fraction(24))
    chain = "scale=w='min(iw,32)':h=24,setsar=4/3,fps=12"
    frames, _, decoder = decode(path, filter_chain=chain)
    assert (decoder.width, decoder.height) == (32, 24)
    assert frames[0].planes[0].shape == (24, 32)
    assert decoder.sample_aspect_ratio == Fraction(4, 3)
    assert decoder.frame_rate == 12
    assert seconds(frames, decoder) == [Fraction(i, 12) for i in range(6)]


def test_aspect_of_the_file_passes_through_filters(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", sample_aspect_ratio=Fraction(16, 15))
    assert decode(path, filter_chain="hflip")[2].sample_aspect_ratio == Fraction(16, 15)
    squeezed = decode(path, filter_chain="scale=32:48")[2]
    assert squeezed.sample_aspect_ratio == Fraction(32, 15)


def test_upside_down_planes_are_turned_right(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4")
    plain, flipped = decode(path)[0][3], decode(path, filter_chain="vflip")[0][3]
    for one, other in zip(plain.planes, flipped.planes, strict=True):
        assert np.array_equal(one[::-1], other)
        assert other.strides[0] > 0


@pytest.mark.parametrize("chain", ["nosuchfilter", "scale=nope=1", "crop=999:999", ",", "[a"])
def test_wrong_filter_chain_is_named(tmp_path: Path, chain: str) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=2)
    with pytest.raises(ConfigError, match="filter") as caught:
        decode(path, filter_chain=chain)
    assert chain in str(caught.value)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p16le", "bgr0"])
def test_scene_score_peaks_at_the_cut_in_any_format(tmp_path: Path, pix_fmt: str) -> None:
    def two_shots(index: int, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), 30 if index < 4 else 200, np.uint8)

    path = synthetic.make_video(
        tmp_path / "a.mkv", frames=8, codec="ffv1", pix_fmt=pix_fmt, picture=two_shots
    )
    scores = [frame.scene_score for frame in decode(path)[0]]
    assert scores.index(max(scores)) == 4
    assert scores[4] > 20
    assert scores[0] == 0
    assert max(scores[:4] + scores[5:]) < 1


def test_change_of_size_is_scaled_to_the_first_with_a_warning(tmp_path: Path) -> None:
    small = synthetic.make_video(tmp_path / "s.ts", frames=4, rate=Fraction(25))
    large = synthetic.make_video(tmp_path / "l.ts", frames=4, rate=Fraction(25), size=(128, 96))
    frames, summary, decoder = decode(synthetic.splice(tmp_path / "sl.ts", small, large))
    assert (decoder.width, decoder.height) == (64, 48)
    assert {frame.planes[0].shape for frame in frames} == {(48, 64)}
    assert numbers(frames) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert "64x48" in summary.warnings[0]
    assert "128x96" in summary.warnings[0]


def test_cover_art_is_not_taken_for_the_video(tmp_path: Path) -> None:
    path = tmp_path / "c.mp4"
    source = synthetic.make_video(tmp_path / "a.mp4", frames=3)
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copy = output.add_stream_from_template(given.streams.video[0])
        frame = synthetic.make_frame(synthetic.draw_number(77, 640, 480), "yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        output.mux(cover.encode(frame))
        output.mux(cover.encode(None))
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    assert numbers(decode(path)[0]) == [0, 1, 2]


def test_planes_stay_valid_after_closing(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=30)
    frames, _, _ = decode(path)
    assert numbers(frames) == list(range(30))


def test_interlaced_frames_after_a_progressive_start_are_a_warning(tmp_path: Path) -> None:
    plain = synthetic.make_video(tmp_path / "p.ts", frames=4, rate=Fraction(25), size=(64, 64))
    combs = synthetic.make_video(
        tmp_path / "i.ts", frames=4, rate=Fraction(25), size=(64, 64), field_order="tff"
    )
    frames, summary, _ = decode(synthetic.splice(tmp_path / "pi.ts", plain, combs))
    assert numbers(frames) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert any("interlaced" in warning for warning in summary.warnings)


RATE = Fraction(25)
SD, HD = (6, 6, 6, 1), (1, 1, 1, 1)  # tags of BT.601 and BT.709
FULL_HD = (1, 1, 1, 2)
RED = (208, 64, 32)


def red(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), RED, np.uint8)


def part(path: Path, color: tuple[int, int, int, int] | None, width: int = 64) -> Path:
    size = (width, width * 3 // 4)
    return make_video(path, frames=4, rate=RATE, size=size, color=color, picture=red)


def shown(frame: PlanarFrame, path: Path) -> list[int]:
    """RGB of the picture's middle, by the tags of the whole file."""
    layout, _ = color_layout(probe(path), frame.format)
    rgb = planes_to_rgb([torch.from_numpy(plane.copy()) for plane in frame.planes], layout)
    return [round(float(value) * 255) for value in rgb[:, rgb.shape[1] // 2, rgb.shape[2] // 2]]


@pytest.mark.parametrize(
    ("first", "then", "width", "words"),
    [
        (SD, HD, 64, "colour matrix BT.601 to BT.709"),
        (HD, SD, 64, "colour matrix BT.709 to BT.601"),
        (HD, FULL_HD, 64, "colour range limited to full"),
        (SD, FULL_HD, 128, "colour matrix BT.601 to BT.709, colour range limited to full"),
    ],
)
def test_colours_stay_right_where_the_tags_change(
    tmp_path: Path,
    first: tuple[int, int, int, int],
    then: tuple[int, int, int, int],
    width: int,
    words: str,
) -> None:
    path = splice(
        tmp_path / "both.ts", part(tmp_path / "a.ts", first), part(tmp_path / "b.ts", then, width)
    )
    frames, summary, _ = decode(path)
    assert len(frames) == 8
    for frame in frames:
        assert shown(frame, path) == pytest.approx(RED, abs=3)
    (note,) = summary.warnings
    assert words in note
    assert "4 in all" in note


def test_colours_are_those_of_the_file_where_decoding_starts_late(tmp_path: Path) -> None:
    path = splice(tmp_path / "ab.ts", part(tmp_path / "a.ts", SD), part(tmp_path / "b.ts", HD))
    frames, _, _ = decode(path, start=5 / RATE)
    assert len(frames) == 3
    assert shown(frames[0], path) == pytest.approx(RED, abs=3)


def test_untagged_frames_of_the_same_size_are_left_as_they_are(tmp_path: Path) -> None:
    path = splice(tmp_path / "ab.ts", part(tmp_path / "a.ts", HD), part(tmp_path / "b.ts", None))
    frames, summary, _ = decode(path)
    assert len(frames) == 8
    assert summary.warnings == ()


def test_a_change_that_comes_again_is_said_once(tmp_path: Path) -> None:
    small = make_video(tmp_path / "s.ts", frames=4, rate=RATE)
    large = make_video(tmp_path / "l.ts", frames=4, rate=RATE, size=(128, 96))
    frames, summary, _ = decode(splice(tmp_path / "slsl.ts", small, large, small, large))
    assert [read_number(frame.planes[0]) for frame in frames] == [0, 1, 2, 3] * 4
    (note,) = summary.warnings
    assert "0.160 s after its start (size 64x48 to 128x96); such frames, 8 in all" in note


@pytest.mark.parametrize(("first", "then"), [("rgb24", "gray"), ("gray", "rgb24")])
def test_pictures_of_different_formats_come_in_the_first_ones(
    tmp_path: Path, first: str, then: str
) -> None:
    make_pictures(tmp_path / "p", frames=2, pix_fmt=first)
    frames, summary, _ = decode(make_pictures(tmp_path / "p", frames=2, first=3, pix_fmt=then))
    assert [read_number(frame.planes[0]) for frame in frames] == [0, 1, 0, 1]
    (note,) = summary.warnings
    assert f"pixel format {first} to {then}" in note
