"""The repair of timestamps, on made-up clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from vsr.media.timing import DiscontinuityFixer, PtsRepair


@dataclass
class Frame:
    pts: int | None
    dts: int | None = None


@dataclass
class Stream:
    index: int
    type: str


VIDEO, AUDIO, SUBTITLE = Stream(0, "video"), Stream(1, "audio"), Stream(2, "subtitle")


@dataclass
class Packet:
    dts: int | None
    stream: Stream = field(default_factory=lambda: VIDEO)
    pts: int | None = None
    duration: int = 40
    time_base: Fraction = Fraction(1, 1000)
    is_keyframe: bool = False

    def __post_init__(self) -> None:
        self.pts = self.dts if self.pts is None else self.pts


def fix(packets: list[Packet]) -> tuple[list[int | None], list[tuple[Fraction, Fraction]]]:
    fixer = DiscontinuityFixer()
    for packet in packets:
        fixer.fix(packet)
    return [packet.dts for packet in packets], fixer.jumps


def test_good_pts_pass_unchanged() -> None:
    pts = [-5, 0, 7, 8, 100]
    repair = PtsRepair(10)
    assert [repair(Frame(value, value - 3)) for value in pts] == pts
    assert (repair.synthesised, repair.repaired) == (0, 0)


def test_missing_times_are_made_a_step_apart() -> None:
    repair = PtsRepair(10)
    assert [repair(Frame(None)) for _ in range(4)] == [0, 10, 20, 30]
    assert repair.synthesised == 4


def test_dts_stands_in_for_missing_pts() -> None:
    repair = PtsRepair(10)
    frames = [Frame(None, 2), Frame(None, 12), Frame(None, None), Frame(None, 32)]
    assert [repair(frame) for frame in frames] == [2, 12, 22, 32]
    assert repair.synthesised == 1


def test_dts_is_believed_where_pts_keep_going_backwards() -> None:
    repair = PtsRepair(10)
    shuffled = [0, 30, 10, 20, 40, 70, 50, 60, 80]
    given = [repair(Frame(pts, 10 * i)) for i, pts in enumerate(shuffled)]
    assert given[5:] == [50, 60, 70, 80]
    assert given == sorted(set(given))


def test_duplicate_pts_moves_half_a_step_and_the_next_fits() -> None:
    repair = PtsRepair(10)
    assert [repair(Frame(pts)) for pts in (0, 10, 10, 20, 30)] == [0, 10, 15, 20, 30]
    assert repair.repaired == 1


def test_pts_increase_whatever_comes() -> None:
    repair = PtsRepair(1)
    given = [repair(Frame(pts)) for pts in (5, 5, 5, 1, 2, None, 6)]
    assert given == sorted(set(given))


def test_a_step_of_nothing_is_a_wrong_call() -> None:
    with pytest.raises(ValueError, match="at least one tick"):
        PtsRepair(0)


def test_steady_clock_is_left_alone() -> None:
    times = [90, 130, 170, 210]
    assert fix([Packet(time) for time in times]) == (times, [])


@pytest.mark.parametrize("jump", [-100, 20, 10**6])
def test_clock_that_starts_anew_goes_on_without_a_gap(jump: int) -> None:
    first = [Packet(time) for time in range(1000, 2000, 40)]
    start = 2000 + jump if jump > 20 else jump
    second = [Packet(time) for time in range(start, start + 400, 40)]
    times, jumps = fix([*first, *second])
    assert times == list(range(1000, 2400, 40))
    assert len(jumps) == 1
    assert jumps[0][0] == 2


def test_reordered_frames_before_a_seam_are_not_run_over() -> None:
    # Cut off after a P frame whose B frames are missing: shown at 200, decoded at 80.
    first = [Packet(0, pts=40), Packet(40, pts=160), Packet(80, pts=200)]
    second = [Packet(5, pts=45), Packet(45, pts=165)]
    fix([*first, *second])
    assert second[0].pts == 240
    assert second[1].pts == 360


def test_parts_that_overlap_by_two_frames_follow_each_other_with_their_sound() -> None:
    first = [Packet(time) for time in range(0, 400, 40)]
    heard = [Packet(time, AUDIO, duration=20) for time in range(0, 410, 20)]
    second = [Packet(time, is_keyframe=time == 320) for time in range(320, 720, 40)]
    after = [Packet(time, AUDIO, duration=20) for time in range(310, 730, 20)]
    _, jumps = fix([*first, *heard, *second[:3], *after, *second[3:]])
    assert [packet.pts for packet in (*first, *second)] == list(range(0, 800, 40))
    assert after[0].pts == 390
    assert jumps == [(Fraction(400, 1000), Fraction(-80, 1000))]


def test_a_frame_decoded_early_is_no_splice() -> None:
    packets = [Packet(0, pts=80), Packet(40, pts=40), Packet(20, pts=200, is_keyframe=True)]
    assert fix(packets) == ([0, 40, 20], [])


def test_all_streams_are_shifted_alike() -> None:
    def part() -> list[Packet]:
        return [
            Packet(0, duration=400),
            Packet(0, AUDIO, duration=800),
            Packet(200, SUBTITLE),
            Packet(400, duration=400),
        ]

    times, jumps = fix([*part(), *part()])
    assert times == [0, 0, 200, 400, 800, 800, 1000, 1200]
    assert len(jumps) == 1


def test_a_track_may_pause_while_others_go_on() -> None:
    video = [Packet(time) for time in range(0, 20000, 40)]
    late = Packet(19990, AUDIO)
    times, jumps = fix([Packet(0, AUDIO), *video, late])
    assert times[-1] == 19990
    assert jumps == []


def test_sparse_subtitles_are_no_jump() -> None:
    _, jumps = fix([Packet(0), Packet(0, SUBTITLE), Packet(40), Packet(50000, SUBTITLE)])
    assert jumps == []


def test_different_time_bases_move_by_the_same_seconds() -> None:
    other = Packet(0, AUDIO, duration=1920, time_base=Fraction(1, 48000))
    fix([Packet(0), Packet(5000), Packet(0), other])
    assert other.dts == 5040 * 48
