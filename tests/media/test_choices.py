"""What suits no encoder is refused once, not file by file."""

from __future__ import annotations

import pytest

from vsr.errors import ConfigError
from vsr.media.choices import check_choices
from vsr.media.options import EncodeOptions


@pytest.mark.parametrize(
    ("options", "container", "message"),
    [
        ({"codec": "nothing"}, None, "no encoder of this FFmpeg"),
        ({"codec": "libvpx"}, ".mp4", r"\.mp4 files do not take libvpx"),
        ({"crf": 1000}, None, "--crf of 0 to 51 for libx264, got 1000"),
        ({"crf": -3}, ".webm", "--crf of 0 to .* for libvpx-vp9, got -3"),
        ({"crf": 60}, ".mp4", "--crf of 0 to 51"),
        ({"codec": "ffv1", "crf": 3}, None, "ffv1 has no crf"),
        ({"preset": "nothing"}, ".mkv", "no --preset 'nothing'"),
        ({"pix_fmt": "nothing"}, None, "choose --pix-fmt among"),
        ({"encoder_option": ("foo=1",)}, None, "no option 'foo'"),
        ({"encoder_option": ("foo",)}, None, "name=value"),
        ({"encoder_option": ("time_base=1/7",)}, None, "time_base=1/7 would contradict the frames"),
        ({"encoder_option": ("color_range=pc",)}, ".avi", "color_range=pc would contradict"),
    ],
)
def test_what_no_file_could_be_encoded_with_is_refused(
    options: dict[str, object], container: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_choices(EncodeOptions(**options), container)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "container"),
    [
        ({}, None),
        ({"crf": 60}, None),  # of some use where an output is WebM
        ({"crf": 60}, ".webm"),
        ({"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, ".mov"),
        ({"pix_fmt": "yuv420p12le", "preset": "3"}, None),  # for x265
        ({"encoder_option": ("tune=film",)}, ".avi"),
    ],
)
def test_what_suits_one_encoder_is_let_through(
    options: dict[str, object], container: str | None
) -> None:
    check_choices(EncodeOptions(**options), container)  # type: ignore[arg-type]
