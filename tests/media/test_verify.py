from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from synthetic import draw_number, make_video
from synthetic_streams import Cues, Sound, enhance_nearest, make_rich_video

from vsr.media.copying import TimeRange
from vsr.media.types import FrameMarks, PlanarFrame, PlaneFormat
from vsr.media.verify import Expected, VerifyResult, verify

CHAPTERS = [(Fraction(0), Fraction(1, 2), "One"), (Fraction(1, 2), Fraction(1), "Two")]


def failed(result: VerifyResult) -> set[str]:
    return {found.name for found in result.checks if not found.passed}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rich_video(
        tmp_path_factory.mktemp("verify") / "film.mkv",
        sounds=[Sound(language="eng", title="Main"), Sound(codec="ac3", language="jpn")],
        cues=[Cues(language="fre")],
        chapters=CHAPTERS,
        font=True,
        tags={"title": "Film"},
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("verify") / "plain.mp4", frames=12, audio=["aac"])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts", ".webm"])
def test_a_right_file_passes(film: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    expected, _ = enhance_nearest(film, target)
    assert verify(film, target, expected).problems == ()
    assert verify(film, target).problems == ()


def test_nothing_is_off_where_nothing_is(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    enhance_nearest(plain, target)
    details = [check.detail for check in verify(plain, target).checks]
    assert "every frame at its own time, exactly" in details
    assert not any(" off" in detail for detail in details)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_kept_range_passes_when_it_is_expected(film: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    kept = TimeRange(start=Fraction(1, 4), stop=Fraction(3, 4))
    expected, _ = enhance_nearest(film, target, time_range=kept)
    assert verify(film, target, expected).problems == ()
    assert {"frames", "chapters"} <= failed(verify(film, target))


def test_the_result_goes_into_json_with_its_numbers(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    enhance_nearest(plain, target)
    result = json.loads(json.dumps(dataclasses.asdict(verify(plain, target))))
    numbers = {found["name"]: found["numbers"] for found in result["checks"]}
    assert numbers["frames"] == {"wanted": 12, "found": 12}
    assert numbers["timestamps"]["largest_difference_s"] == 0
    sound = numbers["audio 1 packets"]
    assert sound["wanted_sha256"] == sound["found_sha256"]
    assert sound["wanted_packets"] == sound["found_packets"] > 10


def rewrite(
    source: Path, target: Path, *, drop: int | None = None, late: int = 0, late_sound: int = 0,
    cut_sound: int = 0, without: str = "",
) -> None:  # fmt: skip
    """Copy a file packet by packet and do it some harm."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        streams = {
            s.index: after.add_stream_from_template(s, opaque=True)
            for s in before.streams
            if s.type != without
        }
        packets = [p for p in before.demux(list(before.streams)) if p.size]
        sounds = [p for p in packets if p.stream.type == "audio"]
        videos = [p for p in packets if p.stream.type == "video"]
        for packet in packets:
            if packet.stream.index not in streams or packet in sounds[len(sounds) - cut_sound :]:
                continue
            if drop is not None and packet is videos[drop]:
                continue
            if packet.stream.type == "video" and packet in videos[len(videos) // 2 :]:
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
            if packet.stream.type == "audio":
                packet.pts, packet.dts = packet.pts + late_sound, packet.dts + late_sound
            packet.stream = streams[packet.stream.index]
            after.mux(packet)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ({"drop": -1}, {"frames"}),
        ({"late": 7}, {"timestamps"}),
        ({"late_sound": 480}, {"audio 1 packets"}),
        ({"cut_sound": 1}, {"audio 1 packets"}),
        ({"without": "audio"}, {"streams"}),
    ],
)
def test_harm_is_found(
    plain: Path, tmp_path: Path, harm: dict[str, object], found: set[str]
) -> None:
    good, bad = tmp_path / "good.mp4", tmp_path / "bad.mp4"
    expected, _ = enhance_nearest(plain, good)
    rewrite(good, bad, **harm)  # type: ignore[arg-type]
    assert found <= failed(verify(plain, bad, expected))
    assert not verify(plain, bad).passed


def black(index: int, width: int, height: int) -> np.ndarray:
    picture = draw_number(index, width, height)
    return picture * 0 if index == 5 else picture


def still(index: int, width: int, height: int) -> np.ndarray:
    return draw_number(min(index, 6), width, height)


def green(index: int, width: int, height: int) -> np.ndarray:
    picture = draw_number(index, width, height).astype(np.float64)
    return (picture * (0.3, 1, 0.3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "name", "count"),
    [(black, "not black", 1), (still, "not frozen", 5), (green, "brightness and hue", 12)],
)
def test_pictures_that_are_not_the_source_are_found(
    plain: Path, tmp_path: Path, picture: object, name: str, count: int
) -> None:
    bad = make_video(tmp_path / "bad.mp4", size=(128, 96), picture=picture, audio=["aac"])  # type: ignore[arg-type]
    check = next(c for c in verify(plain, bad).checks if c.name == name)
    assert not check.passed
    assert check.numbers["frames"] == count


def test_stills_of_a_still_source_are_right(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", picture=lambda i, w, h: draw_number(3, w, h))
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target)
    assert verify(source, target).passed


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rotation": 90}, "rotation"),
        ({"sample_aspect_ratio": Fraction(4, 3)}, "sample aspect ratio"),
        ({"color": (9, 16, 9, 1)}, "colour tags"),
    ],
)
def test_changed_video_tags_are_found(
    tmp_path: Path, changes: dict[str, object], name: str
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, color=(1, 1, 1, 1))
    bad = make_video(tmp_path / "bad.mp4", frames=3, **({"color": (1, 1, 1, 1)} | changes))  # type: ignore[arg-type]
    assert name in failed(verify(source, bad))


def test_changed_labels_and_chapters_are_found(film: Path, tmp_path: Path) -> None:
    bad = make_rich_video(
        tmp_path / "bad.mkv",
        sounds=[
            Sound(language="ger", title="Main", disposition=Disposition(0)),
            Sound(codec="ac3"),
        ],
        cues=[Cues(lines=[(100, 400, "Hello"), (550, 802, "There")])],
        chapters=CHAPTERS[:1],
        font=True,
    )
    result = verify(film, bad)
    names = failed(result)
    assert {"audio 1 labels", "audio 2 labels", "subtitle 3 labels", "chapters"} <= names
    assert "subtitle 3 packets" in names
    assert any("tags title" in warning for warning in result.warnings)


def test_a_wrong_size_is_found(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    expected, _ = enhance_nearest(plain, target)
    assert expected.plan is not None
    other = replace(expected, plan=replace(expected.plan, width=130))
    assert failed(verify(plain, target, other)) == {"size"}


def test_a_truncated_file_is_found(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    expected, _ = enhance_nearest(plain, target)
    target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    assert "frames" in failed(verify(plain, target, expected))


def test_planned_losses_are_warnings(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    expected, _ = enhance_nearest(film, target)
    result = verify(film, target, expected)
    assert result.passed
    assert any("attachment" in warning for warning in result.warnings)


def test_a_partial_name_is_judged_by_the_name_to_come(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    enhance_nearest(plain, target)
    partial = target.rename(tmp_path / ".out.mkv.part")
    assert verify(plain, partial, named=target).passed


def frame(luma: int, pts: int, layout: PlaneFormat) -> PlanarFrame:
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    neutral = luma if layout.chroma == "rgb" else 1 << (layout.bit_depth - 1)
    values = (luma,) if layout.chroma == "gray" else (luma, neutral, neutral)
    planes = tuple(np.full((6, 8), value, dtype) for value in values)
    return PlanarFrame(planes=planes, format=layout, pts=pts, duration=1)


@pytest.mark.parametrize(
    ("layout", "black", "white", "full"),
    [
        (PlaneFormat(name="gray", chroma="gray", bit_depth=8), 16, 235, False),
        (PlaneFormat(name="gray", chroma="gray", bit_depth=8), 0, 255, True),
        (PlaneFormat(name="yuv444p10le", chroma="444", bit_depth=10), 64, 940, False),
        (PlaneFormat(name="gbrp16le", chroma="rgb", bit_depth=16), 0, 65535, False),
    ],
)
def test_marks_say_how_bright_and_how_different_frames_are(
    layout: PlaneFormat, black: int, white: int, full: bool
) -> None:
    marks = FrameMarks(Fraction(1, 25), full_range=full)
    for pts, luma in enumerate((black, white, white)):
        marks.add(frame(luma, pts, layout))
    assert [marks.mean(i)[0] for i in range(3)] == pytest.approx([0, 1, 1])
    assert list(marks.changes) == pytest.approx([0, 1, 0])
    assert marks.seconds(2) == Fraction(2, 25)


def test_marks_stand_in_for_a_second_decoding_of_the_source(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    expected, _ = enhance_nearest(plain, target)
    assert expected.marks is not None
    assert verify(plain, target, Expected(plan=expected.plan, marks=expected.marks)).passed
    expected.marks.pts[3] += 1
    assert failed(verify(plain, target, expected)) == {"timestamps"}
