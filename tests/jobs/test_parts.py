"""A film made in parts, in any order, is the one that is made in one go."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic import draw_number, make_video
from test_work import SMALL
from torch import Tensor

from vsr.errors import DecodeError, MediaError, MuxError
from vsr.inference.plan import Plan
from vsr.jobs.parts import (
    FrameKey,
    Part,
    PartDone,
    Survey,
    aligned,
    enhance_part,
    join,
    plan_here,
    split,
    survey,
)
from vsr.media.decode import Decoder
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import ModelInfo, load_network
from vsr.options import EncodeOptions, EnhanceOptions
from vsr.pipeline import EnhanceResult, enhance, open_work
from vsr.reporting import Made

FRAMES = 96
LENGTHS = (11, 7, 24, 15, 39)  # of the shots
PLAN = Plan(
    window=4, lookahead=2, tile=None, margin=0, device="cpu", precision="fp32", scene_threshold=50
)


def shots(index: int, width: int, height: int) -> NDArray[np.uint8]:
    picture = draw_number(index, width, height)
    shot = int(np.searchsorted(np.cumsum(LENGTHS), index, side="right"))
    return (picture, 255 - picture // 3, picture // 4)[shot % 3]


def options(**changes: Any) -> EnhanceOptions:  # noqa: ANN401
    return EnhanceOptions(
        **(
            {
                "model": "bicubic",
                "encode": EncodeOptions(preset="ultrafast", encoder_option=("bf=2",)),
                "inference": SMALL,
                "piece": 8,
            }
            | changes
        )
    )


def film(path: Path, **facts: Any) -> Path:  # noqa: ANN401
    standard = {"frames": FRAMES, "size": (32, 24), "picture": shots, "rate": Fraction(24)}
    return make_video(path, **(standard | {"codec_options": {"g": "8", "bf": "2"}} | facts))


def in_parts(
    source: Path, target: Path, chosen: EnhanceOptions, between: Callable[[], None] = lambda: None
) -> tuple[EnhanceResult, list[Part], list[PartDone]]:
    """Do what the cluster does, last part first, everything pickled on its way."""
    job = pickle.loads(pickle.dumps(plan_here(str(source), str(target), chosen)))
    with open_work(job, chosen, print) as work:
        job = replace(job, inference=work.plan)
        *parts, surveyed = pickle.loads(pickle.dumps(list(survey(job, chosen))))
        assert isinstance(surveyed, Survey)
        found = []
        for part in reversed(parts):
            found.append(pickle.loads(pickle.dumps(enhance_part(job, chosen, part, load_network))))
            between()
        made = Made(
            summary=surveyed.summary,
            marks=surveyed.marks,
            resumed=sum(done.resumed for done in found),
            seconds=0,
            network_seconds=0,
        )
        result = join(job, chosen, made, [])
        work.remove()
    return result, parts, found


LATE = {"pts": [5000 + 41 * i + i % 3 for i in range(FRAMES)], "time_base": Fraction(1, 1000)}
FIELDS = {"codec": "mpeg2video", "field_order": "tff", "codec_options": {"g": "8"}}
TWOS = {
    "codec": "ffv1",
    "codec_options": {},
    "picture": lambda index, width, height: shots(index // 2 * 2, width, height),
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "b-frames.mp4": ({"audio": ("aac",)}, {}),
    "late.mkv": (LATE, {}),
    "fields.ts": (FIELDS, {"deinterlace": "field"}),
    "cut out.mp4": ({}, {"start": "0.5", "duration": "2.75", "piece": 5}),
    "no times.avi": ({"codec": "mpeg4", "codec_options": {"g": "8"}}, {}),
    "on twos.mkv": (TWOS, {}),
}


def content(path: Path) -> tuple[list[Any], list[Any]]:
    """The frames' times, and all packets, from which their pictures follow."""
    with av.open(str(path)) as file:
        frames = [(frame.pts, frame.time_base) for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        return frames, [
            (packet.stream.index, packet.pts, packet.dts, packet.duration, bytes(packet))
            for packet in file.demux()
        ]


@pytest.mark.parametrize("name", CASES)
def test_parts_in_any_order_make_the_same_file(tmp_path: Path, name: str) -> None:
    facts, changes = CASES[name]
    source = film(tmp_path / name, **facts)
    chosen = options(**changes)
    whole, target = tmp_path / f"whole{source.suffix}", tmp_path / f"parts{source.suffix}"
    enhance(source, whole, chosen)
    result, parts, found = in_parts(source, target, chosen)
    assert content(target) == content(whole)
    if source.suffix != ".mkv":  # which holds a random number
        assert target.read_bytes() == whole.read_bytes()
    assert len(parts) >= 3
    assert not any(done.warnings for done in found), "all were decoded from near"
    assert result.report["frames_made_on"]
    assert result.report["repeated_frames"] == (FRAMES / 2 if name == "on twos.mkv" else 0)
    assert not target.with_name(f".{target.name}.vsr").exists()


def test_filters_with_a_long_memory_cost_time_and_not_the_picture(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    chosen = options(filter="tmix=frames=60")
    enhance(source, tmp_path / "whole.mp4", chosen)
    _, parts, found = in_parts(source, tmp_path / "parts.mp4", chosen)
    assert (tmp_path / "parts.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    if len(parts) > 1:
        assert "from its start, which takes longer" in found[0].warnings[0]


def test_parts_that_are_there_are_not_made_again_and_local_work_goes_on(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4")
    chosen = options()
    enhance(source, tmp_path / "whole.mp4", chosen)

    def stop() -> None:
        raise KeyboardInterrupt

    target = tmp_path / "parts.mp4"
    with pytest.raises(KeyboardInterrupt):
        in_parts(source, target, chosen, between=stop)  # only the last part is there
    _, parts, found = in_parts(source, target, chosen)
    assert found[0].resumed == len(parts[-1].keys)
    assert sum(done.resumed for done in found[1:]) == 0
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()

    target.unlink()
    with pytest.raises(KeyboardInterrupt):
        in_parts(source, target, chosen, between=stop)
    enhance(source, target, chosen)  # one machine takes over
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


class Stopping:
    """A network that is stopped at a call."""

    def __init__(self, network: VideoNetwork, call: int) -> None:
        self.scale, self.min_size = network.scale, network.min_size
        self._network, self._left = network, call

    def __call__(self, lq: Tensor, state: State | None = None, lookahead: int = 0) -> Any:  # noqa: ANN401
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        return self._network(lq, state, lookahead)


def test_a_part_that_was_stopped_goes_on_inside(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    chosen = options()
    job = plan_here(str(source), str(target), chosen)
    with open_work(job, chosen, print) as work:
        *parts, _ = survey(job, chosen)
        longest = max((x for x in parts if isinstance(x, Part)), key=lambda x: x.pieces)

        def load(info: ModelInfo, device: str) -> VideoNetwork:
            return Stopping(load_network(info, device), 6)  # type: ignore[return-value]

        with pytest.raises(KeyboardInterrupt):
            enhance_part(job, chosen, longest, load)
        done = enhance_part(job, chosen, longest, load_network)
        assert 0 < done.resumed < done.frames == len(longest.keys)
        pieces = sorted(work.path.glob("*.piece"))
        assert [int(path.stem) for path in pieces] == [
            longest.piece + index for index in range(longest.pieces)
        ]
        assert [frame.pts for frame in longest.keys] == [
            pts
            for path in pieces
            for pts in json.loads(path.with_suffix(".json").read_bytes())["pts"]
        ]
        assert not list(work.path.glob("*.part"))
        work.remove()


def keys(*scores: float) -> list[FrameKey]:
    return [FrameKey(index, score, 0) for index, score in enumerate(scores)]


def test_parts_begin_at_cuts_and_hold_every_frame() -> None:
    cuts = {0, 9, 10, 30, 75}
    given = keys(*(50.0 * (index in cuts) for index in range(100)))
    found = list(split(given, PLAN, 8, 16))
    assert [key for part in found for key in part.keys] == given
    # 9 is a cut, 10 then is none: the second frame of a shot never is.
    assert [part.frame for part in found] == [0, 30, 75]
    for part, after in pairwise(found):
        assert after.piece == part.piece + part.pieces
        assert after.frame == part.frame + len(part.keys)


def test_a_film_without_cuts_is_one_part() -> None:
    (only,) = split(keys(*[0.0] * 50), PLAN, 8, 16)
    assert (only.piece, only.frame, only.pieces, len(only.keys)) == (0, 0, 6, 50)


def test_other_frames_are_noticed(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", frames=20)
    job = plan_here(str(source), str(tmp_path / "out.mp4"), options())
    with open_work(job, options(), print) as work:
        part, *_ = survey(job, options())
        assert isinstance(part, Part)
        wrong = part.keys[3]._replace(checksum=1)
        with Decoder(job.info, job.decode) as decoder:
            frames = aligned(decoder, (*part.keys[:3], wrong), source)
            assert [next(frames).pts for _ in range(3)] == [key.pts for key in part.keys[:3]]
            with pytest.raises(DecodeError, match=f"another frame at pts {wrong.pts}"):
                next(frames)
        work.remove()


@pytest.mark.parametrize("scale", [2, 4])
def test_the_network_chosen_by_size_is_found_again(tmp_path: Path, scale: int) -> None:
    source = film(tmp_path / "in.mp4", frames=5)
    chosen = options(model=None, scale=scale)
    job = plan_here(str(source), str(tmp_path / "out.mp4"), chosen)
    with open_work(job, chosen, print) as work:
        part, _ = survey(job, chosen)
        assert isinstance(part, Part)
        assert len(part.keys) == 5
        work.remove()


def test_a_machine_that_sees_other_things_is_named(tmp_path: Path) -> None:
    source, target = film(tmp_path / "in.mp4", frames=20), tmp_path / "out.mp4"
    with pytest.raises(MediaError, match=r"gone.mp4: node \S+ cannot read it \(No such file"):
        plan_here(str(tmp_path / "gone.mp4"), str(target), options())
    job = plan_here(str(source), str(target), options())
    with pytest.raises(MediaError, match=r"\.out\.mp4\.vsr: node \S+ cannot read it"):
        next(survey(job, options()))
    with open_work(job, options(), print) as work:
        part, *_, surveyed = survey(job, options())
        assert isinstance(part, Part)
        assert isinstance(surveyed, Survey)
        made = Made(
            summary=surveyed.summary,
            marks=surveyed.marks,
            resumed=0,
            seconds=0,
            network_seconds=0,
        )
        with pytest.raises(MuxError, match=r"finds 0 of 20 finished frames"):
            join(job, options(), made, [])
        source.write_bytes(source.read_bytes() + b"more")
        with pytest.raises(MediaError, match=r"would make another film .* source was"):
            enhance_part(job, options(), part, load_network)
        work.remove()
