"""Damaged files: a clear error, or every frame that can be had and an account of the rest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import synthetic
from decoded import decode

from vsr.errors import DecodeError, ProbeError
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.reading import FrameAccount
from vsr.media.types import PlanarFrame
from vsr.options import DecodeOptions

STEP = Fraction(10)


def test_packets_that_all_come_out_leave_nothing() -> None:
    ledger = FrameAccount(STEP)
    for pts in (0, 30, 10, 20):
        ledger.sent(pts, pts - 20)
    for pts in (0, 10, 20, 30):
        ledger.received(pts, pts)
    assert (ledger.lost(), ledger.gaps, ledger.constant_rate) == ([], [], True)
    assert (ledger.packets, ledger.frames) == (4, 4)


def test_neighbours_that_never_come_are_one_run() -> None:
    ledger = FrameAccount(STEP)
    for pts in range(0, 80, 10):
        ledger.sent(pts, pts)
    for pts in (10, 40, 60):
        ledger.received(pts, pts)
    runs = [(run.count, run.start, run.end, run.reason) for run in ledger.lost()]
    assert runs == [
        (1, 0, 10, "before the first frame that decodes"),
        (2, 20, 40, "undecodable"),
        (1, 50, 60, "undecodable"),
        (1, 70, 80, "undecodable"),
    ]
    assert ledger.gaps == []


def test_only_what_is_wanted_counts() -> None:
    ledger = FrameAccount(STEP, first=20, end=40)
    for pts in range(0, 60, 10):
        ledger.sent(pts, pts, hidden=pts == 30)
    assert [(run.count, run.start) for run in ledger.lost()] == [(1, 20)]


def test_a_second_field_in_its_own_packet_is_no_loss() -> None:
    ledger = FrameAccount(STEP)
    for pts in range(0, 60, 5):
        ledger.sent(pts, pts)
    for pts in range(0, 60, 10):
        ledger.received(pts, pts, interlaced=True)
    assert ledger.lost() == []


def test_a_frame_that_comes_late_is_no_loss() -> None:
    ledger = FrameAccount(STEP)
    for pts in (0, 10, 20):
        ledger.sent(pts, pts)
    for pts, shown in ((0, 0), (20, 20), (10, 25)):
        ledger.received(pts, shown)
    assert ledger.lost() == []


def test_skips_of_whole_frames_are_gaps_only_at_a_constant_rate() -> None:
    constant, variable = FrameAccount(STEP), FrameAccount(STEP)
    for pts in (0, 10, 20, 50, 60, 70):
        constant.received(pts, pts)
    for pts in (0, 10, 27, 50, 60, 70):
        variable.received(pts, pts)
    assert (constant.gaps, constant.constant_rate) == ([(20, 50, 2)], True)
    assert not variable.constant_rate


def test_packets_without_times_are_compared_by_number() -> None:
    ledger = FrameAccount(STEP)
    for _ in range(5):
        ledger.sent(None, None)
    for shown in range(0, 30, 10):
        ledger.received(None, shown)
    assert ledger.unmatched_packets() == 2
    assert ledger.lost() == []


RATE = Fraction(25)
ALL_INTRA = {"preset": "ultrafast", "crf": "12", "g": "1"}


def numbers(frames: list[PlanarFrame]) -> list[int]:
    return [synthetic.read_number(frame.planes[0]) for frame in frames]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_broken_packets_are_counted_and_the_rest_is_given(tmp_path: Path, container: str) -> None:
    path = synthetic.make_video(
        tmp_path / f"a.{container}", frames=20, rate=RATE, codec_options=ALL_INTRA
    )
    frames, summary, _ = decode(synthetic.break_packets(path, [5, 6, 11]))
    assert numbers(frames) == [0, 1, 2, 3, 4, 7, 8, 9, 10, *range(12, 20)]
    assert [(run.count, run.start, run.end) for run in summary.lost] == [
        (2, Fraction(5, 25), Fraction(7, 25)),
        (1, Fraction(11, 25), Fraction(12, 25)),
    ]
    assert summary.lost_count == 3
    assert summary.error_count == 3
    assert summary.errors[0].startswith("at 0.200 s: Invalid data")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_broken_packets_among_predicted_frames_lose_no_other(tmp_path: Path, codec: str) -> None:
    extra = {"x265-params": "log-level=none:bframes=2"} if codec == "libx265" else {"bf": "2"}
    path = synthetic.make_video(
        tmp_path / "a.mp4", frames=40, rate=RATE, codec=codec, codec_options=extra
    )
    frames, summary, _ = decode(synthetic.break_packets(path, [9, 22, 30]))
    assert len(frames) + summary.lost_count == 40
    assert len(frames) >= 37
    pts = [frame.pts for frame in frames]
    assert pts == sorted(set(pts))
    assert summary.corrupt or summary.lost


def test_damaged_frames_are_marked(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=20, size=(128, 96), rate=RATE)
    frames, summary, _ = decode(synthetic.break_packets(path, [8], head=40))
    assert len(frames) + summary.lost_count == 20
    marked = [frame.pts for frame in frames if frame.corrupt]
    assert marked
    assert list(summary.corrupt) == marked


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi"])
def test_truncated_file_gives_what_is_there_and_names_the_rest(
    tmp_path: Path, container: str
) -> None:
    options = {"movflags": "+faststart"} if container == "mp4" else {}
    path = synthetic.make_video(
        tmp_path / f"a.{container}",
        frames=50,
        rate=RATE,
        codec_options=ALL_INTRA,
        container_options=options,
    )
    frames, summary, _ = decode(synthetic.cut_file(path, 0.6))
    assert 20 < len(frames) < 40
    # The cut goes through the last one, of which decoders conceal more or less.
    assert numbers(frames[:-1]) == list(range(len(frames) - 1))
    assert len(frames) + summary.lost_count == 50
    assert summary.lost[-1].end == pytest.approx(2.0, abs=0.001)
    assert "ends early" in summary.lost[-1].reason


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_last_frame_that_lasts_long_is_no_loss(tmp_path: Path, container: str) -> None:
    path = synthetic.make_video(
        tmp_path / f"a.{container}",
        rate=RATE,
        time_base=Fraction(1, 1000),
        pts=[0, 7, 50, 51, 400, 1000],
        durations=[7, 43, 1, 349, 600, 700],
    )
    frames, summary, _ = decode(path)
    assert (summary.lost, summary.gaps, summary.warnings) == ((), (), ())
    assert frames[-1].duration / Fraction(700) == Fraction(1, 1000) / probe(path).video.time_base


def test_truncated_with_b_frames_accounts_for_every_frame(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mp4",
        frames=50,
        rate=RATE,
        codec_options=synthetic.WITH_B_FRAMES,
        container_options={"movflags": "+faststart"},
    )
    frames, summary, _ = decode(synthetic.cut_file(path, 0.5))
    assert len(frames) + summary.lost_count == 50
    assert numbers(frames) == sorted(set(numbers(frames)))


def test_truncated_transport_stream_plays_to_its_end(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.ts", frames=50, rate=RATE, codec_options=ALL_INTRA)
    frames, _, _ = decode(synthetic.cut_file(path, 0.6))
    assert numbers(frames[:-1]) == list(range(len(frames) - 1))
    assert len(frames) > 20


def test_dropped_packets_without_other_damage_are_a_warning(tmp_path: Path) -> None:
    whole = synthetic.make_video(tmp_path / "a.mp4", frames=20, rate=RATE, codec_options=ALL_INTRA)
    path = synthetic.drop_packets(whole, tmp_path / "b.mp4", [7, 8])
    frames, summary, _ = decode(path)
    assert numbers(frames) == [*range(7), *range(9, 20)]
    assert summary.lost == ()
    assert [(gap.count, gap.start) for gap in summary.gaps] == [(2, Fraction(7, 25))]
    assert "skips whole frames, 2 in all (first at 0.280 s)" in summary.warnings[0]


def test_variable_rate_is_not_taken_for_loss_beside_real_damage(tmp_path: Path) -> None:
    pts = [0, 3000, 9000, 10000, 31000, 40000, 41000, 50000, 70000, 71000]
    path = synthetic.make_video(
        tmp_path / "a.mp4", pts=pts, time_base=Fraction(1, 90000), codec_options=ALL_INTRA
    )
    frames, summary, _ = decode(synthetic.break_packets(path, [4]))
    assert [frame.pts for frame in frames] == pts[:4] + pts[5:]
    assert summary.lost_count == 1
    assert summary.lost[0].start == Fraction(31000, 90000)


def test_first_keyframe_broken_loses_only_what_hangs_on_it(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mkv", frames=20, rate=RATE, codec_options={"g": "10", "bf": "0"}
    )
    frames, summary, _ = decode(synthetic.break_packets(path, [0]))
    assert numbers(frames[-10:]) == list(range(10, 20))
    assert len(frames) + summary.lost_count == 20


def test_stream_of_noise_is_refused_with_the_decoders_words(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=6)
    synthetic.break_packets(path, range(6))
    with pytest.raises((DecodeError, ProbeError), match=r"no decodable frame.*copy"):
        decode(path)


def test_damage_within_start_and_duration_only_is_reported(tmp_path: Path) -> None:
    path = synthetic.make_video(
        tmp_path / "a.mp4", frames=50, rate=Fraction(10), codec_options=ALL_INTRA
    )
    synthetic.break_packets(path, [10, 35])
    options = DecodeOptions(start=Fraction(3), duration=Fraction(1))
    with Decoder(probe(path), options) as decoder:
        assert numbers(list(decoder)) == [30, 31, 32, 33, 34, 36, 37, 38, 39]
    assert [run.count for run in decoder.summary.lost] == [1]


def test_decoding_a_broken_file_twice_gives_the_same(tmp_path: Path) -> None:
    path = synthetic.make_video(tmp_path / "a.mp4", frames=30, codec_options={"bf": "2"})
    synthetic.break_packets(path, [4, 13], head=20)
    first, second = decode(path), decode(path)
    assert first[1] == second[1]
    for one, other in zip(first[0], second[0], strict=True):
        assert (one.planes[0] == other.planes[0]).all()
