"""What frames carry beside their pixels arrives, or its loss is said, with its number of frames."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import synthetic
import synthetic_sei as made
from decoded import decode
from synthetic_streams import jpeg
from test_pipeline import bicubic, numbers

from vsr.cli.main import main
from vsr.media.probe import probe
from vsr.options import EncodeOptions
from vsr.pipeline import enhance
from vsr.plan import plan_job


def captioned(path: Path, **options: object) -> Path:
    def units(number: int) -> list[bytes]:
        # Not all frames have captions, so their places are checked as well.
        return [made.sei(made.T35, made.captions(number))] if number != 2 else []

    return made.with_units(path, units, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.avi", "mpeg2video")]
)
def test_closed_captions_stay_with_their_frames(tmp_path: Path, name: str, codec: str) -> None:
    source = captioned(tmp_path / "in.mp4")
    preset = None if codec == "mpeg2video" else "ultrafast"
    result = enhance(
        source, tmp_path / name, bicubic(encode=EncodeOptions(codec=codec, preset=preset), piece=4)
    )
    before = made.side_data(source, "A53_CC")
    assert [entry is None for entry in before] == [number == 2 for number in range(8)]
    assert made.side_data(tmp_path / name, "A53_CC") == before
    assert numbers(tmp_path / name) == list(range(8))
    assert not [warning for warning in result.warnings if "captions" in warning]
    assert result.report["decoding"]["attached"] == [["closed captions", 7]]


def test_captions_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    with_them = captioned(tmp_path / "with.mp4")
    without = made.with_units(tmp_path / "without.mp4", lambda number: [])
    decoded = []
    for source in (with_them, without):
        target = source.with_suffix(".mkv")
        # Without loss: whatever an encoder decides, what it was given comes back.
        enhance(source, target, bicubic(encode=EncodeOptions(codec="libx264", crf=0)))
        with av.open(str(target)) as file:
            decoded.append([f.to_ndarray(format="yuv420p") for f in file.decode(video=0)])
    assert all(np.array_equal(a, b) for a, b in zip(*decoded, strict=True))


def test_fields_made_into_frames_keep_all_captions(tmp_path: Path) -> None:
    source = captioned(tmp_path / "in.mp4", interlaced=True)
    enhance(source, tmp_path / "out.mp4", bicubic(deinterlace="field"))

    def letters(path: Path) -> list[int]:
        data = b"".join(entry or b"" for entry in made.side_data(path, "A53_CC"))
        triplets = [data[i : i + 3] for i in range(0, len(data), 3)]
        return [t[1] for t in triplets if t[0] == 0xFC and t[1] & 0x7F >= 0x41 and t[1] != 0x94]

    assert len(made.side_data(tmp_path / "out.mp4", "A53_CC")) == 16
    assert letters(tmp_path / "out.mp4") == letters(source) == [65, 66, 68, 69, 70, 71, 72]


def test_captions_that_cannot_be_kept_are_named_before_and_counted_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = captioned(tmp_path / "in.mp4")
    target = tmp_path / "out.mkv"
    arguments = [str(source), str(target), "--model", "bicubic", "--codec", "libsvtav1"]
    assert main(["enhance", *arguments, "--dry-run"]) == 0
    assert "will be left out: closed captions of the input (libx264" in capsys.readouterr().out
    report = tmp_path / "report.json"
    assert main(["enhance", *arguments, "--preset", "13", "--report", str(report)]) == 0
    said = "left out: closed captions, on 7 frames of the input"
    assert capsys.readouterr().err.count(said) == 1
    assert said in json.loads(report.read_text())["warnings"]
    switched_off = bicubic(encode=EncodeOptions(encoder_option=("a53cc=0",)))
    assert any(
        "closed captions" in w
        for w in plan_job(source, tmp_path / "other.mkv", switched_off).warnings
    )


def test_captions_that_a_filter_drops_are_counted(tmp_path: Path) -> None:
    source = captioned(tmp_path / "in.mp4")
    result = enhance(
        source, tmp_path / "out.mp4", bicubic(filter="sidedata=mode=delete:type=A53_CC")
    )
    assert made.side_data(tmp_path / "out.mp4", "A53_CC") == [None] * 8
    assert (
        "closed captions were on 7 frames of the input and are on 0 after the filters: some may "
        "be missing" in result.warnings
    )


@pytest.mark.parametrize(
    ("unit", "codec", "kind", "count"),
    [
        (made.sei(made.T35, made.hdr10_plus(), hevc=True), "libx265", "HDR10+ dynamic metadata", 8),
        (made.dolby_vision(), "libx265", "Dolby Vision metadata", 5),
        (
            made.sei(made.T35, b"\xb5\x00\x31DTG1\x41\xfa"),
            "libx264",
            "the active format description (AFD)",
            5,
        ),
        (
            made.sei(made.USER_DATA, bytes(range(16)) + b"hello"),
            "libx264",
            "user data (unregistered SEI messages)",
            5,
        ),
    ],
    ids=["hdr10+", "dolby vision", "afd", "user data"],
)
def test_what_is_left_out_is_said(
    tmp_path: Path,
    unit: bytes,
    codec: str,
    kind: str,
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = made.with_units(
        tmp_path / "in.mkv", lambda number: [unit] if number < 5 else [], codec=codec
    )
    assert kind in probe(source).video.attached
    assert main(["info", str(source)]) == 0
    assert f"  carries   {kind}\n" in capsys.readouterr().out
    result = enhance(source, tmp_path / "out.mp4", bicubic())
    said = [warning for warning in result.warnings if kind in warning]
    assert len(said) == 2
    assert said[0].startswith(f"will be left out: {kind} of the input")
    # HDR10+ in H.265 is valid until the next message.
    assert said[1] == f"left out: {kind}, on {count} frames of the input"


def test_a_plain_file_is_not_said_to_lose_anything(tmp_path: Path) -> None:
    source = synthetic.make_video(tmp_path / "in.mkv")
    assert probe(source).video.attached == ()
    result = enhance(source, tmp_path / "out.mkv", bicubic())
    assert not [warning for warning in result.warnings if "left out" in warning]


def test_the_alpha_channel_that_webm_keeps_beside_vp9_is_named(tmp_path: Path) -> None:
    source = synthetic.make_video(
        tmp_path / "in.webm", codec="libvpx-vp9", pix_fmt="yuva420p", frames=3
    )
    warnings = plan_job(source, tmp_path / "out.mp4", bicubic()).warnings
    assert [w for w in warnings if "alpha" in w] == [
        "will be left out: an alpha channel of the input"
    ]


def with_exif(photograph: bytes, entry: bytes) -> bytes:
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    body = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return photograph[:2] + segment + photograph[2:]


def test_pictures_that_ask_for_another_turn_than_the_first_are_counted(tmp_path: Path) -> None:
    upside_down = struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0)
    for number, data in enumerate((jpeg(), with_exif(jpeg(), upside_down), jpeg())):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    _, summary, _ = decode(tmp_path)
    assert "all are turned as the first one asks; wrong for 1 of 3" in summary.warnings[0]


def test_exif_tags_of_a_photograph_are_named(tmp_path: Path) -> None:
    photograph = tmp_path / "in.jpg"
    maker = struct.pack("<HHI4s", 0x010F, 2, 4, b"vsr")  # in four bytes of ASCII
    photograph.write_bytes(with_exif(jpeg(), maker))
    assert probe(photograph).video.attached == ("EXIF tags",)
