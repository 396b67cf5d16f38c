from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from synthetic import make_video, read_number
from synthetic_streams import (
    Cues,
    Sound,
    enhance_nearest,
    frame_times,
    make_rich_video,
    packet_hashes,
    packet_times,
    read_cues,
)

from vsr.errors import DiskError, MuxError
from vsr.media.clock import output_clock
from vsr.media.containers import target_kind
from vsr.media.copying import TimeRange
from vsr.media.decode import DecodeOptions, Decoder
from vsr.media.durable import write_error
from vsr.media.encode import plan_encoding
from vsr.media.frames import PlaneFormat
from vsr.media.mux import Writer
from vsr.media.options import EncodeOptions
from vsr.media.pictures import PictureFolder, PictureWriter
from vsr.media.pieces import PieceWriter
from vsr.media.probe import HdrMetadata, SourceInfo, VideoInfo, probe
from vsr.media.streams import StreamPlan, plan_streams
from vsr.media.verify import verify
from vsr.media.verify_streams import check_tags

HALF_MILLISECOND = Fraction(1, 2000)
CHAPTERS = [(Fraction(0), Fraction(1, 2), "One"), (Fraction(1, 2), Fraction(1), "Two")]
YUV420 = PlaneFormat(name="yuv420p", chroma="420", bit_depth=8)


def tracks(path: Path, kind: str) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    """List (language, title, dispositions); "und" is what MP4 says for none."""
    found = [stream for stream in probe(path).streams if stream.kind == kind]
    return [(None if s.language == "und" else s.language, s.title, s.disposition) for s in found]


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as source:
        return [read_number(frame.to_ndarray(format="gray")) for frame in source.decode(video=0)]


def grey_piece(writer: Writer, path: Path) -> Path:
    """Write a piece of one grey frame."""
    with PieceWriter(path, writer.target, writer.plan, output_clock(writer.plan, None)) as piece:
        piece.write(grey_planes(), 0, 1000)
        piece.finish()
    return path


def open_writer(source: Path, target: Path) -> Writer:
    info = probe(source)
    plan = plan_encoding(
        info,
        target,
        width=64,
        height=48,
        time_base=info.video.time_base,
        frame_rate=info.video.frame_rate,
        sample_aspect_ratio=None,
        plane_format=YUV420,
        options=EncodeOptions(preset="ultrafast"),
    )
    return Writer(info, target, plan, plan_streams(info, target))


def grey_planes(value: int = 128) -> list[np.ndarray]:
    return [np.full(shape, value, np.uint8) for shape in ((48, 64), (24, 32), (24, 32))]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich_video(
        tmp_path_factory.mktemp("mux") / "film.mkv",
        sounds=[
            Sound(codec="aac", language="eng", title="Main"),
            Sound(codec="ac3", language="jpn", title="Commentary", disposition=Disposition.comment),
        ],
        cues=[Cues(language="fre", disposition=Disposition.forced), Cues(codec="ass", title="S")],
        chapters=CHAPTERS,
        font=True,
        cover=True,
        tags={"title": "Film é", "artist": "Somebody"},
        title="Picture",
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("rate", "time_base", "pts"),
    [
        (Fraction(24000, 1001), None, None),
        (Fraction(25), Fraction(1, 90000), [0, 3600, 7300, 9000, 20001, 20002, 90000]),
        (Fraction(24), Fraction(1, 24000), [35555, 36555, 37555]),
        (Fraction(30), Fraction(1, 1000), [17, 50, 83, 117, 150]),
    ],
    ids=["constant rate", "variable rate", "late start", "milliseconds"],
)
def test_mp4_keeps_every_time_exactly(
    tmp_path: Path, suffix: str, rate: Fraction, time_base: Fraction | None, pts: list[int] | None
) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        rate=rate,
        time_base=time_base,
        pts=pts,
        container_options={"movie_timescale": "90000"},
        audio=["aac"],
    )
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    assert frame_times(target) == frame_times(source)
    assert packet_times(target, "audio") == packet_times(source, "audio")


@pytest.mark.parametrize("pts", [None, [35555, 36555, 37555], [0, 1000, 2500, 2600, 9999]])
def test_matroska_keeps_every_time_to_half_a_millisecond(
    tmp_path: Path, pts: list[int] | None
) -> None:
    base = Fraction(1, 24000) if pts else None
    source = make_video(tmp_path / "in.mp4", pts=pts, time_base=base, audio=["aac"])
    target = tmp_path / "out.mkv"
    enhance_nearest(source, target)
    for found, wanted in (
        (frame_times(target), frame_times(source)),
        (packet_times(target, "audio")[0], packet_times(source, "audio")[0]),
    ):
        assert len(found) == len(wanted)
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= HALF_MILLISECOND


def test_reordered_frames_keep_their_times_and_order(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=30)
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target, options=EncodeOptions(preset="fast"))
    with av.open(str(target)) as made:
        decoding = [(p.dts, p.pts) for p in made.demux(video=0) if p.size]
    assert any(later[1] < earlier[1] for earlier, later in pairwise(decoding))
    assert frame_times(target) == frame_times(source)
    assert numbers(target) == list(range(30))


def test_the_duration_of_the_last_frame_is_kept(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4",
        pts=[0, 100, 250],
        durations=[100, 150, 777],
        time_base=Fraction(1, 600),
    )
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target)
    with av.open(str(target)) as made:
        last = max((p for p in made.demux(video=0) if p.size), key=lambda p: p.pts)
    assert last.duration * last.time_base == Fraction(777, 600)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("codec", ["aac", "ac3", "libmp3lame", "pcm_s16le"])
def test_sound_is_copied_packet_for_packet(tmp_path: Path, codec: str, suffix: str) -> None:
    source = make_rich_video(
        tmp_path / "in.mkv", frames=12, sounds=[Sound(codec=codec), Sound(codec=codec, clicks=True)]
    )
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    assert packet_hashes(target) == packet_hashes(source)
    assert len(set(packet_hashes(target))) == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_labels_chapters_and_tags_are_kept(film: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    enhance_nearest(film, target)
    for kind in ("audio", "video"):
        assert tracks(target, kind) == tracks(film, kind)
    first, second = tracks(target, "subtitle")
    assert first[0] == "fre"
    assert "forced" in first[2]
    assert second[:2] == (None, "S")
    assert probe(target).chapters == tuple(CHAPTERS)
    tags = {key.lower(): value for key, value in probe(target).tags.items()}
    assert (tags["title"], tags["artist"]) == ("Film é", "Somebody")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_tags_of_phones_are_kept(tmp_path: Path, suffix: str) -> None:
    tags = {"com.apple.quicktime.make": "Apple", "title": "Beach", "director_note": "wind"}
    time = {"creation_time": "2024-05-01T10:00:00Z"}
    source = make_rich_video(tmp_path / "in.mkv", frames=2, tags=tags | time)
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    assert not check_tags(probe(source), probe(target))
    found = {key.lower(): value for key, value in probe(target).tags.items()}
    assert found.items() >= tags.items()


def test_the_name_of_the_program_that_wrote_an_avi_is_not_missed(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.avi", frames=3, codec="mpeg4")
    assert "software" in probe(source).tags
    enhance_nearest(source, tmp_path / "out.avi")
    assert not check_tags(probe(source), probe(tmp_path / "out.avi"))


def test_sound_of_an_avi_that_does_not_name_its_channels_goes_into_mp4(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.avi", frames=6, codec="mpeg4", audio=("pcm_s16le",))
    enhance_nearest(source, tmp_path / "out.mp4")
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        assert after.streams.audio[0].codec.name == "flac"
        sounds = [
            np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in file.decode(audio=0)])
            for file in (before, after)
        ]
    np.testing.assert_array_equal(*sounds)


def test_attachments_and_covers_are_kept_in_matroska(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    enhance_nearest(film, target)
    with av.open(str(film)) as before, av.open(str(target)) as after:
        fonts = [
            [bytes(s.data) for s in f.streams if s.type == "attachment"] for f in (before, after)
        ]
    assert fonts[0] == fonts[1]
    assert len(fonts[0]) == 1
    assert packet_hashes(target, "video")[1:] == packet_hashes(film, "video")[1:]


@pytest.mark.parametrize("pair", [(".mkv", ".mp4"), (".mp4", ".mkv"), (".mp4", ".mp4")])
def test_cover_pictures_change_their_form_not_their_bytes(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    source = make_rich_video(tmp_path / f"in{pair[0]}", frames=3, cover=True)
    target = tmp_path / f"out{pair[1]}"
    enhance_nearest(source, target)
    assert [s.kind for s in probe(target).streams] == ["video", "cover"]
    assert packet_hashes(target, "video")[1] == packet_hashes(source, "video")[1]


@pytest.mark.parametrize(
    ("codec", "before", "after"),
    [("srt", ".mkv", ".mp4"), ("ass", ".mkv", ".mp4"), ("mov_text", ".mp4", ".mkv"),
     ("srt", ".mkv", ".mkv"), ("ass", ".mkv", ".mkv"), ("mov_text", ".mp4", ".mp4"),
     ("srt", ".mkv", ".webm")],
)  # fmt: skip
def test_subtitles_keep_text_and_times(tmp_path: Path, codec: str, before: str, after: str) -> None:
    lines = [(83, 400, "Hello"), (400, 801, r"{\i1}W{\i0}orld"), (801, 950, "Zürich 東京")]
    source = make_rich_video(tmp_path / f"in{before}", cues=[Cues(codec=codec, lines=lines)])
    target = tmp_path / f"out{after}"
    enhance_nearest(source, target)
    plain = [(start, end, re.sub(r"<.*?>|{.*?}", "", text)) for start, end, text in lines]
    slanted = read_cues(target)[0][1][2]
    assert [
        (a, b, re.sub(r"<.*?>|{.*?}", "", text)) for a, b, text in read_cues(target)[0]
    ] == plain
    assert slanted != "World"


@pytest.mark.parametrize(
    ("codec", "layout", "before", "after", "made"),
    [("flac", "stereo", ".mkv", ".mov", "alac"),
     ("flac", "5.1", ".mkv", ".ts", "aac"), ("aac", "mono", ".mp4", ".webm", "opus")],
)  # fmt: skip
def test_converted_sound_lasts_as_long_and_starts_as_before(
    tmp_path: Path, codec: str, layout: str, before: str, after: str, made: str
) -> None:
    source = make_rich_video(tmp_path / f"in{before}", sounds=[Sound(codec=codec, layout=layout)])
    target = tmp_path / f"out{after}"
    enhance_nearest(source, target)
    spans = [sound_span(path) for path in (source, target)]
    with av.open(str(target)) as found:
        track = found.streams.audio[0].codec_context
        assert (track.codec.canonical_name, track.layout.name) == (made, layout)
    assert spans[0][0] == pytest.approx(spans[1][0], abs=0.025)
    assert spans[0][1] == pytest.approx(spans[1][1], abs=0.05)


def sound_span(path: Path) -> tuple[float, float]:
    """Give start after the video, and length, of the first sound, in seconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = frames[0].time - float(frame_times(path)[0])
    return start, sum(frame.samples / frame.sample_rate for frame in frames)


def test_lossless_conversion_keeps_every_sample(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mkv", sounds=[Sound(codec="flac", layout="stereo")])
    target = tmp_path / "out.mov"
    enhance_nearest(source, target)

    def samples(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("s16", "stereo")
            frames = [f for raw in container.decode(audio=0) for f in resampler.resample(raw)]
            return np.concatenate([frame.to_ndarray().ravel() for frame in frames])

    np.testing.assert_array_equal(samples(target), samples(source))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_kept_range_moves_everything_by_the_same_amount(
    film: Path, tmp_path: Path, suffix: str
) -> None:
    start, stop = Fraction(1, 4), Fraction(3, 4)
    kept = TimeRange(start=start, stop=stop)
    target = tmp_path / f"out{suffix}"
    enhance_nearest(film, target, time_range=kept)
    wanted = [time - start for time in frame_times(film) if start <= time < stop]
    assert np.allclose(np.float64(frame_times(target)), np.float64(wanted), atol=0.0005)
    for found, before in zip(
        packet_times(target, "audio"), packet_times(film, "audio"), strict=True
    ):
        inside = [time - start for time in before if start <= time < stop]
        assert len(found) == len(inside) > 5
        assert max(abs(a - b) for a, b in zip(found, inside, strict=True)) <= HALF_MILLISECOND
    assert [cue[:2] for cue in read_cues(target)[0]] == [(0, 150), (300, 500)]
    assert probe(target).chapters == (
        (Fraction(0), Fraction(1, 4), "One"), (Fraction(1, 4), Fraction(1, 2), "Two"),
    )  # fmt: skip


def test_a_spliced_transport_stream_keeps_picture_and_sound_together(tmp_path: Path) -> None:
    parts = [
        make_rich_video(tmp_path / f"{i}.ts", start=Fraction(s), sounds=[Sound(codec="ac3")])
        for i, s in enumerate((100, 3))
    ]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target)
    times, sounds = frame_times(target), packet_times(target, "audio")[0]
    assert len(times) == 48
    assert max(b - a for a, b in pairwise(times)) < Fraction(1, 10)
    assert max(b - a for a, b in pairwise(sounds)) < Fraction(1, 10)
    assert abs((times[0] - sounds[0]) - (times[24] - sounds[len(sounds) // 2])) < Fraction(1, 10)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_hdr_metadata_and_tags_arrive(tmp_path: Path, codec: str, suffix: str) -> None:
    master = (
        "log-level=none:hdr10=1:repeat-headers=1:max-cll=1000,400:chromaloc=2:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    )
    source = make_video(
        tmp_path / "in.mp4",
        frames=3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=(9, 16, 9, 1),
        codec_options={"x265-params": master},
    )
    target = tmp_path / f"out{suffix}"
    preset = "10" if codec == "libsvtav1" else "ultrafast"
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset=preset))
    before, after = probe(source).video, probe(target).video
    assert (after.pix_fmt, after.color) == (before.pix_fmt, before.color)
    assert before.chroma_siting == after.chroma_siting == "topleft"
    assert before.hdr is not None
    assert after.hdr is not None
    assert near(before.hdr, after.hdr)


def near(wanted: HdrMetadata, found: HdrMetadata) -> bool:
    """Equal, but for the steps of AV1: 1/65536 for colours, 1/256 and 1/16384 cd/m2 for light."""
    points = [(getattr(h, n) for n in ("red", "green", "blue", "white")) for h in (wanted, found)]
    colors = [abs(a - b) for p, q in zip(*points, strict=True) for a, b in zip(p, q, strict=True)]
    assert wanted.min_luminance is not None
    assert found.min_luminance is not None
    return (
        max(colors) <= Fraction(1, 50000)
        and abs(wanted.min_luminance - found.min_luminance) < Fraction(1, 10000)
        and wanted.max_luminance == found.max_luminance
        and wanted.max_content_light == found.max_content_light
        and wanted.max_frame_average_light == found.max_frame_average_light
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_shape_and_rotation_arrive(tmp_path: Path, suffix: str, rotation: int) -> None:
    source = make_video(
        tmp_path / "in.mp4", frames=2, rotation=rotation, sample_aspect_ratio=Fraction(16, 15)
    )
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    before, after = probe(source).video, probe(target).video
    assert after.rotation == before.rotation != 0
    assert after.sample_aspect_ratio == Fraction(16, 15)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("libx264", "yuv420p"), ("libx264", "yuv422p"), ("libx264", "yuv444p"), ("ffv1", "gray"),
     ("libx265", "yuv420p10le"), ("libx265", "yuv422p10le"), ("libx265", "yuv444p12le"),
     ("libx265", "gray10le"), ("libx265", "gbrp10le"), ("ffv1", "yuv420p"), ("mjpeg", "yuvj420p")],
)  # fmt: skip
def test_chroma_depth_and_tags_arrive(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """FFmpeg's H.264 decoder shows grey as 4:2:0; encoded as HEVC or FFV1 it stays one plane."""
    rgb = pix_fmt.startswith("gbr")
    color = (1, 1, 0 if rgb else 1, 2 if rgb or "j" in pix_fmt else 1)
    source = make_video(tmp_path / "in.mkv", frames=2, codec=codec, pix_fmt=pix_fmt, color=color)
    target = tmp_path / "out.mkv"
    grey = EncodeOptions(codec=codec) if pix_fmt == "gray" else None
    enhance_nearest(source, target, options=grey)

    def told(video: VideoInfo) -> tuple[object, ...]:
        color = video.color
        return video.pix_fmt.replace("yuvj", "yuv"), color.primaries, color.transfer, color.range

    before, after = probe(source).video, probe(target).video
    assert told(after) == told(before)
    assert after.color.matrix == before.color.matrix


@pytest.mark.parametrize(("codec", "siting"), [("libx264", 1), ("libx264", 2), ("libx265", 1)])
def test_chroma_siting_arrives(tmp_path: Path, codec: str, siting: int) -> None:
    options = {"x264-params": f"chromaloc={siting}"}
    source = make_video(tmp_path / "in.mp4", frames=2, codec_options=options)
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset="ultrafast"))
    expected = {1: "center", 2: "topleft"}[siting]
    assert probe(source).video.chroma_siting == probe(target).video.chroma_siting == expected


def test_hidden_until_published(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_writer(film, target) as writer:
        piece = grey_piece(writer, tmp_path / "piece")
        writer.join([piece])
        piece.unlink()
        assert not target.exists()
        assert writer.partial.exists()
        writer.publish(overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_films_are_written(tmp_path: Path, codec: str, frames: int) -> None:
    source = make_video(tmp_path / "in.mp4", frames=frames, size=(64, 64))
    target = tmp_path / "out.mkv"
    preset = {"libsvtav1": "10", "ffv1": None}.get(codec, "ultrafast")
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset=preset))
    assert numbers(target) == list(range(frames))


def test_an_error_leaves_nothing_behind(film: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_writer(film, tmp_path / "out.mp4") as writer:  # noqa: PT012
        assert writer.partial.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_leaving_before_publishing_leaves_nothing_behind(film: Path, tmp_path: Path) -> None:
    with open_writer(film, tmp_path / "out.mp4") as writer:
        piece = grey_piece(writer, tmp_path / "piece")
        writer.join([piece])
    assert list(tmp_path.iterdir()) == [piece]


def test_a_target_that_came_meanwhile_is_not_overwritten(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_writer(film, target) as writer:
        writer.join([grey_piece(writer, tmp_path / "piece")])
        target.write_bytes(b"precious")
        with pytest.raises(MuxError, match="meanwhile"):
            writer.publish(overwrite=False)
    assert target.read_bytes() == b"precious"


def test_no_frames_are_an_error(film: Path, tmp_path: Path) -> None:
    with open_writer(film, tmp_path / "out.mp4") as writer, pytest.raises(MuxError, match="no fra"):
        writer.join([])
    assert list(tmp_path.iterdir()) == []


def test_variable_rates_do_not_go_into_avi(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", pts=[0, 40, 120, 130, 200], time_base=Fraction(1, 1000)
    )
    with pytest.raises(MuxError, match=r"constant frame rate.*write \.mkv or \.mp4"):
        enhance_nearest(source, tmp_path / "out.avi")


def test_an_avi_whose_frames_come_late_keeps_them_in_step_with_its_sound(tmp_path: Path) -> None:
    """H.264 with B-frames in AVI: all frames are later than their chunks, and than the sound."""
    source = make_video(
        tmp_path / "in.avi",
        frames=24,
        rate=Fraction(25),
        codec_options={"preset": "veryfast", "bf": "2", "g": "12"},
        audio=("mp3",),
    )
    enhance_nearest(source, tmp_path / "out.avi")
    with Decoder(probe(source), DecodeOptions()) as frames:
        assert next(iter(frames)).pts > 1
    result = verify(source, tmp_path / "out.avi")
    assert result.passed, result.problems


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    sys.path[:0] = sys.argv[3:]
    from synthetic_streams import enhance_nearest
    from vsr.errors import MuxError
    from vsr.media.options import EncodeOptions
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        enhance_nearest(Path(sys.argv[1]), Path(sys.argv[2]), options=EncodeOptions(crf=0))
    except MuxError as error:
        print(error)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    """A limit on file sizes stands in for the disk: the system answers EFBIG instead of ENOSPC."""
    source = make_video(tmp_path / "in.mp4", frames=40)
    target = tmp_path / f"out{suffix}"
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(source), str(target), *paths],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the disk is full for so large a file, or a limit on their size" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_full_disk_names_the_free_space(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as full, open("/dev/full", "wb") as device:  # noqa: PT012
        device.write(b"x" * 100_000)
        device.flush()
    error = write_error(tmp_path / "out.mp4", full.value)
    assert isinstance(error, DiskError)
    assert re.search(r"[KMG]iB free", str(error))


def picture_writer(info: SourceInfo, target: str, planes: PlaneFormat) -> PictureWriter:
    plan = plan_encoding(
        info,
        target,
        width=33,
        height=17,
        time_base=Fraction(1, 24),
        frame_rate=Fraction(24),
        sample_aspect_ratio=None,
        plane_format=planes,
    )
    pattern = target_kind(target).pattern
    return PictureWriter(pattern.parent.with_name("waiting"), pattern, plan)


@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_hold_every_sample(film: Path, tmp_path: Path, bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    random = np.random.default_rng(1)
    frames = [random.integers(0, 1 << bits, (3, 17, 33), dtype) for _ in range(3)]
    layout = PlaneFormat(name="gbrp" if bits == 8 else "gbrp16le", chroma="rgb", bit_depth=bits)
    writer = picture_writer(probe(film), f"{tmp_path}/frames/", layout)
    for index, planes in enumerate(frames):
        writer.write(tuple(planes), index, 1)
    writer.finish()
    PictureFolder(writer.folder, writer.target).publish(overwrite=False)
    paths = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in paths] == ["000001.png", "000002.png", "000003.png"]
    for path, planes in zip(paths, frames, strict=True):
        with av.open(str(path)) as picture:
            found = next(picture.decode(video=0)).to_ndarray(
                format="rgb24" if bits == 8 else "rgb48le"
            )
        np.testing.assert_array_equal(found, planes.transpose(1, 2, 0))


def test_pictures_join_a_folder_and_replace_only_their_own_names(
    film: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("000001.png", "000002.png", "notes.txt"):
        (folder / name).write_text("old")
    layout = PlaneFormat(name="gbrp", chroma="rgb", bit_depth=8)
    writer = picture_writer(probe(film), f"{folder}/", layout)
    writer.write((np.zeros((17, 33), np.uint8),) * 3, 0, 1)
    writer.finish()
    finished = PictureFolder(writer.folder, writer.target)
    with pytest.raises(MuxError, match="--overwrite"):
        finished.publish(overwrite=False)
    finished.publish(overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["000001.png", "notes.txt"]
    assert (folder / "notes.txt").read_text() == "old"


def test_a_stream_that_is_dropped_is_not_written(film: Path, tmp_path: Path) -> None:
    expected, _ = enhance_nearest(film, tmp_path / "out.mp4")
    assert expected.streams is not None
    dropped: list[StreamPlan] = [plan for plan in expected.streams if plan.action == "drop"]
    assert [plan.kind for plan in dropped] == ["attachment"]
    assert not [s for s in probe(tmp_path / "out.mp4").streams if s.kind == "attachment"]
