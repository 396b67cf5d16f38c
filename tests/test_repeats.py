"""Frames that repeat the one before take its picture: the film is the one without them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import synthetic_sei
import torch
from decoded import decode
from known_networks import PLAN, Accumulator
from numpy.typing import NDArray
from synthetic import draw_number, make_pictures, make_video
from test_work import SMALL, content, hidden, interrupted, random_weights
from torch import Tensor

import vsr
from vsr.cli.main import main
from vsr.inference.runner import LqFrame, upscale
from vsr.inference.windows import MOST_SHOWN, Still, stills
from vsr.media.decode import Decoder, same_planes
from vsr.media.probe import probe
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import ModelInfo, load_network
from vsr.options import EncodeOptions, EnhanceOptions, InferenceOptions
from vsr.pipeline import enhance, finished, to_lq
from vsr.plan import plan_job

# How long each picture stays; shots begin with pictures 5 and 8, which are shown twice and once.
LENGTHS = (1, 3, 1, 2, 4, 2, 1, 3, 1, 1, 3, 2)
SHOWN = [picture for picture, length in enumerate(LENGTHS) for _ in range(length)]
TICKS = [500 + 40 * index + index % 3 for index in range(len(SHOWN))]
LOSSLESS = {"codec": "ffv1", "pix_fmt": "yuv444p", "size": (32, 24)}


def shots(index: int, width: int, height: int) -> NDArray[np.uint8]:
    picture = draw_number(index, width, height)
    return picture if index < 5 else 255 - picture // 3 if index < 8 else picture // 4


def film(path: Path, shown: list[int] = SHOWN, **facts: Any) -> Path:  # noqa: ANN401
    """A film that shows these pictures, without loss."""
    ticks = {"pts": TICKS[: len(shown)], "time_base": Fraction(1, 1000)}
    picture = {"picture": lambda index, width, height: shots(shown[index], width, height)}
    return make_video(path, **(LOSSLESS | ticks | picture | facts))


def options(tmp_path: Path, **changes: Any) -> EnhanceOptions:  # noqa: ANN401
    return EnhanceOptions(
        **(
            {
                "model": random_weights(tmp_path / "net.safetensors"),
                "encode": EncodeOptions(codec="ffv1"),
                "inference": replace(SMALL, window=3),
                "piece": 7,
            }
            | changes
        )
    )


def decoded(path: Path) -> tuple[list[Fraction], list[NDArray[Any]]]:
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    return [x.pts * x.time_base for x in frames], [x.to_ndarray() for x in frames]


@dataclass
class Watched:
    """Counts the frames that a network gives pictures of."""

    frames: int = 0

    def load(self, info: ModelInfo, device: str) -> VideoNetwork:
        network = load_network(info, device)

        def watching(
            lq: Tensor, state: State | None = None, lookahead: int = 0
        ) -> tuple[Tensor, State]:
            self.frames += lq.shape[1] - lookahead
            return network(lq, state, lookahead)

        watching.scale, watching.min_size = network.scale, network.min_size  # type: ignore[attr-defined]
        return watching  # type: ignore[return-value]


@pytest.mark.parametrize("window", [1, 3, 20])
def test_the_film_is_the_one_without_repeats_each_picture_shown_again(
    tmp_path: Path, window: int
) -> None:
    chosen = options(tmp_path, inference=replace(SMALL, window=window))
    with_them = film(tmp_path / "in.mkv", audio=("flac",))
    without = film(tmp_path / "once.mkv", list(range(len(LENGTHS))))
    seen, all_seen = Watched(), Watched()
    result = enhance(with_them, tmp_path / "out.mkv", chosen, load=seen.load)
    enhance(without, tmp_path / "once.out.mkv", chosen, load=all_seen.load)
    times, pictures = decoded(tmp_path / "out.mkv")
    _, once = decoded(tmp_path / "once.out.mkv")
    assert times == [Fraction(tick, 1000) for tick in TICKS]
    np.testing.assert_array_equal(pictures, [once[picture] for picture in SHOWN])
    assert seen.frames == all_seen.frames == len(LENGTHS)
    assert result.frames == len(SHOWN)
    assert result.report["repeated_frames"] == len(SHOWN) - len(LENGTHS)
    assert result.report["decoding"]["repeated"] == len(SHOWN) - len(LENGTHS)
    assert result.report["options"]["skip"] is True


def test_cuts_are_those_of_the_film_without_repeats(tmp_path: Path) -> None:
    marked, summary, _ = decode(film(tmp_path / "in.mkv"), mark_repeats=True)
    plain, none, _ = decode(film(tmp_path / "once.mkv", list(range(len(LENGTHS)))))
    assert [frame.repeats for frame in marked] == [
        False, *(before == now for before, now in pairwise(SHOWN))
    ]  # fmt: skip
    kept = [frame for frame in marked if not frame.repeats]
    assert [frame.scene_score for frame in kept] == [frame.scene_score for frame in plain]
    assert max(frame.scene_score for frame in kept) > 7
    assert all(frame.scene_score == 0 for frame in marked if frame.repeats)
    assert (summary.repeated, none.repeated) == (len(SHOWN) - len(LENGTHS), 0)


def test_a_picture_that_stays_is_held_once(tmp_path: Path) -> None:
    frames, _, _ = decode(film(tmp_path / "in.mkv"), mark_repeats=True)
    for before, now in pairwise(frames):
        assert (now.planes is before.planes) == now.repeats
    assert [frame.pts for frame in frames] == TICKS
    assert all(frame.duration > 0 for frame in frames)


def test_without_skipping_the_network_sees_every_frame_as_ever(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    chosen = options(tmp_path, skip=False)
    seen = Watched()
    result = enhance(source, target, chosen, load=seen.load)
    job = plan_job(source, tmp_path / "other.mkv", chosen)
    with torch.inference_mode(), Decoder(job.info, job.decode) as decoder:
        given = [to_lq(Still(frames=(x,)), job, torch.device("cpu")) for x in decoder]
        network = load_network(job.model, "cpu")
        made = upscale(given, network, job.inference, warn=pytest.fail)
        planes = [finished(done, job, 1.0).planes for done in made]
    expected = [np.stack([plane.numpy() for plane in picture]) for picture in planes]
    _, pictures = decoded(target)
    np.testing.assert_array_equal(pictures, expected)
    assert seen.frames == len(SHOWN)
    assert result.report["repeated_frames"] == 0
    enhance(source, tmp_path / "skipped.mkv", options(tmp_path))
    assert not np.array_equal(pictures, decoded(tmp_path / "skipped.mkv")[1])


@pytest.mark.parametrize("frame", [6, 9, 12, 17, 22])
def test_stopped_among_repeats_the_film_is_that_of_one_run(tmp_path: Path, frame: int) -> None:
    source, whole, target = film(tmp_path / "in.mkv"), tmp_path / "whole.mkv", tmp_path / "out.mkv"
    chosen = options(tmp_path, piece=2)
    uninterrupted = enhance(source, whole, chosen)
    interrupted(source, target, chosen, frame)
    result = enhance(source, target, chosen)
    # None, if the encoder, in a thread of its own, had not finished a piece by then.
    assert result.resumed < len(SHOWN)
    assert content(target) == content(whole)
    for key in ("fidelity", "repeated_frames"):
        assert result.report[key] == uninterrupted.report[key]


def test_a_long_still_goes_on_from_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In turns, so that what comes before the interruption is encoded by then.
    monkeypatch.setattr("vsr.pipeline.takes_turns", lambda device: True)
    shown = [0] * 3 + [1] * (2 * MOST_SHOWN + 30) + [2, 3, 3]
    steady = {"pts": None, "time_base": None, "frames": len(shown), "rate": Fraction(25)}
    source = film(tmp_path / "in.mkv", shown, **steady)
    inference = replace(SMALL, window=1, lookahead=1)
    chosen = options(tmp_path, inference=inference)
    seen = Watched()
    whole = enhance(source, tmp_path / "whole.mkv", chosen, load=seen.load)
    assert seen.frames == 6  # pictures 0, 1 three times, 2 and 3
    interrupted(source, tmp_path / "out.mkv", chosen, MOST_SHOWN - 50)
    result = enhance(source, tmp_path / "out.mkv", chosen)
    assert result.resumed == 3 + MOST_SHOWN
    assert content(tmp_path / "out.mkv") == content(tmp_path / "whole.mkv")
    assert whole.report["repeated_frames"] == len(shown) - 4


def test_a_film_of_one_picture(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", [4] * 9)
    seen = Watched()
    result = enhance(source, tmp_path / "out.mkv", options(tmp_path), load=seen.load)
    times, pictures = decoded(tmp_path / "out.mkv")
    assert seen.frames == 1
    assert times == [Fraction(tick, 1000) for tick in TICKS[:9]]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert result.report["repeated_frames"] == 8
    assert len(result.report["fidelity"]["worst_frames"]) == 1


def test_a_rate_that_a_filter_raises_costs_the_network_nothing(tmp_path: Path) -> None:
    steady = {"pts": None, "time_base": None, "frames": 7, "rate": Fraction(25)}
    source = film(tmp_path / "in.mkv", list(range(7)), **steady)
    plain, raised = Watched(), Watched()
    enhance(source, tmp_path / "plain.mkv", options(tmp_path), load=plain.load)
    chosen = options(tmp_path, filter="fps=75")
    enhance(source, tmp_path / "raised.mkv", chosen, load=raised.load)
    times, pictures = decoded(tmp_path / "raised.mkv")
    _, once = decoded(tmp_path / "plain.mkv")
    assert len(times) == 21
    np.testing.assert_array_equal(pictures, np.repeat(once, 3, axis=0))
    assert raised.frames == plain.frames == 7


def test_deinterlaced_frames_are_compared_as_the_network_gets_them(tmp_path: Path) -> None:
    source = make_video(
        tmp_path / "in.mkv",
        frames=12,
        codec="mpeg2video",
        field_order="tff",
        picture=lambda index, width, height: np.full((height, width, 3), 60 * (index // 6), "u1"),
    )
    chosen = options(tmp_path)
    result = enhance(source, tmp_path / "out.mkv", chosen)
    frames, _, _ = decode(source)
    _, pictures = decoded(tmp_path / "out.mkv")
    same = [same_planes(a.planes, b.planes) for a, b in pairwise(frames)]
    assert sum(same) == result.report["repeated_frames"] > 5
    assert len(pictures) == 12
    for equal, (before, now) in zip(same, pairwise(pictures), strict=True):
        assert not equal or np.array_equal(before, now)


def test_pictures_repeat_too(tmp_path: Path) -> None:
    source = make_pictures(tmp_path / "in", frames=3, size=(32, 24))
    path = sorted(source.iterdir())[1]
    sorted(source.iterdir())[2].write_bytes(path.read_bytes())
    result = enhance(source, f"{tmp_path}/out/", options(tmp_path, encode=EncodeOptions()))
    first, second, third = (path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    assert first != second == third
    assert result.report["repeated_frames"] == 1


def test_captions_are_those_of_each_frame(tmp_path: Path) -> None:
    def units(number: int) -> list[bytes]:
        message = synthetic_sei.captions(number)
        return [synthetic_sei.sei(synthetic_sei.T35, message)] if number != 4 else []

    def flat(number: int) -> NDArray[np.uint8]:
        return np.full((48, 64, 3), 50 + 60 * (number // 3), np.uint8)

    source = synthetic_sei.with_units(tmp_path / "in.mp4", units, picture=flat)
    chosen = options(tmp_path, encode=EncodeOptions(preset="ultrafast"))
    result = enhance(source, tmp_path / "out.mp4", chosen)
    before = synthetic_sei.side_data(source, "A53_CC")
    assert [entry is None for entry in before] == [number == 4 for number in range(8)]
    assert synthetic_sei.side_data(tmp_path / "out.mp4", "A53_CC") == before
    assert result.report["repeated_frames"] == 5


def test_skipping_belongs_to_what_a_job_is(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    interrupted(source, target, options(tmp_path), 18)
    result = enhance(source, target, options(tmp_path, skip=False))
    assert result.resumed == 0
    assert any("options.skip was True, is False" in warning for warning in result.warnings)
    assert not hidden(target).exists()


def test_the_command_line_can_switch_it_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = film(tmp_path / "in.mkv")
    arguments = ["enhance", str(source), "--model", "bicubic"]
    assert main([*arguments[:2], str(tmp_path / "a.mkv"), *arguments[2:]]) == 0
    assert f"{len(SHOWN)} frames, {len(SHOWN) - len(LENGTHS)} of them" in capsys.readouterr().out
    assert main([*arguments[:2], str(tmp_path / "b.mkv"), *arguments[2:], "--no-skip"]) == 0
    assert f"{len(SHOWN)} frames in" in capsys.readouterr().out
    assert main(["enhance", "--help"]) == 0
    assert "--no-skip" in capsys.readouterr().out


# Planes


@pytest.mark.parametrize("place", [(0, 0), (5, 9), (16, 0), (23, 31)])
@pytest.mark.parametrize("plane", [0, 1, 2])
def test_one_sample_tells_frames_apart(plane: int, place: tuple[int, int]) -> None:
    planes = [np.zeros((24, 32), np.uint16) for _ in range(3)]
    others = [x.copy() for x in planes]
    assert same_planes(planes, others)
    others[plane][place] = 1
    assert not same_planes(planes, others)


# How much is held


@dataclass(frozen=True, eq=False, weakref_slot=True, slots=True)
class Frame:
    number: int
    repeats: bool
    scene_score: float = 0.0


def frames_of(
    count: int, repeats: Callable[[int], bool], alive: list[weakref.ref[Frame]]
) -> Iterator[Frame]:
    for number in range(count):
        frame = Frame(number, repeats(number))
        alive.append(weakref.ref(frame))
        yield frame
        del frame


@pytest.mark.parametrize("count", [0, 1, 7])
def test_frames_are_joined_with_their_repeats(count: int) -> None:
    frames = list(frames_of(count, lambda number: number % 3 > 0, []))
    joined = list(stills(iter(frames)))
    assert [frame for still in joined for frame in still.frames] == frames
    assert [still.frames[0].number for still in joined] == list(range(0, count, 3))


def test_a_first_frame_begins_a_picture_whatever_it_says() -> None:
    (still,) = stills(frames_of(4, lambda number: True, []))
    assert len(still.frames) == 4


def test_a_still_of_any_length_flows_on_and_few_frames_wait() -> None:
    """Twenty minutes of one picture: neither what is held nor the delay grows."""
    alive: list[weakref.ref[Frame]] = []
    given = (
        LqFrame(source=still, lq=torch.zeros(3, 4, 4), pts=still.frames[0].number)
        for still in stills(frames_of(30_000, lambda number: number > 0, alive))
    )
    most = PLAN.window + PLAN.lookahead + 2
    out: list[int] = []
    network = Accumulator()
    for done in upscale(given, network, PLAN, warn=pytest.fail):
        out += [frame.number for frame in done.source.frames]
        assert len(alive) - len(out) <= most * MOST_SHOWN
        assert sum(frame() is not None for frame in alive[-most * MOST_SHOWN - 1000 :]) <= (
            most * MOST_SHOWN
        )
        del done
    assert out == list(range(30_000))
    assert sum(count - lookahead for count, lookahead, _ in network.calls) == 300


def test_a_long_film_of_stills_holds_each_picture_once(tmp_path: Path) -> None:
    """Decoded planes alive at a time, as the pipeline draws them."""
    shown = [number // 40 for number in range(400)]
    steady = {"pts": None, "time_base": None, "frames": len(shown), "rate": Fraction(25)}
    source = film(tmp_path / "in.mkv", shown, **steady)
    planes: dict[int, weakref.ref[Any]] = {}
    with Decoder(probe(source), vsr.options.DecodeOptions(mark_repeats=True)) as decoder:
        for still in stills(decoder):
            first = still.frames[0].planes[0]
            assert all(frame.planes[0] is first for frame in still.frames)
            planes[id(first)] = weakref.ref(first)
            del first
            assert sum(plane() is not None for plane in planes.values()) <= 2
    assert len(still.frames) == 40


# Frames from Python


def given_frames() -> list[NDArray[np.uint8]]:
    return [shots(picture, 32, 24) for picture in SHOWN]


@pytest.mark.parametrize("kind", ["uint8", "float32", "torch"])
def test_frames_given_one_by_one_repeat_too(kind: str) -> None:
    inference = InferenceOptions(device="cpu", precision="fp32", window=3, lookahead=2)
    frames: list[Any] = given_frames()
    once: list[Any] = [shots(picture, 32, 24) for picture in range(len(LENGTHS))]
    if kind != "uint8":
        frames, once = ([(x / 255).astype(np.float32) for x in given] for given in (frames, once))
    if kind == "torch":
        frames, once = (
            [torch.from_numpy(x).permute(2, 0, 1) for x in given] for given in (frames, once)
        )
    out = list(vsr.enhance_frames(iter(frames), inference=inference))
    expected = list(vsr.enhance_frames(once, inference=inference))
    assert len(out) == len(SHOWN)
    for picture, shown in zip(out, SHOWN, strict=True):
        assert np.array_equal(picture, expected[shown])
    out[1][:] = 0
    assert np.array_equal(out[2], expected[SHOWN[2]])


def test_a_buffer_used_again_for_every_frame_is_compared_as_it_was() -> None:
    inference = InferenceOptions(device="cpu", precision="fp32")
    buffer = np.empty((24, 32, 3), np.uint8)

    def reading() -> Iterator[NDArray[np.uint8]]:
        for picture in range(4):
            buffer[:] = shots(picture, 32, 24)
            yield buffer

    out = list(vsr.enhance_frames(reading(), "bicubic", inference=inference))
    assert len({picture.tobytes() for picture in out}) == 4


def test_a_given_cut_at_a_repeat_is_obeyed() -> None:
    network = Accumulator()
    frames = [np.full((4, 4, 3), 0.1, np.float32)] * 5
    inference = InferenceOptions(device="cpu", precision="fp32")
    out = list(vsr.enhance_frames(frames, network, cuts=[3], inference=inference))
    assert [round(float(x[0, 0, 0]), 1) for x in out] == [0.1] * 5
    assert [starts for _, _, starts in network.calls] == [True, True]
    out = list(vsr.enhance_frames(frames, network, cuts=[3], skip=False, inference=inference))
    assert [round(float(x[0, 0, 0]), 1) for x in out] == [0.1, 0.2, 0.3, 0.1, 0.2]
