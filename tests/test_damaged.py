"""Films of which little can be decoded: refused at once, or given the name of a damaged one."""

from __future__ import annotations

import json
import pickle
from fractions import Fraction
from pathlib import Path

import av
import pytest
from synthetic import break_packets, make_pictures, make_video, read_number

from vsr.cli.main import main
from vsr.errors import DamagedError, DecodeError, MuxError
from vsr.media.probe import probe
from vsr.media.reading import check_start
from vsr.options import DecodeOptions, EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance

INTRA = {"preset": "ultrafast", "crf": "12", "g": "1"}
LOSSLESS = EncodeOptions(codec="ffv1")
OPTIONS = EnhanceOptions(
    model="bicubic", scale=2, inference=InferenceOptions(window=8, lookahead=0), encode=LOSSLESS
)


def film(path: Path, frames: int, broken: range) -> Path:
    make_video(path, frames=frames, codec_options=INTRA)
    return break_packets(path, broken)


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [read_number(frame.reformat(64, 48).to_ndarray()[:48]) for frame in frames]


def test_three_frames_of_73_are_refused_before_any_work(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", 73, range(3, 73))
    said: list[object] = []
    with pytest.raises(DecodeError, match=r"3 of the first 73 frames decode \(at 0\.125 s: "):
        enhance(source, tmp_path / "out.mkv", OPTIONS, progress=said.append)
    assert not said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_long_film_is_judged_by_its_first_200_packets(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", 230, range(3, 202))
    with pytest.raises(DecodeError, match=r"3 of the first 200 frames decode"):
        check_start(probe(source), DecodeOptions())
    # At 8.4 s the damage is over.
    check_start(probe(source), DecodeOptions(start=Fraction(9)))


def test_more_than_a_tenth_lost_gets_the_name_of_a_damaged_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, report = film(tmp_path / "in.mp4", 24, range(6, 9)), tmp_path / "report.json"
    command = ["enhance", str(source), str(tmp_path / "out.mkv"), "--model", "bicubic"]
    command += ["--scale", "2", "--codec", "ffv1", "--progress", "none", "--report", str(report)]
    assert main(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"vsr: error: {source}: 3 of 24 frames of the input are lost (frames ")
    assert "lost between 0.250 s and 0.375 s: 3, undecodable" in error
    assert f"named '{tmp_path / 'out.damaged.mkv'}'" in error
    assert json.loads(report.read_text())["frames"] == 21
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"in.mp4", "out.damaged.mkv", "report.json"}
    assert numbers(tmp_path / "out.damaged.mkv") == [*range(6), *range(9, 24)]

    assert main(command) == 1
    assert "out.damaged.mkv: exists already" in capsys.readouterr().err
    assert main([*command, "--allow-damage"]) == 0
    assert numbers(tmp_path / "out.mkv") == [*range(6), *range(9, 24)]


def test_a_tenth_lost_is_reported_and_no_more(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", 20, range(6, 8))
    result = enhance(source, tmp_path / "out.mkv", OPTIONS)
    assert result.damage is None
    assert any("0.334 s: 2, undecodable" in text for text in result.warnings)
    assert numbers(tmp_path / "out.mkv") == [*range(6), *range(8, 20)]


def test_pictures_go_into_a_folder_of_that_name(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", 20, range(6, 9))
    with pytest.raises(DamagedError, match="3 of 20 frames"):
        enhance(source, f"{tmp_path}/out/", EnhanceOptions(model="bicubic", scale=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.damaged"]
    with pytest.raises(MuxError, match=r"out\.damaged: exists already"):
        enhance(source, f"{tmp_path}/out/", EnhanceOptions(model="bicubic", scale=2))


def test_a_folder_of_pictures_keeps_its_name_whatever_is_lost(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "in", frames=6)
    (folder / "000004.png").write_bytes(b"no picture")
    found = enhance(folder, f"{tmp_path}/out/", EnhanceOptions(model="bicubic", scale=2))
    assert any("000004.png" in text for text in found.warnings)


def test_a_batch_reports_a_damaged_film_as_failed_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tapes, out = tmp_path / "tapes", tmp_path / "out"
    tapes.mkdir()
    film(tapes / "a.mp4", 20, range(6, 9))
    make_video(tapes / "b.mp4", frames=2)
    command = ["batch", str(tapes), "--output-dir", str(out), "--model", "bicubic"]
    command += ["--scale", "2", "--progress", "none"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "1 done, 1 failed" in said.out
    assert "a.mp4: 3 of 20 frames of the input are lost" in said.err
    assert sorted(path.name for path in out.glob("*.mp4")) == ["a.damaged.mp4", "b.mp4"]
    assert main([*command, "--allow-damage", "--overwrite"]) == 0
    assert (out / "a.mp4").exists()


def test_a_damaged_output_is_final_for_a_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tapes, out, summary = tmp_path / "tapes", tmp_path / "out", tmp_path / "summary.json"
    tapes.mkdir()
    film(tapes / "a.mp4", 20, range(6, 9))
    command = ["batch", str(tapes), "--output-dir", str(out), "--model", "bicubic", "--scale", "2"]
    command += ["--progress", "none", "--retries", "2", "--summary", str(summary)]
    made = out / "a.damaged.mp4"
    for _ in range(2):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "exists already" not in said
        assert "a.mp4: 3 of 20 frames of the input are lost" in said
        (found,) = json.loads(summary.read_text())["jobs"]
        assert (found["attempts"], found["target"], found["frames"]) == (1, str(made), 17)
    before = made.stat().st_mtime_ns
    assert main(["verify", str(tapes / "a.mp4"), str(made), "--report", str(summary)]) == 0
    made.unlink()
    assert main(command) == 1
    assert made.stat().st_mtime_ns > before


def test_its_result_goes_from_process_to_process(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", 20, range(6, 9))
    with pytest.raises(DamagedError) as error:
        enhance(source, tmp_path / "out.mp4", EnhanceOptions(model="bicubic", scale=2))
    again = pickle.loads(pickle.dumps(error.value))
    assert again.result == error.value.result
    assert again.result.frames == 17
    assert str(again) == str(error.value)
    assert again.path == error.value.path
