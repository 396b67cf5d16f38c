"""`vsr enhance --preview`: which stretches, the page, and what the whole would cost."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic import draw_number, make_pictures, make_video, read_number

from vsr.cli.main import main
from vsr.data.datasets import to_tensor
from vsr.data.pictures import read_pictures
from vsr.errors import CancelledError, ConfigError, WeightsError
from vsr.media.probe import probe
from vsr.media.weigh import weigh
from vsr.ops.resize import resize
from vsr.options import DecodeOptions, EncodeOptions, EnhanceOptions
from vsr.pipeline import Progress, enhance
from vsr.plan import plan_job
from vsr.report.moments import Place, choose_stretches, look_around
from vsr.report.preview import FRAMES, Cost, Previewed, in_words, preview, reckon

FAST = EnhanceOptions(model="bicubic", encode=EncodeOptions(preset="ultrafast"))
RATE = Fraction(24)
PARTS = 4


def parts(index: int, width: int, height: int) -> np.ndarray:
    """A second each of: soft and still, dark, moving stripes, fine and still."""
    y, x = np.mgrid[0:height, 0:width]
    part = index // 24
    if part == 0:
        values = 128 + 20 * np.sin(x / 20)
    elif part == 1:
        values = 30 + 12 * np.sin(x / 10)
    elif part == 2:
        values = 128 + 60 * np.sin((x + 3 * index) / 3)
    else:
        values = 128 + 100 * ((x + y) % 2 * 2 - 1)
    return np.repeat(values[..., None], 3, axis=2).round().astype(np.uint8)


def page_data(page: Path) -> dict:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    assert found
    return json.loads(found[1])


def with_cost(found: Previewed, cost: Cost) -> Previewed:
    return replace(found, variants=tuple(replace(each, cost=cost) for each in found.variants))


def image(uri: str) -> np.ndarray:
    body = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(body, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "in.mp4"
    return make_video(path, frames=96, rate=RATE, size=(96, 64), audio=("aac",))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_the_stretches_are_what_they_are_called(tmp_path: Path, suffix: str) -> None:
    film = make_video(
        tmp_path / f"film{suffix}", frames=24 * PARTS, rate=RATE, picture=parts,
        codec_options={"bf": "0"} if suffix == ".avi" else None,
    )  # fmt: skip
    looks = look_around(probe(film), DecodeOptions(), Fraction(PARTS), Fraction(1, 3))
    assert len(looks) == 12
    found = {s.why: int(s.start) for s in choose_stretches(looks, 3)}
    assert found == {"darkest": 1, "sharpest motion": 2, "most detail": 3}


def test_only_the_part_that_counts_is_looked_at(tmp_path: Path) -> None:
    film = make_video(tmp_path / "film.mp4", frames=24 * PARTS, rate=RATE, picture=parts)
    options = DecodeOptions(start=Fraction(1), duration=Fraction(2))
    looks = look_around(probe(film), options, Fraction(2), Fraction(1, 2))
    assert 1 <= looks[0].start <= looks[-1].start <= Fraction(5, 2)


def look(second: int, *, motion: float = 1, light: float = 99, contrast: float = 50) -> Place:
    return Place(
        start=Fraction(second), motion=motion, light=light, detail=motion, contrast=contrast
    )


def test_flat_pictures_are_chosen_last() -> None:
    looks = [look(0, light=0, contrast=0), look(1, light=20), look(2, motion=9), look(3)]
    found = choose_stretches(looks, 3)
    assert [(s.why, s.start) for s in found] == [
        ("darkest", 1), ("sharpest motion", 2), ("most detail", 3)
    ]  # fmt: skip
    assert [s.start for s in choose_stretches(looks, 9)] == [0, 1, 2, 3]


def test_stretches_lie_apart_where_there_is_room() -> None:
    looks = [look(i, motion=100 - i) for i in range(40)]
    starts = [s.start for s in choose_stretches(looks, 4)]
    assert min(b - a for a, b in pairwise(starts)) >= Fraction(39, 8)


def test_both_sides_show_the_same_frame_the_input_enlarged_bicubically(
    numbered: Path, tmp_path: Path
) -> None:
    found = preview(numbered, tmp_path / "p.html", 3, FAST)
    data = page_data(found.page)
    assert [s.result.frames for s in found.variants[0].samples] == [FRAMES] * 3
    assert len(data["moments"]) == 6
    originals = [picture.rgb for picture in read_pictures(numbered)]
    for moment in data["moments"]:
        given, made = (image(uri) for uri in moment["images"])
        number = round(moment["time"] * RATE)
        assert given.shape == made.shape == (256, 384, 3)
        assert read_number(given) == read_number(made) == number
        wanted = resize(to_tensor(originals[number]), 256, 384).clamp(0, 1) * 255
        error = given.astype(float) - wanted.permute(1, 2, 0).numpy()
        assert np.sqrt((error**2).mean()) < 6  # WebP halves the colour
    assert data["facts"][0] == ["Picture", "96 × 64", "384 × 256"]
    assert found.page.stat().st_size < 5e6


def test_the_whole_weighs_and_takes_what_was_reckoned(numbered: Path, tmp_path: Path) -> None:
    found = preview(numbered, tmp_path / "p.html", 2, replace(FAST, piece=32))
    whole = enhance(numbered, tmp_path / "out.mp4", replace(FAST, piece=32))
    assert found.variants[0].cost.frames == whole.frames == 96
    assert found.variants[0].cost.seconds == pytest.approx(96 / found.variants[0].cost.fps)
    size = (tmp_path / "out.mp4").stat().st_size
    assert found.variants[0].cost.size == pytest.approx(size, rel=0.1)
    assert (
        found.variants[0].cost.sizes[0]
        <= found.variants[0].cost.size
        <= found.variants[0].cost.sizes[1]
    )


@pytest.mark.parametrize("codec", ["prores_ks", "ffv1"])
def test_codecs_with_many_keyframes_are_reckoned_right(tmp_path: Path, codec: str) -> None:
    options = replace(FAST, encode=EncodeOptions(codec=codec))
    film = make_video(tmp_path / "in.mkv", frames=72, rate=RATE)
    found = preview(film, tmp_path / "p.html", 2, options)
    weight = weigh(probe(enhance(film, tmp_path / "out.mkv", options).target))
    assert weight.keyframes == (72 if codec == "prores_ks" else 6)
    assert found.variants[0].cost.size == pytest.approx(
        weight.key_bytes + weight.other_bytes, rel=0.1
    )


def test_an_unknown_length_leaves_the_whole_unknown(numbered: Path, tmp_path: Path) -> None:
    found = preview(numbered, tmp_path / "p.html", 1, FAST)
    job = plan_job(numbered, tmp_path / "whole.mkv", FAST)
    cost = reckon(found.variants[0].samples, replace(job, frames=None), 240)
    assert (cost.frames, cost.seconds, cost.size) == (None, None, None)
    assert "unknown length" in in_words(with_cost(found, cost))[-1]


def test_short_films_and_pictures_are_previewed_too(tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", frames=5)
    found = preview(film, tmp_path / "p.html", 3, FAST)
    assert sum(s.result.frames for s in found.variants[0].samples) <= 6
    folder = make_pictures(tmp_path / "pictures", frames=4)
    assert preview(folder, tmp_path / "q.html", 1, FAST).variants[0].samples[0].result.frames == 4


def test_a_turned_film_is_shown_upright(tmp_path: Path) -> None:
    film = make_video(tmp_path / "in.mp4", frames=4, size=(96, 64), rotation=90)
    data = page_data(preview(film, tmp_path / "p.html", 1, FAST).page)
    assert data["films"][0]["aspect"] == pytest.approx(64 / 96, abs=1e-4)
    for uri in data["moments"][0]["images"]:
        assert image(uri).shape == (384, 256, 3)


@pytest.mark.parametrize(
    ("page", "count", "options", "error", "message"),
    [
        ("p.html", 0, {}, ConfigError, "--preview must be at least 1; got 0"),
        ("p.mp4", 1, {}, ConfigError, "something.html"),
        ("taken.html", 1, {}, ConfigError, "exists"),
        ("p.html", 1, {"strength": 2}, ConfigError, "--strength"),
        ("p.html", 1, {"model": "none.safetensors"}, (ConfigError, WeightsError), "none"),
    ],
)
def test_what_is_wrong_is_said_before_the_work(
    numbered: Path, tmp_path: Path, page: str, count: int, options: dict, error: type[Exception],
    message: str,
) -> None:  # fmt: skip
    (tmp_path / "taken.html").write_text("mine")
    with pytest.raises(error, match=message):
        preview(numbered, tmp_path / page, count, replace(FAST, **options))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.html"]


def test_nothing_but_the_page_is_left(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "place"
    scratch.mkdir()
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def stop(now: Progress) -> None:
        if now.frames == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preview(numbered, place / "p.html", 2, FAST, progress=stop)
    event = threading.Event()

    def cancel(now: Progress) -> None:
        if now.frames == 30:
            event.set()

    with pytest.raises(CancelledError):
        preview(numbered, place / "p.html", 2, FAST, progress=cancel, cancel=event)
    assert list(place.iterdir()) == list(scratch.iterdir()) == []
    preview(numbered, place / "p.html", 1, FAST)
    assert [path.name for path in place.iterdir()] == ["p.html"]
    assert list(scratch.iterdir()) == []


def test_the_command_says_what_the_whole_would_take(
    numbered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ["--model", "bicubic", "--preset", "ultrafast", "--preview", "1"]
    page = str(tmp_path / "p.html")
    assert main(["enhance", str(numbered), page, *fast]) == 0
    text = capsys.readouterr().out
    assert "the whole: 96 frames, about 0:" in text
    assert "sharpest motion" in text
    assert ": 1 stretch, " in text
    assert "by stretch" not in text  # of one there is no range
    assert main(["enhance", str(numbered), page, *fast, "--overwrite", "--progress", "json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (done["event"], done["frames"]) == ("done", 96)
    for more in (["--dry-run"], ["--report", "r.json"]):
        assert main(["enhance", str(numbered), page, *fast, *more]) == 2
        assert f"--preview and {more[0]} contradict" in capsys.readouterr().err
    assert main(["enhance", str(numbered), str(tmp_path / "out.mp4"), "--open"]) == 2


def test_variants_stand_side_by_side_with_what_each_would_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two sizes and two codecs, one that the input's container does not hold."""
    film = make_video(tmp_path / "in.mp4", frames=12, rate=RATE, size=(64, 48), audio=("aac",))
    (tmp_path / "small.toml").write_text('scale = 2\ncodec = "libx264"\n')
    page = tmp_path / "p.html"
    flags = ["--model", "bicubic", "--preview", "1", "--strength", "0.5"]
    vary = ["--vary", f"profile={tmp_path}/small.toml,master"]
    assert main(["enhance", str(film), str(page), *flags, *vary]) == 0
    text, data = capsys.readouterr().out, page_data(page)
    assert [film["name"] for film in data["films"]] == [
        "in.mp4, bicubic", "profile small.toml", "profile master"
    ]  # fmt: skip
    assert all(len(moment["images"]) == 3 for moment in data["moments"])
    assert {image(uri).shape for m in data["moments"] for uri in m["images"]} == {(192, 256, 3)}
    rows = {row[0]: row[1:] for row in data["facts"]}
    assert rows["Picture"] == ["64 × 48", "128 × 96", "256 × 192"]
    assert [video.split(",")[0] for video in rows["Video"]] == ["h264", "h264", "ffv1"]
    assert all("frames per second" in time for time in rows["Time to make it"][1:])
    assert text.count("the whole: 12 frames") == 2
    assert "profile master:" in text
    assert main(["enhance", str(film), str(tmp_path / "out.mp4"), "--vary", "clean=0,1"]) == 2
    assert "--preview, which is not given" in capsys.readouterr().err


def test_lines_fit_a_terminal(numbered: Path, tmp_path: Path) -> None:
    found = preview(numbered, tmp_path / "p.html", 1, FAST)
    huge = replace(
        found.variants[0].cost,
        frames=10_000_000,
        seconds=9e7,
        size=10**12,
        sizes=(10**11, 9 * 10**12),
    )
    assert max(map(len, in_words(with_cost(found, huge)))) <= 80


def test_a_browser_opens_only_if_asked(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3, picture=draw_number)
    seen, browser = tmp_path / "seen", tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{seen}"\n')
    browser.chmod(0o755)
    command = [
        sys.executable, "-m", "vsr", "enhance", str(source), str(tmp_path / "p.html"),
        "--model", "bicubic", "--preview", "1", "--overwrite",
    ]  # fmt: skip
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert not seen.exists()
    subprocess.run([*command, "--open"], check=True, env=environment, capture_output=True)
    assert seen.read_text().strip() == (tmp_path / "p.html").as_uri()
