"""Time and room that a planned file will take: the cost model, and a short trial to fill it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from vsr.errors import MediaError
from vsr.inference.plan import work_per_frame
from vsr.inference.queues import Copies
from vsr.inference.runner import upscale
from vsr.inference.windows import Still
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES
from vsr.media.decode import Decoder
from vsr.media.pieces import PieceWriter, read_packets
from vsr.media.reading import SEEKABLE
from vsr.media.types import PlanarFrame, Plane
from vsr.media.weigh import Weight, weigh_beside
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import load_network
from vsr.options import DecodeOptions, EnhanceOptions
from vsr.pipeline import finished, to_lq
from vsr.plan import Job

_FRAMES = 3
_FIRST_SIDE = 64  # pixels each way that are tried first
_LONG_ENOUGH = 0.3  # seconds
_SHARED = 8  # pixels each way, at most, that share a sample of chroma
# Films often begin with black, which weighs nothing. Files that cannot be entered anywhere are
# decoded from their start: no further than this, in seconds.
_BEHIND_THE_LEADER = Fraction(10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """The cost model: what a frame of the output takes.

    Attributes:
        seconds: Of work.
        key_bytes, other_bytes: Of a keyframe, and of each other frame; None for pictures.
        beside: Bytes of all other streams per second of film.
        cuts: Keyframes per frame besides those that begin a piece.
    """

    seconds: float
    key_bytes: float | None
    other_bytes: float | None
    beside: float
    cuts: float = 0.0

    def seconds_for(self, job: Job) -> float | None:
        """Time for all of a file; None if its length is unknown."""
        return None if job.frames is None else self.seconds * job.frames

    def bytes_for(self, job: Job, piece: int) -> int | None:
        """Size of the output; None if unknown.

        Args:
            job: The plan.
            piece: Frames from one keyframe to the next, at most.
        """
        if job.frames is None or self.key_bytes is None or self.other_bytes is None:
            return None
        keys = min(job.frames, ceil(job.frames / piece) + self.cuts * job.frames)
        length = float(job.frames / job.encode.frame_rate)
        picture = keys * self.key_bytes + (job.frames - keys) * self.other_bytes
        return round(picture + length * self.beside)


def from_parts(weights: Sequence[Weight], seconds: float, rate: Fraction) -> Estimate:
    """The cost by finished parts of a film, each of which begins with a keyframe.

    Args:
        weights: Of the parts.
        seconds: That all of them took.
        rate: Frames per second of film.
    """
    keys, others = sum(w.keyframes for w in weights), sum(w.others for w in weights)
    frames = keys + others
    each_key = sum(w.key_bytes for w in weights) / max(1, keys)
    return Estimate(
        seconds=seconds / frames,
        key_bytes=each_key,
        other_bytes=sum(w.other_bytes for w in weights) / others if others else each_key,
        beside=float(sum(w.beside for w in weights) / frames * rate),
        cuts=(keys - len(weights)) / frames if others else 1.0,
    )


def estimate(job: Job, options: EnhanceOptions, network: VideoNetwork | None = None) -> Estimate:
    """Enhance and encode the middle of three frames, as much of them as takes a moment.

    Args:
        job: The plan; the cost of its lookahead and of the edges of its tiles is included.
        options: What was asked for.
        network: On the plan's device; loaded if it is not given.

    Raises:
        DecodeError: No frame can be had.
        WeightsError: The model's weights are missing or do not fit.
    """
    network = network or load_network(job.model, torch.device(job.inference.device))
    frames = _sampled(job)
    width, height = job.input_size
    side = _FIRST_SIDE
    part = _middle(job, side)
    _enhanced(part, frames, options, network)  # warms up
    while True:
        begin = time.monotonic()
        pictures = _enhanced(part, frames, options, network)
        seconds = time.monotonic() - begin
        if seconds >= _LONG_ENOUGH or side >= max(width, height):
            break
        side *= 2
        part = _middle(job, side)
    larger = width * height / (part.input_size[0] * part.input_size[1])
    each = larger * seconds / len(frames)
    each *= work_per_frame(replace(job.inference, lookahead=0), height, width)
    # The lookahead passes through about half of the network once more in the next window.
    each *= 1 + job.inference.lookahead / job.inference.window / 2
    kept = [stream.index for stream in job.streams if stream.action in ("copy", "convert")]
    beside = weigh_beside(job.info, kept) if kept else 0.0
    if job.target.muxer == PICTURES:
        return Estimate(seconds=each, key_bytes=None, other_bytes=None, beside=beside)
    whole = [[_filled(plane, part, job) for plane in planes] for planes in pictures]
    found = from_parts([_weigh(job, frames, whole)], each * len(frames), job.encode.frame_rate)
    return replace(found, beside=beside, cuts=0.0)  # three frames say nothing about cuts


def _middle(job: Job, side: int) -> Job:
    """The plan for no more than so many pixels each way, in the middle of the picture."""
    size = [min(side, whole) for whole in job.input_size]
    enlarged = (job.encode.width, job.encode.height)
    made = [
        whole if part == old else max(1, round(part * whole / old / _SHARED)) * _SHARED
        for part, old, whole in zip(size, job.input_size, enlarged, strict=True)
    ]
    encode = replace(job.encode, width=made[0], height=made[1])
    inference = replace(job.inference, lookahead=0, tile=None)
    return replace(job, input_size=(size[0], size[1]), encode=encode, inference=inference)


def _cut(frame: PlanarFrame, size: tuple[int, int]) -> PlanarFrame:
    """The middle of a frame, `size` pixels (width, height) at most."""
    height, width = frame.planes[0].shape
    planes = []
    for plane in frame.planes:
        down, across = -(-height // plane.shape[0]), -(-width // plane.shape[1])
        top = (height - size[1]) // 2 // _SHARED * _SHARED // down
        left = (width - size[0]) // 2 // _SHARED * _SHARED // across
        planes.append(plane[top:, left:][: -(-size[1] // down), : -(-size[0] // across)])
    return replace(frame, planes=tuple(planes))


def _filled(plane: Plane, part: Job, job: Job) -> Plane:
    """A plane of a part, mirrored until it has the size that the encoder expects."""
    height, width = plane.shape
    down, across = part.encode.height // height, part.encode.width // width
    missing = -(-job.encode.height // down) - height, -(-job.encode.width // across) - width
    filled: Any = np.pad(plane, [(0, missing[0]), (0, missing[1])], mode="symmetric")
    return cast(Plane, filled)


def _enhanced(
    part: Job, frames: Sequence[PlanarFrame], options: EnhanceOptions, network: VideoNetwork
) -> list[list[Plane]]:
    """Enhance the middle of frames: a list of planes for each."""
    device = torch.device(part.inference.device)
    copies = Copies(device)
    stills = [Still(frames=(_cut(frame, part.input_size),)) for frame in frames]
    with torch.inference_mode():
        given = [to_lq(still, part, device) for still in stills]
        upscaled = upscale(given, network, part.inference, warn=lambda text: None)
        return [
            copies.down(finished(done, part, options.strength).planes).arrays() for done in upscaled
        ]


def mean(found: Sequence[Estimate]) -> Estimate:
    """The mean over files of one kind."""

    each = {field.name: [getattr(one, field.name) for one in found] for field in fields(Estimate)}
    known = {name: [v for v in values if v is not None] for name, values in each.items()}
    means: dict[str, Any] = {name: sum(v) / len(v) if v else None for name, v in known.items()}
    return Estimate(**means)


def _sampled(job: Job) -> list[PlanarFrame]:
    """Frames from within the part asked for, or else its first ones."""
    if job.frames is not None:
        place = job.frames / job.encode.frame_rate / 3
        if job.info.format not in SEEKABLE:
            place = min(place, _BEHIND_THE_LEADER)
        place = Fraction(int(place * 1000), 1000)
        # Damage, or a header that claims more than there is.
        with suppress(MediaError):
            frames = _first(job, replace(job.decode, start=job.decode.start + place, duration=None))
            if len(frames) == _FRAMES:
                return frames
    return _first(job, job.decode)


def _first(job: Job, options: DecodeOptions) -> list[PlanarFrame]:
    with Decoder(job.info, options) as decoder:
        return list(islice(decoder, _FRAMES))


def _weigh(job: Job, frames: Sequence[PlanarFrame], pictures: Sequence[Sequence[Plane]]) -> Weight:
    """Encode the pictures and weigh the packets."""
    clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
    with tempfile.TemporaryDirectory(prefix="vsr-estimate-") as folder:
        path = Path(folder) / "frames.piece"
        with PieceWriter(path, job.target.pattern, job.encode, clock) as writer:
            for frame, planes in zip(frames, pictures, strict=True):
                writer.write(planes, frame.pts, frame.duration)
            writer.finish()
        packets = list(read_packets([path]))
    keys = [len(packet.payload) for packet in packets if packet.is_keyframe]
    others = [len(packet.payload) for packet in packets if not packet.is_keyframe]
    return Weight(
        keyframes=len(keys),
        key_bytes=sum(keys),
        others=len(others),
        other_bytes=sum(others),
        beside=0,
    )
