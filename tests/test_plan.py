"""What is known of a job before work begins, held against what then comes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_video

from vsr.cli.main import main
from vsr.media.decode import Decoder
from vsr.media.probe import SourceInfo, probe
from vsr.models.zoo import find_model, published_model
from vsr.options import DecodeOptions, EnhanceOptions
from vsr.plan import describe, estimate_frames, footage_warnings, plan_job


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    path = tmp_path_factory.mktemp("film") / "in.mp4"
    return probe(make_video(path, frames=60, size=(32, 24), rate=Fraction(24)))


def both(info: SourceInfo, options: DecodeOptions) -> tuple[int | None, int]:
    """Number of frames expected, and that of those that came."""
    with Decoder(info, options) as decoder:
        return estimate_frames(info, options, decoder.frame_rate), sum(1 for _ in decoder)


@pytest.mark.parametrize("start", ["0", "0.5", "0.51", "2.4"])
@pytest.mark.parametrize("duration", [None, "0.05", "0.3", "1.25", "60"])
def test_every_frame_that_starts_in_the_part_is_expected(
    info: SourceInfo, start: str, duration: str | None
) -> None:
    length = None if duration is None else Fraction(duration)
    expected, came = both(info, DecodeOptions(start=Fraction(start), duration=length))
    assert expected == came


@pytest.mark.parametrize(
    "chain",
    ["fps=12", "fps=60", "framestep=4", "decimate", "fieldmatch", "detelecine", "telecine",
     "separatefields", "setpts=2*PTS", "setpts=PTS:strip_fps=1", "crop=16:16"],
)  # fmt: skip
@pytest.mark.parametrize("duration", [None, Fraction(5, 6)])
def test_filters_that_state_their_rate_are_expected_to_keep_it(
    info: SourceInfo, chain: str, duration: Fraction | None
) -> None:
    expected, came = both(info, DecodeOptions(filter_chain=chain, duration=duration))
    assert expected == came


@pytest.mark.parametrize(
    "chain", ["select=not(mod(n\\,2))", "crop=16:16,trim=end_frame=9", "thumbnail=10", "loop=1:3:2"]
)
def test_where_only_the_filter_knows_no_number_is_made_up(info: SourceInfo, chain: str) -> None:
    expected, came = both(info, DecodeOptions(filter_chain=chain))
    assert expected is None
    assert came != 60


def test_progress_of_a_part_ends_with_its_last_frame(
    info: SourceInfo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["enhance", str(info.path), str(tmp_path / "out.mp4"), "--model", "bicubic"]
    command += ["--preset", "ultrafast", "--duration", "0.3", "--progress", "json"]
    assert main(command) == 0
    *progress, done = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert done["frames"] == progress[-1]["total"] == progress[-1]["frames"] == 8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], " for 60 frames "),
        (["--filter", "fps=12"], " for about 30 frames "),
        (["--filter", "select=1"], " for an unknown number of frames "),
    ],
)
def test_a_dry_run_says_whether_the_number_of_frames_is_sure(
    info: SourceInfo,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    said: str,
) -> None:
    command = ["enhance", str(info.path), str(tmp_path / "out.mp4"), "--model", "bicubic"]
    assert main([*command, "--dry-run", *given]) == 0
    assert said in capsys.readouterr().out


def texture(index: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)


def video(path: Path, crf: int, **more: object) -> Path:
    options = {"crf": str(crf), "preset": "ultrafast"}
    size = (320, 176)
    return make_video(path, size=size, picture=texture, codec_options=options, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["compact-x4", "basicvsr-pp-vimeo-bi", "basicvsr-vimeo-bd"])
def test_a_strongly_compressed_file_is_warned_of(tmp_path: Path, model: str) -> None:
    info = probe(video(tmp_path / "in.mp4", crf=51))
    known = find_model(model) if model == "compact-x4" else published_model(model)
    (warning,) = footage_warnings(info, known)
    assert f"'{model}' is made for {known.purpose.partition(';')[0]}; this is" in warning
    assert "clean" in warning
    assert "h264 at 0." in warning


@pytest.mark.parametrize(
    "model", ["realbasicvsr", "basicvsr-pp-decompress-3", "basicvsr-pp-denoise"]
)
def test_a_network_that_is_not_for_clean_pictures_is_silent(tmp_path: Path, model: str) -> None:
    info = probe(video(tmp_path / "in.mp4", crf=51))
    assert not footage_warnings(info, published_model(model))


def test_interpolation_is_silent(tmp_path: Path) -> None:
    assert not footage_warnings(probe(video(tmp_path / "in.mp4", crf=51)), find_model("bicubic"))


def test_a_well_coded_file_is_not_warned_of(tmp_path: Path) -> None:
    assert not footage_warnings(probe(video(tmp_path / "in.mp4", crf=18)), find_model("compact-x4"))


def test_lossless_files_are_not_warned_of(tmp_path: Path) -> None:
    path = make_video(tmp_path / "in.mkv", codec="ffv1", rate=Fraction(25))
    assert not footage_warnings(probe(path), find_model("compact-x4"))


def test_the_plan_carries_the_warning(tmp_path: Path) -> None:
    job = plan_job(
        video(tmp_path / "in.mp4", crf=51), tmp_path / "out.mp4", EnhanceOptions(model="compact-x4")
    )
    assert any("made for clean video" in warning for warning in job.warnings)


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "compact-x4-real"),
        ({"scale": 4}, "compact-x4-real"),
        ({"scale": 1}, "clean-x1"),
        ({"height": 48}, "clean-x1"),
        ({"scale": 2}, "compact-x2-real"),
        ({"height": 96}, "compact-x2-real"),
        ({"height": 98}, "compact-x4-real"),
        ({"size": "100x96"}, "compact-x2-real"),
        ({"size": "130x96"}, "compact-x4-real"),
        ({"scale": 2, "model": "compact-x4"}, "compact-x4"),
    ],
)
def test_the_default_network_fits_the_size_asked_for(
    tmp_path: Path, options: dict[str, object], model: str
) -> None:
    source = make_video(tmp_path / "in.mp4", size=(64, 48), frames=2)
    job = plan_job(source, tmp_path / "out.mp4", EnhanceOptions(**options))  # type: ignore[arg-type]
    assert job.model.name == model


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"model": "compact-x4"}, None),
        ({}, "100% of the correction, by its own stage"),
        ({"clean": 0.0}, None),
        ({"scale": 1}, "100% of the correction, by its own stage"),
        ({"scale": 1, "clean": 0.5}, "50% of the correction, by its own stage"),
        ({"model": "bicubic", "clean": 0.5}, "50% of the correction, by the stage of clean-x1"),
        ({"model": "bicubic", "clean": 0.0}, None),
    ],
)
def test_a_plan_names_the_cleaning(
    tmp_path: Path, options: dict[str, object], line: str | None
) -> None:
    source = make_video(tmp_path / "in.mp4", size=(64, 48), frames=2)
    job = plan_job(source, tmp_path / "out.mp4", EnhanceOptions(**options))  # type: ignore[arg-type]
    text = "\n".join(describe(job))
    assert ("  cleaning  " in text) == (line is not None)
    assert line is None or line in text


FAST = ["--model", "bicubic", "--progress", "none"]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(
        tmp_path_factory.mktemp("recheck") / "tape.mpg",
        frames=12,
        size=(80, 64),
        codec="mpeg2video",
        rate=Fraction(25),
        field_order="tff",
        sample_aspect_ratio=Fraction(16, 15),
        audio=("mp2",),
    )


def made(source: Path, target: Path, *options: str) -> Path:
    report = target.with_suffix(".json")
    arguments = ["enhance", str(source), str(target), "--report", str(report)]
    assert main([*arguments, *options, *FAST]) == 0
    return report


@pytest.mark.parametrize(
    "options",
    [
        ["--start", "0.12"],
        ["--start", "0.08", "--duration", "0.24"],
        ["--deinterlace", "field"],
        ["--filter", "fps=12"],
        ["--filter", "transpose=1,crop=iw:40"],
        ["--filter", "negate"],
        ["--deinterlace", "field", "--duration", "0.2", "--filter", "hflip"],
    ],
    ids=" ".join,
)
def test_a_right_file_passes_by_the_options_that_made_it(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    target = tmp_path / "out.mkv"
    report = made(tape, target, *options)
    for told in (options, ["--report", str(report)]):
        assert main(["verify", str(tape), str(target), *told]) == 0
        assert "FAIL" not in capsys.readouterr().out


def test_without_the_options_a_part_is_no_whole(tape: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    made(tape, target, "--duration", "0.2")
    assert main(["verify", str(tape), str(target)]) == 1


def test_a_part_that_lacks_a_frame_fails_by_its_options(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.mkv"
    made(tape, target, "--duration", "0.2")
    assert main(["verify", str(tape), str(target), "--duration", "0.24"]) == 1
    assert "FAIL frames: wanted 6 frames, found 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--codec", "mjpeg"],  # cannot say that pixels are not square
        ["--codec", "mpeg4", "--start", "0.2"],  # tags no colours in AVI
        ["--pix-fmt", "gray", "--height", "100"],
    ],
    ids=" ".join,
)
def test_a_right_file_passes_by_its_report(tape: Path, tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / ("out.avi" if "mpeg4" in options else "out.mkv")
    report = made(tape, target, *options)
    assert main(["verify", str(tape), str(target), "--report", str(report)]) == 0


def test_what_the_report_says_is_held_against_the_file(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(tape, tmp_path / "large.mkv", "--height", "128")
    small = tmp_path / "small.mkv"
    made(tape, small, "--height", "96")
    assert main(["verify", str(tape), str(small), "--report", str(report)]) == 1
    assert "FAIL size: wanted 160x128, found 120x96" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["--size=160x120", "--height=98", "--size=100x128"])
def test_another_size_is_right_if_it_shows_the_same_shape(
    tape: Path, tmp_path: Path, size: str
) -> None:
    made(tape, tmp_path / "out.mkv", size)
    assert main(["verify", str(tape), str(tmp_path / "out.mkv")]) == 0


def test_the_summary_of_a_batch_is_a_report_of_each(tape: Path, tmp_path: Path) -> None:
    summary = tmp_path / "all.json"
    to = ["--output-dir", str(tmp_path / "out"), "--summary", str(summary)]
    assert main(["batch", str(tape), *to, "--deinterlace", "field", *FAST]) == 0
    told = ["--report", str(summary)]
    (target,) = (tmp_path / "out").glob("tape.*")
    assert main(["verify", str(tape), str(target), *told]) == 0
    assert main(["verify", str(tape), str(tape), *told]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no JSON",
        '{"options": {"start": []}}',
        '{"jobs": [{}]}',
        '{"jobs": 5}',
        '{"jobs": [5]}',
    ],
)
def test_what_is_no_report_is_wrong_usage(
    tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    report = tmp_path / "report.json"
    report.write_text(text)
    assert main(["verify", str(tape), str(tape), "--report", str(report)]) == 2
    assert "report.json" in capsys.readouterr().err


@pytest.mark.parametrize("streams", [None, 3, [{"index": 0}]])
def test_a_report_whose_streams_are_of_another_form_is_wrong_usage(
    tape: Path, tmp_path: Path, streams: object
) -> None:
    report = tmp_path / "report.json"
    command = ["enhance", str(tape), str(tmp_path / "out.mkv"), "--report", str(report)]
    assert main([*command, "--duration", "0.2", *FAST]) == 0
    told = json.loads(report.read_text())
    told["streams"] = streams
    report.write_text(json.dumps(told))
    assert main(["verify", str(tape), str(tmp_path / "out.mkv"), "--report", str(report)]) == 2


def test_a_report_and_options_are_one_too_many(tape: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({}))
    told = ["--report", str(report), "--start", "1"]
    assert main(["verify", str(tape), str(tape), *told]) == 2


def test_the_options_are_those_of_enhance(capsys: pytest.CaptureFixture[str]) -> None:
    helps = []
    for command in ("enhance", "verify"):
        assert main([command, "--help"]) == 0
        helps.append(" ".join(capsys.readouterr().out.replace("│", " ").split()))
    for flag in ("--start", "--duration", "--deinterlace", "--filter"):
        enhance, verify = (text.partition(f" {flag} ")[2] for text in helps)
        assert enhance.partition("(default")[0] == verify.partition("(default")[0] != ""
