from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from av.stream import Disposition
from synthetic_streams import Cues, Sound, make_rich_video

from vsr.errors import MuxError
from vsr.media.probe import StreamInfo, StreamKind, probe
from vsr.media.streams import (
    StreamPlan,
    container_tags,
    container_warnings,
    lost_labels,
    plan_streams,
    stream_tags,
    stream_warnings,
)

CHAPTERS = [(Fraction(0), Fraction(1, 2), "One"), (Fraction(1, 2), Fraction(1), "Two")]


def plans_for(source: Path, target: str) -> tuple[StreamPlan, ...]:
    return plan_streams(probe(source), target)


def actions(plans: tuple[StreamPlan, ...]) -> list[tuple[str, str, str]]:
    return [(plan.kind, plan.action, plan.codec) for plan in plans]


@pytest.fixture(scope="module")
def rich_mkv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich_video(
        tmp_path_factory.mktemp("streams") / "rich.mkv",
        frames=6,
        sounds=[Sound(codec="aac", language="eng"), Sound(codec="flac", title="Commentary")],
        cues=[Cues(codec="srt", language="fre"), Cues(codec="ass", language="ger")],
        chapters=CHAPTERS,
        font=True,
        cover=True,
        second_video=True,
    )


@pytest.mark.parametrize("target", ["out.mkv", "out.mp4", "out.mov", "out.webm", "out.avi", "o.ts"])
def test_every_stream_has_exactly_one_plan_and_all_but_copies_a_reason(
    rich_mkv: Path, target: str
) -> None:
    plans = plans_for(rich_mkv, target)
    assert [plan.index for plan in plans] == list(range(8))
    assert [plan.action for plan in plans].count("enhance") == 1
    assert all(plan.reason for plan in plans if plan.action in ("convert", "drop"))
    dropped = [plan for plan in plans if plan.action == "drop"]
    assert set(stream_warnings(plans)) >= {plan.reason for plan in dropped}


def test_mkv_keeps_everything_of_an_mkv(rich_mkv: Path) -> None:
    plans = plans_for(rich_mkv, "out.mkv")
    assert [plan.action for plan in plans if plan.kind in ("audio", "subtitle", "video")] == [
        "enhance", "copy", "copy", "copy", "copy", "copy",
    ]  # fmt: skip
    assert {plan.action for plan in plans if plan.kind in ("attachment", "cover")} == {"attach"}
    assert stream_warnings(plans) == ()


def test_mp4_converts_text_subtitles_and_names_what_it_cannot_hold(rich_mkv: Path) -> None:
    plans = plans_for(rich_mkv, "out.mp4")
    assert ("subtitle", "convert", "mov_text") in actions(plans)
    assert ("audio", "copy", "flac") in actions(plans)
    assert [plan.action for plan in plans if plan.kind == "cover"] == ["copy"]
    warnings = " ".join(stream_warnings(plans))
    assert "attachment" in warnings
    assert "elaborate styling goes" in warnings


@pytest.mark.parametrize(
    ("codec", "target", "action", "made"),
    [
        ("aac", "out.mp4", "copy", "aac"),
        ("aac", "out.webm", "convert", "libopus"),
        ("flac", "out.mov", "convert", "alac"),
        ("flac", "out.ts", "convert", "aac"),
        ("libopus", "out.mov", "convert", "aac"),
        ("libopus", "out.webm", "copy", "opus"),
        ("pcm_s16le", "out.mp4", "copy", "pcm_s16le"),
        ("pcm_s16le", "out.mkv", "copy", "pcm_s16le"),
        ("pcm_s16le", "out.webm", "convert", "libopus"),
        ("ac3", "out.ts", "copy", "ac3"),
        ("wmav2", "out.mkv", "convert", "flac"),
    ],
)
def test_sound_is_copied_where_the_container_takes_it(
    tmp_path: Path, codec: str, target: str, action: str, made: str
) -> None:
    suffix = ".avi" if codec == "wmav2" else ".mkv"
    source = make_rich_video(tmp_path / f"in{suffix}", frames=3, sounds=[Sound(codec=codec)])
    assert actions(plans_for(source, target))[1] == ("audio", action, made)


def test_lossless_conversion_is_no_loss_and_lossy_conversion_is(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mkv", frames=3, sounds=[Sound(codec="flac")])
    assert stream_warnings(plans_for(source, "out.mov")) == ()
    assert "aac" in stream_warnings(plans_for(source, "out.ts"))[0]


def test_the_chapter_track_of_an_mp4_is_left_to_the_muxer(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mp4", frames=6, chapters=CHAPTERS)
    plans = plans_for(source, "out.mp4")
    assert [(plan.kind, plan.action, plan.loses) for plan in plans] == [
        ("video", "enhance", False),
        ("data", "drop", False),
    ]


def test_labels_that_the_container_does_not_hold_are_named(tmp_path: Path) -> None:
    sound = Sound(language="fre", title="Director", disposition=Disposition.comment)
    source = make_rich_video(tmp_path / "in.mkv", frames=3, sounds=[sound])
    assert stream_warnings(plans_for(source, "out.mp4")) == ()
    assert "disposition comment" in stream_warnings(plans_for(source, "out.mov"))[0]
    assert "title 'Director'" in stream_warnings(plans_for(source, "out.ts"))[0]


def test_chapters_without_a_place_are_named(rich_mkv: Path) -> None:
    info = probe(rich_mkv)
    assert container_warnings(info, "out.mp4") == ()
    assert "2 are left out" in container_warnings(info, "out.ts")[0]


def test_pictures_hold_no_sound(rich_mkv: Path) -> None:
    plans = plans_for(rich_mkv, "frames/")
    assert {plan.action for plan in plans} == {"enhance", "drop"}
    assert len(stream_warnings(plans)) == 7


def test_a_title_of_mp4_is_written_as_a_title(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mp4", frames=3, sounds=[Sound(title="Comment track")])
    tags = stream_tags(probe(source).streams[1])
    assert tags["title"] == "Comment track"
    assert not {"name", "handler_name", "vendor_id"} & tags.keys()


def test_tags_of_the_old_file_are_not_taken_along(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mp4", frames=3, tags={"title": "Film"})
    assert container_tags(probe(source)) == {"title": "Film"}


def test_an_unknown_extension_is_refused(rich_mkv: Path) -> None:
    with pytest.raises(MuxError, match=r"\.mp4 .*\.mkv"):
        plans_for(rich_mkv, "out.xyz")


@pytest.mark.parametrize(
    ("kind", "language", "not_held_by"),
    [
        ("audio", "eng", {"avi"}),
        ("audio", "fre", {"avi"}),
        ("video", "eng", {"avi", "mpegts"}),
        ("audio", "cmn", {"avi", "mov"}),  # not in QuickTime's table
        ("subtitle", "de", {"avi", "mov", "mp4", "mpegts"}),
        ("audio", "en-US", {"avi", "mov", "mp4", "mpegts"}),
        ("audio", "\udce9t\udce9", {"avi", "mov", "mp4"}),  # Latin-1; three bytes, as they are
        ("audio", "und", set()),
    ],
)
def test_languages_that_a_container_cannot_spell_are_named(
    kind: StreamKind, language: str, not_held_by: set[str]
) -> None:
    stream = StreamInfo(
        index=0, kind=kind, codec="any", time_base=Fraction(1, 1000), details="", title=None,
        language=language, disposition=(), tags={}, decodable=True,
    )  # fmt: skip
    muxers = ("mp4", "mov", "matroska", "webm", "avi", "mpegts")
    assert {muxer for muxer in muxers if lost_labels(stream, muxer)} == not_held_by
