"""Frame stores hold what the video shows, once."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from synthetic import draw_number, make_pictures, make_video, read_number

from vsr.data.clips import open_all, open_clip
from vsr.data.layouts import open_training
from vsr.data.pictures import read_pictures
from vsr.errors import DatasetError
from vsr.options import CUT_SCORE


def test_every_frame_is_stored_as_it_is(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", frames=4, codec="ffv1", pix_fmt="yuv444p")
    clip = open_clip(video, tmp_path / "cache")
    assert clip.frames.shape == (4, 48, 64, 3)
    assert [read_number(frame) for frame in clip.frames] == [0, 1, 2, 3]
    expected = np.stack([draw_number(index) for index in range(4)])
    assert np.abs(np.array(clip.frames).astype(int) - expected).max() <= 3  # 8-bit YCbCr in between


def test_a_video_is_decoded_once_under_any_name(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt="yuv444p")
    said: list[str] = []
    open_clip(video, tmp_path / "cache", progress=said.append)
    renamed = video.rename(tmp_path / "b.mkv")
    open_clip(renamed, tmp_path / "cache", progress=said.append)
    assert said == ["decoding a.mkv"]


def test_changed_content_is_decoded_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    make_video(tmp_path / "a.mkv", frames=3, codec="ffv1", pix_fmt="yuv444p")
    assert len(open_clip(tmp_path / "a.mkv", cache).frames) == 3
    make_video(tmp_path / "a.mkv", frames=5, codec="ffv1", pix_fmt="yuv444p")
    assert len(open_clip(tmp_path / "a.mkv", cache).frames) == 5


def test_uncompressed_pictures_that_differ_in_the_middle_alone_are_told_apart(
    tmp_path: Path,
) -> None:
    clips = []
    for name, level in (("a", 50), ("b", 200)):
        (tmp_path / name).mkdir()
        for index, value in enumerate((0, level, 0)):
            picture = np.full((48, 64, 3), value, np.uint8)
            assert cv2.imwrite(str(tmp_path / name / f"{index}.bmp"), picture)
        clips.append(open_clip(tmp_path / name, tmp_path / "cache"))
    assert [int(clip.frames[1, 0, 0, 0]) for clip in clips] == [50, 200]  # type: ignore[index]


def test_patterns_choose_what_is_halved(tmp_path: Path) -> None:
    for name in ("soft.mkv", "sharp.mkv"):
        make_video(tmp_path / name, frames=2, codec="ffv1", pix_fmt="yuv444p")
    clips = open_training(tmp_path, tmp_path / "cache", half_size=["soft*"])
    assert {clip.name: clip.frames.shape[1:3] for clip in clips} == {
        "sharp.mkv": (48, 64),
        "soft.mkv": (24, 32),
    }


def test_cuts_are_found(tmp_path: Path) -> None:
    def picture(index: int, width: int, height: int) -> np.ndarray:
        number = draw_number(index, width, height)
        return 255 - number // 4 if index >= 4 else number // 3

    make_video(tmp_path / "a.mkv", frames=8, codec="ffv1", pix_fmt="yuv444p", picture=picture)
    assert open_clip(tmp_path / "a.mkv", tmp_path / "cache").cuts == (4,)


def test_the_second_frame_of_a_scene_is_no_cut(tmp_path: Path) -> None:
    def picture(index: int, width: int, height: int) -> np.ndarray:
        level = 20 if index < 4 else 160 if index == 4 else 230
        return np.full((height, width, 3), level, np.uint8)

    video = make_video(
        tmp_path / "a.mkv", frames=8, codec="ffv1", pix_fmt="yuv444p", picture=picture
    )
    scores = [frame.scene_score for frame in read_pictures(video)]
    assert min(scores[4:6]) >= CUT_SCORE
    assert open_clip(video, tmp_path / "cache").cuts == (4,)


def test_a_store_by_older_rules_is_made_anew(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=3)
    clip = open_clip(video, tmp_path / "cache")
    facts = next((tmp_path / "cache").glob("*.json"))
    old = json.loads(facts.read_text()) | {"cuts": [1, 2]}
    del old["version"]
    facts.write_text(json.dumps(old))
    assert open_clip(video, tmp_path / "cache").cuts == clip.cuts == ()


def test_a_damaged_video_is_left_out_and_named(tmp_path: Path) -> None:
    make_video(tmp_path / "good.mp4", frames=2)
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    said: list[str] = []
    clips = open_training(tmp_path, tmp_path / "cache", progress=said.append)
    assert [clip.name for clip in clips] == ["good.mp4"]
    assert any("left out" in line and "bad.mp4" in line for line in said)


def test_pictures_of_unequal_size_and_empty_ones_are_left_out_and_named(tmp_path: Path) -> None:
    for name in ("good", "unequal", "empty"):
        make_pictures(tmp_path / name, frames=4)
    make_pictures(tmp_path / "unequal", frames=1, first=3, size=(64, 40))
    (tmp_path / "empty" / "000003.png").write_bytes(b"")
    said: list[str] = []
    folders = [tmp_path / name for name in ("empty", "good", "unequal")]
    clips = open_all(folders, tmp_path / "cache", progress=said.append)
    assert [(clip.name, len(clip.frames)) for clip in clips] == [("good", 4)]
    left_out = [line for line in said if line.startswith("left out")]
    assert "empty: wanted 4 pictures, got 3: " in left_out[0]
    assert "000003.png" in left_out[0]
    assert "unequal: wanted frames of one size, got 1 of 4 of another" in left_out[1]
    assert said[-1] == "2 of 3 clips left out"


def test_a_folder_of_damaged_videos_is_said(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film")
    with pytest.raises(DatasetError, match="none of the clips"):
        open_training(tmp_path, tmp_path / "cache")


def test_half_a_store_counts_as_none(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=3)
    clip = open_clip(video, tmp_path / "cache")
    first = np.array(clip.frames)
    next((tmp_path / "cache").glob("*.json")).unlink()
    np.testing.assert_array_equal(open_clip(video, tmp_path / "cache").frames, first)


@pytest.mark.parametrize("suffix", [".rgb", ".json"])
@pytest.mark.parametrize("size", [None, 0, 20])
def test_a_damaged_store_is_made_anew(suffix: str, size: int | None, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=3)
    first = np.array(open_clip(video, tmp_path / "cache").frames)
    path = next((tmp_path / "cache").glob(f"*{suffix}"))
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    said: list[str] = []
    clip = open_clip(video, tmp_path / "cache", progress=said.append)
    np.testing.assert_array_equal(clip.frames, first)
    assert said == ["decoding a.mp4"]


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(
    tmp_path: Path,
) -> None:
    video = make_video(tmp_path / "a.mp4", frames=2)
    cache = tmp_path / "cache"
    cache.mkdir()
    left, written = cache / "x.1.1.part", cache / "y.2.2.part"
    for part in (left, written):
        part.write_bytes(b"half a film")
    os.utime(left, (0, 0))
    open_all([video], cache)
    assert not left.exists()
    assert written.exists()


def test_the_matrix_of_the_tags_is_used(tmp_path: Path) -> None:
    """The same picture tagged 601 and 709, each by its own matrix, is stored the same."""
    stored = []
    for code in (6, 1):
        name = tmp_path / f"{code}.mkv"
        make_video(name, frames=1, codec="ffv1", pix_fmt="yuv444p", color=(code, code, code, 1))
        with av.open(str(name)) as file:
            assert file.streams.video[0].codec_context.colorspace == code
        stored.append(open_clip(name, tmp_path / "cache").frames[0].astype(int))
    assert np.abs(stored[0] - stored[1]).max() <= 3


def test_clips_hold_no_files_open_and_go_to_other_processes_as_a_path(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", frames=40, size=(128, 96))
    clip = open_clip(video, tmp_path / "cache")
    sent = pickle.dumps(clip)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).frames[slice(40),], clip.frames[slice(40),])
    if (held := Path("/proc/self/fd")).is_dir():
        assert not any(str(path.resolve()).endswith(".rgb") for path in held.iterdir())
