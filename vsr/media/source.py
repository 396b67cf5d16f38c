"""Open and read what the user named: a media file, a folder or a pattern of pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from os import fspath
from pathlib import Path
from threading import RLock

import av
import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vsr.errors import ProbeError
from vsr.media.containers import PATTERN
from vsr.media.timing import DiscontinuityFixer

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dpx", ".jp2", ".ppm", ".pgm")
)
DEFAULT_PICTURE_RATE = Fraction(24)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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


# libavformat/avformat.h; PyAV's stubs give its own flag classes the wrong type.
AVFMT_FLAG_GENPTS = 0x0001
AVFMT_FLAG_DISCARD_CORRUPT = 0x0100
AVFMT_TS_DISCONT = 0x0200
DISCARDS_CORRUPT_SAFELY = ("mov", "matroska")
_log_level_lock = RLock()


@contextmanager
def libav_messages(level: int = av.logging.ERROR) -> Iterator[list[str]]:
    """Collect what FFmpeg logs in this thread; its exceptions alone say only "Invalid argument".

    The log level is global to the process, so it is raised only inside the block. So is the habit
    of leaving out a message that is the same as the last one, be that of another file.
    """
    messages: list[str] = []
    with _log_level_lock:
        before, skipping = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(level)
        av.logging.set_skip_repeated(False)
        try:
            with av.logging.Capture() as logs:
                try:
                    yield messages
                finally:
                    messages += [text for _, _, text in logs]
        finally:
            av.logging.set_level(before)
            av.logging.set_skip_repeated(skipping)


def short_name(container: InputContainer) -> str:
    """Name the demuxer by its first word: "mov" for "mov,mp4,m4a,3gp,3g2,mj2"."""
    return container.format.name.split(",")[0]


def open_source(path: Path | str) -> tuple[InputContainer, PictureSequence | None]:
    """Open a file for reading, or the first of the pictures that a folder or pattern stands for.

    Corrupt packets are dropped by the demuxer only where it knows packet borders (mp4, Matroska);
    in MPEG-TS that would lose decodable frames.

    Raises:
        ProbeError: Nothing is there, or FFmpeg cannot make sense of it.
    """
    path = Path(path)
    pictures = find_pictures(path)
    _refuse_unreadable(path, pictures)
    _refuse_animated(path, pictures)
    with libav_messages() as messages:
        try:
            if pictures is not None:
                # Bytes, not a name: image2 would take "%" in a name for a pattern.
                first = BytesIO(pictures.paths[0].read_bytes())
                return av.open(first, mode="r", metadata_errors="surrogateescape"), pictures
            # The protocol is spelled out so that a colon in a name is not taken for one.
            container = av.open(f"file:{fspath(path)}", mode="r", metadata_errors="surrogateescape")
        except (av.error.FFmpegError, OSError) as error:
            failure = error
        else:
            # PyAV asks for generated pts; for AVI with B-frames those come out wrong and in the
            # wrong order, and timing.py does it better.
            container.flags &= ~AVFMT_FLAG_GENPTS
            if short_name(container) in DISCARDS_CORRUPT_SAFELY:
                container.flags |= AVFMT_FLAG_DISCARD_CORRUPT
            return container, None
    raise ProbeError(path, _explain(failure, messages)) from failure


def main_video_stream(container: InputContainer, path: Path | str) -> VideoStream:
    """Choose the stream to enhance: not a cover, decodable, then default, then largest, then first.

    Raises:
        ProbeError: There is none.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    decodable = [s for s in streams if s.codec_context is not None]
    if decodable:
        return max(
            decodable,
            key=lambda s: (
                bool(s.disposition & Disposition.default),
                s.codec_context.width * s.codec_context.height,
                -s.index,
            ),
        )
    kinds = ", ".join(stream.type for stream in container.streams) or "no streams at all"
    if streams:
        raise ProbeError(
            path, "wanted video, got a video codec that this build of FFmpeg cannot decode; "
            "convert it with a tool that can"
        )  # fmt: skip
    raise ProbeError(path, f"wanted a video stream, got {kinds}; give a file that holds video")


def read_packets(
    container: InputContainer,
    wanted: Collection[Stream],
    fixer: DiscontinuityFixer | None = None,
) -> Iterator[Packet[Stream]]:
    """Demux the wanted streams, with breaks in the clock of MPEG streams closed.

    A break is judged over all audio and video streams, wanted or not, so every pass over a file
    that reads it from its start moves its packets by the same amounts.

    Yields:
        Packets in file order, then one empty packet per wanted stream, which flushes its decoder.

    Raises:
        av.error.FFmpegError: Reading failed; what was read before has been given.
    """
    indices = {stream.index for stream in wanted}
    if not has_discontinuous_clock(container):
        yield from _demux(container, [s for s in container.streams if s.index in indices])
        return
    fixer = fixer or DiscontinuityFixer()
    for packet in _demux(container, list(container.streams)):
        if packet.size:
            fixer.fix(packet)
        if packet.stream.index in indices:
            yield packet


def _demux(container: InputContainer, streams: list[Stream]) -> Iterator[Packet[Stream]]:
    try:
        yield from container.demux(streams)
    except IndexError:
        # PyAV 18 stumbles at the very end, after flushing the streams it knew, over streams that
        # a damaged MPEG-TS seemed to add while it was read (av/container/input.py, "Flush!").
        return


def has_discontinuous_clock(container: InputContainer) -> bool:
    """Say whether timestamps of this format may jump (MPEG-TS, MPEG-PS, Ogg, ...)."""
    return bool(container.format.flags & AVFMT_TS_DISCONT)


def read_pictures(
    pictures: PictureSequence, stream: VideoStream, frame_rate: Fraction
) -> Iterator[Packet[Stream]]:
    """Read picture files as packets, one tick of 1/frame_rate apart, and one that flushes."""
    for index, path in enumerate(pictures.paths):
        packet: Packet[Stream] = Packet(path.read_bytes())
        packet.stream = stream
        packet.pts = packet.dts = index
        packet.duration = 1
        packet.time_base = 1 / frame_rate
        packet.is_keyframe = True
        yield packet
    flush: Packet[Stream] = Packet()
    flush.stream = stream
    flush.time_base = 1 / frame_rate
    yield flush


def _refuse_unreadable(path: Path, pictures: PictureSequence | None) -> None:
    if pictures is not None:
        return
    if not path.exists():
        raise ProbeError(path, "wanted a media file, got nothing of that name; check the path")
    if path.is_dir():
        raise ProbeError(
            path, "wanted a folder of pictures, got a folder without any (PNG, JPEG, TIFF, ...)"
        )
    if not (path.is_file() or path.is_block_device()):
        raise ProbeError(
            path,
            "wanted a file, got a pipe or device, which can be read only once; save it to a file "
            "first",
        )
    if path.is_file() and path.stat().st_size == 0:
        raise ProbeError(path, "wanted a media file, got an empty one (0 bytes); copy it again")


def _refuse_animated(path: Path, pictures: PictureSequence | None) -> None:
    """Refuse what this FFmpeg cannot decode, or would show only the first frame of.

    Of many pictures the first one tells: to open all would take long.
    """
    if pictures is None:
        return
    name = pictures.paths[0].name
    if is_animated_webp(pictures.paths[0]):
        raise ProbeError(
            path,
            "wanted pictures or video, got an animated WebP, which FFmpeg cannot decode; make "
            f"pictures of it first, for example with ImageMagick: magick {name} -coalesce "
            "frames/%06d.png",
        )
    if is_animated_png(pictures.paths[0]):
        raise ProbeError(
            path,
            f"wanted still pictures, got an animated PNG ({name}); give it as an input of its own",
        )


def _explain(error: Exception, messages: list[str]) -> str:
    detail = "; ".join(list(dict.fromkeys(text.strip() for text in messages if text.strip()))[:2])
    got = detail or getattr(error, "strerror", None) or str(error)
    if "moov atom not found" in detail:
        return (
            "wanted a complete mp4/mov, got one without its index (moov atom not found): it was "
            "cut short, or is no video at all; copy it again, or repair it with a tool for that"
        )
    if isinstance(error, PermissionError):
        return "wanted a readable file, got permission denied; check its permissions"
    return f"wanted a media file, got something FFmpeg cannot read ({got}); check that it is video"


def library_versions() -> dict[str, str]:
    """Give the versions of FFmpeg's libraries: they decide what decoders and encoders make."""
    return {name: ".".join(map(str, parts)) for name, parts in av.library_versions.items()}


def ffmpeg_version() -> str:
    """Give the version of FFmpeg as its makers count, such as 8.0."""
    return av.ffmpeg_version_info
