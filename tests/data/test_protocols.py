"""Layouts of test sets as people have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import make_pictures, make_video

from vsr.data.protocols import PROTOCOLS, find_clips
from vsr.errors import DatasetError

VID4 = ("calendar", "city", "foliage", "walk")
REDS4 = ("000", "011", "015", "020")


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
        pictures(*(tmp_path / side / name for name in (*REDS4, "001")))
    found = find_clips(tmp_path, PROTOCOLS["reds4"])
    assert [clip.gt for clip in found] == [tmp_path / gt / name for name in REDS4]
    assert [clip.lq for clip in found] == [tmp_path / lq / name for name in REDS4]


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
def test_another_layout_is_an_error_that_names_the_file(
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
