"""Open and read what the user named: a media file, a folder or a pattern of pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from os import fspath
from pathlib import Path
from threading import RLock

import av
import av.error
import av.logging
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.errors import ProbeError
from vsr.media.containers import PATTERN
from vsr.media.timing import DiscontinuityFixer

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dpx", ".jp2", ".ppm", ".pgm")
)
DEFAULT_PICTURE_RATE = Fraction(24)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def find_pictures(path: Path, *, gaps: bool = False) -> tuple[Path, ...] | None:
    """Find the pictures that a path names, in the order in which they are shown.

    A folder means all pictures in it, ordered by the number at the end of their names where
    all have one, else by name with numbers compared as numbers. A pattern (`frames/%06d.png`)
    means every file of that form. One picture file is a sequence of one, an animated PNG a film.

    Args:
        path: Of a file, a folder or a pattern.
        gaps: Whether numbers may be missing in between.

    Returns:
        None if the path is none of these (a media file, or nothing).

    Raises:
        ProbeError: Numbers are missing without `gaps`, kinds are mixed, or nothing matches.
    """
    if path.is_dir():
        return _folder(path, gaps=gaps)
    if path.exists():
        picture = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        if picture and path.stat().st_size and not is_animated_png(path):
            return (path,)
        return None
    return _pattern(path, gaps=gaps) if PATTERN.search(path.name) else None


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


def _folder(folder: Path, *, gaps: bool) -> tuple[Path, ...] | None:
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
            f"the folder holds pictures of several kinds ({', '.join(kinds)}); choose some by a "
            f"pattern such as %06d{kinds[0]}",
        )
    numbers = [_number(path) for path in paths]
    prefixes = {re.sub(r"\d+$", "", path.stem) for path in paths}
    if len(prefixes) == 1 and None not in numbers:
        numbered: dict[int, Path] = {}
        for number, path in zip(numbers, paths, strict=True):
            assert number is not None
            if (other := numbered.setdefault(number, path)) != path:
                raise ProbeError(
                    folder, f"{other.name} and {path.name} have one number; rename or remove one"
                )
        return _consecutive(folder, numbered, gaps=gaps)
    return tuple(sorted(paths, key=lambda path: (_natural(path), path.name)))


def _pattern(pattern: Path, *, gaps: bool) -> tuple[Path, ...]:
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
        raise ProbeError(pattern, "no pictures match this pattern; check folder and name")
    return _consecutive(pattern, found, gaps=gaps)


def _consecutive(where: Path, numbered: dict[int, Path], *, gaps: bool) -> tuple[Path, ...]:
    if gaps:
        return tuple(path for _, path in sorted(numbered.items()))
    first, last = min(numbered), max(numbered)
    missing = next((number for number in range(first, last + 1) if number not in numbered), None)
    if missing is not None:
        before = numbered[missing - 1]
        digits = [x for x in re.findall(r"\d+", before.stem) if int(x) == missing - 1][-1]
        name = f"{missing:0{len(digits)}d}".join(before.name.rsplit(digits, 1))
        raise ProbeError(
            where,
            f"{name} is missing among pictures {first} to {last}; restore it or renumber the files",
        )
    return tuple(numbered[number] for number in range(first, last + 1))


def _number(path: Path) -> int | None:
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else None


def _natural(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


# libavformat/avformat.h; PyAV's stubs give its own flag classes the wrong type.
AVFMT_FLAG_GENPTS = 0x0001
AVFMT_FLAG_DISCARD_CORRUPT = 0x0100
AVFMT_TS_DISCONT = 0x0200
# MPEG-PS (VOB) names its streams nowhere; sound and subtitles may begin minutes after the picture.
_LATE_STREAMS = {"probesize": str(64 << 20), "analyzeduration": str(600 * 10**6)}
DISCARDS_CORRUPT_SAFELY = ("mov", "matroska")
_log_level_lock = RLock()


@contextmanager
def libav_messages(level: int = av.logging.ERROR) -> Iterator[list[str]]:
    """Collect FFmpeg's log of this thread; its exceptions hold little but "Invalid argument".

    The log level is global to the process, so it is raised only inside the block; so is the
    suppression of a message that repeats the last one, even of another file.
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


def frame_graph(frame: VideoFrame, *filters: str) -> Graph:
    """Build a graph for frames like this one, its filters written as "name=options"."""
    graph = Graph()
    size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1"
    color = f":colorspace={frame.colorspace}:range={frame.color_range}"
    nodes = [graph.add("buffer", size + color)]
    nodes += [graph.add(*text.split("=", 1)) for text in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def short_name(container: InputContainer) -> str:
    """First word of the demuxer's name: "mov" for "mov,mp4,m4a,3gp,3g2,mj2"."""
    return container.format.name.split(",")[0]


def open_source(
    path: Path | str, *, gaps: bool = False
) -> tuple[InputContainer, tuple[Path, ...] | None]:
    """Open a file for reading, or the first picture of a folder or pattern that can be decoded.

    Corrupt packets are dropped by the demuxer only where it knows packet borders (mp4, Matroska);
    in MPEG-TS that would lose decodable frames.

    Args:
        path: Of a file, a folder or a pattern.
        gaps: Whether numbers of pictures may be missing in between.

    Raises:
        ProbeError: There is no such file, or FFmpeg cannot read it.
    """
    path = Path(path)
    pictures = find_pictures(path, gaps=gaps)
    if pictures is None:
        _refuse_unreadable(path)
    else:
        _refuse_animated(path, pictures[0])
    with libav_messages() as messages:
        try:
            if pictures is not None:
                return _open_picture(pictures), pictures
            container = _open_file(path)
            if short_name(container) == "mpeg":
                container.close()
                container = _open_file(path, _LATE_STREAMS)
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


def _open_file(path: Path, options: dict[str, str] | None = None) -> InputContainer:
    # The protocol is spelled out so that a colon in a name is not taken for one.
    return av.open(
        f"file:{fspath(path)}", mode="r", options=options, metadata_errors="surrogateescape"
    )


def _open_picture(pictures: tuple[Path, ...]) -> InputContainer:
    """Open the first picture that can be decoded; the others are expected to be like it.

    Raises:
        av.error.FFmpegError, OSError: None can; the reason for the first.
    """
    failure: Exception | None = None
    for picture in pictures:
        try:
            data = picture.read_bytes()
            # Bytes, not a name: image2 would take "%" in a name for a pattern.
            with av.open(BytesIO(data), mode="r") as trial:
                next(trial.decode(video=0))
            return av.open(BytesIO(data), mode="r", metadata_errors="surrogateescape")
        except (av.error.FFmpegError, OSError, StopIteration, IndexError) as error:
            failure = failure or error
    if isinstance(failure, av.error.FFmpegError | OSError):
        raise failure
    raise OSError(f"none of {len(pictures)} pictures can be decoded")


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
    kinds = ", ".join(stream.type for stream in container.streams) or "an empty container"
    if streams:
        raise ProbeError(
            path,
            "this build of FFmpeg has no decoder for the video; convert it with a tool that has",
        )
    raise ProbeError(path, f"no video stream, only {kinds}; choose a file with video")


def read_packets(
    container: InputContainer,
    wanted: Collection[Stream],
    fixer: DiscontinuityFixer | None = None,
) -> Iterator[Packet[Stream]]:
    """Demux the wanted streams, with jumps in the clock of MPEG streams closed.

    A jump is judged over all audio and video streams, wanted or not, so every pass over a file
    from its start moves its packets by the same amounts.

    Yields:
        Packets in file order, then one empty packet per wanted stream, which flushes its decoder.

    Raises:
        av.error.FFmpegError: Reading failed; all packets before were yielded.
    """
    indices = {stream.index for stream in wanted}
    fixer = fixer or DiscontinuityFixer()
    if not has_discontinuous_clock(container):
        yield from _demux(container, [s for s in container.streams if s.index in indices], fixer)
        return
    for packet in _demux(container, list(container.streams), fixer):
        if packet.size:
            fixer.fix(packet)
        if packet.stream.index in indices:
            yield packet


def _demux(
    container: InputContainer, streams: list[Stream], fixer: DiscontinuityFixer
) -> Iterator[Packet[Stream]]:
    try:
        yield from container.demux(streams)
    except IndexError:
        # PyAV 18 fails at the very end, after flushing the streams it knew, on streams that
        # MPEG-TS and MPEG-PS added while they were read (av/container/input.py, "Flush!").
        fixer.unseen = True


def has_discontinuous_clock(container: InputContainer) -> bool:
    """Whether timestamps of this format may jump (MPEG-TS, MPEG-PS, Ogg, ...)."""
    return bool(container.format.flags & AVFMT_TS_DISCONT)


def read_pictures(
    pictures: tuple[Path, ...], stream: VideoStream, frame_rate: Fraction
) -> Iterator[Packet[Stream]]:
    """Read picture files as packets, one tick of 1/frame_rate apart, and one that flushes."""
    packet: Packet[Stream]
    for index, path in enumerate(pictures):
        packet = Packet(path.read_bytes())
        packet.stream, packet.time_base = stream, 1 / frame_rate
        packet.pts = packet.dts = index
        packet.duration = 1
        packet.is_keyframe = True
        yield packet
    packet = Packet()
    packet.stream, packet.time_base = stream, 1 / frame_rate
    yield packet


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise ProbeError(path, "no such file; check the path")
    if path.is_dir():
        raise ProbeError(path, "the folder holds no pictures (PNG, JPEG, TIFF, ...)")
    if not (path.is_file() or path.is_block_device()):
        raise ProbeError(
            path, "is a pipe or device, which can be read only once; save it to a file first"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise ProbeError(path, "the file is empty (0 bytes); copy it again")


def _refuse_animated(path: Path, first: Path) -> None:
    """Refuse animations, judged by the first picture: opening all of them would take long."""
    if is_animated_webp(first):
        raise ProbeError(
            path,
            "FFmpeg cannot decode an animated WebP; convert it to pictures first, for example "
            f"with ImageMagick: magick {first.name} -coalesce frames/%06d.png",
        )
    if is_animated_png(first):
        raise ProbeError(
            path, f"{first.name} is an animated PNG among still pictures; use it as its own input"
        )


def _explain(error: Exception, messages: list[str]) -> str:
    detail = "; ".join(list(dict.fromkeys(text.strip() for text in messages if text.strip()))[:2])
    got = detail or getattr(error, "strerror", None) or str(error)
    if "moov atom not found" in detail:
        return (
            "the mp4/mov has no index (moov atom not found): it was cut short, or is no video; "
            "copy it again, or repair it with a tool for that"
        )
    if isinstance(error, PermissionError):
        return "permission denied; check the file's permissions"
    return f"FFmpeg cannot read the file ({got}); check that it is video"


def library_versions() -> dict[str, str]:
    """Versions of FFmpeg's libraries, on which decoded and encoded data depend."""
    return {name: ".".join(map(str, parts)) for name, parts in av.library_versions.items()}


def ffmpeg_version() -> str:
    """Version of FFmpeg, such as 8.0."""
    return av.ffmpeg_version_info
