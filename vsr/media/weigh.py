"""What a file's packets weigh: keyframes, other frames, and everything beside the video."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

import av

from vsr.errors import DecodeError
from vsr.media.probe import SourceInfo
from vsr.media.source import open_source

_ENOUGH = 10.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """Bytes of packets, without what the container adds.

    Attributes:
        keyframes, key_bytes: Of the video, those that a decoder can start at.
        others, other_bytes: The rest of its frames.
        beside: Bytes of all other streams.
    """

    keyframes: int
    key_bytes: int
    others: int
    other_bytes: int
    beside: int


def weigh(info: SourceInfo) -> Weight:
    """Read all packets of a file, decoding nothing.

    Raises:
        DecodeError: It cannot be read.
    """
    counts, sizes, beside = [0, 0], [0, 0], 0
    try:
        container, _ = open_source(info.path)
        with container:
            for packet in container.demux():
                if packet.stream.index != info.video.index:
                    beside += packet.size
                elif packet.size:
                    counts[packet.is_keyframe] += 1
                    sizes[packet.is_keyframe] += packet.size
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(os.fspath(info.path), f"its packets cannot be read: {error}") from error
    return Weight(
        keyframes=counts[1],
        key_bytes=sizes[1],
        others=counts[0],
        other_bytes=sizes[0],
        beside=beside,
    )


def weigh_beside(info: SourceInfo, streams: Collection[int]) -> float:
    """Read the first seconds of a file and give the bytes per second of some of its streams.

    Args:
        info: The file.
        streams: Their indices, without that of the video.

    Raises:
        DecodeError: It cannot be read.
    """
    size, first, last = 0, None, 0.0
    try:
        container, _ = open_source(info.path)
        with container:
            for packet in container.demux():
                if packet.stream.index in streams:
                    size += packet.size
                elif packet.stream.index == info.video.index and packet.pts is not None:
                    time = float(packet.pts * info.video.time_base)
                    first = time if first is None else first
                    last = max(last, time)
                    if last - first > _ENOUGH:
                        break
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(os.fspath(info.path), f"its packets cannot be read: {error}") from error
    length = last - (first or 0.0) + float(1 / info.video.frame_rate)
    return size / length
