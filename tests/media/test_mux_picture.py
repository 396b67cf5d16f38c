"""What players must know of the picture arrives: shape, turns, colours, HDR."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from synthetic import make_video
from synthetic_streams import (
    enhance_nearest,
)

from vsr.media.probe import HdrMetadata, VideoInfo, probe
from vsr.options import EncodeOptions


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_hdr_metadata_and_tags_arrive(tmp_path: Path, codec: str, suffix: str) -> None:
    master = (
        "log-level=none:hdr10=1:repeat-headers=1:max-cll=1000,400:chromaloc=2:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    )
    source = make_video(
        tmp_path / "in.mp4",
        frames=3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color=(9, 16, 9, 1),
        codec_options={"x265-params": master},
    )
    target = tmp_path / f"out{suffix}"
    preset = "10" if codec == "libsvtav1" else "ultrafast"
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset=preset))
    before, after = probe(source).video, probe(target).video
    assert (after.pix_fmt, after.color) == (before.pix_fmt, before.color)
    assert before.chroma_siting == after.chroma_siting == "topleft"
    assert before.hdr is not None
    assert after.hdr is not None
    assert near(before.hdr, after.hdr)


def near(wanted: HdrMetadata, found: HdrMetadata) -> bool:
    """Equal, but for the steps of AV1: 1/65536 for colours, 1/256 and 1/16384 cd/m2 for light."""
    points = [(getattr(h, n) for n in ("red", "green", "blue", "white")) for h in (wanted, found)]
    colors = [abs(a - b) for p, q in zip(*points, strict=True) for a, b in zip(p, q, strict=True)]
    assert wanted.min_luminance is not None
    assert found.min_luminance is not None
    return (
        max(colors) <= Fraction(1, 50000)
        and abs(wanted.min_luminance - found.min_luminance) < Fraction(1, 10000)
        and wanted.max_luminance == found.max_luminance
        and wanted.max_content_light == found.max_content_light
        and wanted.max_frame_average_light == found.max_frame_average_light
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_shape_and_rotation_arrive(tmp_path: Path, suffix: str, rotation: int) -> None:
    source = make_video(
        tmp_path / "in.mp4", frames=2, rotation=rotation, sample_aspect_ratio=Fraction(16, 15)
    )
    target = tmp_path / f"out{suffix}"
    enhance_nearest(source, target)
    before, after = probe(source).video, probe(target).video
    assert after.rotation == before.rotation != 0
    assert after.sample_aspect_ratio == Fraction(16, 15)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("libx264", "yuv420p"), ("libx264", "yuv422p"), ("libx264", "yuv444p"), ("ffv1", "gray"),
     ("libx265", "yuv420p10le"), ("libx265", "yuv422p10le"), ("libx265", "yuv444p12le"),
     ("libx265", "gray10le"), ("libx265", "gbrp10le"), ("ffv1", "yuv420p"), ("mjpeg", "yuvj420p")],
)  # fmt: skip
def test_chroma_depth_and_tags_arrive(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    """FFmpeg's H.264 decoder shows grey as 4:2:0; encoded as HEVC or FFV1 it stays one plane."""
    rgb = pix_fmt.startswith("gbr")
    color = (1, 1, 0 if rgb else 1, 2 if rgb or "j" in pix_fmt else 1)
    source = make_video(tmp_path / "in.mkv", frames=2, codec=codec, pix_fmt=pix_fmt, color=color)
    target = tmp_path / "out.mkv"
    grey = EncodeOptions(codec=codec) if pix_fmt == "gray" else None
    enhance_nearest(source, target, options=grey)

    def told(video: VideoInfo) -> tuple[object, ...]:
        color = video.color
        return video.pix_fmt.replace("yuvj", "yuv"), color.primaries, color.transfer, color.range

    before, after = probe(source).video, probe(target).video
    assert told(after) == told(before)
    assert after.color.matrix == before.color.matrix


@pytest.mark.parametrize(("codec", "siting"), [("libx264", 1), ("libx264", 2), ("libx265", 1)])
def test_chroma_siting_arrives(tmp_path: Path, codec: str, siting: int) -> None:
    options = {"x264-params": f"chromaloc={siting}"}
    source = make_video(tmp_path / "in.mp4", frames=2, codec_options=options)
    target = tmp_path / "out.mp4"
    enhance_nearest(source, target, options=EncodeOptions(codec=codec, preset="ultrafast"))
    expected = {1: "center", 2: "topleft"}[siting]
    assert probe(source).video.chroma_siting == probe(target).video.chroma_siting == expected
