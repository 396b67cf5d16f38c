"""Subtitles that overlap, where the target holds one at a time; bitmaps in several packets."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from synthetic import make_video
from synthetic_streams import Cues, enhance_nearest, make_rich_video, read_cues

from vsr.media.copying import Cue, CueFlattener, TimeRange, chapter_warnings
from vsr.media.probe import probe
from vsr.media.verify import Expected, verify
from vsr.media.verify_streams import _missing
from vsr.options import EnhanceOptions
from vsr.pipeline import enhance
from vsr.plan import plan_job
from vsr.rehearsal import rehearse

OVERLAPPING = ((100, 500, "One"), (100, 500, "Two"), (300, 550, "Three"), (700, 800, "Four"))


def flatten(*cues: tuple[int, int, str]) -> list[tuple[int, int, str]]:
    flattener, made = CueFlattener(), list[Cue]()
    for start, end, text in cues:
        event = b"0,0,Default,,0,0,0,," + text.encode()
        made += flattener.add(Cue(start=start, end=end, event=event))
    made += flattener.until(None)
    return [(cue.start, cue.end, cue.event.split(b",", 8)[8].decode()) for cue in made]


@pytest.mark.parametrize(
    ("cues", "wanted"),
    [
        ([(1, 2, "a"), (2, 3, "b"), (5, 6, "c")], [(1, 2, "a"), (2, 3, "b"), (5, 6, "c")]),
        ([(1, 4, "a"), (2, 3, "b")], [(1, 2, "a"), (2, 3, r"a\Nb"), (3, 4, "a")]),
        ([(1, 4, "a, b"), (1, 4, "c")], [(1, 4, r"a, b\Nc")]),
        ([(1, 3, r"{\i1}a"), (1, 3, "b")], [(1, 3, r"{\i1}a{\r}\Nb")]),
        ([(1, 1, "a")], [(1, 2, "a")]),
        ([(5, 7, "a"), (8, 9, "b"), (1, 2, "late")], [(5, 7, "a"), (8, 9, r"b\Nlate")]),
    ],
)
def test_each_text_is_shown_in_all_of_its_time_and_no_other(
    cues: list[tuple[int, int, str]], wanted: list[tuple[int, int, str]]
) -> None:
    assert flatten(*cues) == wanted


def test_what_was_shown_long_ago_is_given_before_the_next_text_comes() -> None:
    flattener = CueFlattener()
    assert not list(flattener.add(Cue(start=1, end=5, event=b"0,0,Default,,0,0,0,,a")))
    assert [(cue.start, cue.end) for cue in flattener.until(3)] == [(1, 3)]
    assert [(cue.start, cue.end) for cue in flattener.until(9)] == [(3, 5)]
    assert not list(flattener.until(None))


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_texts_of_one_time_become_lines_of_one_cue(tmp_path: Path, suffix: str) -> None:
    source = make_rich_video(tmp_path / "in.mkv", frames=3, cues=[Cues(lines=OVERLAPPING)])
    enhance_nearest(source, tmp_path / f"out{suffix}")
    assert read_cues(tmp_path / f"out{suffix}") == [
        [(100, 300, "One\nTwo"), (300, 500, "One\nTwo\nThree"), (500, 550, "Three"),
         (700, 800, "Four")],
    ]  # fmt: skip


def test_webm_holds_them_as_they_are(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mkv", frames=3, cues=[Cues(lines=OVERLAPPING)])
    enhance_nearest(source, tmp_path / "out.webm")
    assert read_cues(tmp_path / "out.webm") == [list(OVERLAPPING)]


@pytest.mark.parametrize("codec", ["srt", "ass"])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_verifying_finds_converted_texts_as_they_were(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    lines = (*OVERLAPPING, (850, 900, "<i>Five</i> & {\\i1}six{\\i0}, <7>\\Nlines"))
    source = make_rich_video(tmp_path / "in.mkv", frames=3, cues=[Cues(codec=codec, lines=lines)])
    for kept in (None, TimeRange(start=Fraction(42, 1000), stop=Fraction(7, 10))):
        expected, _ = enhance_nearest(source, tmp_path / f"out{suffix}", time_range=kept)
        assert warnings_about_texts(source, tmp_path / f"out{suffix}", expected) == []


def test_verifying_names_texts_that_are_missing_or_moved(tmp_path: Path) -> None:
    other = ((100, 500, "One"), (200, 500, "Two"), (600, 800, "Four"))
    films = [
        make_rich_video(tmp_path / name, frames=3, cues=[Cues(lines=lines)])
        for name, lines in (("in.mkv", OVERLAPPING), ("other.mkv", other))
    ]
    expected, _ = enhance_nearest(films[1], tmp_path / "out.webm")
    (said,) = warnings_about_texts(films[0], tmp_path / "out.webm", expected)
    assert said.startswith("3 of 4 texts of subtitle stream 1 are missing or shown at another")
    assert said.endswith("the first at 0.100 s")


def warnings_about_texts(source: Path, target: Path, expected: Expected) -> list[str]:
    return [said for said in verify(source, target, expected).warnings if "texts of" in said]


Times = list[tuple[int, int, str]]

GAP: Times = [(0, 200, "A"), (300, 400, "B")]
OVERLAP: Times = [(0, 600, "A"), (100, 300, "B"), (300, 600, "C")]
LATE: Times = [(0, 400, "A"), (400, 900, "B"), (2000, 3000, "C")]
LATER_FIRST: Times = [(100, 300, "A"), (300, 600, "B")]
UNTITLED: Times = [(0, 100, "A"), (100, 400, ""), (400, 600, "B")]
EMPTY: Times = [(0, 600, "A"), (600, 600, "End")]


def in_seconds(chapters: Times) -> tuple[tuple[Fraction, Fraction, str], ...]:
    return tuple((Fraction(a, 1000), Fraction(b, 1000), title) for a, b, title in chapters)


def film_with(path: Path, chapters: Times) -> Path:
    return make_rich_video(path, frames=4, chapters=in_seconds(chapters))


@pytest.mark.parametrize(
    ("suffix", "chapters", "wanted", "said"),
    [
        (".mp4", GAP, [(0, 300, "A"), (300, 400, "B")], "1 of 2 will end where the next begins"),
        (".mp4", OVERLAP, [(0, 100, "A"), (100, 300, "B"), (300, 600, "C")], "1 of 3 will end"),
        (".mp4", LATE, [(0, 400, "A"), (400, 2000, "B"), (2000, 3000, "C")], "1 of 3 will end"),
        (
            ".mov",
            LATER_FIRST,
            [(0, 100, ""), *LATER_FIRST],
            "first chapter begins 0.100 s after the start",
        ),
        (".mov", UNTITLED, UNTITLED, ""),
        (".mp4", EMPTY, [EMPTY[0], (600, 601, "End")], ""),
    ],
)
def test_every_chapter_begins_at_its_time_and_what_changes_is_said(
    tmp_path: Path, suffix: str, chapters: Times, wanted: Times, said: str
) -> None:
    source = film_with(tmp_path / "in.mkv", chapters)
    target = tmp_path / f"out{suffix}"
    expected, _ = enhance_nearest(source, target)
    assert probe(target).chapters == in_seconds(wanted)
    warnings = chapter_warnings(probe(source), suffix[1:], None)
    assert [said in warning for warning in warnings] == [True] * bool(said)
    found = verify(source, target, expected)
    assert not found.problems
    assert set(warnings) <= set(found.warnings)


@pytest.mark.parametrize("chapters", [GAP, OVERLAP, LATE, LATER_FIRST])
def test_matroska_holds_them_as_they_are(tmp_path: Path, chapters: Times) -> None:
    source = film_with(tmp_path / "in.mkv", chapters)
    target = tmp_path / "out.mkv"
    expected, _ = enhance_nearest(source, target)
    assert probe(target).chapters == in_seconds(chapters)
    assert not verify(source, target, expected).problems
    assert chapter_warnings(probe(source), "matroska", None) == ()


def test_only_chapters_of_the_kept_part_count(tmp_path: Path) -> None:
    info = probe(film_with(tmp_path / "in.mkv", LATE))
    assert chapter_warnings(info, "mp4", TimeRange(start=Fraction(1, 2), stop=Fraction(1))) == ()


@pytest.mark.parametrize("muxer", ["mp4", "matroska", "avi"])
def test_nothing_is_said_where_there_are_none(tmp_path: Path, muxer: str) -> None:
    assert chapter_warnings(probe(film_with(tmp_path / "in.mkv", [])), muxer, None) == ()


def test_a_wrong_chapter_is_described_in_plain_words(tmp_path: Path) -> None:
    source = film_with(tmp_path / "in.mkv", [(0, 300, "A"), (300, 600, "B")])
    other = film_with(tmp_path / "other.mkv", [(0, 200, "A"), (200, 600, "B")])
    expected, _ = enhance_nearest(other, tmp_path / "out.mkv")
    (problem,) = verify(source, tmp_path / "out.mkv", expected).problems
    assert problem == (
        "chapters: chapter 1, 'A' from 0.000 s to 0.300 s, became 'A' from 0.000 s to 0.200 s"
    )


TICK = Fraction(1, 90000)


def segments(number: int) -> bytes:
    """A display set of DVB without regions: a page, and its end."""
    page = bytes((5, number << 4))
    return b"\x0f\x10\0\1" + len(page).to_bytes(2) + page + b"\x0f\x80\0\1\0\0"


def with_dvb_subtitles(path: Path, times: tuple[int, ...]) -> Path:
    film = make_video(path.with_name("film.ts"), frames=30, rate=Fraction(25))
    with av.open(film) as source, av.open(path, "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        text: Any = output.add_stream("dvbsub")
        packets: list[Any] = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream = video
        for number, time in enumerate(times):
            packet = av.Packet(segments(number))
            packet.stream, packet.time_base, packet.duration = text, TICK, 9000
            packet.pts = packet.dts = time
            packets.append(packet)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_dvb_subtitles_of_one_time_are_all_kept(tmp_path: Path, suffix: str) -> None:
    times = (9000, 9000, 45000, 45000, 45000, 63000)
    source, target = with_dvb_subtitles(tmp_path / "in.ts", times), tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    with av.open(target) as made:
        assert not made.streams.audio
        found = [packet for packet in made.demux(subtitles=0) if packet.size]
    assert [bytes(packet) for packet in found] == [segments(number) for number in range(6)]
    moved = [
        packet.pts * packet.time_base - time * TICK
        for packet, time in zip(found, times, strict=True)
    ]
    assert max(moved) <= 2 * TICK
    assert min(moved) >= 0
    result = verify(source, target, Expected())
    assert result.passed


def bluray_parts(number: int, *, shown: bool) -> list[bytes]:
    """A display set of a Blu-ray: composition, window, palette and object if shown, end."""

    def part(kind: int, data: bytes) -> bytes:
        return bytes([kind]) + len(data).to_bytes(2) + data

    size = struct.pack(">HHBHBBBB", 64, 48, 0x10, number, 0x80, 0, 0, int(shown))
    parts = [
        part(0x16, size + struct.pack(">HBBHH", 0, 0, 0, 4, 4) * shown),
        part(0x17, bytes([1, 0, 0, 4, 0, 4, 0, 8, 0, 2])),
    ]
    if shown:
        lines = (b"\x01" * 8 + b"\0\0") * 2
        parts.append(part(0x14, bytes([0, 0, 1, 200, 128, 128, 255])))
        length = (len(lines) + 4).to_bytes(3)
        parts.append(part(0x15, bytes([0, 0, 0, 0xC0]) + length + struct.pack(">HH", 8, 2) + lines))
    return [*parts, part(0x80, b"")]


SHOWN = ((9000, True), (45000, False), (63000, True))


def with_bluray_subtitles(path: Path) -> Path:
    """Write a film as Blu-rays have it: each part of a subtitle is a packet."""
    film = make_video(path.with_name("film.ts"), frames=30, rate=Fraction(25))
    sets = [(time, bluray_parts(index, shown=on)) for index, (time, on) in enumerate(SHOWN)]
    raw = path.with_name("raw.sup")
    raw.write_bytes(
        b"".join(
            b"PG" + struct.pack(">II", time, time) + part for time, parts in sets for part in parts
        )
    )
    options = {"mpegts_m2ts_mode": "1"}
    with (
        av.open(film) as source,
        av.open(raw) as texts,
        av.open(path, "w", container_options=options) as output,
    ):
        packets: list[Any] = []
        for file in (source, texts):
            copy = output.add_stream_from_template(file.streams[0])
            for packet in file.demux(file.streams[0]):
                if packet.size:
                    packet.stream = copy
                    packets.append(packet)
        for packet in sorted(packets, key=lambda each: (each.dts or each.pts) * each.time_base):
            output.mux(packet)
    return path


def test_subtitles_of_a_bluray_are_joined_and_kept(tmp_path: Path) -> None:
    source, target = with_bluray_subtitles(tmp_path / "in.ts"), tmp_path / "out.mkv"
    result = enhance(source, target, EnhanceOptions(model="bicubic", scale=1))
    assert result.report["verified"] == "in full"
    with av.open(target) as made:
        found = [packet for packet in made.demux(subtitles=0) if packet.size]
    wanted = [b"".join(bluray_parts(index, shown=on)) for index, (_, on) in enumerate(SHOWN)]
    assert [bytes(packet) for packet in found] == wanted
    assert [packet.pts for packet in found] == [time // 90 for time, _ in SHOWN]
    assert verify(source, target, Expected()).passed


def test_transport_streams_without_them_are_written_and_say_so(tmp_path: Path) -> None:
    source, target = with_bluray_subtitles(tmp_path / "in.ts"), tmp_path / "out.ts"
    result = enhance(source, target, EnhanceOptions(model="bicubic", scale=1))
    assert any("(hdmv_pgs_subtitle) is left out" in warning for warning in result.warnings)
    assert verify(source, target, Expected()).passed


def test_a_stream_that_is_lost_in_writing_is_planned_anew(tmp_path: Path) -> None:
    source = with_bluray_subtitles(tmp_path / "in.ts")
    options = EnhanceOptions(model="bicubic", scale=1)
    job = plan_job(source, tmp_path / "out.ts", options)
    assert [plan.action for plan in job.streams] == ["enhance", "drop"]
    copied = replace(job.streams[1], action="copy", reason="", loses=False)
    mended = rehearse(replace(job, streams=(job.streams[0], copied)))
    assert mended.streams[1].action == "drop"
    assert "missing: subtitle 1" in mended.streams[1].reason


def test_one_of_many_equal_texts_that_is_missing_is_named() -> None:
    tick = Fraction(1, 1000)
    cues = [
        Cue(start=i, end=i + 40, event=b"0,0,Default,,0,0,0,,La") for i in range(0, 40_000, 400)
    ]
    assert _missing(cues, tick, cues[::-1], tick) == []
    assert _missing(cues, tick, [*cues[:30], *cues[31:]], tick) == [cues[30]]
