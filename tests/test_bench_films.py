"""`bench.py quality` on films degraded by name: figures, and what counts as worse."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_folders import film, write_clip

from vsr.errors import WeightsError
from vsr.evaluation.metrics import psnr
from vsr.evaluation.perceptual import StLpips
from vsr.models.checkpoints import save_weights
from vsr.models.clean import Clean

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import bench_films
from bench_films import Film, Row, films, sharpness, summed_up, with_mean


def row(gain: float, change: float | None, **changed: object) -> Row:
    perceptual = None if change is None else (0.4, 0.4 * (1 + change))
    values = {"case": "web", "clip": "a", "psnr": (30.0, 30 + gain), "perceptual": perceptual}
    return Row(**{**values, "warping": (1.0, 2.0), **changed})


@pytest.mark.parametrize(
    ("gain", "change", "worse"),
    [
        *((0.5, -0.2, False), (-0.015, 0.005, False), (-0.03, -0.2, True), (0.5, 0.02, True)),
        *((0.5, None, False), (-0.03, None, True)),
    ],
)
def test_worse_is_more_than_rounding(gain: float, change: float | None, worse: bool) -> None:
    assert row(gain, change).worse == worse


def test_the_last_line_names_what_is_worse_and_takes_means() -> None:
    kept = row(0, 0, case="clean", psnr=(float("inf"), 43.21), perceptual=(0.0, 0.1))
    rows = [row(1.0, -0.3), row(-0.5, -0.1, case="dark", clip="b"), kept]
    assert summed_up(rows, "input") == (
        "worse than input: 1 of 2: dark of b (-0.50 dB, -10.0%); mean gain +0.25 dB; "
        "mean change of ST-LPIPS -20.0%; input that equals the truth is kept within 43.21 dB"
    )
    assert with_mean(rows[:2])[2].psnr == pytest.approx((30.0, 30.25))
    assert with_mean(rows[:1]) == rows[:1]


def test_frames_that_equal_the_truth_do_not_count_unless_all_do() -> None:
    true = np.stack([frame[:48, :64] for frame in film(3)])
    base, sr = true.copy(), true.copy()
    base[1:] += 3
    sr[2] += 5
    wanted = psnr(base[2], true[2]), psnr(sr[2], true[2])
    assert sharpness(Film(true=true, base=base, sr=sr)) == pytest.approx(wanted)
    found = sharpness(Film(true=true, base=true, sr=sr))
    assert found == (float("inf"), pytest.approx(wanted[1]))


def no_weights() -> StLpips:
    raise WeightsError("pip install it")


def test_bicubic_is_as_good_as_itself_in_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "data" / "clip", film(3))
    monkeypatch.setattr(bench_films, "load_stlpips", no_weights)
    films(tmp_path / "data", model="bicubic", case="all", frames=2, cache=tmp_path / "cache")
    text = capsys.readouterr().out
    assert "without ST-LPIPS: pip install it" in text
    rows = [[x.strip() for x in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert [x[0] for x in rows[2:]] == list(bench_films.CASES)
    assert all(x[2] == x[3] and x[4] == "+0.00" and x[5] == x[6] for x in rows[2:])
    assert float(rows[2][5]) > 0
    assert "2 frames, seed 0" in text
    assert "worse than bicubic: 0 of 8; mean gain +0.00 dB" in text


def test_a_network_that_keeps_the_size_is_compared_with_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "data" / name, film(2, seed))
    shape = {"channels": 8, "blocks": 1}
    network = Clean(**shape)
    torch.nn.init.normal_(network.body[-1].weight, std=0.1)
    path = tmp_path / "clean.safetensors"
    save_weights(path, network.state_dict(), {"name": "clean", **shape}, {})
    monkeypatch.setattr(bench_films, "load_stlpips", StLpips)
    for case in ("clean", "dvd"):
        films(tmp_path / "data", model=str(path), case=case, clips=2, cache=tmp_path / "cache")
    clean, dvd = capsys.readouterr().out.split("worse than input: ")[:2]
    head, _, first, *_ = [[x.strip() for x in y.split("|")] for y in clean.splitlines() if "|" in y]
    cells = dict(zip(range(len(head)), first, strict=True))
    assert head[3:6] == ["Y-PSNR input", "model", "gain"]
    assert cells[3] == "inf"
    assert float(cells[4]) < 60
    assert cells[5] == cells[8] == "-"
    assert cells[6] == "0.0000"
    assert float(cells[7]) > 0
    assert dvd.startswith("0 of 0; input that equals the truth is kept within ")
    assert dvd.count("| dvd") == 3
    assert "| mean" in dvd
