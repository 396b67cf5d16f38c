"""Planes through a video codec and back, in memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.codec.codec import Codec, UnknownCodecError
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr.errors import EncodeError
from vsr.media.formats import fill_frame, frame_planes, packing_of
from vsr.media.source import frame_graph

ClipPlanes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

_WHERE = "clip in memory"
_RATE = 25
_PIX_FMT = "yuv420p"
# With B-frames, x264's macroblock tree reads memory it has not written: the same input then gives
# other bits. x265's lookahead writes outside its memory on small pictures (48x48: glibc aborts), so
# it is off, and pictures smaller than a coding tree are refused.
_OPTIONS = {
    "libx264": {"preset": "veryfast", "x264-params": "mbtree=0"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "log-level=none:pools=none:frame-threads=1:rc-lookahead=0:bframes=0",
    },
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "0"},
}
_BY_CRF = frozenset(("libx264", "libx265", "libvpx-vp9"))
_X265_SIDE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecSettings:
    """Compression of a clip.

    At a constant quantiser, not a bit rate: no encoder's rate control settles within the few frames
    of a training clip. (MPEG-4 at 0.1 bit per pixel leaves a first frame of 43 dB and a last one of
    25.) The middle of a stream looks like a constant quantiser.

    Attributes:
        codec: FFmpeg name of the encoder: "libx264", "libx265", "libvpx-vp9", "mpeg4",
            "mpeg2video", "mjpeg".
        quantiser: On H.264's scale, six more for twice as coarse: 18 is hard to see, 23 x264's
            default, 40 a very poor video call. For x264 and x265 the CRF; other codecs get the
            qscale of the same step.
        gop: Most frames from one key frame to the next.
        preset: Of x264; empty for the fastest that is in common use. (x265's slower ones give other
            bits for the same input, even with one thread.)
        native: `quantiser` is on the encoder's own scale instead: a CRF, or a qscale of 1 to 31.
        interlaced: MPEG-2 codes fields.
    """

    codec: str
    quantiser: float
    gop: int = 50
    preset: str = ""
    native: bool = False
    interlaced: bool = False


def round_trip(planes: ClipPlanes, settings: CodecSettings) -> tuple[ClipPlanes, int]:
    """Encode a clip and decode it again, in one thread: the same on every machine.

    Args:
        planes: Luma (T, H, W) and two chroma planes (T, ceil(H / 2), ceil(W / 2)), uint8 4:2:0.
        settings: The encoder and its rate.

    Returns:
        Planes of the same shapes, and the bytes they took in between.

    Raises:
        EncodeError: The encoder does not exist, refuses this size, or changes the number of frames.
    """
    count, height, width = planes[0].shape
    if settings.codec == "libx265" and min(height, width) < _X265_SIDE:
        raise EncodeError(
            _WHERE,
            f"libx265 needs at least {_X265_SIDE}x{_X265_SIDE}, not {width}x{height}; "
            "pad the clip or choose another codec",
        )
    try:
        packets = _encode(planes, settings)
        decoded = _decode(packets, settings)
    except (FFmpegError, UnknownCodecError) as error:
        raise EncodeError(
            _WHERE,
            f"{settings.codec} refused {count} frames of {width}x{height} ({error}); "
            "choose another codec or an even size",
        ) from error
    if len(decoded) != count:
        raise EncodeError(
            _WHERE,
            f"{settings.codec} returned {len(decoded)} of {count} frames of {width}x{height}; "
            "choose another codec",
        )
    luma, blue, red = (np.stack([frame[i] for frame in decoded]) for i in range(3))
    return (luma, blue, red), sum(packet.size for packet in packets)


def deinterlace(planes: ClipPlanes) -> ClipPlanes:
    """Deinterlace woven frames, top field first, one frame for each: libavfilter's bwdif.

    Args:
        planes: Luma and two chroma planes, each (T, H, W), uint8 4:4:4.

    Returns:
        Planes of the same shapes.
    """
    frames = [VideoFrame.from_ndarray(x, format="yuv444p") for x in np.stack(planes, axis=1)]
    graph = frame_graph(frames[0], "bwdif=mode=send_frame:parity=tff:deint=all")
    found: list[NDArray[np.uint8]] = []
    for index, frame in enumerate((*frames, None)):
        if frame is not None:
            frame.pts, frame.time_base = index, Fraction(1)
        graph.push(frame)
        with suppress(BlockingIOError, EOFError):
            while True:
                pulled = cast(VideoFrame, graph.pull()).to_ndarray()
                found.append(cast("NDArray[np.uint8]", pulled))
    luma, blue, red = (np.stack([frame[i] for frame in found]) for i in range(3))
    return luma, blue, red


def _encode(planes: ClipPlanes, settings: CodecSettings) -> list[Packet[VideoStream]]:
    count, height, width = planes[0].shape
    encoder = cast(VideoCodecContext, av.CodecContext.create(settings.codec, "w"))
    pix_fmt = _pix_fmt(settings)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pix_fmt
    encoder.time_base, encoder.framerate = Fraction(1, _RATE), Fraction(_RATE)
    encoder.gop_size = settings.gop
    encoder.thread_count = 1
    options = dict(_OPTIONS.get(settings.codec, {}))
    if settings.preset:
        options["preset"] = settings.preset
    if settings.interlaced:
        options["flags"] = "+ildct+ilme"
    if settings.codec in _BY_CRF:
        options["crf"] = f"{settings.quantiser:.3f}"
    else:
        scale = settings.quantiser if settings.native else _qscale(settings.quantiser)
        encoder.qmin = encoder.qmax = round(scale)
    encoder.options = options
    packets: list[Packet[VideoStream]] = []
    for index in range(count):
        frame = fill_frame([plane[index] for plane in planes], pix_fmt, width, height)
        frame.pts, frame.time_base = index, encoder.time_base
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _pix_fmt(settings: CodecSettings) -> str:
    """Motion JPEG is full range by its standard; samples pass unchanged all the same."""
    return "yuvj420p" if settings.codec == "mjpeg" else _PIX_FMT


def _qscale(quantiser: float) -> int:
    """Convert H.264's scale to that of MPEG-2 and MPEG-4. Source: `qp2qscale` of x264."""
    return round(min(max(0.85 * 2 ** ((quantiser - 12) / 6), 1), 31))


def _decode(
    packets: list[Packet[VideoStream]], settings: CodecSettings
) -> list[tuple[NDArray[np.uint8], ...]]:
    name = Codec(settings.codec, "w").canonical_name
    decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    decoder.thread_count = 1
    packing = packing_of(_pix_fmt(settings))
    assert packing is not None
    reformatter = VideoReformatter()
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return [
        cast(tuple[NDArray[np.uint8], ...], frame_planes(frame, packing, reformatter))
        for frame in frames
    ]
