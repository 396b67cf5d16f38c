"""Profiles: files that hold options under the names of the flags, and the ready ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import pytest
from named_files import make_named_files
from synthetic import make_video

from vsr.cli.main import main
from vsr.errors import ConfigError
from vsr.media.probe import probe
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.profiles import (
    flat,
    laid_over,
    read_profile,
    ready_profiles,
    vary,
    with_values,
    write_profile,
)

READY = ("drawn", "dvd", "master", "old-film", "phone", "prores", "screen", "tape")


def reported(source: Path, target: Path, *flags: str) -> dict:
    """Run `vsr enhance` and read its report."""
    report = target.with_suffix(".json")
    assert main(["enhance", str(source), str(target), *flags, "--report", str(report)]) == 0
    found: dict = json.loads(report.read_text())
    assert found["verified"] == "in full"
    return found


def test_each_ready_profile_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(ready_profiles()) == READY
    assert main(["info", "--profiles"]) == 0
    rows = [row for row in capsys.readouterr().out.splitlines() if not row.startswith(" ")]
    assert [row.split()[0] for row in rows] == list(READY)
    assert all(len(row.split()) > 3 for row in rows)


# What each is for, by a film of its kind: the name of `named_files`, and the size that comes out.
@pytest.mark.parametrize(
    ("profile", "film", "target", "size", "frames", "codec"),
    [
        ("phone", "phone.mov", "out.mp4", (192, 128), 3, "hevc"),
        ("tape", "tape.mpg", "out.mkv", (160, 128), 6, "h264"),
        ("dvd", "dvd.vob", "out.mkv", (160, 128), 3, "h264"),
        ("old-film", "old.mp4", "out.mp4", (96, 72), 3, "h264"),
        ("screen", "screen.mp4", "out.mp4", (128, 72), 3, "h264"),
        ("drawn", "drawn.mp4", "out.mp4", (128, 72), 3, "h264"),
        ("master", "in.mp4", "out.mkv", (256, 192), 3, "ffv1"),
        ("prores", "in.mp4", "out.mov", (256, 192), 3, "prores"),
    ],
)
def test_a_ready_profile_enhances_a_film_of_its_kind(
    tmp_path: Path, profile: str, film: str, target: str, size: tuple[int, int], frames: int,
    codec: str,
) -> None:  # fmt: skip
    make_named_files(tmp_path, film)
    out = tmp_path / target
    report = reported(tmp_path / film, out, "--profile", profile, "--duration", "0.1")
    made = probe(out)
    assert (made.video.width, made.video.height) == size
    assert (report["frames"], made.video.codec) == (frames, codec)
    asked = report["options"] | {"duration": None}
    assert {**asked.pop("inference"), **asked.pop("encode"), **asked} == json.loads(
        json.dumps(flat(read_profile(profile)))
    )


@pytest.mark.parametrize(("profile", "suffix"), [("master", ".mkv"), ("prores", ".mov")])
def test_sound_of_a_master_is_uncompressed(tmp_path: Path, profile: str, suffix: str) -> None:
    source = make_video(tmp_path / "in.mp4", frames=4, audio=("aac", "flac"))
    out = tmp_path / f"out{suffix}"
    flags = ["--profile", profile, "--model", "bicubic"]
    reported(source, out, *flags)
    with av.open(str(out)) as made:
        names = [stream.codec_context.name for stream in made.streams.audio]
    assert names == ["pcm_s24le", "pcm_s16le"]
    assert main(["verify", str(source), str(out), "--sound", "pcm"]) == 0
    assert main(["verify", str(source), str(out)]) == 1


def test_uncompressed_sound_is_refused_where_it_has_no_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2, audio=("aac",))
    assert main(["enhance", str(source), str(tmp_path / "out.webm"), "--sound", "pcm"]) == 2
    assert ".mkv, .mov, .mp4 or .avi" in capsys.readouterr().err


@pytest.mark.parametrize(("profile", "made"), [("dvd", 1), ("tape", 2)])
def test_interlaced_video_is_deinterlaced(
    tmp_path: Path, profile: str, made: int, capsys: pytest.CaptureFixture[str]
) -> None:
    make_named_files(tmp_path, "tape.mpg")
    out = tmp_path / "out.mkv"
    flags = ["--model", "bicubic", "--clean", "0", "--preset", "ultrafast"]
    report = reported(tmp_path / "tape.mpg", out, "--profile", profile, *flags)
    assert report["frames"] == 8 * made
    assert "deinterlaced by bwdif" in capsys.readouterr().out


def test_flags_win_over_a_profile(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    flags = ["--model", "bicubic", "--strength", "1", "--encoder-option", "tune=film"]
    report = reported(source, tmp_path / "a.mp4", "--profile", "old-film", *flags, "--height", "60")
    options = report["options"]
    assert (options["strength"], options["height"], options["clean"]) == (1.0, 60, 0.5)
    assert options["encode"]["encoder_option"] == ["tune=film"]
    report = reported(
        source, tmp_path / "b.mkv", "--profile", "old-film", "--model", "bicubic",
        "--codec=ffv1", "--no-skip", "--clean", "0",
    )  # fmt: skip
    assert report["options"]["encode"]["encoder_option"] == []
    assert (report["options"]["skip"], report["options"]["strength"]) == (False, 0.7)


def test_a_size_given_replaces_that_of_the_profile_however_stated() -> None:
    tape = read_profile("tape")
    assert tape.scale == 2
    options = laid_over(tape, replace(EnhanceOptions(), height=720), {"height"})
    assert (options.scale, options.height, options.deinterlace) == (None, 720, "field")


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    options = EnhanceOptions(
        model='odd "name"\\ü\n.pth',
        clean=0.25,
        skip=False,
        filter="crop=iw:ih-8",
        sound="pcm",
        encode=EncodeOptions(crf=17.5, encoder_option=("tune=film", "g=48")),
        inference=InferenceOptions(window=3, precision="fp32"),
    )
    path = tmp_path / "film.toml"
    write_profile(path, replace(options, start="1:00", duration="2", overwrite=True, resume=False))
    assert read_profile(path) == options
    assert "encoder-option" in path.read_text()
    write_profile(path, EnhanceOptions())
    assert read_profile(path) == EnhanceOptions()


def test_a_profile_is_saved_and_used_by_enhance_and_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_video(tmp_path / "in.mp4", frames=2)
    film, rest = tmp_path / "film.toml", ["--dry-run", "--progress", "none"]
    flags = ["--profile", "screen", "--model", "bicubic", "--codec", "libx265", "--start", "0.01"]
    target = str(tmp_path / "out.mp4")
    assert main(["enhance", str(source), target, *flags, "--save-profile", str(film), *rest]) == 0
    kept = EnhanceOptions(
        model="bicubic", scale=2, clean=0.0, encode=EncodeOptions(codec="libx265")
    )
    assert read_profile(film) == kept
    capsys.readouterr()
    batch = ["batch", str(source), "--output-dir", str(tmp_path / "out"), "--dry-run"]
    assert main([*batch, "--profile", str(film), "--crf", "30", "--progress", "json"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[0])
    assert plan["target"]["codec"] == "libx265"
    assert plan["target"]["encoder_options"]["crf"] == "30"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hieght = 720", "unknown option 'hieght'; did you mean 'height'?"),
        ('pix-fmd = "yuv420p"', "did you mean 'pix-fmt'?"),
        ("[encode]\ncrf = 3", "unknown option 'encode'"),
        ("strength = 2", "--strength must be at most 1; got 2"),
        ('deinterlace = "fields"', "--deinterlace must be"),
        ("scale = 2\nheight = 720", "--scale and --height contradict each other"),
        ("scale =", "is not TOML"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "film.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_profile(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--profile", "taep"], "no profile 'taep'; did you mean 'tape'?"),
        (["--profile", "none.toml"], "no such profile: 'none.toml'"),
        (["--save-profile", "film.json"], "a profile is named something.toml"),
        (["--save-profile", "film.toml", "--clean", "2"], "--clean must be at most 1"),
    ],
)
def test_a_wrong_profile_is_wrong_usage(
    tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enhance", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), *flags]) == 2
    assert said in capsys.readouterr().err


def test_saving_replaces_profiles_only(tmp_path: Path) -> None:
    other = tmp_path / "pyproject.toml"
    other.write_text("[project]\nname = 'mine'\n")
    with pytest.raises(ConfigError, match="unknown option 'project'"):
        write_profile(other, EnhanceOptions())
    assert "mine" in other.read_text()


def test_options_are_replaced_by_name() -> None:
    options = with_values(EnhanceOptions(clean=0.5), {"pix-fmt": "yuv444p", "strength": "0.25"})
    assert (options.clean, options.strength, options.encode.pix_fmt) == (0.5, 0.25, "yuv444p")


def test_variants_differ_in_one_option_and_are_named_by_it() -> None:
    found = vary(EnhanceOptions(strength=0.5), "clean=0, 0.5,1,1")
    assert list(found) == ["clean 0", "clean 0.5", "clean 1"]
    assert [each.clean for each in found.values()] == [0, 0.5, 1]
    assert {each.strength for each in found.values()} == {0.5}
    given = replace(EnhanceOptions(), strength=1.0)
    found = vary(given, "profile=tape,old-film", {"strength"})
    assert [(n, o.strength, o.clean) for n, o in found.items()] == [
        ("profile tape", 1.0, 1.0), ("profile old-film", 1.0, 0.5)
    ]  # fmt: skip


def test_variants_of_one_file_name_keep_their_folders() -> None:
    found = vary(EnhanceOptions(), "model=a/net.pth,b/net.pth")
    assert {name: each.model for name, each in found.items()} == {
        "model a/net.pth": "a/net.pth", "model b/net.pth": "b/net.pth"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("clean=1", "2 to 6 values"),
        ("clean", "2 to 6 values"),
        ("claen=0,1", "did you mean 'clean'?"),
        ("clean=0,2", "--clean must be at most 1; got 2"),
        ("height=480,720", "cannot compare height"),
        ("filter=a,b", "cannot compare filter"),
        ("profile=tape,dvdd", "did you mean 'dvd'?"),
    ],
)
def test_what_cannot_be_varied_is_refused(setting: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        vary(EnhanceOptions(), setting)
    assert said in str(error.value)
