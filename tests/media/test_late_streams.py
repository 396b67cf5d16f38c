"""Streams that begin in mid-file: kept where FFmpeg finds them, elsewhere named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from decoded import decode
from numpy.typing import NDArray
from synthetic import make_video, splice

from vsr.media.probe import probe
from vsr.media.streams import plan_streams
from vsr.media.weigh import weigh

BIG = {"b": "60000000", "maxrate": "60000000", "bufsize": "60000000", "qmin": "1", "g": "1"}


def noise(index: int, width: int, height: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(index)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def film(path: Path, frames: int, audio: tuple[str, ...] = ()) -> Path:
    return make_video(
        path, frames=frames, size=(480, 320), codec="mpeg2video", picture=noise,
        codec_options=BIG, audio=audio,
    )  # fmt: skip


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transport stream with sound in the middle only, out of reach from both ends."""
    folder = tmp_path_factory.mktemp("late")
    ends = film(folder / "a.ts", 36)
    assert ends.stat().st_size > 5 << 20, "FFmpeg looks so far"
    return splice(folder / "late.ts", ends, film(folder / "b.ts", 3, ("ac3",)), ends)


def test_streams_that_cannot_be_found_are_named(late: Path) -> None:
    assert [stream.kind for stream in probe(late).streams] == ["video"]
    _, summary, _ = decode(late)
    assert any("streams seem to begin in mid-file and are left out" in x for x in summary.warnings)


def test_streams_found_too_late_to_be_read_say_so(tmp_path: Path) -> None:
    begin, end = film(tmp_path / "a.ts", 36), film(tmp_path / "b.ts", 3, ("ac3",))
    late = splice(tmp_path / "late.ts", begin, end)
    reasons = [plan.reason for plan in plan_streams(probe(late), "out.mp4")]
    assert any("it begins too late in the file" in reason for reason in reasons), reasons


def test_files_with_such_streams_are_weighed(late: Path) -> None:
    weight = weigh(probe(late))
    assert weight.keyframes + weight.others == 75


def test_sound_that_begins_late_in_a_vob_is_found(tmp_path: Path) -> None:
    ends = film(tmp_path / "a.vob", 36)
    late = splice(tmp_path / "late.vob", ends, film(tmp_path / "b.vob", 3, ("ac3",)), ends)
    assert [stream.codec for stream in probe(late).streams] == ["mpeg2video", "ac3"]
