"""`vsr compare`: one page that holds everything."""

from __future__ import annotations

import json
import re
from array import array
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic import make_pictures, make_video, read_number

from vsr.cli.main import main
from vsr.errors import ConfigError, MuxError, ProbeError
from vsr.media.probe import probe
from vsr.report.compare import compare
from vsr.report.facts import clock
from vsr.report.measure import Curves, Measured
from vsr.report.moments import pack
from vsr.report.page import graphs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An input and its enhancement."""
    folder = tmp_path_factory.mktemp("pair")
    source = make_video(folder / "in <b>.mp4", frames=8, size=(128, 96), audio=("aac",))
    target = folder / "out.mp4"
    arguments = ["--model", "bicubic", "--preset", "ultrafast", "--progress", "none"]
    assert main(["enhance", str(source), str(target), *arguments]) == 0
    return source, target


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def image(uri: str) -> np.ndarray:
    import base64

    head, body = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(body), np.uint8), cv2.IMREAD_COLOR)


def test_both_sides_of_a_moment_show_the_same_frame(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    found = compare(pair[0], [pair[1]], tmp_path / "p.html", moments=3, at=[Fraction(1, 4)])
    data = data_of(found.page)
    assert found.frames == 8
    assert 3 <= len(data["moments"]) <= 4
    assert any(moment["note"] == "asked" and moment["frame"] == 6 for moment in data["moments"])
    for moment in data["moments"]:
        small, large = (image(uri) for uri in moment["images"])
        assert small.shape[:2], large.shape[:2] == ((96, 128), (384, 512))
        assert read_number(small) == read_number(large) == moment["frame"]


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_nothing_from_outside(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = compare(pair[0], [pair[1]], tmp_path / "p.html").page
    text = page.read_text(encoding="utf-8")
    links = _Links()
    links.feed(text)
    assert links.found == []
    assert "default-src 'none'" in text
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]


def test_names_cannot_break_the_page(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = compare(pair[0], [pair[1]], tmp_path / "p.html").page
    assert "<b>" not in page.read_text(encoding="utf-8")
    assert data_of(page)["films"][0]["name"] == "in <b>.mp4"


def test_facts_and_checks_are_there(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare(pair[0], [pair[1]], tmp_path / "p.html")
    data = data_of(found.page)
    facts = {row[0]: row[1:] for row in data["facts"]}
    assert facts["Picture"] == ["128 × 96", "512 × 384"]
    assert facts["Duration"] == ["0:00.334", "0:00.334"]
    assert all(value.startswith("aac 48000 Hz") for value in facts["Audio"])
    assert "Chapters" not in facts
    assert found.problems == ((),)
    assert data["checks"][0]["passed"] > 10


def test_a_wrong_output_shows_what_is_wrong(pair: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = make_video(tmp_path / "wrong.mp4", frames=8, size=(256, 192))
    found = compare(pair[0], [wrong], tmp_path / "p.html")
    assert any(problem.startswith("streams: ") for problem in found.problems[0])
    assert data_of(found.page)["checks"][0]["problems"] == list(found.problems[0])


def test_an_output_of_another_count_is_no_fault(pair: tuple[Path, Path], tmp_path: Path) -> None:
    part = make_video(tmp_path / "part.mp4", frames=5, size=(256, 192))
    found = compare(pair[0], [part], tmp_path / "p.html")
    assert (found.frames, found.problems) == (5, ((),))
    (said,) = found.notes
    assert said.startswith("part.mp4: 5 frames for 8 of the reference")
    assert data_of(found.page)["checks"][0]["problems"] == []


def test_graphs_have_a_value_per_frame(pair: tuple[Path, Path], tmp_path: Path) -> None:
    quality, flicker = data_of(compare(pair[0], [pair[1]], tmp_path / "p.html").page)["graphs"]
    assert quality["title"] == "Fidelity to the input"
    assert len(quality["times"]) == len(quality["lines"][0]) == 8
    assert flicker["lines"][0][0] is None
    assert quality["means"] == [pytest.approx(np.mean(quality["lines"][0]), abs=0.01)]


def test_films_of_one_size_are_compared_by_psnr(pair: tuple[Path, Path], tmp_path: Path) -> None:
    data = data_of(compare(pair[1], [pair[1], pair[1]], tmp_path / "p.html").page)
    assert data["graphs"][0]["title"] == "PSNR"
    assert data["graphs"][0]["lines"] == [[100.0] * 8] * 2


def test_long_films_keep_their_worst_frames(pair: tuple[Path, Path]) -> None:
    curves = Curves()
    curves.psnr.extend([40.0] * 3000)
    curves.flicker.extend([float("nan")] * 3 + [1.0] * 2997)
    curves.psnr[1301], curves.flicker[2000] = 20.0, 9.0
    measured = Measured(
        times=([Fraction(i, 24) for i in range(3000)],) * 2,
        difference=array("f", [1.0] * 3000),
        cuts=[],
        curves=(curves,),
    )
    films = [probe(path) for path in pair]
    quality, flicker = graphs(films, measured)
    assert len(quality["times"]) == len(quality["lines"][0]) == 1000
    assert "lowest of 3 frames" in quality["note"]
    assert [quality["lines"][0].index(20.0), flicker["lines"][0].index(9.0)] == [433, 666]
    assert flicker["lines"][0][:2] == [None, 1.0]
    assert flicker["means"] == [pytest.approx(1.0, abs=0.01)]


def test_a_turned_film_is_shown_upright(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=3, size=(128, 96), rotation=90)
    data = data_of(compare(film, [film], tmp_path / "p.html", moments=1).page)
    assert data["films"][0]["aspect"] == pytest.approx(96 / 128)
    shown = image(data["moments"][0]["images"][0])
    assert shown.shape[:2] == (128, 96)
    assert read_number(np.rot90(shown, -1)) == data["moments"][0]["frame"]


def test_folders_of_pictures_are_films_too(pair: tuple[Path, Path], tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures", frames=4)
    found = compare(folder, [folder], tmp_path / "p.html")
    assert found.frames == 4


def test_pictures_are_packed_to_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 320, 3), dtype=np.uint8)
    whole, quality, factor = pack([noise, noise], 10_000_000)
    assert (quality, factor) == (95, 1.0)
    size = sum(map(len, whole))
    packed, quality, factor = pack([noise, noise], size - 1)
    assert sum(map(len, packed)) < size
    assert (quality, factor) == (90, 1.0)
    packed, _, factor = pack([noise, noise], size // 4)
    assert sum(map(len, packed)) <= size // 4
    assert factor < 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (Fraction(0), "0:00.000"),
        (Fraction(5999, 100), "0:59.990"),
        (Fraction(59_9996, 10_000), "1:00.000"),
        (3723.5, "1:02:03.500"),
    ],
)
def test_times_are_written_for_people(seconds: Fraction | float, text: str) -> None:
    assert clock(seconds) == text


def test_an_existing_page_is_kept(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    page.write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        compare(pair[0], [pair[1]], page)
    assert page.read_text() == "mine"
    compare(pair[0], [pair[1]], page, overwrite=True)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_film_is_never_replaced_by_a_page(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = pair[1].read_bytes()
    with pytest.raises(ConfigError, match=r"something\.html"):
        compare(pair[0], [pair[1]], pair[1], overwrite=True)
    assert pair[1].read_bytes() == before
    with pytest.raises(MuxError, match="cannot be written"):
        compare(pair[0], [pair[1]], pair[1] / "p.html")


def test_what_is_no_film_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"none\.mp4"):
        compare(pair[0], [tmp_path / "none.mp4"], tmp_path / "p.html")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "p.html"
    arguments = ["compare", *map(str, pair), "--output", str(page), "--at", "0.1", "--at", "0:00.2"]
    assert main([*arguments, "--moments", "0"]) == 0
    assert "8 frames compared, 2 shown" in capsys.readouterr().out
    assert [moment["frame"] for moment in data_of(page)["moments"]] == [2, 5]


def test_a_moment_beyond_the_end_is_said(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "p.html"
    arguments = ["compare", *map(str, pair), "--output", str(page), "--at", "0.33", "--at", "1:39"]
    assert main([*arguments, "--moments", "0"]) == 0
    assert capsys.readouterr().err.count("beyond the last frame") == 1
    assert [moment["frame"] for moment in data_of(page)["moments"]] == [7]
    found = compare(pair[0], [pair[1]], page, at=[Fraction(99)], overwrite=True)
    assert found.notes == (
        "the moment asked for at 1:39.000 lies beyond the last frame that all films show, at "
        "0:00.292, which is shown instead",
    )
