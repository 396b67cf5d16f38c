"""Encoding: what is chosen, refused, written and found in the file."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from synthetic import make_video

from vsr.color import assumed_matrix
from vsr.errors import ConfigError, EncodeError, MuxError
from vsr.media.encode import check_choices, plan_encoding
from vsr.media.encoders import encoder_options, list_encoders
from vsr.media.formats import choose_pixel_format, fill_frame, plane_format
from vsr.media.probe import ColorTags, HdrMetadata, SourceInfo, probe
from vsr.media.types import EncodePlan, PlaneFormat
from vsr.options import EncodeOptions

BT2020_POINTS = {
    "red": (Fraction(68, 100), Fraction(32, 100)),
    "green": (Fraction(265, 1000), Fraction(69, 100)),
    "blue": (Fraction(15, 100), Fraction(6, 100)),
    "white": (Fraction(3127, 10000), Fraction(329, 1000)),
}
HDR = HdrMetadata(
    **BT2020_POINTS,
    min_luminance=Fraction(1, 10000),
    max_luminance=Fraction(1000),
    max_content_light=1000,
    max_frame_average_light=400,
)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    return probe(make_video(tmp_path_factory.mktemp("encode") / "in.mp4", frames=2))


def plan(
    info: SourceInfo,
    target: str = "out.mp4",
    *,
    source: str = "yuv420p",
    size: tuple[int, int] = (128, 96),
    sample_aspect_ratio: Fraction | None = None,
    **options: object,
) -> EncodePlan:
    planes = plane_format(source)
    assert planes is not None
    return plan_encoding(
        info,
        target,
        width=size[0],
        height=size[1],
        time_base=info.video.time_base,
        frame_rate=info.video.frame_rate,
        sample_aspect_ratio=sample_aspect_ratio,
        plane_format=planes,
        options=EncodeOptions(**options),  # type: ignore[arg-type]
    )


def with_video(info: SourceInfo, **changes: object) -> SourceInfo:
    return replace(info, video=replace(info.video, **changes))


@pytest.mark.parametrize(
    ("target", "source", "codec", "pix_fmt"),
    [
        ("out.mp4", "yuv420p", "libx264", "yuv420p"),
        ("out.mkv", "yuv422p", "libx264", "yuv422p"),
        ("out.mkv", "yuv444p", "libx264", "yuv444p"),
        ("out.mkv", "gray", "libx264", "gray"),
        ("out.mkv", "yuv411p", "libx264", "yuv422p"),
        ("out.mkv", "yuv440p", "libx264", "yuv444p"),
        ("out.mkv", "gbrp", "libx264", "yuv444p"),
        ("out.mp4", "yuv420p10le", "libx265", "yuv420p10le"),
        ("out.mkv", "yuv422p10le", "libx265", "yuv422p10le"),
        ("out.mkv", "yuv444p12le", "libx265", "yuv444p12le"),
        ("out.mkv", "gbrp10le", "libx265", "gbrp10le"),
        ("out.avi", "yuv420p10le", "libx264", "yuv420p10le"),
        ("out.webm", "yuv420p", "libvpx-vp9", "yuv420p"),
        ("out.webm", "yuv420p10le", "libsvtav1", "yuv420p10le"),
        ("out/%06d.png", "yuv420p", "png", "rgb24"),
        ("out/%06d.png", "yuv420p10le", "png", "rgb48be"),
    ],
)
def test_chroma_and_depth_of_the_source_are_kept(
    info: SourceInfo, target: str, source: str, codec: str, pix_fmt: str
) -> None:
    found = plan(info, target, source=source)
    assert (found.codec, found.pix_fmt, found.warnings) == (codec, pix_fmt, ())


@pytest.mark.parametrize(
    ("codec", "source", "pix_fmt", "warning"),
    [
        ("libx264", "yuv422p12le", "yuv422p10le", "12 bits per sample become 10"),
        ("libvpx-vp9", "yuv420p10le", "yuv420p", "10 bits per sample become 8"),
        ("libsvtav1", "yuv444p", "yuv420p", "colour resolution falls from 444 to 420"),
        ("libx265", "yuv420p16le", "yuv420p12le", "16 bits per sample become 12"),
    ],
)
def test_what_an_encoder_cannot_keep_is_said(
    info: SourceInfo, codec: str, source: str, pix_fmt: str, warning: str
) -> None:
    found = plan(info, "out.mkv", source=source, codec=codec)
    assert found.pix_fmt == pix_fmt
    assert any(warning in text for text in found.warnings)


def test_the_pixel_format_asked_for_is_taken(info: SourceInfo) -> None:
    assert plan(info, source="yuv420p10le", codec="libx264", pix_fmt="yuv444p").pix_fmt == "yuv444p"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codec": "libx246"}, "did you mean .*libx264"),
        ({"codec": "theora"}, "can only decode"),
        ({"codec": "aac"}, "encodes audio, not video"),
        ({"codec": "libvpx"}, r"\.mp4 files do not take libvpx.*\.webm"),
        ({"pix_fmt": "yuv420p12le"}, r"choose --pix-fmt among yuv420p .*yuv444p10le"),
        ({"pix_fmt": "nonsense"}, "choose --pix-fmt among"),
        ({"crf": 99}, "crf must be 0 to 51"),
        ({"crf": -3}, "crf must be 0 to 51 for libx264, not -3"),
        (
            {"preset": "wrong"},
            "libx264 has no --preset 'wrong'; choose one of ultrafast, .*placebo",
        ),
        ({"codec": "ffv1", "crf": 3}, "ffv1 has no crf"),
        ({"codec": "libvpx-vp9", "preset": "fast"}, "has no presets; use .*cpu-used"),
        ({"encoder_option": ("tunee=film",)}, "no option 'tunee'; did you mean tune"),
        ({"encoder_option": ("tune=wrong",)}, "tune medium/wrong"),
        ({"encoder_option": ("g=many",)}, "g=many"),
        ({"encoder_option": ("x264-params=foo=1",)}, "foo"),
        ({"codec": "libx265", "encoder_option": ("x265-params=foo=1",)}, "foo"),
        ({"codec": "libsvtav1", "encoder_option": ("svtav1-params=foo=1",)}, "foo"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_advice(
    info: SourceInfo, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(info, **options)  # type: ignore[arg-type]


def test_hardware_that_is_not_there_is_refused_with_advice(info: SourceInfo) -> None:
    # AMD's encoders: hardly on the machine that runs this, unlike NVIDIA's.
    with pytest.raises(EncodeError, match="its own hardware and driver: choose --codec libx264"):
        plan(info, codec="h264_amf")


def test_encoders_are_listed_and_tried(capfd: pytest.CaptureFixture[str]) -> None:
    found = {one.name: one for one in list_encoders()}
    assert capfd.readouterr().err == ""  # what the libraries print
    for name, depths in (("libx264", (8, 10)), ("libx265", (8, 10, 12)), ("prores_ks", (10,))):
        assert (found[name].trouble, found[name].hardware) == ("", False)
        assert found[name].depths == depths
    assert "yuv420p" in found["libx264"].pix_fmts
    assert found["h264_nvenc"].hardware
    assert set(found["hevc_nvenc"].pix_fmts) >= {"yuv420p", "p010le"}
    assert {one.name for one in list_encoders(hardware=True)} == {
        name for name, one in found.items() if one.hardware
    }


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("h264_nvenc", {"rc": "vbr", "cq": "23"}),
        ("av1_qsv", {"global_quality": "23"}),
        ("h264_amf", {"rc": "cqp", "qp_i": "23", "qp_p": "23", "qp_b": "23"}),
        ("hevc_amf", {"rc": "cqp", "qp_i": "23", "qp_p": "23"}),
    ],
)
def test_crf_becomes_the_constant_quality_of_hardware(name: str, wanted: dict[str, str]) -> None:
    codec = av.Codec(name, "w")
    options = EncodeOptions(crf=23)
    assert encoder_options(codec, options, parameters={}, limited_range=True) == wanted
    steered = EncodeOptions(encoder_option=("b=5M",))
    assert encoder_options(codec, steered, parameters={}, limited_range=True) == {"b": "5M"}


def test_odd_sizes_are_refused_where_chroma_is_halved(info: SourceInfo) -> None:
    with pytest.raises(EncodeError, match=r"4:2:0 chroma.*129x97.*--size 130x98.*yuv444p"):
        plan(info, size=(129, 97))
    assert plan(info, size=(129, 97), pix_fmt="yuv444p").width == 129
    assert plan(info, "out.mkv", size=(129, 97), codec="ffv1").pix_fmt == "yuv420p"


def test_an_unknown_container_is_refused(info: SourceInfo) -> None:
    with pytest.raises(MuxError, match="name a video file"):
        plan(info, "out.xyz")


def test_pictures_are_png_only(info: SourceInfo) -> None:
    with pytest.raises(ConfigError, match="PNG only"):
        plan(info, "out/", codec="libx264")


def test_library_parameters_of_the_user_join_our_own(info: SourceInfo) -> None:
    source = with_video(info, chroma_siting="topleft")
    found = plan(source, codec="libx265", encoder_option=("x265-params=keyint=10:no-sao=1",))
    parameters = found.options["x265-params"].split(":")
    assert {"chromaloc=2", "keyint=10", "no-sao=1", "log-level=none"} == set(parameters)


def test_a_bit_rate_replaces_the_default_crf(info: SourceInfo) -> None:
    options = plan(info, encoder_option=("b=1M",)).options
    assert options["b"] == "1M"
    assert "crf" not in options


def test_hevc_in_mp4_is_tagged_as_apple_wants_it(info: SourceInfo) -> None:
    assert plan(info, codec="libx265").codec_tag == "hvc1"
    assert plan(info, "out.mkv", codec="libx265").codec_tag is None


@pytest.mark.parametrize(
    ("size", "matrix"), [((64, 48), 6), ((720, 576), 5), ((1280, 720), 1), ((1920, 800), 1)]
)
def test_an_untagged_matrix_is_what_players_assume_at_the_source_size(
    size: tuple[int, int], matrix: int
) -> None:
    assert assumed_matrix(*size) == matrix


def test_an_untagged_matrix_is_written_out(info: SourceInfo) -> None:
    """A 4x larger output would be taken for BT.709 where the source was taken for BT.601."""
    assert plan(info, size=(1920, 1080)).color.matrix == 6


def test_tags_of_the_source_are_kept(info: SourceInfo) -> None:
    color = ColorTags(primaries=9, transfer=18, matrix=9, range=1)
    assert plan(with_video(info, color=color)).color == color


def test_rgb_that_becomes_yuv_gets_a_matrix(info: SourceInfo) -> None:
    color = ColorTags(primaries=1, transfer=13, matrix=0, range=2)
    found = plan(with_video(info, color=color), source="gbrp")
    assert found.color == ColorTags(primaries=1, transfer=13, matrix=1, range=1)


def test_full_range_by_name_becomes_a_tag(info: SourceInfo) -> None:
    found = plan(info, source="yuvj420p")
    assert (found.pix_fmt, found.color.range) == ("yuv420p", 2)


@pytest.mark.parametrize(
    ("codec", "siting", "planned"),
    [
        ("libx264", "center", "center"),
        ("libx265", "topleft", "topleft"),
        ("libsvtav1", "topleft", "topleft"),
        ("libsvtav1", "center", "left"),
        ("libvpx-vp9", "topleft", "left"),
        ("mjpeg", "left", "center"),
    ],
)
def test_chroma_is_sited_where_the_stream_can_say_or_players_assume(
    info: SourceInfo, codec: str, siting: str, planned: str
) -> None:
    found = plan(with_video(info, chroma_siting=siting), "out.mkv", codec=codec)
    assert found.chroma_siting == planned


def test_hdr_is_encoded_in_ten_bits(info: SourceInfo) -> None:
    color = ColorTags(primaries=9, transfer=16, matrix=9, range=1)
    found = plan(with_video(info, color=color))
    assert (found.codec, found.pix_fmt) == ("libx265", "yuv420p10le")


@pytest.mark.parametrize(
    ("source", "chosen", "range_code"),
    [("gray", "gray", 2), ("gray16le", "gray", 2), ("yuv420p", "gray", 1), ("gray", "yuv420p", 0)],
)
def test_untagged_grey_is_written_with_the_range_in_which_it_is_read(
    info: SourceInfo, source: str, chosen: str, range_code: int
) -> None:
    assert info.video.color.range == 0
    assert plan(info, source=source, pix_fmt=chosen).color.range == range_code


@pytest.mark.parametrize("transfer", [16, 18])
def test_eight_bits_for_hdr_are_warned_of(info: SourceInfo, transfer: int) -> None:
    color = ColorTags(primaries=9, transfer=transfer, matrix=9, range=1)
    found = plan(with_video(info, color=color), pix_fmt="yuv420p")
    assert any("8 bits, too few" in warning for warning in found.warnings)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_hdr_metadata_goes_to_encoders_that_carry_it(info: SourceInfo, codec: str) -> None:
    found = plan(with_video(info, hdr=HDR), codec=codec, source="yuv420p10le")
    assert found.hdr == HDR
    assert found.warnings == ()


def test_hdr_metadata_that_cannot_be_carried_is_named(info: SourceInfo) -> None:
    found = plan(with_video(info, hdr=HDR), "out.mov", codec="prores_ks", source="yuv422p10le")
    assert found.hdr is None
    assert "HDR10" in found.warnings[0]


def test_pixel_shapes_that_cannot_be_held_are_named(info: SourceInfo) -> None:
    shape = Fraction(16, 15)
    for name in ("out.mkv", "out.webm", "out.mp4"):
        assert plan(info, name, sample_aspect_ratio=shape).sample_aspect_ratio == shape
    lost = plan(info, "out.avi", codec="ffv1", sample_aspect_ratio=shape)
    assert lost.sample_aspect_ratio is None
    assert "6.2 % narrower" in lost.warnings[0]


def hdr(**changes: Fraction | tuple[Fraction, Fraction] | int | None) -> HdrMetadata:
    return replace(HDR, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metadata", "kept", "named"),
    [
        (hdr(max_luminance=Fraction(0), min_luminance=Fraction(0)), "light", "0 to 0 cd/m2"),
        (hdr(max_luminance=Fraction(100000)), "light", "100000 cd/m2"),
        (hdr(max_luminance=None, min_luminance=None), "light", "luminances are missing"),
        (hdr(min_luminance=Fraction(7)), "light", "7 to"),
        (hdr(red=None, green=None, blue=None, white=None), "light", "red, green, blue, white is"),
        (hdr(green=(Fraction(0), Fraction(0))), "light", "green at (0, 0)"),
        (hdr(max_content_light=70000), "display", "70000 and"),
        (hdr(max_content_light=0, max_frame_average_light=0), "display", ""),
        (hdr(min_luminance=Fraction(0)), "all", ""),
    ],
)
@pytest.mark.parametrize("codec", ["libx265", "libx264", "libsvtav1"])
def test_hdr_metadata_without_meaning_are_left_out_and_named(
    info: SourceInfo, codec: str, metadata: HdrMetadata, kept: str, named: str
) -> None:
    made = plan(with_video(info, hdr=metadata), codec=codec, source="yuv420p10le")
    assert made.hdr is not None
    assert (made.hdr.red is not None) == (kept != "light")
    assert (made.hdr.max_content_light is not None) == (kept != "display")
    assert [named in note for note in made.warnings] == [True] * bool(named)


def test_hdr_metadata_of_zeros_alone_is_none(info: SourceInfo) -> None:
    zeros = HdrMetadata(max_content_light=0, max_frame_average_light=0)
    made = plan(with_video(info, hdr=zeros), codec="libx265", source="yuv420p10le")
    assert (made.hdr, made.warnings) == (None, ())


def test_a_rotation_that_cannot_be_told_is_named(info: SourceInfo) -> None:
    turned = with_video(
        info, rotation=90, display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    )
    assert plan(turned, "out.mp4").display_matrix == turned.video.display_matrix
    found = plan(turned, "out.ts")
    assert found.display_matrix is None
    assert "rotation of 90 degrees" in found.warnings[0]


def test_alpha_that_is_left_out_is_named(info: SourceInfo) -> None:
    assert "alpha" in plan(with_video(info, pix_fmt="yuva420p")).warnings[0]


@pytest.mark.parametrize("name", ["yuva420p", "pal8", "yuv420p10be", "gbrpf32le", "cuda", "none"])
def test_formats_without_integer_planes_are_none(name: str) -> None:
    assert plane_format(name) is None


def test_the_nearest_format_prefers_chroma_to_depth() -> None:
    source = PlaneFormat(name="yuv444p10le", chroma="444", bit_depth=10)
    chosen = choose_pixel_format(source, ["yuv420p10le", "yuv444p"])
    assert chosen is not None
    assert chosen.name == "yuv444p"


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p10le", "yuv411p", "gray", "gray10le", "gbrp", "gbrp12le", "nv12", "p010le",
     "rgb24", "rgb48be"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(34, 18), (33, 17)])
def test_frames_hold_the_planes_they_were_filled_with(pix_fmt: str, size: tuple[int, int]) -> None:
    layout = plane_format(pix_fmt)
    assert layout is not None
    whole = av.VideoFormat(layout.name, *size)
    dtype = np.uint8 if layout.bit_depth == 8 else np.uint16
    random = np.random.default_rng(0)
    planes = [
        random.integers(0, 1 << layout.bit_depth, (part.height, part.width), dtype)
        for part in whole.components
    ]
    frame = fill_frame(planes, pix_fmt, *size)
    assert frame.format.name == pix_fmt
    # FFmpeg itself puts the samples, without arithmetic, into the order of the planar twin. In one
    # thread: with two, swscale of FFmpeg 8.1 now and then overwrites 16 bytes of p010's luma.
    planar = frame if pix_fmt == layout.name else frame.reformat(format=layout.name, threads=1)
    order = (2, 0, 1) if layout.chroma == "rgb" else range(len(planes))
    for plane, index in zip(planes, order, strict=True):
        part = planar.planes[index]
        view = np.frombuffer(part, dtype).reshape(-1, part.line_size // dtype().itemsize)
        np.testing.assert_array_equal(view[: plane.shape[0], : plane.shape[1]], plane)


def test_planes_of_another_shape_are_a_wrong_call() -> None:
    planes = [np.zeros((4, 4), np.uint8)] * 3
    with pytest.raises(ValueError, match="wanted planes"):
        fill_frame(planes, "yuv420p", 4, 4)


@pytest.mark.parametrize(
    ("options", "container", "message"),
    [
        ({"codec": "nothing"}, None, "has no encoder"),
        ({"codec": "libvpx"}, ".mp4", r"\.mp4 files do not take libvpx"),
        ({"crf": 1000}, None, "--crf must be 0 to 51 for libx264, not 1000"),
        ({"crf": -3}, ".webm", "--crf must be 0 to .* for libvpx-vp9, not -3"),
        ({"crf": 60}, ".mp4", "--crf must be 0 to 51"),
        ({"codec": "ffv1", "crf": 3}, None, "ffv1 has no crf"),
        ({"preset": "nothing"}, ".mkv", "no --preset 'nothing'"),
        ({"pix_fmt": "nothing"}, None, "choose --pix-fmt among"),
        ({"encoder_option": ("foo=1",)}, None, "no option 'foo'"),
        ({"encoder_option": ("foo",)}, None, "name=value"),
        ({"encoder_option": ("time_base=1/7",)}, None, "time_base=1/7 would contradict"),
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
