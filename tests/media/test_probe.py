"""What probe says of a file is what the file was made with."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import synthetic
from synthetic import make_video

from vsr.cli.info import describe
from vsr.errors import ProbeError
from vsr.media.filters import crop_notes, parse_chain
from vsr.media.matroska import Crop, read_crops
from vsr.media.probe import ColorTags, crop_of, probe


def test_video_is_described_as_it_was_made(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mp4",
        pix_fmt="yuv422p10le",
        sample_aspect_ratio=Fraction(16, 15),
        color=(9, 16, 9, 1),
        audio=["aac"],
        tags={"title": "A title"},
    )
    info = probe(path)
    video = info.video
    assert (info.path, info.format, info.size_bytes) == (path, "mov", path.stat().st_size)
    assert info.tags["title"] == "A title"
    assert (video.index, video.codec, video.width, video.height) == (0, "h264", 64, 48)
    assert (video.pix_fmt, video.bit_depth) == ("yuv422p10le", 10)
    assert video.frame_rate == Fraction(24000, 1001)
    assert (video.frame_count, video.start_pts) == (12, 0)
    assert video.duration == Fraction(12 * 1001, 24000)
    assert video.sample_aspect_ratio == Fraction(16, 15)
    assert video.color == ColorTags(primaries=9, transfer=16, matrix=9, range=1)
    assert video.field_order == "progressive"
    assert (video.rotation, video.display_matrix, video.hdr) == (0, None, None)


@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_rotation_is_read(tmp_path: Path, rotation: int, container: str) -> None:
    video = probe(synthetic.make_video(tmp_path / f"r.{container}", rotation=rotation)).video
    assert video.rotation % 360 == rotation % 360
    assert video.display_matrix is not None
    assert len(video.display_matrix) == 9
    assert (video.width, video.height) == (64, 48)


def test_hdr10_metadata_is_exact(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "hdr.mp4",
        frames=2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=(9, 16, 9, 1),
        codec_options=synthetic.hdr10_options(),
    )
    hdr = probe(path).video.hdr
    assert hdr is not None
    assert hdr.red == (Fraction(34000, 50000), Fraction(16000, 50000))
    assert hdr.green == (Fraction(13250, 50000), Fraction(34500, 50000))
    assert hdr.blue == (Fraction(7500, 50000), Fraction(3000, 50000))
    assert hdr.white == (Fraction(15635, 50000), Fraction(16450, 50000))
    assert (hdr.max_luminance, hdr.min_luminance) == (1000, Fraction(1, 10000))
    assert (hdr.max_content_light, hdr.max_frame_average_light) == (1000, 400)


@pytest.mark.parametrize(("location", "siting"), [(0, "left"), (1, "center"), (2, "topleft")])
def test_chroma_siting_is_read_from_the_stream(tmp_path: Path, location: int, siting: str) -> None:
    options = {"x264-params": f"chromaloc={location}"}
    path = synthetic.make_video(tmp_path / "a.mp4", frames=2, codec_options=options)
    assert probe(path).video.chroma_siting == siting


def test_motion_jpeg_is_sited_in_the_centre(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuvj420p", frames=2)
    video = probe(path).video
    assert (video.chroma_siting, video.pix_fmt) == ("center", "yuvj420p")


@pytest.mark.parametrize(("flag", "order"), [("tff", "top-first"), ("bff", "bottom-first")])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_field_order_is_read(tmp_path: Path, flag: str, order: str, codec: str) -> None:
    options = {"x264-params": f"{flag}=1"} if codec == "libx264" else {}
    path = synthetic.make_video(
        tmp_path / ("i.mp4" if codec == "libx264" else "i.mpg"),
        frames=4,
        size=(64, 64),
        rate=Fraction(25),
        codec=codec,
        field_order=flag,
        codec_options=options,
    )
    assert probe(path).video.field_order == order


def test_streams_are_listed_in_order(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", audio=["flac", "pcm_s16le"])
    streams = probe(path).streams
    assert [(s.index, s.kind, s.codec) for s in streams] == [
        (0, "video", "h264"),
        (1, "audio", "flac"),
        (2, "audio", "pcm_s16le"),
    ]
    assert streams[0].details == "64x48"
    assert streams[1].details == "48000 Hz stereo"
    assert all(stream.decodable for stream in streams)


def test_chapters_are_given_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "c.mkv"
    source = synthetic.make_video(tmp_path / "a.mkv")
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(given.streams.video[0])
        chapter = {"id": 1, "start": 100, "end": 400, "time_base": Fraction(1, 1000)}
        output.set_chapters([{**chapter, "metadata": {"title": "Middle"}}])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    assert probe(path).chapters == ((Fraction(1, 10), Fraction(2, 5), "Middle"),)


def test_the_larger_of_two_videos_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        for size in ((32, 32), (64, 48)):
            stream = output.add_stream("ffv1", rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.disposition = av.stream.Disposition(0)
        for stream in output.streams.video:
            picture = synthetic.draw_number(0, stream.width, stream.height)
            frame = synthetic.make_frame(picture, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    assert probe(path).video.index == 1


def test_tags_that_are_not_utf8_do_not_stop_it(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mkv", frames=2, tags={"comment": "caf\u00e9X"})
    path.write_bytes(path.read_bytes().replace("caf\u00e9X".encode(), b"caf\xe9XX"))
    comment = next(value for key, value in probe(path).tags.items() if key.lower() == "comment")
    assert comment.encode("utf-8", "surrogateescape") == b"caf\xe9XX"


@pytest.mark.parametrize("name", ["100%.mp4", "a:b.mp4", "frame%03d.mp4", "üöä 日本.mp4"])
def test_odd_file_names_are_opened_as_they_are(tmp_path: Path, name: str) -> None:
    path = synthetic.make_video(tmp_path / "plain.mp4", frames=2).rename(tmp_path / name)
    assert probe(path).video.width == 64


def test_raw_stream_has_the_rate_its_header_says(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "raw.h264", format="h264", frames=30, rate=Fraction(12))
    video = probe(path).video
    assert video.frame_rate == 12
    assert (video.frame_count, video.start_pts) == (None, None)


def make_sound(path: Path) -> None:
    with av.open(str(path), "w") as output:
        tone = output.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        samples.sample_rate = 48000
        output.mux(tone.encode(samples))
        output.mux(tone.encode(None))


def test_files_without_video_say_what_they_hold(tmp_path: Path) -> None:
    make_sound(tmp_path / "sound.m4a")
    with pytest.raises(ProbeError, match="no video stream, only audio"):
        probe(tmp_path / "sound.m4a")
    subtitles = tmp_path / "s.srt"
    subtitles.write_text("1\n00:00:00,500 --> 00:00:01,500\nHello\n")
    with pytest.raises(ProbeError, match="no video stream, only subtitle"):
        probe(subtitles)


def test_what_is_no_media_is_refused_with_a_reason(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    with pytest.raises(ProbeError, match=r"empty.mp4: .*the file is empty \(0 bytes\)"):
        probe(empty)
    garbage = tmp_path / "garbage.mkv"
    garbage.write_bytes(np.random.default_rng(0).bytes(20000))
    with pytest.raises(ProbeError, match="FFmpeg cannot read the file"):
        probe(garbage)
    with pytest.raises(ProbeError, match="no such file; check the path"):
        probe(tmp_path / "missing.mp4")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ProbeError, match="the folder holds no pictures"):
        probe(tmp_path / "folder")
    text = tmp_path / "text.avi"
    text.write_text("hello world\n" * 100)
    with pytest.raises(ProbeError, match="FFmpeg cannot read"):
        probe(text)


def test_mp4_without_its_index_is_explained(tmp_path: Path) -> None:
    path = synthetic.cut_file(synthetic.make_video(tmp_path / "a.mp4"), 0.6)
    for _ in range(2):  # FFmpeg leaves out what it has just said
        with pytest.raises(ProbeError, match=r"has no index .moov atom not found.*cut short"):
            probe(path)


def test_probing_leaves_no_file_open(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=2)
    probe(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        probe(path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_the_length_of_a_short_matroska_file_that_starts_late(tmp_path: Path, codec: str) -> None:
    """libavformat tells no start of streams that it has not decoded at opening."""
    ticks = [1000, 1040, 1080, 1500, 1540]
    source = synthetic.make_video(
        tmp_path / "a.mkv", pts=ticks, time_base=Fraction(1, 1000), codec=codec, durations=[40] * 5
    )
    video = probe(source).video
    assert video.start_pts == 1000
    assert video.duration == pytest.approx(Fraction(580, 1000), abs=0.003)


@pytest.mark.parametrize(("late", "by", "frames"), [("audio", 10, 3), ("video", 1500, 5)])
def test_a_short_matroska_file_starts_with_its_picture_whatever_its_sound_does(
    tmp_path: Path, late: str, by: int, frames: int
) -> None:
    source = synthetic.make_video(tmp_path / "in.mkv", frames=frames, audio=("flac",))
    with av.open(str(source)) as given, av.open(str(tmp_path / "late.mkv"), "w") as output:
        copies = {s.index: output.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                if packet.stream.type == late:
                    packet.pts, packet.dts = packet.pts + by, packet.dts + by
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    video = probe(tmp_path / "late.mkv").video
    assert video.start_pts == (by if late == "video" else 0)
    if late == "video":
        assert video.duration == pytest.approx(5 * Fraction(1001, 24000), abs=0.003)


def make_cropped(path: Path) -> Path:
    """Write a film whose colour element is replaced by cropping: 8 pixels left, 4 at the top."""
    make_video(path, frames=2, size=(64, 48), color=(1, 1, 1, 1), audio=["flac"])
    data = bytearray(path.read_bytes())
    # With its length, of one byte, and its first child: two bytes alone may lie in a random number.
    found = re.search(rb"\x55\xb0[\x81-\xfe]\x55[\xb1-\xbd]", data)
    assert found is not None
    start = found.start()
    length = 3 + (data[start + 2] & 0x7F)
    crops = b"\x54\xcc\x81\x08" + b"\x54\xbb\x81\x04"
    void = length - len(crops) - 2
    data[start : start + length] = crops + bytes([0xEC, 0x80 | void]) + bytes(void)
    path.write_bytes(data)
    return path


def test_cropping_is_named_with_the_filter_that_does_it(tmp_path: Path) -> None:
    info = probe(make_cropped(tmp_path / "in.mkv"))
    assert crop_of(info) == Crop(left=8, top=4)
    (note,) = crop_notes(info, parse_chain(None))
    assert "players hide 8 px left, 4 px top" in note
    assert "--filter crop=iw-8:ih-4:8:4 " in note
    assert "  hidden    8 px left, 4 px top (crop=iw-8:ih-4:8:4)" in describe(info)


def test_filters_that_crop_are_left_to_the_user(tmp_path: Path) -> None:
    info = probe(make_cropped(tmp_path / "in.mkv"))
    assert crop_notes(info, parse_chain("crop=iw-8:ih-4:8:4")) == ()


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4"])
def test_a_film_without_cropping_is_not_said_to_have_it(tmp_path: Path, name: str) -> None:
    info = probe(make_video(tmp_path / name, frames=2))
    assert crop_of(info) is None
    assert crop_notes(info, parse_chain(None)) == ()


@pytest.mark.parametrize("kept", [0, 3, 60, 300])
def test_a_file_that_is_cut_short_has_no_cropping(tmp_path: Path, kept: int) -> None:
    path = make_cropped(tmp_path / "in.mkv")
    path.write_bytes(path.read_bytes()[:kept])
    assert all(crop is None for crop in read_crops(path))
