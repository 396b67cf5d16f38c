"""Pieces of coded video: decoding times, what joining gives, damage."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import make_video
from synthetic_streams import enhance_nearest

from vsr.errors import MuxError
from vsr.media.clock import output_clock
from vsr.media.encode import plan_encoding
from vsr.media.pieces import (
    PieceWriter,
    decoding_times,
    let_last_frame_last,
    read_extradata,
    read_packets,
    read_times,
)
from vsr.media.probe import probe
from vsr.media.types import EncodePlan, PlaneFormat
from vsr.options import EncodeOptions

ORDERS = [
    [0],
    [0, 40, 80],
    [0, 120, 40, 80],
    [7, 160, 80, 40, 120, 201, 180],
    [0, 1000, 1, 2, 1001, 1010, 1002],
]


@pytest.mark.parametrize("pts", ORDERS)
@pytest.mark.parametrize("last", [None, 1, 15, 40, 5000])
def test_decoding_times_increase_and_are_never_after_the_pts(
    pts: list[int], last: int | None
) -> None:
    dts = decoding_times(pts, 40)
    if last is not None:
        let_last_frame_last(dts, pts, last)
    assert len(dts) == len(pts)
    assert all(a < b for a, b in pairwise(dts))
    assert all(d <= p for d, p in zip(dts, pts, strict=True))


def test_without_reordering_frames_are_decoded_when_they_are_shown() -> None:
    assert decoding_times([5, 9, 10], 40) == [5, 9, 10]


def test_the_delay_is_the_least_that_reordering_needs() -> None:
    assert decoding_times([0, 120, 40, 80, 160], 40) == [-40, 0, 40, 80, 120]


@pytest.mark.parametrize("duration", [3, 40, 900])
def test_the_frame_shown_last_gets_its_duration(duration: int) -> None:
    pts = [0, 40, 160, 80, 120]
    dts = decoding_times(pts, 40)
    let_last_frame_last(dts, pts, duration)
    assert dts[3] - dts[2] == duration


@pytest.mark.parametrize("frames", [9, 10, 11, 12])
def test_mp4_keeps_the_last_duration_at_variable_rates_with_reordering(
    tmp_path: Path, frames: int
) -> None:
    ticks = [40 * i + 7 * (i % 3) for i in range(frames)]
    source = make_video(
        tmp_path / "in.mp4", pts=ticks, time_base=Fraction(1, 1000), codec_options={"bf": "0"}
    )
    options = EncodeOptions(preset="ultrafast", encoder_option=("bf=2",))
    enhance_nearest(source, tmp_path / "out.mp4", options=options)
    with av.open(str(tmp_path / "out.mp4")) as file:
        shown = list(file.decode(video=0))
    assert [frame.pts * frame.time_base for frame in shown] == [Fraction(t, 1000) for t in ticks]
    assert shown[-1].duration * shown[-1].time_base == Fraction(42, 1000)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> EncodePlan:
    source = make_video(tmp_path_factory.mktemp("pieces") / "in.mp4", frames=2)
    return plan_encoding(
        probe(source),
        source.with_name("out.mp4"),
        width=64,
        height=48,
        time_base=Fraction(1, 1000),
        frame_rate=Fraction(25),
        sample_aspect_ratio=None,
        plane_format=PlaneFormat(name="yuv420p", chroma="420", bit_depth=8),
        options=EncodeOptions(preset="veryfast"),
    )


def grey(value: int) -> list[np.ndarray]:
    return [np.full(shape, value, np.uint8) for shape in ((48, 64), (24, 32), (24, 32))]


def write_piece(path: Path, plan: EncodePlan, values: range) -> Path:
    with PieceWriter(path, path, plan, output_clock(plan, None)) as piece:
        for value in values:
            piece.write(grey(value * 9), 40 * value, 40)
        piece.finish()
    return path


def test_a_piece_holds_every_frame_once_and_starts_with_a_keyframe(
    tmp_path: Path, plan: EncodePlan
) -> None:
    pieces = [write_piece(tmp_path / str(i), plan, range(9 * i, 9 * i + 9)) for i in range(2)]
    times, last = read_times(pieces)
    packets = list(read_packets(pieces))
    assert sorted(times) == [40 * i for i in range(18)]
    assert [packet.pts for packet in packets] == times
    assert packets[0].is_keyframe
    assert packets[9].is_keyframe
    assert last == 40


def test_the_same_frames_make_the_same_bytes(tmp_path: Path, plan: EncodePlan) -> None:
    first, second = (write_piece(tmp_path / name, plan, range(9)) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert read_extradata(first)


def test_an_unfinished_piece_is_removed(tmp_path: Path, plan: EncodePlan) -> None:
    with PieceWriter(tmp_path / "p", tmp_path, plan, output_clock(plan, None)) as piece:
        piece.write(grey(1), 0, 40)
    assert list(tmp_path.iterdir()) == []


def test_times_must_increase(tmp_path: Path, plan: EncodePlan) -> None:
    with PieceWriter(tmp_path / "p", tmp_path, plan, output_clock(plan, None)) as piece:
        piece.write(grey(1), 1000, 40)
        with pytest.raises(ValueError, match="pts must increase"):
            piece.write(grey(1), 1000, 40)


@pytest.mark.parametrize("place", [0, 12, 30, -3])
def test_damage_is_never_read_as_video(tmp_path: Path, plan: EncodePlan, place: int) -> None:
    path = write_piece(tmp_path / "p", plan, range(5))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(MuxError, match="damaged on the disk"):
        list(read_packets([path]))


def test_a_piece_that_was_cut_short_is_damaged(tmp_path: Path, plan: EncodePlan) -> None:
    path = write_piece(tmp_path / "p", plan, range(5))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(MuxError, match="damaged on the disk"):
        list(read_packets([path]))


@pytest.mark.parametrize(
    ("pts", "last"),
    [
        # A late start, and fewer ticks to the second packet than between most frames.
        ([500, 3012, 15024, 9600, 6015, 12021], 3476),
        ([500, 3300, 5800, 800], None),
        ([9000, 10300, 14800, 11300, 18300, 19300, 10000, 22300], 2500),
        ([1, 4101, 3801, 3501], 1000),
        ([2000, 6500, 5500, 3000], 1000),
        ([2000, 12021, 6015, 3012, 9000], 3000),
    ],
)
def test_mp4_keeps_a_late_start_with_reordering(
    tmp_path: Path, pts: list[int], last: int | None
) -> None:
    dts = decoding_times(pts, 3034)
    if last is not None:
        let_last_frame_last(dts, pts, last)
    with av.open(str(make_video(tmp_path / "in.mp4", frames=2))) as source:
        template = source.streams.video[0]
        payload = next(bytes(packet) for packet in source.demux(template))
        path = tmp_path / "out.mp4"
        with av.open(str(path), "w", options={"movie_timescale": "90000"}) as file:
            stream = file.add_stream_from_template(template)
            stream.time_base = Fraction(1, 90000)
            for shown, decoded in zip(pts, dts, strict=True):
                packet = av.Packet(payload)
                packet.stream, packet.time_base = stream, stream.time_base
                packet.pts, packet.dts, packet.is_keyframe = shown, decoded, shown == pts[0]
                file.mux(packet)
    with av.open(str(path)) as file:
        found = file.streams.video[0].time_base
        assert [p.pts * found * 90000 for p in file.demux(video=0) if p.size] == pts
