"""Open what the user named (a media file, a folder or a pattern of pictures) and read packets."""

from __future__ import annotations

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
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from vsr.errors import ProbeError
from vsr.media.images import (
    PictureSequence,
    find_pictures,
    is_animated_png,
    is_animated_webp,
)
from vsr.media.timestamps import DiscontinuityFixer

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
            # wrong order, and timestamps.py does it better.
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
