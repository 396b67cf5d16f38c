"""Theora by hand, after its specification: no encoder of it comes with PyAV."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

RATE = Fraction(25)
SIDE = 32
TABLES = 80
KEYFRAME_SHIFT = 6
Bits = list[tuple[int, int]]  # (value, width)


def make_theora(path: Path, levels: Sequence[int | None]) -> Path:
    """Write plain pictures, 25 in a second, or empty packets for None.

    Args:
        levels: 0 to 15; the luma of a picture is 170 and twice that.
    """
    identity, comment, setup = _headers()
    pages = [_page(0, 0, identity, first=True), _page(1, 0, comment), _page(2, 0, setup)]
    key = 0
    for number, level in enumerate(levels, 1):
        key = key if level is None else number
        granule = (key << KEYFRAME_SHIFT) + number - key
        packet = b"" if level is None else _picture(level)
        pages.append(_page(2 + number, granule, packet, last=number == len(levels)))
    path.write_bytes(b"".join(pages))
    return path


def _page(
    number: int, granule: int, packet: bytes, *, first: bool = False, last: bool = False
) -> bytes:
    """Put a packet into a page of Ogg (RFC 3533) of its own."""
    sizes = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    head = struct.pack("<4sBBQIII", b"OggS", 0, 2 * first + 4 * last, granule, 1, number, 0)
    page = head + bytes([len(sizes)]) + sizes + packet
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1 ^ (0x04C11DB7 if total >> 31 else 0)) & 0xFFFFFFFF
    return total


def _headers() -> tuple[bytes, bytes, bytes]:
    size = struct.pack(">HH", SIDE // 16, SIDE // 16) + SIDE.to_bytes(3, "big") * 2 + b"\0\0"
    rate = struct.pack(">II", RATE.numerator, RATE.denominator)
    aspect, colours, bit_rate = b"\0\0\1" * 2, b"\0", b"\0\0\0"
    rest = aspect + colours + bit_rate + struct.pack(">H", KEYFRAME_SHIFT << 5)
    identity = b"\x80theora\3\2\1" + size + rate + rest
    comment = b"\x81theora" + struct.pack("<II", 0, 0)
    return identity, comment, b"\x82theora" + _pack(_tables())


def _tables() -> Bits:
    """No loop filter, all quantisers 16, and in all code tables token n as n in 5 bits."""
    scales: Bits = [(15, 4), *[(100, 16)] * 64]
    matrices: Bits = [(1, 9), *[(16, 8)] * 128]
    ranges: Bits = [(0, 1), (62, 6), (0, 1), (0, 1), (0, 1), *[(0, 2)] * 3]
    return [(0, 3), *scales, *scales, *matrices, *ranges, *_tree() * TABLES]


def _tree(depth: int = 0, token: int = 0) -> Bits:
    if depth == 5:
        return [(1, 1), (token, 5)]
    return [(0, 1), *_tree(depth + 1, 2 * token), *_tree(depth + 1, 2 * token + 1)]


def _picture(level: int) -> bytes:
    """A keyframe whose first block has a DC of 21 + level, which the others take over."""
    head: Bits = [(0, 2), (0, 6), (0, 1), (0, 3)]
    first: Bits = [(0, 8), (20, 5), (level, 5), (5, 5), (7, 4)]  # a value; the next 23 blocks end
    rest: Bits = [(0, 8), (0, 5)]
    return _pack([*head, *first, *rest])


def _pack(bits: Bits) -> bytes:
    text = "".join(f"{value:0{width}b}" for value, width in bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
