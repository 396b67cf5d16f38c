"""Find and order the pictures of a sequence: a folder, a pattern like `%06d.png`, or one file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsr.errors import ProbeError

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dpx", ".jp2", ".ppm", ".pgm")
)
DEFAULT_PICTURE_RATE = Fraction(24)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PATTERN = re.compile(r"%(?P<zero>0?)(?P<width>\d*)d")


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSequence:
    """Pictures in the order in which they are shown.

    Attributes:
        paths: At least one.
        first_number: The number in the first one's name; None where names carry no numbers.
    """

    paths: tuple[Path, ...]
    first_number: int | None


def find_pictures(path: Path) -> PictureSequence | None:
    """Find the pictures that a path stands for.

    A folder stands for all pictures in it, ordered by the number at the end of their names where
    all have one, else by name with numbers compared as numbers. A pattern (`frames/%06d.png`)
    stands for every file of that form. One picture file is a sequence of one, an animated PNG a
    film.

    Returns:
        None where the path is none of these (a media file, or nothing).

    Raises:
        ProbeError: Numbers are missing in between, kinds are mixed, or a pattern fits no file.
    """
    if path.is_dir():
        return _folder(path)
    if path.exists():
        picture = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        if picture and path.stat().st_size and not is_animated_png(path):
            return PictureSequence(paths=(path,), first_number=_number(path))
        return None
    return _pattern(path) if PATTERN.search(path.name) else None


def is_animated_png(path: Path) -> bool:
    """Look for the animation's header (acTL), which comes before the pixels of a PNG."""
    with path.open("rb") as file:
        if file.read(8) != PNG_SIGNATURE:
            return False
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4]), head[4:]
            if kind in (b"acTL", b"IDAT"):
                return kind == b"acTL"
            file.seek(length + 4, 1)
    return False


def is_animated_webp(path: Path) -> bool:
    """Read the animation flag of a WebP's extended header."""
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _folder(folder: Path) -> PictureSequence | None:
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not paths:
        return None
    kinds = sorted({path.suffix.lower() for path in paths})
    if len(kinds) > 1:
        raise ProbeError(
            folder,
            f"wanted pictures of one kind, got {', '.join(kinds)}; "
            f"name the ones you mean by a pattern such as %06d{kinds[0]}",
        )
    numbers = [_number(path) for path in paths]
    prefixes = {re.sub(r"\d+$", "", path.stem) for path in paths}
    if len(prefixes) == 1 and None not in numbers:
        return _consecutive(
            folder,
            {number: p for number, p in zip(numbers, paths, strict=True) if number is not None},
        )
    return PictureSequence(paths=tuple(sorted(paths, key=_natural)), first_number=None)


def _pattern(pattern: Path) -> PictureSequence:
    match = PATTERN.search(pattern.name)
    assert match
    width = int(match["width"] or 0)
    before, after = pattern.name[: match.start()], pattern.name[match.end() :]
    form = re.compile(f"{re.escape(before)}([0-9]{{{max(width, 1)},}}){re.escape(after)}")
    found = {}
    if pattern.parent.is_dir():
        for path in pattern.parent.iterdir():
            name = form.fullmatch(path.name)
            if name and (len(name[1]) == max(width, 1) or not name[1].startswith("0")):
                found[int(name[1])] = path
    if not found:
        raise ProbeError(
            pattern, "wanted pictures named by this pattern, got none; check folder and name"
        )
    return _consecutive(pattern, found)


def _consecutive(where: Path, numbered: dict[int, Path]) -> PictureSequence:
    first, last = min(numbered), max(numbered)
    missing = next((number for number in range(first, last + 1) if number not in numbered), None)
    if missing is not None:
        before = numbered[missing - 1]
        digits = re.findall(r"\d+", before.stem)[-1]
        name = f"{missing:0{len(digits)}d}".join(before.name.rsplit(digits, 1))
        raise ProbeError(
            where,
            f"wanted pictures {first} to {last} without a gap, got none named {name}; "
            "restore it or renumber the files",
        )
    return PictureSequence(
        paths=tuple(numbered[number] for number in range(first, last + 1)), first_number=first
    )


def _number(path: Path) -> int | None:
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else None


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
