"""What accompanies the picture arrives: sound, subtitles, covers, labels, chapters and tags."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from synthetic import make_video
from synthetic_streams import (
    Cues,
    Sound,
    enhance_nearest,
    frame_times,
    jpeg,
    make_rich_video,
    packet_hashes,
    packet_times,
    read_cues,
)

from vsr.media.copying import TimeRange
from vsr.media.probe import probe
from vsr.media.streams import StreamPlan, plan_streams
from vsr.media.verify import verify
from vsr.media.verify_streams import check_tags

HALF_MILLISECOND = Fraction(1, 2000)
CHAPTERS = [(Fraction(0), Fraction(1, 2), "One"), (Fraction(1, 2), Fraction(1), "Two")]


def tracks(path: Path, kind: str) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    """List (language, title, dispositions); "und" is what MP4 says for none."""
    found = [stream for stream in probe(path).streams if stream.kind == kind]
    return [(None if s.language == "und" else s.language, s.title, s.disposition) for s in found]


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


def test_tags_of_streams_that_the_target_does_not_hold_are_named(tmp_path: Path) -> None:
    sound = Sound(title="Main", language="eng", tags=(("MOOD", "calm"), ("TAKE", "7")))
    source = make_rich_video(tmp_path / "in.mkv", frames=2, sounds=[sound], tags={"TAKE": "7"})
    for name in ("out.mkv", "out.mp4"):
        enhance_nearest(source, tmp_path / name)
    info, plans = probe(source), plan_streams(probe(source), "out.mp4")
    assert probe(tmp_path / "out.mkv").streams[1].tags.items() >= {"MOOD": "calm"}.items()
    assert not check_tags(info, probe(tmp_path / "out.mkv"), plans)
    assert check_tags(info, probe(tmp_path / "out.mp4"), plans) == (
        "the target does not hold the tags MOOD, TAKE of audio stream 1",
    )


def test_the_name_of_the_program_that_wrote_an_avi_is_not_missed(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.avi", frames=3, codec="mpeg4")
    assert "software" in probe(source).tags
    enhance_nearest(source, tmp_path / "out.avi")
    assert not check_tags(probe(source), probe(tmp_path / "out.avi"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts", ".mkv"])
def test_rare_languages_and_short_titles_fail_no_check(tmp_path: Path, suffix: str) -> None:
    sounds = [Sound(language="cmn", title="\u65e5"), Sound(language="de", title="\u0420\u0423")]
    source = make_rich_video(tmp_path / "in.mkv", frames=6, sounds=sounds)
    expected, _ = enhance_nearest(source, tmp_path / f"out{suffix}")
    assert not verify(source, tmp_path / f"out{suffix}", expected).problems


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_track_that_ends_before_the_part_kept_is_left_out_and_named(
    tmp_path: Path, suffix: str
) -> None:
    sounds = [Sound(codec="aac"), Sound(codec="ac3"), Sound(codec="aac", title="Last")]
    whole = make_rich_video(tmp_path / "whole.mkv", frames=24, sounds=sounds, cues=[Cues()])
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    with av.open(str(whole)) as given, av.open(str(source), "w") as output:
        copies = [output.add_stream_from_template(stream) for stream in given.streams]
        for packet in given.demux():
            short = packet.stream.index == 2 and packet.pts is not None
            if packet.size and not (short and packet.pts * packet.time_base > 0.3):
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    kept = TimeRange(start=Fraction(1, 2))
    expected, _ = enhance_nearest(source, target, time_range=kept)
    found = verify(source, target, expected)
    assert not found.problems
    said = [warning for warning in found.warnings if "nothing in the part that is kept" in warning]
    assert len(said) == (0 if suffix == ".mkv" else 1)
    assert all(warning.startswith("audio track 2 ") for warning in said)
    assert len(packet_times(target, "audio")[-1]) > 10


def test_further_video_that_avi_cannot_take_is_left_out_and_named(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mp4", frames=6, second_video=True)
    target = tmp_path / "out.avi"
    expected, _ = enhance_nearest(source, target)
    found = verify(source, target, expected)
    assert not found.problems
    assert [
        said
        for said in found.warnings
        if said.startswith("video track 1 (h264, und, angle) is left out")
    ]
    assert len(frame_times(target)) == 6


@pytest.mark.parametrize("codec", ["ac3", "mp3", "mp2", "pcm_s16le"])
def test_sound_of_an_avi_keeps_its_times_in_another(tmp_path: Path, codec: str) -> None:
    source = make_video(tmp_path / "in.avi", frames=30, codec="mpeg4", audio=(codec,))
    target = tmp_path / "out.avi"
    expected, _ = enhance_nearest(source, target)
    assert packet_times(target, "audio") == packet_times(source, "audio")
    assert packet_hashes(target) == packet_hashes(source)
    assert not verify(source, target, expected).problems


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


def test_attached_pictures_keep_their_names(tmp_path: Path) -> None:
    source, plain = tmp_path / "in.mkv", make_video(tmp_path / "plain.mkv", frames=2)
    with av.open(str(plain)) as given, av.open(str(source), "w") as output:
        stream = output.add_stream_from_template(given.streams.video[0])
        for name in ("poster.jpg", "small_cover.jpg"):
            output.add_attachment(name, "image/jpeg", jpeg())
        for packet in given.demux(video=0):
            packet.stream = stream
            output.mux([packet] if packet.size else [])
    enhance_nearest(source, tmp_path / "out.mkv")
    covers = [s.tags for s in probe(tmp_path / "out.mkv").streams if s.kind == "cover"]
    assert [(tags["filename"], tags["mimetype"]) for tags in covers] == [
        ("poster.jpg", "image/jpeg"), ("small_cover.jpg", "image/jpeg"),
    ]  # fmt: skip


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
    """Start after the video, and length, of the first sound, in seconds."""
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


def test_a_stream_that_is_dropped_is_not_written(film: Path, tmp_path: Path) -> None:
    expected, _ = enhance_nearest(film, tmp_path / "out.mp4")
    assert expected.streams is not None
    dropped: list[StreamPlan] = [plan for plan in expected.streams if plan.action == "drop"]
    assert [plan.kind for plan in dropped] == ["attachment"]
    assert not [s for s in probe(tmp_path / "out.mp4").streams if s.kind == "attachment"]
