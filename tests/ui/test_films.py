"""The page's pictures: in the right colours, upright, at the moment asked for."""

from __future__ import annotations

from multiprocessing import Pipe
from pathlib import Path

import cv2
import numpy as np
from synthetic import make_video, read_number

from vsr.ui.films import look, picture
from vsr.ui.worker import Line


def orange(index: int, width: int, height: int) -> np.ndarray:
    """Orange, with a blue left half."""
    found = np.full((height, width, 3), (230, 120, 20), np.uint8)
    found[:, : width // 2] = (20, 40, 200)
    return found


def small(path: Path, at: str, width: int) -> np.ndarray:
    """RGB."""
    line = Line(Pipe()[0])
    data = np.frombuffer(picture(line, str(path), at, width), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_a_small_picture_has_the_films_colours_and_stands_upright(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=2, size=(96, 64), picture=orange)
    found = small(film, "0", 48)
    assert found.shape == (32, 48, 3)
    assert np.abs(found[16, 8].astype(int) - (20, 40, 200)).max() < 16
    assert np.abs(found[16, 40].astype(int) - (230, 120, 20)).max() < 16
    turned = make_video(tmp_path / "b.mp4", frames=2, size=(96, 64), picture=orange, rotation=90)
    found = small(turned, "0", 32)
    assert found.shape == (48, 32, 3)
    top, bottom = found[8, 16].astype(int), found[40, 16].astype(int)
    assert np.abs(bottom - (20, 40, 200)).max() < 16
    assert np.abs(top - (230, 120, 20)).max() < 16


def test_a_picture_is_that_of_its_moment(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=12, size=(128, 96))
    for number in (0, 5, 11):
        assert read_number(small(film, f"{max(0, number - 0.5) / 23.976:.3f}", 128)) == number


def test_the_facts_of_a_film(tmp_path: Path) -> None:
    film = make_video(tmp_path / "a.mp4", frames=24, size=(96, 64), rotation=90, audio=["aac"])
    found = look(Line(Pipe()[0]), str(film))
    assert (found["width"], found["height"], found["clock"]) == (64, 96, "0:01")
    assert ["Audio", "aac 48000 Hz stereo"] in found["rows"]
