"""What is known of a job before work begins, held against what then comes."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_video

from vsr.cli.main import main
from vsr.media.decode import Decoder
from vsr.media.options import DecodeOptions
from vsr.media.probe import SourceInfo, probe
from vsr.planning import estimate_frames


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    path = tmp_path_factory.mktemp("film") / "in.mp4"
    return probe(make_video(path, frames=60, size=(32, 24), rate=Fraction(24)))


def both(info: SourceInfo, options: DecodeOptions) -> tuple[int | None, int]:
    """Give how many frames were expected and how many came."""
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
