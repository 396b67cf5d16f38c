"""Contact sheets: what is on them, and where it was cut from."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clip_folders import film, write_clip
from numpy.typing import NDArray

from vsr.data.clips import Clip
from vsr.data.degrade import bicubic_down
from vsr.models.checkpoints import save_weights
from vsr.models.clean import Clean
from vsr.ops.color import to_picture

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import contact_sheet
import sheets
from sheets import CAPTION, GAP, Crops, as_they_are, degraded, most_detailed, sheet


def clip(count: int, cuts: tuple[int, ...] = ()) -> Clip:
    return Clip(name="a.mkv", frames=np.stack([x[:48, :64] for x in film(count)]), cuts=cuts)


def test_the_most_detailed_square_is_found() -> None:
    picture = np.full((40, 50, 3), 90, np.uint8)
    picture[12:20, 30:38] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    top, left = most_detailed(picture, 12)
    assert top <= 11
    assert top + 12 >= 21
    assert left <= 29
    assert left + 12 >= 39
    assert most_detailed(picture, 60) == (0, 0)


def test_a_place_of_ones_own_stays_inside() -> None:
    picture = np.zeros((30, 40, 3), np.uint8)
    places = [
        Crops("bicubic", 40, at).place(picture) for at in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.25))
    ]
    assert places == [(0, 0), (20, 30), (10, 5)]


@pytest.mark.parametrize("side", [24, 400])
def test_a_row_holds_the_same_place_of_all(side: int) -> None:
    whole = clip(3)
    crops = Crops("bicubic", side)
    row = degraded(crops, whole, ("clean",), 3)["clean"]
    assert list(row) == ["input", "bicubic", "truth"]
    gt = torch.from_numpy(whole.frames[1]).permute(2, 0, 1) / 255
    low = to_picture(bicubic_down(gt, 4))
    top, left = crops.place(low)
    seen = low[top : top + crops.low, left : left + crops.low]
    np.testing.assert_array_equal(row["input"][::4, ::4], seen)
    np.testing.assert_array_equal(row["input"][3::4, 3::4], seen)
    size = min(side, 48), min(side, 64)
    assert {x.shape for x in row.values()} == {(*size, 3)}
    true = whole.frames[1][4 * top :, 4 * left :][: size[0], : size[1]]
    np.testing.assert_array_equal(row["truth"], true)


def test_a_dark_scene_stands_beside_its_dark_truth() -> None:
    rows = degraded(Crops("bicubic", 24), clip(2), ("clean", "dark"), 2)
    means = {case: row["truth"].mean() for case, row in rows.items()}
    assert means["dark"] == pytest.approx(0.4 * means["clean"], rel=0.02)
    assert rows["dark"]["input"].mean() == pytest.approx(means["dark"], rel=0.15)


def test_moments_of_a_film_do_not_reach_over_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def run(network: object, lq: torch.Tensor, plan: object) -> NDArray[np.uint8]:
        seen.append(len(lq))
        return np.zeros((len(lq), 4 * lq.shape[-2], 4 * lq.shape[-1], 3), np.uint8)

    monkeypatch.setattr(sheets, "run_frames", run)
    rows = as_they_are(Crops("bicubic", 24), clip(40, cuts=(8, 22)), 8)
    assert list(rows) == ["frame 12", "frame 19", "frame 30"]
    assert seen == [8, 6, 8]
    assert all("truth" not in row for row in rows.values())


def test_a_sheet_is_written_for_each_clip_and_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name in (("data", "a"), ("data", "b"), ("films", "old")):
        write_clip(tmp_path / folder / name, film(4))
    shape = {"channels": 8, "blocks": 1}
    path = tmp_path / "mine.safetensors"
    save_weights(path, Clean(**shape).state_dict(), {"name": "clean", **shape}, {})
    folders = {"data": tmp_path / "data", "films": tmp_path / "films", "output": tmp_path / "out"}
    sheets.main(str(path), **folders, degradations=("web", "tape"), frames=3, side=20,
                cache=tmp_path / "cache")  # fmt: skip
    found = {x.name: cv2.imread(str(x)).shape for x in (tmp_path / "out").iterdir()}
    height, width = 20 + CAPTION + GAP, 20 + GAP
    pair, old = (2 * height, 3 * width, 3), (3 * height, 2 * width, 3)
    assert found == {"a-mine.jpg": pair, "b-mine.jpg": pair, "old-mine.jpg": old}
    assert "old-mine.jpg: 48x132" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--data FOLDER, --films FOLDER or both"):
        sheets.main("bicubic", output=tmp_path)


def test_captions_stand_above_what_they_name() -> None:
    picture = np.full((30, 120, 3), 200, np.uint8)
    found = sheet({"web": {"input": picture, "truth": picture}})
    assert found.shape == (30 + CAPTION + GAP, 2 * (120 + GAP), 3)
    np.testing.assert_array_equal(found[CAPTION:-GAP, :120], picture)
    assert found[:CAPTION, :120].max() == 255


@pytest.mark.parametrize("scale", [1, 4])
@pytest.mark.parametrize("degradation", ["real", "footage"])
def test_samples_of_a_degradation_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: int, degradation: str
) -> None:
    write_clip(tmp_path / "data" / "a", film(6))
    pictures = []
    for name in ("one.png", "two.png"):
        contact_sheet.main(
            tmp_path / "data", output=tmp_path / name, degradation=degradation, samples=3,
            scale=scale, side=32 // scale, length=3, shown=2, zoom=2, cache=tmp_path / "cache",
        )  # fmt: skip
        pictures.append(cv2.imread(str(tmp_path / name)))
    np.testing.assert_array_equal(*pictures)
    cell = 2 * 2 * (32 // scale) + contact_sheet.GAP
    assert pictures[0].shape == (2 * cell, 2 * cell, 3)
    assert "3 samples, seed 0" in capsys.readouterr().out
