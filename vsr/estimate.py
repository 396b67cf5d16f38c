"""What a planned file will take, time and room, from three of its frames."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path

import torch

from vsr.errors import MediaError
from vsr.inference.runner import upscale
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES
from vsr.media.decode import Decoder
from vsr.media.pieces import PieceWriter, read_packets
from vsr.media.reading import SEEKABLE
from vsr.media.types import PlanarFrame
from vsr.media.weigh import weigh_beside
from vsr.models.contract import VideoNetwork
from vsr.models.zoo import load_network
from vsr.options import DecodeOptions, EnhanceOptions
from vsr.pipeline import finished, to_lq
from vsr.plan import Job

_FRAMES = 3
# Films often begin with black, which weighs nothing. Files that cannot be entered anywhere are
# decoded from their start: no further than this, in seconds.
_BEHIND_THE_LEADER = Fraction(10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a frame of the output takes.

    Attributes:
        seconds: Of work; encoding is not counted.
        key_bytes, other_bytes: Of the first frame of a piece, and of each other; None of pictures.
        beside: Bytes of all other streams per second of film.
    """

    seconds: float
    key_bytes: float | None
    other_bytes: float | None
    beside: float

    def seconds_for(self, job: Job) -> float | None:
        """Reckon the time for all of a file; None where its length is unknown."""
        return None if job.frames is None else self.seconds * job.frames

    def bytes_for(self, job: Job, piece: int) -> int | None:
        """Reckon the size of the output; None where nothing is known of it.

        Args:
            job: The plan.
            piece: Frames from one keyframe to the next, at most.
        """
        if job.frames is None or self.key_bytes is None or self.other_bytes is None:
            return None
        keys = ceil(job.frames / piece)
        length = float(job.frames / job.encode.frame_rate)
        picture = keys * self.key_bytes + (job.frames - keys) * self.other_bytes
        return round(picture + length * self.beside)


def estimate(job: Job, options: EnhanceOptions, network: VideoNetwork | None = None) -> Estimate:
    """Enhance three frames twice, the second time by the clock, and encode them.

    Args:
        job: The plan; its lookahead's share per window is reckoned in.
        options: What was asked for.
        network: On the plan's device; loaded if it is not given.

    Raises:
        DecodeError: No frame can be had.
        WeightsError: The model's weights are missing or do not fit.
    """
    device = torch.device(job.inference.device)
    network = network or load_network(job.model, device)
    frames = _sampled(job)
    plan = replace(job.inference, lookahead=0)
    with torch.inference_mode():
        given = [to_lq(frame, job, device) for frame in frames]
        for _ in range(2):  # the first run warms up
            begin = time.monotonic()
            upscaled = upscale(given, network, plan, warn=lambda text: None)
            pictures = [
                [plane.cpu() for plane in finished(done, job, options.strength).planes]
                for done in upscaled
            ]
    each = (time.monotonic() - begin) / len(frames)
    key, other = _weights(job, frames, pictures)
    return Estimate(
        # The frames looked at pass through about half of the network once more in the next window.
        seconds=each * (1 + job.inference.lookahead / job.inference.window / 2),
        key_bytes=key,
        other_bytes=other,
        beside=_beside(job),
    )


def mean(found: Sequence[Estimate]) -> Estimate:
    """Take the mean of what files of one kind take."""

    def over(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return Estimate(
        seconds=sum(one.seconds for one in found) / len(found),
        key_bytes=over([one.key_bytes for one in found]),
        other_bytes=over([one.other_bytes for one in found]),
        beside=sum(one.beside for one in found) / len(found),
    )


def _sampled(job: Job) -> list[PlanarFrame]:
    """Decode frames from within the part that is asked for; else its first ones."""
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


def _weights(
    job: Job, frames: Sequence[PlanarFrame], pictures: Sequence[Sequence[torch.Tensor]]
) -> tuple[float | None, float | None]:
    """Encode the pictures and give the mean size of a keyframe, and of another frame."""
    if job.target.muxer == PICTURES:
        return None, None
    clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
    with tempfile.TemporaryDirectory(prefix="vsr-estimate-") as folder:
        path = Path(folder) / "frames.piece"
        with PieceWriter(path, job.target.pattern, job.encode, clock) as writer:
            for frame, planes in zip(frames, pictures, strict=True):
                writer.write([plane.numpy() for plane in planes], frame.pts, frame.duration)
            writer.finish()
        packets = list(read_packets([path]))
    keys = [len(packet.payload) for packet in packets if packet.is_keyframe]
    others = [len(packet.payload) for packet in packets if not packet.is_keyframe] or keys
    return sum(keys) / len(keys), sum(others) / len(others)


def _beside(job: Job) -> float:
    kept = [stream.index for stream in job.streams if stream.action in ("copy", "convert")]
    return weigh_beside(job.info, kept) if kept else 0.0
