"""The rehearsal writes what the end writes, mends what a container refuses, and comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import av
import pytest
from synthetic import make_video
from synthetic_streams import Cues, Sound, make_rich_video

from vsr.cli.main import main
from vsr.errors import MuxError
from vsr.media.decode import Decoder
from vsr.media.streams import StreamPlan
from vsr.media.types import check
from vsr.media.verify import VerifyResult
from vsr.models.zoo import ModelInfo
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance
from vsr.plan import Job, plan_job
from vsr.rehearsal import planned_marks, rehearse


def bicubic(**changes: object) -> EnhanceOptions:
    encode = EncodeOptions(preset="ultrafast")
    inference = InferenceOptions(device="cpu")
    options = EnhanceOptions(model="bicubic", scale=2, encode=encode, inference=inference)
    return replace(options, **changes)  # type: ignore[arg-type]


def no_network(info: ModelInfo, device: str) -> NoReturn:
    raise AssertionError("the network was loaded")


def uneven(path: Path) -> Path:
    """A film of uneven steps, its frames reordered."""
    times = [0, 40, 90, 100, 160, 230, 240, 300, 333, 420, 430, 500, 510, 590]
    with av.open(path, "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([time % 200 + 20]) * plane.buffer_size)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("start", ["0", "0.1"])
def test_planned_times_are_those_that_decoding_gives(
    tmp_path: Path, suffix: str, start: str
) -> None:
    source = uneven(tmp_path / f"in.{suffix}")
    job = plan_job(source, tmp_path / "out.mkv", bicubic(start=start))
    with Decoder(job.info, job.decode) as frames:
        decoded = [(frame.pts, frame.duration) for frame in frames]
    marks = planned_marks(job)
    assert list(marks.pts) == [pts for pts, _ in decoded]
    assert marks.last_duration == decoded[-1][1]


def test_a_film_whose_fields_become_frames_is_rehearsed_with_every_one(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", frames=5)
    job = plan_job(source, tmp_path / "out.mp4", bicubic(deinterlace="field"))
    assert len(planned_marks(job)) == 10


def test_times_that_a_container_cannot_hold_are_refused_before_the_network(tmp_path: Path) -> None:
    source, target = uneven(tmp_path / "in.mkv"), tmp_path / "out.avi"
    with pytest.raises(MuxError, match=r"constant frame rate.*write .mkv"):
        enhance(source, target, bicubic(), load=no_network)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv"}


def planned_wrong(job: Job, index: int, codec: str) -> Job:
    """Plan to copy a stream that the container does not take."""
    wrong = StreamPlan(index=index, kind=job.streams[index].kind, action="copy", codec=codec)
    streams = [*job.streams]
    streams[index] = wrong
    return replace(job, streams=tuple(streams))


def test_a_stream_that_the_container_refuses_is_converted_and_named(tmp_path: Path) -> None:
    sounds: Sequence[Sound] = [Sound(codec="pcm_s16le"), Sound(codec="aac")]
    source = make_rich_video(tmp_path / "in.mkv", sounds=sounds, cues=[Cues()])
    job = plan_job(source, tmp_path / "out.webm", bicubic(encode=EncodeOptions(codec="libvpx-vp9")))
    assert [plan.action for plan in job.streams[:3]] == ["enhance", "convert", "convert"]
    mended = rehearse(planned_wrong(job, 1, "pcm_s16le"))
    assert [(plan.action, plan.codec) for plan in mended.streams[1:3]] == [
        ("convert", "libopus"),
        ("convert", "libopus"),
    ]
    assert mended.streams[1].reason in mended.warnings
    assert "audio track 1 (pcm_s16le) is converted to libopus" in mended.streams[1].reason
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_plan_that_works_is_left_alone(tmp_path: Path) -> None:
    source = make_rich_video(tmp_path / "in.mkv", sounds=[Sound()], cues=[Cues()])
    job = plan_job(source, tmp_path / "out.mkv", bicubic())
    assert rehearse(job) == job


def test_only_side_matters_are_changes() -> None:
    names = ["frames", "timestamps", "decodes", "audio 1 packets", "chapters", "rotation"]
    side = ["audio 1 labels", "last duration", "HDR metadata"]
    checks = tuple(check(name, name == "size", "") for name in [*names, *side, "size"])
    found = VerifyResult(source="", target="", checks=checks, warnings=())
    assert [text.partition(":")[0] for text in found.problems] == names
    assert [text.partition(":")[0] for text in found.changes] == side
    assert found.verdict == "failed"
    assert replace(found, checks=checks[len(names) :]).verdict == "with changes"
    assert replace(found, checks=checks[-1:]).verdict == "in full"


def test_a_file_whose_plan_was_mended_is_verified_without_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Matroska has no length for the last packet, without which MP4 would not show it.
    source = make_video(tmp_path / "in.mkv", frames=8, rate=Fraction(25), audio=["alac"])
    target = tmp_path / "out.mp4"
    result = enhance(source, target, bicubic())
    assert any("copied, it would be wrong" in warning for warning in result.warnings)
    assert main(["verify", str(source), str(target)]) == 0
    assert "FAIL" not in capsys.readouterr().out
    silent = make_video(tmp_path / "silent.mp4", frames=8, rate=Fraction(25), size=(128, 96))
    assert main(["verify", str(source), str(silent)]) == 1
    assert "FAIL streams: missing: audio 1" in capsys.readouterr().out
