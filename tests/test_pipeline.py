"""One file to one file, end to end: real files, real encoders, the bicubic model for speed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic import draw_number, make_pictures, make_video, read_number

from vsr.errors import (
    ConfigError,
    DecodeError,
    MuxError,
    ProbeError,
    VerifyError,
    VsrError,
)
from vsr.media.containers import work_path
from vsr.media.probe import probe
from vsr.media.types import check
from vsr.media.verify import VerifyResult, verify
from vsr.models.compact import Compact
from vsr.models.zoo import load_model
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import Progress, enhance

FAST = EncodeOptions(preset="ultrafast", crf=10)


def bicubic(**options: object) -> EnhanceOptions:
    return EnhanceOptions(**({"model": "bicubic", "encode": FAST} | options))  # type: ignore[arg-type]


def frames_of(path: Path) -> list[tuple[Fraction, NDArray[np.uint8]]]:
    with av.open(str(path)) as file:
        return [
            (frame.pts * frame.time_base, frame.to_ndarray(format="rgb24"))
            for frame in file.decode(video=0)
        ]


def audio_hash(path: Path) -> str:
    with av.open(str(path)) as file:
        payload = b"".join(bytes(packet) for packet in file.demux(audio=0))
    return hashlib.sha256(payload).hexdigest()


def numbers(path: Path) -> list[int]:
    return [read_number(picture) for _, picture in frames_of(path)]


def test_every_frame_comes_out_in_order_at_its_own_time_with_its_sound(tmp_path: Path) -> None:
    ticks = [0, 40, 80, 121, 160, 400, 440, 485, 520, 560]
    source = make_video(
        tmp_path / "in.mp4",
        pts=ticks,
        time_base=Fraction(1, 1000),
        codec_options={"bf": "2"},
        audio=("aac",),
    )
    result = enhance(source, tmp_path / "out.mp4", bicubic())
    found = frames_of(tmp_path / "out.mp4")
    assert [read_number(picture) for _, picture in found] == list(range(10))
    assert [at for at, _ in found] == [Fraction(tick, 1000) for tick in ticks]
    assert found[0][1].shape == (192, 256, 3)
    assert audio_hash(tmp_path / "out.mp4") == audio_hash(source)
    assert result.frames == 10


def test_the_picture_is_the_bicubic_one_through_lossless_coding(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=2)
    enhance(source, f"{tmp_path}/out/", bicubic(encode=EncodeOptions()))
    expected = load_model("bicubic")
    for number, path in enumerate(sorted((tmp_path / "out").glob("*.png"))):
        lq = torch.from_numpy(draw_number(number)).permute(2, 0, 1)[None, None] / 255
        wanted = (expected(lq)[0][0, 0].clamp(0, 1) * 255).round().permute(1, 2, 0)
        with av.open(str(path)) as file:
            picture = next(file.decode(video=0)).to_ndarray(format="rgb24")
        np.testing.assert_array_equal(picture, wanted.numpy().astype(np.uint8))


def test_frames_after_a_cut_equal_the_second_shot_alone(tmp_path: Path) -> None:
    """Bit for bit: nothing of the first shot reaches over."""
    torch.manual_seed(3)
    weights = tmp_path / "net.safetensors"
    save_random_network(weights)

    def shot(index: int, width: int, height: int) -> NDArray[np.uint8]:
        picture = draw_number(index, width, height)
        return 255 - picture // 4 if index >= 5 else picture // 3

    lossless = {"codec": "ffv1", "pix_fmt": "yuv444p"}
    both = make_video(tmp_path / "both.mkv", frames=11, picture=shot, **lossless)
    second = make_video(
        tmp_path / "second.mkv", frames=6, picture=lambda i, w, h: shot(i + 5, w, h), **lossless
    )
    options = EnhanceOptions(
        model=str(weights),
        encode=EncodeOptions(codec="ffv1"),
        inference=InferenceOptions(window=2, lookahead=1, precision="fp32"),
    )
    for source in (both, second):
        enhance(source, source.with_suffix(".out.mkv"), options)
    after = frames_of(tmp_path / "both.out.mkv")[5:]
    alone = frames_of(tmp_path / "second.out.mkv")
    assert len(after) == len(alone) == 6
    for (_, a), (_, b) in zip(after, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def save_random_network(path: Path) -> None:
    from vsr.models.checkpoints import save_weights

    network = Compact(channels=8, blocks=1)
    torch.nn.init.normal_(network.tail[2].weight, std=0.05)
    shape = {"name": "compact", "scale": 4, "channels": 8, "blocks": 1}
    save_weights(path, network.state_dict(), shape, {})


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (256, 192)),
        ({"scale": 2}, (128, 96)),
        ({"height": 100}, (134, 100)),
        ({"size": "90x60"}, (90, 60)),
        ({"filter": "crop=32:24"}, (128, 96)),
    ],
)
def test_any_size_can_be_asked_for(
    tmp_path: Path, options: dict[str, object], size: tuple[int, int]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    enhance(source, tmp_path / "out.mp4", bicubic(**options))
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height) == size


def test_an_exact_size_keeps_the_shape_of_things(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, sample_aspect_ratio=Fraction(16, 15))
    enhance(source, tmp_path / "out.mp4", bicubic(size="128x128"))
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        shown = Fraction(video.width, video.height) * (video.sample_aspect_ratio or 1)
    assert shown == Fraction(64, 48) * Fraction(16, 15)


def test_height_means_the_picture_as_shown_when_it_is_rotated(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, rotation=90)
    enhance(source, tmp_path / "out.mp4", bicubic(height=128))
    with av.open(str(tmp_path / "out.mp4")) as file:
        video = file.streams.video[0]
        assert (video.width, video.height) == (128, 96)
        assert next(file.decode(video=0)).rotation == 90


def test_start_and_duration_cut_exactly_and_keep_the_sound_in_step(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", frames=50, rate=Fraction(25), codec_options={"g": "10"}, audio=("aac",)
    )
    enhance(source, tmp_path / "out.mp4", bicubic(start="0.52", duration="0.4"))
    assert numbers(tmp_path / "out.mp4") == list(range(13, 23))
    with av.open(str(tmp_path / "out.mp4")) as file:
        packets = [p for p in file.demux() if p.size]
        first = {p.stream.type: p.pts * p.time_base for p in packets[::-1]}
    assert first["video"] == 0
    assert abs(first["audio"]) < Fraction(1024, 48000) * 2


def test_a_field_becomes_a_frame(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mp4", frames=6, field_order="tff", rate=Fraction(25), audio=("aac",)
    )
    enhance(source, tmp_path / "out.mp4", bicubic(deinterlace="field"))
    times = [at for at, _ in frames_of(tmp_path / "out.mp4")]
    assert times == [Fraction(index, 50) for index in range(12)]


def test_strength_nought_is_bicubic_whatever_the_network(tmp_path: Path) -> None:
    save_random_network(tmp_path / "net.safetensors")
    source = make_pictures(tmp_path / "in", frames=2)
    plain = {"encode": EncodeOptions()}
    weak = bicubic(model=str(tmp_path / "net.safetensors"), strength=0.0, **plain)
    full = bicubic(model=str(tmp_path / "net.safetensors"), **plain)
    for name, options in (("weak", weak), ("full", full), ("plain", bicubic(**plain))):
        enhance(source, f"{tmp_path}/{name}/", options)
    first = [(tmp_path / name / "000001.png").read_bytes() for name in ("weak", "plain", "full")]
    assert first[0] == first[1] != first[2]


def test_any_network_can_be_given_the_cleaning_stage(tmp_path: Path) -> None:
    """Through the engine in windows, against cleaning and enlarging the whole film by hand."""
    noisy = make_pictures(tmp_path / "in", frames=4)
    options = {"encode": EncodeOptions(), "inference": InferenceOptions(precision="fp32", window=2)}
    enhance(noisy, f"{tmp_path}/out/", bicubic(clean=0.5, **options))
    lq = torch.stack([torch.from_numpy(draw_number(i)).permute(2, 0, 1) for i in range(4)]) / 255
    cleaned = load_model("clean-x1")(lq[None])[0]
    half = lq[None].lerp(cleaned, 0.5)
    wanted = (load_model("bicubic")(half)[0][0].clamp(0, 1) * 255).round().permute(0, 2, 3, 1)
    for path, picture in zip(sorted((tmp_path / "out").glob("*.png")), wanted, strict=True):
        with av.open(str(path)) as file:
            found = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
        assert np.abs(found - picture.numpy()).max() <= 1


def test_tiles_give_nearly_what_whole_frames_give(tmp_path: Path) -> None:
    save_random_network(tmp_path / "net.safetensors")
    source = make_pictures(tmp_path / "in", frames=3, size=(160, 48))
    for name, tile in (("whole", None), ("tiles", 96)):
        options = bicubic(
            model=str(tmp_path / "net.safetensors"),
            encode=EncodeOptions(),
            inference=InferenceOptions(tile=tile, precision="fp32"),
        )
        enhance(source, f"{tmp_path}/{name}/", options)
    for number in (1, 2, 3):
        a, b = (
            frames_of(tmp_path / name / f"{number:06d}.png")[0][1].astype(float)
            for name in ("whole", "tiles")
        )
        assert np.abs(a - b).mean() < 0.5


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[Progress] = []
    enhance(
        make_video(tmp_path / "in.mp4", frames=5),
        tmp_path / "o.mp4",
        bicubic(),
        progress=seen.append,
    )
    assert [now.frames for now in seen] == [0, 1, 2, 3, 4, 5]
    assert {now.total for now in seen} == {5}
    assert seen[-1].seconds_left == 0


def test_it_makes_no_difference_whether_network_and_encoder_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "in.mkv", frames=20, size=(32, 24))
    files = []
    for turns in (False, True):
        monkeypatch.setattr("vsr.pipeline.takes_turns", lambda device, turns=turns: turns)
        target = tmp_path / f"{turns}.mkv"
        enhance(source, target, bicubic(scale=2.0, piece=6))
        files.append(frames_of(target))
    for (time, picture), (other_time, other) in zip(*files, strict=True):
        assert time == other_time
        np.testing.assert_array_equal(picture, other)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    enhance(source, tmp_path / "out.mp4", bicubic())
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


def test_a_file_that_is_not_what_it_should_be_is_kept_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*arguments: object, **named: object) -> VerifyResult:
        found = verify(*arguments, **named)  # type: ignore[arg-type]
        return replace(found, checks=(*found.checks, check("sums", False, "1 became 2")))

    source = make_video(tmp_path / "in.mp4", frames=3)
    with monkeypatch.context() as patch:
        patch.setattr("vsr.pipeline.verify", fault)
        with pytest.raises(VerifyError, match=r"sums: 1 became 2.*kept as '.*out.unverified.mp4'"):
            enhance(source, tmp_path / "out.mp4", bicubic())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"in.mp4", "out.unverified.mp4", work_path(tmp_path / "out.mp4").name}
    again = enhance(source, tmp_path / "out.mp4", bicubic())
    assert again.resumed == 3
    kept, made = tmp_path / "out.unverified.mp4", tmp_path / "out.mp4"
    assert kept.read_bytes() == made.read_bytes()


def test_wrong_pictures_are_not_published_whatever_folder_they_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vsr.media.verify.MEAN_TOLERANCE", -1)
    with pytest.raises(VerifyError, match=r"brightness and hue"):
        enhance(source, Path("%03d.png"), bicubic(encode=EncodeOptions()))
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4"}


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
@pytest.mark.parametrize(("pix_fmt", "target"), [("bgr0", "out.mp4"), ("yuv444p", "%03d.png")])
def test_one_strong_color_is_the_same_as_rgb_and_as_yuv(
    tmp_path: Path, color: tuple[int, int, int], pix_fmt: str, target: str
) -> None:
    def filled(index: int, width: int, height: int) -> np.ndarray:
        return np.full((height, width, 3), color, np.uint8)

    source = make_video(
        tmp_path / "in.mkv", frames=2, codec="ffv1", pix_fmt=pix_fmt, picture=filled
    )
    enhance(source, tmp_path / target, bicubic(encode=EncodeOptions()))
    assert not verify(source, tmp_path / target).problems


def test_untagged_small_footage_as_mjpeg_keeps_its_matrix(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    enhance(source, tmp_path / "out.mkv", bicubic(encode=EncodeOptions(codec="mjpeg")))
    assert probe(tmp_path / "out.mkv").video.color.matrix in (5, 6)


def truncated(folder: Path) -> Path:
    path = make_video(folder / "in.mp4", frames=24, container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def test_a_truncated_file_is_done_and_its_loss_named(tmp_path: Path) -> None:
    result = enhance(truncated(tmp_path), tmp_path / "out.mp4", bicubic(allow_damage=True))
    found = numbers(tmp_path / "out.mp4")
    assert found == list(range(len(found)))
    assert 4 < len(found) < 24
    assert any("lost" in warning for warning in result.warnings)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"no film at all" * 50])
def test_what_is_no_video_is_refused_and_nothing_written(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(content)
    with pytest.raises((ProbeError, DecodeError), match=r"in\.mp4"):
        enhance(source, tmp_path / "out.mp4", bicubic())
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 2, "height": 90}, ConfigError, "--scale and --height"),
        ({"size": "big"}, ConfigError, "WIDTHxHEIGHT"),
        ({"size": "00x00"}, ConfigError, "WIDTHxHEIGHT such as 1920x1080; got '00x00'"),
        ({"duration": "0:00.0"}, ConfigError, "--duration must be more than 0; got 0:00.0"),
        ({"start": "soon"}, ConfigError, "--start"),
        ({"strength": 2.0}, ConfigError, "--strength"),
        ({"model": "no-such"}, ConfigError, "known: compact-x4, "),
        ({"filter": "no_such_filter"}, ConfigError, "no_such_filter"),
        ({"encode": EncodeOptions(codec="libx999")}, ConfigError, "libx999"),
        ({"encode": EncodeOptions(encoder_option=("sped=1",))}, ConfigError, "sped"),
        ({"encode": EncodeOptions(encoder_option=("speed",))}, ConfigError, "name=value"),
        ({"start": "3600"}, VsrError, "in.mp4"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], error: type[VsrError], message: str
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    with pytest.raises(error, match=message):
        enhance(source, tmp_path / "out.mp4", bicubic(**options))
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_input_is_never_its_own_output_and_existing_files_stay(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    before = source.read_bytes()
    with pytest.raises(MuxError, match=r"in\.mp4"):
        enhance(source, source, bicubic(overwrite=True))
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(MuxError, match="--overwrite"):
        enhance(source, tmp_path / "out.mp4", bicubic())
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    assert source.read_bytes() == before
    enhance(source, tmp_path / "out.mp4", bicubic(overwrite=True))
    assert numbers(tmp_path / "out.mp4") == [0, 1]
