"""A disk that is too small is noticed before it is full, and work goes on when there is room."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType

import pytest
from small_disk import make_room, small_disk
from synthetic import make_pictures, make_video

from vsr import files, work
from vsr.cli.main import main
from vsr.errors import DiskError
from vsr.files import require_room
from vsr.jobs.journal import open_journal
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import Progress, enhance

OPTIONS = EnhanceOptions(
    model="bicubic",
    scale=2,
    piece=8,
    inference=InferenceOptions(window=8, lookahead=0, scene_threshold=101),
    encode=EncodeOptions(preset="ultrafast", crf=10),
)
FRAMES = 48
PLENTY = 50 * 2**20


def film(path: Path) -> Path:
    return make_video(path, frames=FRAMES, size=(64, 48), color=(6, 6, 6, 1))


def test_what_cannot_fit_is_refused_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    """At 0.005 bits per pixel, pieces and file together would take 166 KiB."""
    source = make_video(tmp_path / "in.mp4", frames=260, size=(64, 64))
    seen: list[Progress] = []
    options = EnhanceOptions(model="bicubic", size="1024x512")
    with small_disk(tmp_path / "disk", 32 * 4096) as disk:
        with pytest.raises(DiskError, match=r"about 166 KiB more needed .*, .* KiB free") as error:
            enhance(source, disk / "out.mp4", options, progress=seen.append)
        assert "make room there, or write elsewhere" in str(error.value)
        assert os.listdir(disk) == []
    assert not seen


@pytest.mark.parametrize(("module", "name"), [(files, "take"), (work, "write_job")])
def test_a_disk_that_is_full_from_the_start_keeps_no_hidden_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = make_video(tmp_path / "in.mp4", frames=2)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, refuse)
        with pytest.raises(DiskError, match="the disk is full"):
            enhance(source, tmp_path / "out.mp4", OPTIONS)
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_what_will_not_fit_stops_after_the_first_piece_and_goes_on(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    enhance(source, tmp_path / "whole.mp4", OPTIONS)
    size = (tmp_path / "whole.mp4").stat().st_size
    said: list[str] = []
    with small_disk(tmp_path / "disk", size) as disk:
        for _ in range(2):  # nothing is worked on in vain
            with pytest.raises(DiskError, match=r"about .* more needed on its disk, .* free"):
                enhance(source, disk / "out.mp4", OPTIONS, warn=said.append)
        assert any("8 finished frames are kept" in text for text in said)
        assert os.listdir(disk) == [".out.mp4.vsr"]
        make_room(disk, PLENTY)
        assert enhance(source, disk / "out.mp4", OPTIONS).resumed == 8
        assert os.listdir(disk) == ["out.mp4"]
        assert (disk / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_pictures_take_their_room_once(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=16)
    options = EnhanceOptions(
        model="bicubic", scale=2, piece=4, inference=InferenceOptions(window=4, lookahead=0)
    )
    enhance(source, f"{tmp_path}/whole/", options)
    pages = sum(-(-path.stat().st_size // 4096) for path in (tmp_path / "whole").iterdir())
    with small_disk(tmp_path / "disk", (pages + 20) * 4096) as disk:
        assert enhance(source, f"{disk}/out/", options).frames == 16
    with small_disk(tmp_path / "other", pages // 2 * 4096) as disk:
        with pytest.raises(DiskError):
            enhance(source, f"{disk}/out/", options)
        make_room(disk, PLENTY)
        assert enhance(source, f"{disk}/out/", options).resumed > 0


def test_a_batch_stops_at_a_full_disk_and_does_the_rest_when_there_is_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tapes = tmp_path / "tapes"
    tapes.mkdir()
    for name in ("a.mp4", "b.mp4"):
        film(tapes / name)
    enhance(tapes / "a.mp4", tmp_path / "whole.mp4", OPTIONS)
    size = (tmp_path / "whole.mp4").stat().st_size
    with small_disk(tmp_path / "disk", size) as disk:
        out = disk / "out"
        command = ["batch", str(tapes), "--output-dir", str(out), "--progress", "none"]
        command += ["--model", "bicubic", "--scale", "2", "--piece", "8", "--preset", "ultrafast"]
        command += ["--crf", "10", "--window", "8", "--lookahead", "0"]
        command += ["--scene-threshold", "101"]
        assert main(command) == 1
        text = capsys.readouterr()
        assert "0 done, 2 queued" in text.out
        assert "the batch stops here, the same command continues it" in text.err
        with open_journal(out) as journal:
            assert [entry.state for entry in journal.jobs()] == ["queued", "queued"]
            assert [entry.attempts for entry in journal.jobs()] == [0, 0]
        make_room(disk, PLENTY)
        assert main(command) == 0
        assert "2 done" in capsys.readouterr().out


def test_room_is_looked_for_where_the_file_will_be(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "yet" / "out.mp4", 1)
    with pytest.raises(DiskError, match=r"about 1000000000\.0 GiB more"):
        require_room(tmp_path / "not" / "yet" / "out.mp4", 1e9 * 2**30)
