"""H.264 and H.265 with messages in their frames, written by hand after the standards."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from synthetic import draw_number

RATE = Fraction(30000, 1001)
T35, USER_DATA = 4, 5  # H.264 and H.265, annex D: payload types
Units = Callable[[int], Sequence[bytes]]


def with_units(
    path: Path,
    units: Units,
    *,
    codec: str = "libx264",
    frames: int = 8,
    interlaced: bool = False,
    picture: Callable[[int], NDArray[np.uint8]] = draw_number,
) -> Path:
    """Encode pictures and put NAL units before the slices of each.

    Args:
        units: Gives those of a frame, by its number in the order shown.
        picture: Draws that of a frame, 64x48 RGB.
    """
    hevc = codec == "libx265"
    with av.open(str(path), "w") as output:
        options = {"x265-params": "log-level=none"} if hevc else {"x264-params": "bframes=2"}
        if interlaced:
            options["x264-params"] += ":tff=1"
        stream = output.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in (*range(frames), None):
            frame = None
            if number is not None:
                frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = number, 1 / RATE
            for made in stream.encode(frame):
                shown = round(made.pts * made.time_base * RATE)
                packet = av.Packet(_insert(bytes(made), b"".join(units(shown)), hevc))
                packet.stream, packet.time_base = stream, made.time_base
                packet.pts, packet.dts, packet.duration = made.pts, made.dts, made.duration
                packet.is_keyframe = made.is_keyframe
                output.mux(packet)
    return path


def sei(kind: int, payload: bytes, *, hevc: bool = False) -> bytes:
    """Write a supplemental enhancement information message (H.264 7.3.2.3, H.265 7.3.5)."""
    size = b"\xff" * (len(payload) // 255) + bytes([len(payload) % 255])
    head = bytes([39 << 1, 1]) if hevc else b"\x06"
    return b"\0\0\0\1" + head + _escape(bytes([kind]) + size + payload + b"\x80")


def captions(number: int) -> bytes:
    """Write closed captions (ATSC A/53 part 4): a letter by number in CEA-608."""
    pairs = bytes([0xFC, 0x94, 0x2C, 0xFC, 0x41 + number % 26, 0x80])
    return b"\xb5\x00\x31GA94\x03" + bytes([0x42, 0xFF]) + pairs + b"\xff"


def hdr10_plus() -> bytes:
    """Write SMPTE ST 2094-40 metadata with one window and nine percentiles."""
    fields = [(1, 2), (400, 27), (0, 1), (1000, 17), (2000, 17), (3000, 17), (500, 17), (9, 4)]
    for index, percent in enumerate((1, 5, 10, 25, 50, 75, 90, 95, 99)):
        fields += [(percent, 7), (100 * index, 17)]
    fields += [(0, 10), (0, 1), (0, 1), (0, 1)]
    bits = "".join(format(value, f"0{width}b") for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return b"\xb5\x00\x3c\x00\x01\x04\x01" + body


def dolby_vision() -> bytes:
    """Write a NAL unit of type 62, which holds an RPU; what is in this one, no decoder reads."""
    return b"\0\0\0\1" + bytes([62 << 1, 1]) + _escape(b"\x19" + bytes(range(1, 40)) + b"\x80")


def side_data(path: Path, name: str) -> list[bytes | None]:
    """Read the side data of this name of every frame shown."""
    with av.open(str(path)) as file:
        return [
            next((bytes(data) for data in frame.side_data if data.type.name == name), None)
            for frame in file.decode(video=0)
        ]


def _insert(packet: bytes, units: bytes, hevc: bool) -> bytes:
    """RPUs come after the slices, everything else before the first one."""
    if hevc and units[4:5] == bytes([62 << 1]):
        return packet + units
    for start in re.finditer(b"\0?\0\0\1", packet):
        head = packet[start.end()]
        if (head >> 1) & 63 < 32 if hevc else 1 <= head & 31 <= 5:
            return packet[: start.start()] + units + packet[start.start() :]
    raise ValueError("no slice in this packet")


def _escape(data: bytes) -> bytes:
    """Keep start codes out of the payload (H.264 7.4.1)."""
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", data)
