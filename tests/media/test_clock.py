"""Sources whose clock begins before zero: everything is moved together, and that is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from synthetic_streams import (
    Sound,
    enhance_nearest,
    frame_times,
    make_rich_video,
    packet_hashes,
    packet_times,
)

from vsr.media.clock import early_range, early_warnings
from vsr.media.copying import TimeRange
from vsr.media.probe import probe
from vsr.media.verify import verify

TICK = Fraction(1, 90000)
# Two seconds, and what the muxer puts before, less than the 2**33 ticks at which MPEG-TS wraps.
BEFORE_WRAP = 2**33 * TICK - 4


@pytest.fixture(scope="module")
def wrapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clock") / "in.ts"
    return make_rich_video(path, start=BEFORE_WRAP, frames=12, sounds=[Sound(codec="mp2")])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_clock_that_wraps_is_moved_to_zero_with_all_streams(
    wrapping: Path, tmp_path: Path, suffix: str
) -> None:
    target = tmp_path / f"out{suffix}"
    before, sounds = frame_times(wrapping), packet_times(wrapping, "audio")[0]
    assert before[0] < 0
    expected, _ = enhance_nearest(wrapping, target)
    shift = frame_times(target)[0] - before[0]
    assert abs(min(before[0], *sounds) + shift) < Fraction(1, 1000)
    tolerance = pytest.approx(0, abs=0.001 if suffix == ".mkv" else 1e-9)
    moved = [*frame_times(target), *packet_times(target, "audio")[0]]
    for after, time in zip(moved, [*before, *sounds], strict=True):
        assert float(after - time - shift) == tolerance
    assert packet_hashes(target) == packet_hashes(wrapping)
    for found in (verify(wrapping, target, expected), verify(wrapping, target)):
        assert not found.problems
        assert "before zero" in " ".join(found.warnings)


def test_only_targets_that_count_from_zero_and_whole_films_are_moved(wrapping: Path) -> None:
    info = probe(wrapping)
    moved = early_range(info, "mp4", TICK)
    assert moved is not None
    assert moved.start == min(packet_times(wrapping, "audio")[0][0], frame_times(wrapping)[0])
    assert early_range(info, "mpegts", TICK) is None
    assert "mp4 files do not hold" in early_warnings(info, "mp4", TICK, None)[0]
    assert early_warnings(info, "mp4", TICK, TimeRange(start=Fraction(0))) == ()


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_the_delay_of_a_sound_encoder_moves_nothing(tmp_path: Path, name: str) -> None:
    source = make_rich_video(tmp_path / name, frames=4, sounds=[Sound(codec="aac")])
    assert min(packet_times(source, "audio")[0]) < 0
    assert early_range(probe(source), "mp4", TICK) is None
