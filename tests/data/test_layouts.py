"""Training sets and test sets as people have them on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import draw_number, make_pictures, make_video, read_number

from vsr.data.datasets import mirrored, sample_batch, sample_pairs, shots
from vsr.data.layouts import PROTOCOLS, find_clips, find_training, open_training
from vsr.errors import DatasetError
from vsr.media.containers import VIDEO_SUFFIXES

REDS4 = ("000", "011", "015", "020")


def reds(data: Path, names: tuple[str, ...], *, low: bool = True) -> None:
    for name in names:
        make_pictures(data / "train_sharp" / name, frames=5, first=0, name="%08d.png")
        if low:
            folder = data / "train_sharp_bicubic" / "X4" / name
            make_pictures(folder, frames=5, first=0, name="%08d.png", size=(16, 12))


def vimeo(data: Path, names: tuple[str, ...], listed: tuple[str, ...]) -> None:
    for name in names:
        make_pictures(data / "sequences" / name, frames=7, name="im%d.png")
    (data / "sep_trainlist.txt").write_text("".join(f"{name}\n" for name in listed))


def test_reds_without_reds4(tmp_path: Path) -> None:
    reds(tmp_path, ("001", "002", *REDS4))
    assert [clip.name for clip in find_training(tmp_path, "reds")] == ["001", "002"]
    assert [clip.name for clip in find_training(tmp_path, "reds4")] == list(REDS4)


def test_reds4_alone_is_nothing_to_train_on(tmp_path: Path) -> None:
    reds(tmp_path, REDS4, low=False)
    with pytest.raises(DatasetError, match="only the clips of REDS4"):
        find_training(tmp_path, "reds")


def test_vimeo_takes_the_clips_of_the_training_list(tmp_path: Path) -> None:
    vimeo(tmp_path, ("00001/0001", "00001/0002"), ("00001/0002",))
    (tmp_path / "sep_testlist.txt").write_text("00001/0001\n")
    assert [clip.name for clip in find_training(tmp_path, "vimeo90k")] == ["00001/0002"]


@pytest.mark.parametrize(
    ("layout", "looked_for"),
    [
        ("folder", r"\*\.mp4"),
        ("reds", "train_sharp/CLIP"),
        ("reds4", "train_sharp/000"),
        ("vimeo90k", "sep_trainlist.txt"),
    ],
)
def test_another_layout_is_an_error_that_names_the_file(
    tmp_path: Path, layout: str, looked_for: str
) -> None:
    with pytest.raises(DatasetError, match=looked_for):
        find_training(tmp_path, layout)  # type: ignore[arg-type]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "one.mp4").touch()
    (found,) = find_training(tmp_path / "one.mp4", "folder")
    assert (found.name, found.gt) == ("one", tmp_path / "one.mp4")
    with pytest.raises(DatasetError, match="which is none"):
        find_training(tmp_path / "one.mp4", "reds")
    with pytest.raises(DatasetError, match="which is none"):
        find_training(tmp_path / "nowhere", "folder")


def test_pictures_of_a_data_set_are_decoded_when_first_cut_from(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    vimeo(data, ("00001/0001", "00001/0002"), ("00001/0001", "00001/0002"))
    said: list[str] = []
    clips = open_training(data, cache, layout="vimeo90k", progress=said.append)
    assert [clip.frames.shape for clip in clips] == [(7, 48, 64, 3)] * 2
    assert len(list(cache.glob("*.rgb"))) == 1  # the first tells the size of all
    for clip in clips:
        frames = clip.frames[slice(1, 7), slice(None), slice(None)]
        np.testing.assert_array_equal(frames[0], draw_number(1))
        assert [read_number(frame) for frame in frames] == [1, 2, 3, 4, 5, 6]


def test_a_clip_of_another_size_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    vimeo(data, ("00001/0001",), ("00001/0001", "00001/0002"))
    make_pictures(data / "sequences" / "00001/0002", frames=6, name="im%d.png")
    clips = open_training(data, tmp_path / "cache", layout="vimeo90k")
    with pytest.raises(DatasetError, match=r"0002.*wanted 7 pictures of 64x48.*got 6 pictures"):
        clips[1].frames[slice(2),]


def test_pairs_show_the_same_place_time_and_direction(tmp_path: Path) -> None:
    data = tmp_path / "data"
    reds(data, ("001",))
    (clip,) = open_training(data, tmp_path / "cache", layout="reds")
    t, y, x = np.mgrid[0:5, 0:48, 0:64].astype(np.uint8)
    gt = np.stack((t, y // 4, x // 4), axis=-1)
    assert clip.lq is not None
    assert clip.lq.shape == (5, 12, 16, 3)
    marked = type(clip)(name="m", frames=gt, cuts=(), lq=np.ascontiguousarray(gt[:, ::4, ::4]))
    found = shots([marked], length=3, side=16)
    for seed in range(12):
        high, low = sample_pairs(found, batch=2, length=3, side=16, scale=4, seed=(seed,))
        assert high.shape == (2, 3, 3, 16, 16)
        assert torch.equal(high[..., ::4, ::4], low)


def test_pairs_of_another_scale_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    reds(data, ("001",))
    clips = open_training(data, tmp_path / "cache", layout="reds")
    found = shots(clips, length=3, side=16)
    with pytest.raises(DatasetError, match=r"'001'.*\(5, 24, 32\).*x2.*\(5, 12, 16\)"):
        sample_pairs(found, batch=1, length=3, side=16, scale=2, seed=(0,))


def test_a_clip_without_its_low_quality_side_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    reds(data, ("001",))
    reds(data, ("002",), low=False)
    with pytest.raises(DatasetError, match=r"'002'.*looked for .*X4/002"):
        open_training(data, tmp_path / "cache", layout="reds")


def test_a_folder_may_hold_videos_and_folders_of_pictures(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_pictures(data / "shot", frames=3)
    make_pictures(data / "films", frames=1, name="preview%d.png")
    make_video(data / "films" / "film.mp4", frames=4)
    (data / "films" / "bad.mp4").write_bytes(b"not a film")
    said: list[str] = []
    clips = open_training(data, tmp_path / "cache", progress=said.append)
    assert {clip.name: len(clip.frames) for clip in clips} == {"shot": 3, "film.mp4": 4}
    assert any("bad.mp4" in line and "left out" in line for line in said)
    assert said[-1] == "1 of 3 clips left out"
    found = shots(clips, length=3, side=32)
    assert sample_batch(found, batch=2, length=3, side=32, seed=(0,)).shape == (2, 3, 3, 32, 32)


def test_videos_are_found_by_the_extensions_that_a_batch_takes(tmp_path: Path) -> None:
    names = {f"{index}{suffix}" for index, suffix in enumerate(sorted(VIDEO_SUFFIXES))}
    assert {".vob", ".m2ts", ".dv", ".wmv", ".mp4"} < VIDEO_SUFFIXES
    for name in (*names, "notes.txt", "sound.wav"):
        (tmp_path / name).touch()
    assert {clip.gt.name for clip in find_training(tmp_path, "folder")} == names


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    make_pictures(elsewhere / "set" / "shot", frames=2)
    make_video(elsewhere / "set" / "film.mp4", frames=2)
    (elsewhere / "set" / "loop").symlink_to(elsewhere)
    data.mkdir()
    (data / "linked").symlink_to(elsewhere / "set")
    found = find_training(data, "folder")
    assert sorted(clip.name for clip in found) == ["film", "shot"]


def test_pictures_that_change_are_decoded_anew(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    make_pictures(data / "shot", frames=3)
    (before,) = open_training(data, cache)
    make_pictures(data / "shot", frames=3, size=(32, 24))
    (after,) = open_training(data, cache)
    assert (before.frames.shape, after.frames.shape) == ((3, 48, 64, 3), (3, 24, 32, 3))


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    make_pictures(tmp_path / "data" / "shot", frames=3)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DatasetError, match=r"cannot be written.*data\.cache"):
        open_training(tmp_path / "data", tmp_path / "cache")


def test_mirrored_plays_forth_and_back() -> None:
    clip = torch.arange(3.0).view(1, 3, 1, 1, 1)
    assert mirrored(clip).flatten().tolist() == [0, 1, 2, 2, 1, 0]


VID4 = ("calendar", "city", "foliage", "walk")
REDS4_CLIPS = ("000", "011", "015", "020")


def pictures(*folders: Path) -> None:
    for folder in folders:
        make_pictures(folder, frames=1)


@pytest.mark.parametrize("place", ["GT/{}", "{}", "HR/{}", "{}/truth", "original/{}"])
def test_vid4_is_found(tmp_path: Path, place: str) -> None:
    pictures(*(tmp_path / place.format(name) for name in VID4))
    found = find_clips(tmp_path, PROTOCOLS["vid4-bi"])
    assert [clip.name for clip in found] == list(VID4)
    assert [clip.gt for clip in found] == [tmp_path / place.format(name) for name in VID4]
    assert {clip.lq for clip in found} == {None}


def test_the_low_quality_side_on_disk_is_that_of_the_protocol(tmp_path: Path) -> None:
    for side in ("GT", "BIx4", "BDx4"):
        pictures(*(tmp_path / side / name for name in VID4))
    for protocol, side in (("vid4-bi", "BIx4"), ("vid4-bd", "BDx4")):
        found = find_clips(tmp_path, PROTOCOLS[protocol])
        assert [clip.lq for clip in found] == [tmp_path / side / name for name in VID4]


@pytest.mark.parametrize(
    ("gt", "lq"),
    [
        ("train_sharp", "train_sharp_bicubic/X4"),
        ("train/train_sharp", "train/train_sharp_bicubic/X4"),
        ("GT", "sharp_bicubic"),
    ],
)
def test_reds4_is_found_among_other_clips(tmp_path: Path, gt: str, lq: str) -> None:
    for side in (gt, lq):
        pictures(*(tmp_path / side / name for name in (*REDS4_CLIPS, "001")))
    found = find_clips(tmp_path, PROTOCOLS["reds4"])
    assert [clip.gt for clip in found] == [tmp_path / gt / name for name in REDS4_CLIPS]
    assert [clip.lq for clip in found] == [tmp_path / lq / name for name in REDS4_CLIPS]


@pytest.mark.parametrize(
    ("listed", "line", "root"),
    [
        ("sep_testlist.txt", "00001/0266\n\n", "sequences"),
        ("meta_info_Vimeo90K_test_GT.txt", "00001/0266 7 (256,448,3)\n", "GT"),
    ],
)
def test_vimeo_takes_the_listed_clips(tmp_path: Path, listed: str, line: str, root: str) -> None:
    for name in ("00001/0266", "00001/0267"):
        make_pictures(tmp_path / root / name, frames=7, name="im%d.png")
    make_pictures(tmp_path / "BDx4" / "00001/0266", frames=7, name="im%d.png")
    (tmp_path / listed).write_text(line)
    (found,) = find_clips(tmp_path, PROTOCOLS["vimeo90k-bd"])
    assert found.gt == tmp_path / root / "00001/0266"
    assert found.lq == tmp_path / "BDx4" / "00001/0266"


def test_udm10_takes_the_clips_there_are(tmp_path: Path) -> None:
    pictures(tmp_path / "GT" / "band", tmp_path / "GT" / "archwall")
    assert [c.name for c in find_clips(tmp_path, PROTOCOLS["udm10-bd"])] == ["archwall", "band"]


def test_a_folder_holds_videos_and_folders_of_pictures(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "shot")
    make_video(tmp_path / "b.mp4", frames=2)
    found = find_clips(tmp_path, PROTOCOLS["folder-bi"])
    assert [(clip.name, clip.gt) for clip in found] == [
        ("shot", tmp_path / "a" / "shot"),
        ("b", tmp_path / "b.mp4"),
    ]


def test_clips_of_one_name_are_told_apart(tmp_path: Path) -> None:
    pictures(tmp_path / "a" / "shot", tmp_path / "b" / "shot")
    found = find_clips(tmp_path, PROTOCOLS["folder-bi"])
    assert [clip.name for clip in found] == [str(Path("a/shot")), str(Path("b/shot"))]


@pytest.mark.parametrize(
    ("protocol", "looked_for"),
    [
        ("vid4-bi", "GT/calendar"),
        ("reds4", "train_sharp/000"),
        ("vimeo90k-bi", "sep_testlist.txt"),
        ("udm10-bd", "GT/CLIP"),
        ("folder-bi", "png"),
    ],
)
def test_another_layout_of_a_test_set_is_an_error_that_names_the_file(
    tmp_path: Path, protocol: str, looked_for: str
) -> None:
    with pytest.raises(DatasetError, match=looked_for):
        find_clips(tmp_path, PROTOCOLS[protocol])


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    pictures(*(tmp_path / "GT" / name for name in VID4[:3]))
    with pytest.raises(DatasetError, match="walk"):
        find_clips(tmp_path, PROTOCOLS["vid4-bi"])


def test_a_listed_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "sequences").mkdir()
    (tmp_path / "sep_testlist.txt").write_text("00009/0001\n")
    with pytest.raises(DatasetError, match=r"00009/0001/im1\.png"):
        find_clips(tmp_path, PROTOCOLS["vimeo90k-bi"])
