"""Packets without content: a repeated frame in Theora, elsewhere a picture that stays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from decoded import decode
from synthetic import make_video, read_number
from synthetic_streams import enhance_nearest
from synthetic_theora import make_theora

from vsr.media.probe import probe
from vsr.media.verify import verify

RATE = Fraction(25)


def with_empty_packets(path: Path, indices: set[int]) -> Path:
    """Write numbered frames to NUT, and make the packets at these places (in file order) empty."""
    whole = make_video(
        path.with_name("whole.mp4"), frames=12, rate=RATE,
        codec_options={"preset": "ultrafast", "g": "1"},
    )  # fmt: skip
    with av.open(str(whole)) as given, av.open(str(path), "w") as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for index, packet in enumerate(packet for packet in given.demux(stream) if packet.size):
            made = av.Packet(b"") if index in indices else packet
            made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
            made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            made.stream = copy
            output.mux(made)
    return path


def test_theora_repeats_a_frame_for_each_empty_packet(tmp_path: Path) -> None:
    path = make_theora(tmp_path / "a.ogv", [0, None, None, 5, 9, None, 2, None])
    frames, summary, _ = decode(path)
    assert [frame.pts for frame in frames] == list(range(8))
    assert [int(frame.planes[0][8, 8]) for frame in frames] == [
        170, 170, 170, 180, 188, 188, 174, 174,
    ]  # fmt: skip
    assert {frame.duration for frame in frames} == {1}
    assert (summary.lost, summary.gaps, summary.warnings) == ((), (), ())


def test_theora_can_start_within_a_repetition(tmp_path: Path) -> None:
    path = make_theora(tmp_path / "a.ogv", [0, None, None, None, 5])
    frames, _, _ = decode(path, start=2 / RATE)
    assert [frame.pts for frame in frames] == [2, 3, 4]
    assert [int(frame.planes[0][8, 8]) for frame in frames] == [170, 170, 180]


def test_the_picture_before_an_empty_packet_stays_and_that_is_said(tmp_path: Path) -> None:
    path = with_empty_packets(tmp_path / "a.nut", {5, 6})
    frames, summary, _ = decode(path)
    tick = probe(path).video.time_base
    times = [round((frame.pts - frames[0].pts) * tick * RATE) for frame in frames]
    assert [read_number(frame.planes[0]) for frame in frames] == times
    assert len(times) == 10
    assert sum(frame.duration for frame in frames) * tick == 12 / RATE
    assert (summary.lost, summary.gaps, summary.errors) == ((), (), ())
    assert "empty video packets: 2" in summary.warnings[0]


def test_empty_packets_at_the_end_keep_the_last_picture_up(tmp_path: Path) -> None:
    path = with_empty_packets(tmp_path / "a.nut", {10, 11})
    frames, summary, _ = decode(path)
    assert len(frames) == 10
    assert frames[-1].duration * probe(path).video.time_base == 3 / RATE
    assert summary.lost == ()
    assert "2 (the first at 0.400 s)" in summary.warnings[0]


def test_a_file_that_begins_with_an_empty_packet_is_read(tmp_path: Path) -> None:
    frames, _, _ = decode(with_empty_packets(tmp_path / "a.nut", {0}))
    assert [read_number(frame.planes[0]) for frame in frames] == list(range(1, 12))


def test_verify_tells_what_the_source_lacks(tmp_path: Path) -> None:
    path = with_empty_packets(tmp_path / "a.nut", {5})
    enhance_nearest(path, tmp_path / "out.mkv")
    result = verify(path, tmp_path / "out.mkv")
    assert result.passed
    assert any(said.startswith("in the source: empty video packets: 1") for said in result.warnings)
