"""`vsr compare --video`: films on one screen, in step, in their own colours, with the sound."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from synthetic import make_pictures, make_video

from vsr.cli.main import main
from vsr.data.pictures import Picture, read_pictures
from vsr.errors import ConfigError, EncodeError, MuxError
from vsr.media.probe import probe
from vsr.report.film import SWEEP, SWEEP_SECONDS, film, fitted, make_canvas, make_label

SIZE = (96, 64)
LARGE = (192, 128)


def grey(first: int) -> Callable[[int, int, int], np.ndarray]:
    """Frames that can be told apart by their grey."""
    return lambda index, w, h: np.full((h, w, 3), first + 4 * index, np.uint8)


def colored(rgb: tuple[int, int, int]) -> Callable[[int, int, int], np.ndarray]:
    return lambda index, w, h: np.broadcast_to(np.uint8(rgb), (h, w, 3)).copy()


def shown(path: Path) -> list[Picture]:
    return list(read_pictures(path))


def number(picture: Picture, share: float, first: int, *, row: float = 0.75) -> int:
    """Read a grey frame's number where labels do not reach."""
    rgb = picture.rgb
    y, x = int(row * rgb.shape[0]), int(share * rgb.shape[1])
    return round((float(rgb[y - 3 : y + 3, x - 3 : x + 3].mean()) - first) / 4)


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "dark.mp4"
    return make_video(path, frames=8, size=SIZE, picture=grey(20), audio=("aac",))


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "bright.mp4"
    return make_video(path, frames=8, size=LARGE, picture=grey(150))


def test_both_halves_show_the_same_frame_at_the_reference_s_times(
    dark: Path, bright: Path, tmp_path: Path
) -> None:
    made = film(dark, [bright], tmp_path / "film.mp4", divider="fixed")
    pictures = shown(made.path)
    assert made.frames == len(pictures) == 8
    assert made.size == LARGE
    assert [number(p, 0.25, 20) for p in pictures] == list(range(8))
    assert [number(p, 0.75, 150) for p in pictures] == list(range(8))
    assert [p.seconds for p in pictures] == [p.seconds for p in shown(dark)]


def test_films_are_matched_by_time_not_by_number(dark: Path, tmp_path: Path) -> None:
    # A variable rate against twice a constant one: at each tick what a player would show.
    ticks = [0, 1, 4, 5, 9, 10]
    varying = make_video(
        tmp_path / "a.mp4", size=SIZE, picture=grey(20), pts=ticks, time_base=Fraction(1, 24),
    )  # fmt: skip
    steady = make_video(
        tmp_path / "b.mp4", size=SIZE, picture=grey(100), frames=24, rate=Fraction(48),
    )  # fmt: skip
    pictures = shown(film(varying, [steady], tmp_path / "film.mkv", divider="fixed").path)
    assert [number(p, 0.25, 20) for p in pictures] == list(range(6))
    assert [number(p, 0.75, 100) for p in pictures] == [2 * tick for tick in ticks]


def test_sound_and_tags_are_copied(dark: Path, bright: Path, tmp_path: Path) -> None:
    made = film(dark, [bright], tmp_path / "film.mp4")
    assert sound(made.path) == sound(dark)
    assert made.notes == ()


def test_the_film_ends_with_the_shortest_and_so_does_its_sound(dark: Path, tmp_path: Path) -> None:
    short = make_video(tmp_path / "short.mp4", frames=4, size=SIZE, picture=grey(150))
    made = film(dark, [short], tmp_path / "film.mp4")
    assert made.frames == 4
    kept = sound(made.path)
    # Less the packet before time zero that warms the decoder up, as for any part that is kept.
    assert kept == sound(dark)[1 : 1 + len(kept)]
    assert 0.3 < len(kept) / len(sound(dark)) < 0.7


def test_a_part_is_compared_with_what_it_was_made_from(
    dark: Path, bright: Path, tmp_path: Path
) -> None:
    part = make_video(tmp_path / "part.mp4", frames=3, size=SIZE, picture=grey(150))
    begin = shown(dark)[5].seconds
    made = film(dark, [part], tmp_path / "film.mp4", start=begin, divider="fixed")
    pictures = shown(made.path)
    assert [number(p, 0.25, 20) for p in pictures] == [5, 6, 7]
    assert [number(p, 0.75, 150) for p in pictures] == [0, 1, 2]
    assert pictures[0].seconds == 0


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.webm"])
@pytest.mark.parametrize(
    "colors",
    [((1, 1, 1, 1), (1, 1, 6, 1)), ((1, 1, 1, 2), (2, 2, 2, 0)), ((6, 6, 6, 1), (1, 6, 1, 2))],
)
def test_each_film_is_shown_in_its_own_colours(
    tmp_path: Path, name: str, colors: tuple[tuple[int, int, int, int], ...]
) -> None:
    rgb = (200, 70, 40)
    one, two = (
        make_video(tmp_path / f"{i}.mkv", frames=2, size=SIZE, picture=colored(rgb), color=color)
        for i, color in enumerate(colors)
    )
    made = film(one, [two], tmp_path / name, divider="fixed")
    picture = shown(made.path)[1].rgb[40:].astype(int)
    # Another matrix would be off by 20, another range by 15.
    for half in (picture[:, 8:40], picture[:, 56:88]):
        assert np.abs(half - rgb).max() <= 6


def test_hdr_and_sdr_do_not_go_into_one_film(tmp_path: Path) -> None:
    hdr = make_video(tmp_path / "a.mkv", frames=2, codec="libx265", pix_fmt="yuv420p10le",
                     color=(9, 16, 9, 1))  # fmt: skip
    sdr = make_video(tmp_path / "b.mkv", frames=2, color=(1, 1, 1, 1))
    with pytest.raises(EncodeError, match=r"PQ, primaries BT\.2020"):
        film(hdr, [sdr], tmp_path / "film.mkv")
    made = film(hdr, [hdr], tmp_path / "film.mkv")
    info = probe(made.path).video
    assert (info.bit_depth, info.color.transfer, info.color.primaries) == (10, 16, 9)


def test_more_than_two_stand_in_a_grid(dark: Path, bright: Path, tmp_path: Path) -> None:
    third = make_video(tmp_path / "third.mp4", frames=8, size=SIZE, picture=grey(60))
    made = film(dark, [bright, third], tmp_path / "film.mp4")
    assert made.size == (2 * LARGE[0], 2 * LARGE[1])
    for index, picture in enumerate(shown(made.path)):
        assert number(picture, 0.25, 20, row=0.4) == index
        assert number(picture, 0.75, 150, row=0.4) == index
        assert number(picture, 0.25, 60, row=0.9) == index
        assert picture.rgb[200:, 250:].max() < 20


def test_turned_and_anamorphic_films_are_shown_as_players_show_them(tmp_path: Path) -> None:
    def halves(index: int, width: int, height: int) -> np.ndarray:
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, : width // 2] = 220
        return picture

    turned = make_video(tmp_path / "t.mp4", frames=2, size=(96, 64), rotation=90, picture=halves)
    made = film(turned, [turned], tmp_path / "film.mp4", divider="fixed")
    info = probe(made.path).video
    assert (info.width, info.height, info.rotation) == (64, 96, 0)
    rgb = shown(made.path)[0].rgb
    # Turned to the left, the left half is below.
    assert rgb[70:, 10].mean() > 180
    assert rgb[30:40, 10].mean() < 40
    wide = make_video(
        tmp_path / "w.mp4", frames=2, size=(96, 64), sample_aspect_ratio=Fraction(4, 3)
    )
    info = probe(film(wide, [wide], tmp_path / "wide.mp4").path).video
    assert (info.width, info.height, info.sample_aspect_ratio or 1) == (128, 64, 1)


def test_the_divider_moves_with_time(dark: Path, tmp_path: Path) -> None:
    # A frame a second: the divider is at another place in each.
    one, two = (
        make_video(tmp_path / f"{first}.mp4", frames=8, size=LARGE, picture=colored((first,) * 3),
                   rate=Fraction(1))
        for first in (30, 220)
    )  # fmt: skip
    places = []
    for picture in shown(film(one, [two], tmp_path / "film.mp4").path):
        row = picture.rgb[100].mean(-1)
        places.append(float(np.flatnonzero(row[10:-10] > 190)[0] + 10) / LARGE[0])
    wanted = [0.5 + SWEEP * math.sin(2 * math.pi * i / SWEEP_SECONDS) for i in range(8)]
    assert places == pytest.approx(wanted, abs=0.02)
    for picture in shown(film(one, [two], tmp_path / "fixed.mp4", divider="fixed").path):
        row = picture.rgb[100].mean(-1)
        assert np.flatnonzero(row[10:-10] > 190)[0] + 10 == pytest.approx(LARGE[0] / 2, abs=2)


def test_folders_of_pictures_can_be_filmed(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures", frames=4)
    assert film(folder, [folder], tmp_path / "film.mkv").frames == 4


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("film.html", MuxError, "name a video file"),
        ("frames/%06d.png", ConfigError, "--video wants the name of a video file"),
        ("taken.mp4", MuxError, "exists already"),
        ("none/film.mp4", MuxError, "does not exist"),
    ],
)
def test_a_target_that_will_not_do_is_refused_at_once(
    dark: Path, bright: Path, tmp_path: Path, name: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "taken.mp4").write_text("mine")
    with pytest.raises(error, match=message):
        film(dark, [bright], tmp_path / name)
    with pytest.raises(MuxError, match="input itself"):
        film(dark, [bright], bright, overwrite=True)


def test_interrupting_leaves_nothing_behind(dark: Path, bright: Path, tmp_path: Path) -> None:
    def stop(frames: int) -> None:
        if frames == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(dark, [bright], tmp_path / "film.mp4", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_canvases_for_many_films() -> None:
    uhd = (Fraction(3840), Fraction(2160))
    phone = (Fraction(1080), Fraction(1920))
    assert make_canvas([uhd, (Fraction(960), Fraction(540))]).size == (3840, 2160)
    four = make_canvas([uhd] * 4)
    assert (four.columns, four.rows, four.cell, four.shrunk) == (2, 2, (1920, 1080), True)
    assert (make_canvas([phone] * 3).columns, make_canvas([phone] * 3).rows) == (3, 1)
    odd = make_canvas([(Fraction(321), Fraction(181))] * 2)
    assert odd.size == (320, 180)


def test_another_shape_gets_bars(tmp_path: Path) -> None:
    assert fitted((80, 60), Fraction(4, 3)) == (80, 60)
    assert fitted((80, 60), Fraction(16, 9)) == (80, 44)
    assert fitted((80, 60), Fraction(2, 3)) == (40, 60)
    large, wide, tall = (
        make_video(tmp_path / f"{w}.mp4", frames=2, size=(w, h), picture=colored((235,) * 3))
        for w, h in ((320, 240), (256, 144), (120, 180))
    )
    rgb = shown(film(large, [wide], tmp_path / "a.mp4", divider="fixed").path)[1].rgb
    assert rgb[40:200, 20:140].min() > 220
    assert rgb[40:200, 180:300].min() > 220
    assert max(rgb[y, 180:300].max() for y in (222, 239)) < 20
    rgb = shown(film(large, [tall], tmp_path / "b.mp4", divider="fixed").path)[1].rgb
    assert rgb[40:, 180:230].min() > 220
    assert rgb[40:, 250:].max() < 20


def test_labels_take_less_than_half_of_the_width() -> None:
    for name in ("a.mp4", "a rather long name of a film, " * 4, "Çınar – Büro.mp4", "映画.mkv"):
        for cell in ((1280, 720), (192, 128), (64, 48)):
            label = make_label(name, "1280x720, bicubic", cell, white=1.0)
            assert label.width <= max(0.5 * cell[0], 60)
            assert label.getextrema()[0][1] > 200
    assert make_label("a", "", (1280, 720), white=0.5).getextrema()[0][1] <= 128


def test_the_command_writes_page_and_film(
    dark: Path, bright: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(dark), str(bright)]) == 2
    assert "--output page.html, --video film.mp4" in capsys.readouterr().err
    targets = ["--output", str(tmp_path / "p.html"), "--video", str(tmp_path / "f.mp4")]
    assert main(["compare", str(dark), str(bright), *targets, "--divider", "fixed"]) == 0
    text = capsys.readouterr().out
    assert "f.mp4: 8 frames of 192x128, verified" in text
    assert "p.html: 8 frames compared" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.mp4", "p.html"]
    again = ["--output", str(tmp_path / "q.html"), "--video", str(tmp_path / "f.mp4")]
    assert main(["compare", str(dark), str(bright), *again]) == 1
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "q.html").exists()
    for more in (["--at", "1"], ["--open"]):
        alone = ["--video", str(tmp_path / "g.mp4"), *more]
        assert main(["compare", str(dark), str(bright), *alone]) == 2
        assert f"{more[0]} " in capsys.readouterr().err
