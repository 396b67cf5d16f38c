"""Sizes of a file's packets: keyframes, other frames, and everything beside the video."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.packet import Packet

from vsr.errors import DecodeError
from vsr.media.probe import SourceInfo
from vsr.media.source import open_source, read_packets

_ENOUGH = 10.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """Bytes of packets, without the container's own.

    Attributes:
        keyframes, key_bytes: Number and bytes of the frames at which a decoder can start.
        others, other_bytes: Of all other frames.
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
    for packet in _packets(info):
        if packet.stream.index != info.video.index:
            beside += packet.size
        elif packet.size:
            counts[packet.is_keyframe] += 1
            sizes[packet.is_keyframe] += packet.size
    (others, keyframes), (other_bytes, key_bytes) = counts, sizes
    return Weight(
        keyframes=keyframes,
        key_bytes=key_bytes,
        others=others,
        other_bytes=other_bytes,
        beside=beside,
    )


def weigh_beside(info: SourceInfo, streams: Collection[int]) -> float:
    """Bytes per second of some streams of a file, by its first seconds.

    Args:
        info: The file.
        streams: Their indices, without that of the video.

    Raises:
        DecodeError: It cannot be read.
    """
    size, first, last = 0, None, 0.0
    for packet in _packets(info):
        if packet.stream.index in streams:
            size += packet.size
        elif packet.stream.index == info.video.index and packet.pts is not None:
            time = float(packet.pts * info.video.time_base)
            first = time if first is None else first
            last = max(last, time)
            if last - first > _ENOUGH:
                break
    return size / (last - (first or 0.0) + float(1 / info.video.frame_rate))


def _packets(info: SourceInfo) -> Iterator[Packet[Any]]:
    try:
        container, _ = open_source(info.path)
        with container:
            yield from read_packets(container, list(container.streams))
    except (av.FFmpegError, OSError) as error:
        raise DecodeError(os.fspath(info.path), f"its packets cannot be read: {error}") from error
