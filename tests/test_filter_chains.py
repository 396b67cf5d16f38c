"""What a user's filters turn and deinterlace is not done once more, end to end."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import make_video

from vsr.media.probe import probe
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import enhance


def bicubic(**options: object) -> EnhanceOptions:
    encode = EncodeOptions(preset="ultrafast", crf=10)
    return EnhanceOptions(model="bicubic", encode=encode, **options)  # type: ignore[arg-type]


def pictures_of(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def as_shown(path: Path) -> list[NDArray[np.uint8]]:
    """Turn pictures as players do."""
    turns = probe(path).video.rotation // 90
    return [np.rot90(picture, turns) for picture in pictures_of(path)]


@pytest.mark.parametrize(
    ("rotation", "chain"), [(-90, "transpose=clock"), (90, "transpose=2"), (180, "hflip,vflip")]
)
def test_filters_that_make_the_picture_upright_take_the_rotation_out(
    tmp_path: Path, rotation: int, chain: str
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, rotation=rotation)
    result = enhance(source, tmp_path / "out.mp4", bicubic(filter=chain, height=96))
    made = probe(tmp_path / "out.mp4").video
    assert (made.rotation, made.height) == (0, 96)
    enhance(source, tmp_path / "untouched.mp4", bicubic(height=96))
    for turned, untouched in zip(
        as_shown(tmp_path / "out.mp4"), as_shown(tmp_path / "untouched.mp4"), strict=True
    ):
        assert turned.shape == untouched.shape
        assert np.abs(turned.astype(int) - untouched).mean() < 3
    assert any("the output does not ask for it again" in w for w in result.warnings)


def test_filters_that_turn_otherwise_leave_the_rotation_and_are_warned_of(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, rotation=-90)
    result = enhance(source, tmp_path / "out.mp4", bicubic(filter="hflip"))
    assert probe(tmp_path / "out.mp4").video.rotation == -90
    (warning,) = [w for w in result.warnings if "as stored in the file" in w]
    assert warning.endswith("only transpose=clock makes it upright for good")
    plain = enhance(source, tmp_path / "plain.mp4", bicubic(filter="null"))
    assert not [w for w in plain.warnings if "players" in w]


def test_a_deinterlacer_of_the_chain_takes_the_place_of_the_automatic_one(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv", frames=6, field_order="tff", codec_options={"x264-params": "tff=1"}
    )
    assert probe(source).video.field_order == "top-first"
    own = "yadif=deint=all"
    results = {
        name: enhance(source, tmp_path / f"{name}.mkv", bicubic(filter=own, deinterlace=mode))
        for name, mode in (("auto", "auto"), ("off", "off"), ("frame", "frame"))
    }
    pictures = {name: pictures_of(tmp_path / f"{name}.mkv") for name in results}
    assert all(map(np.array_equal, pictures["auto"], pictures["off"]))
    assert not all(map(np.array_equal, pictures["auto"], pictures["frame"]))
    said = {
        name: [w for w in result.warnings if "left to yadif of the filter chain" in w]
        for name, result in results.items()
    }
    assert {name: len(found) for name, found in said.items()} == {"auto": 1, "off": 0, "frame": 0}
