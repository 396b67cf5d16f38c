"""Tables of `vsr evaluate`: kept, taken up again, printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clip_folders import film, write_clip

from vsr.benchmark import Measuring, evaluate
from vsr.cli.main import main
from vsr.errors import ConfigError
from vsr.results import markdown


def test_finished_clips_are_not_measured_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", film(3))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi")
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    write_clip(tmp_path / "data" / "b", film(3, seed=1))
    again = evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["bicubic, a", "bicubic, b"]
    fresh = evaluate([], tmp_path / "data", measuring)
    assert again.mean("bicubic") == fresh.mean("bicubic")
    assert again.entries["bicubic"]["a"].frames == fresh.entries["bicubic"]["a"].frames


def test_numbers_by_another_method_are_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "data" / "a", film(2))
    measuring, told = Measuring(protocol="folder-bi", over_time=False), []

    def run() -> None:
        path = tmp_path / "results.json"
        evaluate([], tmp_path / "data", measuring, results=path, tell=told.append)

    for _ in range(2):
        run()
    assert len(told) == 1
    monkeypatch.setattr("vsr.results._METHOD", -1)
    run()
    assert len(told) == 2
    monkeypatch.setattr("vsr.results.version", lambda name: f"{name} of tomorrow")
    run()
    assert len(told) == 3


def test_an_interrupted_run_keeps_what_it_measured(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        write_clip(tmp_path / "data" / name, film(2, seed))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi", over_time=False)

    def interrupt(line: str) -> None:
        if "bicubic, b" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate([], tmp_path / "data", measuring, results=results, tell=interrupt)
    assert list(json.loads(results.read_text())["models"]["bicubic"]["clips"]) == ["a", "b"]
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["bicubic, c"]


def test_many_clips_cost_one_hash_and_few_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(4):
        write_clip(tmp_path / "data" / str(index), film(1, index))
    hashed, written = [], []
    monkeypatch.setattr("vsr.models.zoo.sha256", lambda path: hashed.append(path) or "x")
    monkeypatch.setattr("vsr.results.write_text", lambda path, text: written.append(path))
    monkeypatch.setattr("vsr.results._LEAST_UNSAVED", 3600.0)
    measuring = Measuring(protocol="folder-bi", over_time=False)
    evaluate(["compact-x4"], tmp_path / "data", measuring, results=tmp_path / "results.json")
    assert (len(hashed), len(written)) == (1, 1)


def test_a_changed_clip_is_measured_again(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "data" / "a", film(3))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi", over_time=False)
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    (clip / "00000002.png").unlink()
    found = evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert len(told) == 2
    assert found.mean("bicubic").frames == 2


def test_results_measured_otherwise_are_not_mixed(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", film(2))
    results = tmp_path / "results.json"
    evaluate([], tmp_path / "data", Measuring(protocol="folder-bi", border=0), results=results)
    with pytest.raises(ConfigError, match="border 0 instead of 4"):
        evaluate([], tmp_path / "data", Measuring(protocol="folder-bi", border=4), results=results)
    results.write_text("{}")
    with pytest.raises(ConfigError, match="no file of results"):
        evaluate([], tmp_path / "data", Measuring(protocol="folder-bi"), results=results)


def test_equal_frames_survive_the_json(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", [np.full((48, 64, 3), 90, np.uint8)] * 2)
    results = tmp_path / "results.json"
    measuring = Measuring(protocol="folder-bi")
    first = evaluate([], tmp_path / "data", measuring, results=results)
    again = evaluate([], tmp_path / "data", measuring, results=results)
    assert first.mean("bicubic").psnr == again.mean("bicubic").psnr == float("inf")
    assert json.loads(results.read_text())["models"]["bicubic"]["mean"]["psnr"] == "infinite"


def test_the_command_prints_the_table_and_writes_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "data" / name, film(3, seed))
    arguments = ["--data", str(tmp_path / "data"), "--protocol", "folder-bd"]
    files = ["--json", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md")]
    models = ["--model", "bicubic", "compact-x4"]
    assert main(["evaluate", *models, *arguments, *files]) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "r.md").read_text() == text
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert rows[0] == ["model", "a", "b", "mean"]
    assert [row[0] for row in rows[2:4]] == ["bicubic", "compact-x4"]
    mean = json.loads((tmp_path / "r.json").read_text())["models"]["compact-x4"]["mean"]
    assert rows[3][3] == f"{mean['psnr']:.2f} / {mean['ssim']:.4f}"
    assert [row[0] for row in rows[6:9]] == ["bicubic", "compact-x4", "the truth itself"]
    assert [row[0] for row in rows[11:]] == ["bicubic", "compact-x4"]
    clips = json.loads((tmp_path / "r.json").read_text())["models"]["compact-x4"]["clips"]
    name, frame, value = rows[12][2].replace(":", "").split()
    assert clips[name]["frames"][int(frame)]["tof"] == pytest.approx(float(value), abs=5e-4)
    assert float(value) >= max(f["tof"] for c in clips.values() for f in c["frames"][1:]) - 5e-4


def test_many_clips_are_summed_up(tmp_path: Path) -> None:
    for index in range(11):
        write_clip(tmp_path / f"{index:02d}", film(1, index))
    text = markdown(evaluate([], tmp_path, Measuring(protocol="folder-bi", over_time=False)))
    assert "| model   | mean " in text
    assert "11 clips" in text


def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    for index in range(5):
        write_clip(tmp_path / f"a-clip-with-a-name-{index}", film(2, index))
    results = evaluate([], tmp_path, Measuring(protocol="folder-bi"))
    wide, narrow = markdown(results), markdown(results, 80)
    assert max(map(len, wide.splitlines())) > 80 >= max(map(len, narrow.splitlines()))
    cells = [
        {cell.strip() for line in text.splitlines() if "|" in line for cell in line.split("|")}
        for text in (wide, narrow)
    ]
    assert {cell for cell in cells[0] if "--" not in cell} == {
        cell for cell in cells[1] if "--" not in cell
    }


@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_a_file_that_cannot_be_written_is_named_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    write_clip(tmp_path / "data" / "a", film(1))
    (tmp_path / "file").write_text("")
    arguments = ["--model", "bicubic", "--data", str(tmp_path / "data"), "--protocol", "folder-bi"]
    for target, reason in ((tmp_path / "file" / "x", "cannot be written"), (tmp_path, "a folder")):
        assert main(["evaluate", *arguments, option, str(target)]) == 1
        error = capsys.readouterr().err
        assert reason in error
        assert "bicubic, a" not in error
