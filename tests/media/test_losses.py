"""The ledger of packets and frames."""

from __future__ import annotations

from fractions import Fraction

from vsr.media.losses import FrameLedger

STEP = Fraction(10)


def test_packets_that_all_come_out_leave_nothing() -> None:
    ledger = FrameLedger(STEP)
    for pts in (0, 30, 10, 20):
        ledger.sent(pts, pts - 20)
    for pts in (0, 10, 20, 30):
        ledger.received(pts, pts)
    assert (ledger.lost(), ledger.gaps, ledger.constant_rate) == ([], [], True)
    assert (ledger.packets, ledger.frames) == (4, 4)


def test_neighbours_that_never_come_are_one_run() -> None:
    ledger = FrameLedger(STEP)
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
    ledger = FrameLedger(STEP, first=20, end=40)
    for pts in range(0, 60, 10):
        ledger.sent(pts, pts, hidden=pts == 30)
    assert [(run.count, run.start) for run in ledger.lost()] == [(1, 20)]


def test_a_second_field_in_its_own_packet_is_no_loss() -> None:
    ledger = FrameLedger(STEP)
    for pts in range(0, 60, 5):
        ledger.sent(pts, pts)
    for pts in range(0, 60, 10):
        ledger.received(pts, pts, interlaced=True)
    assert ledger.lost() == []


def test_a_frame_that_comes_late_is_no_loss() -> None:
    ledger = FrameLedger(STEP)
    for pts in (0, 10, 20):
        ledger.sent(pts, pts)
    for pts, shown in ((0, 0), (20, 20), (10, 25)):
        ledger.received(pts, shown)
    assert ledger.lost() == []


def test_skips_of_whole_frames_are_gaps_only_at_a_constant_rate() -> None:
    constant, variable = FrameLedger(STEP), FrameLedger(STEP)
    for pts in (0, 10, 20, 50, 60, 70):
        constant.received(pts, pts)
    for pts in (0, 10, 27, 50, 60, 70):
        variable.received(pts, pts)
    assert (constant.gaps, constant.constant_rate) == ([(20, 50, 2)], True)
    assert not variable.constant_rate


def test_packets_without_times_are_compared_by_number() -> None:
    ledger = FrameLedger(STEP)
    for _ in range(5):
        ledger.sent(None, None)
    for shown in range(0, 30, 10):
        ledger.received(None, shown)
    assert ledger.unmatched_packets() == 2
    assert ledger.lost() == []
