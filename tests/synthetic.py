"""Media made up for tests, with PyAV alone: every frame carries its number as a bar code.

The code is 16 bits in black and white cells over the upper two thirds of the picture, each bit
with its complement below it, so it survives lossy coding, any matrix or range, and scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = Callable[[int, int, int], NDArray[np.uint8]]

CODE_COLUMNS = 8
CODE_ROWS = 4
FRAME_DURATION_FLAG = int(av.codec.context.Flags.frame_duration)
MATRIX_WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}  # H.273 code: (kr, kb); else BT.601


def draw_number(index: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Draw a picture that carries `index` (0 to 65535) over a moving, coloured texture.

    Returns:
        (height, width, 3) RGB, uint8.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = (np.sin((x + 2 * index) / 5), np.sin((y - index) / 4), np.sin((x + y + index) / 6))
    picture = np.stack([128 + 80 * wave for wave in waves], axis=-1).round().astype(np.uint8)
    for (top, bottom, left, right), white in zip(_cells(width, height), _bits(index), strict=True):
        picture[top:bottom, left:right] = 255 if white else 0
    return picture


def read_number(picture: NDArray[Any]) -> int:
    """Read the number from a picture: (H, W) luma or (H, W, 3) RGB, any integer or float type.

    Raises:
        ValueError: The code is not legible.
    """
    luma = picture.astype(np.float64)
    luma = luma.mean(axis=-1) if luma.ndim == 3 else luma
    height, width = luma.shape
    means = []
    for top, bottom, left, right in _cells(width, height):
        dy, dx = (bottom - top) // 4, (right - left) // 4
        means.append(luma[top + dy : bottom - dy, left + dx : right - dx].mean())
    rows = np.array(means).reshape(CODE_ROWS, CODE_COLUMNS)
    contrast = (rows[0::2] - rows[1::2]).ravel()
    if np.abs(contrast).min() < 0.5 * np.abs(contrast).max() or not contrast.any():
        raise ValueError("no legible bar code in this picture")
    return int(sum(1 << bit for bit, value in enumerate(contrast) if value > 0))


def make_video(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(24000, 1001),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    durations: Sequence[int] | None = None,
    codec_options: dict[str, str] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    rotation: int = 0,
    color: tuple[int, int, int, int] | None = None,
    audio: Sequence[str] = (),
    format: str | None = None,
    container_options: dict[str, str] | None = None,
    picture: Picture = draw_number,
    field_order: str | None = None,
    tags: dict[str, str] | None = None,
) -> Path:
    """Write a small video whose frame i shows `picture(i, width, height)`.

    Args:
        frames: How many; `pts` decides where it is given.
        pts: Ticks of `time_base`, one per frame; without them frames are 1/rate apart.
        time_base: Seconds per tick; 1/rate where not given.
        durations: Ticks per frame; without them each lasts until the next.
        color: H.273 primaries, transfer, matrix, and range (1 limited, 2 full); the planes agree.
        audio: One tone stream per codec name, as long as the video, 220 Hz times its position.
        field_order: "tff" or "bff" marks frames as interlaced and codes them so (x264, MPEG-2).

    Returns:
        `path`.
    """
    time_base = time_base or 1 / rate
    ticks = list(pts) if pts is not None else [round(i / rate / time_base) for i in range(frames)]
    step = max(1, round(1 / rate / time_base))
    lasting = list(durations or [*np.diff(ticks).tolist(), step])
    options = {"preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
    if codec == "libx265":
        options = {"preset": "ultrafast", "crf": "10", "x265-params": "log-level=none"}
    options |= codec_options or {}
    with av.open(
        str(path), "w", format=format, container_options=container_options or {}
    ) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = stream.time_base = time_base
        context.flags |= FRAME_DURATION_FLAG
        if field_order:
            context.flags |= INTERLACED_FLAGS
        if sample_aspect_ratio:
            context.sample_aspect_ratio = sample_aspect_ratio
        if color:
            context.color_primaries, context.color_trc = color[0], color[1]
            context.colorspace, context.color_range = color[2], color[3]
        if rotation:
            stream.set_display_rotation(rotation)
        tones = [
            (output.add_stream(name, rate=48000), 220 * (i + 1)) for i, name in enumerate(audio)
        ]
        mark = _field_marker(field_order, size, pix_fmt, time_base) if field_order else None
        for index, (at, lasts) in enumerate(zip(ticks, lasting, strict=True)):
            frame = make_frame(picture(index, *size), pix_fmt, color)
            frame.pts, frame.time_base, frame.duration = at, time_base, lasts
            output.mux(stream.encode(mark(frame) if mark else frame))
        output.mux(stream.encode(None))
        start, end = ticks[0] * time_base, (ticks[-1] + lasting[-1]) * time_base
        for tone, frequency in tones:
            for sound in _tone(frequency, start, end):
                output.mux(tone.encode(sound))
            output.mux(tone.encode(None))
    return path


def make_frame(
    rgb: NDArray[np.uint8], pix_fmt: str, color: tuple[int, int, int, int] | None = None
) -> av.VideoFrame:
    """Make a frame of any pixel format; packed ones go through their planar twin, losslessly."""
    planar = PLANAR_TWINS.get(pix_fmt, pix_fmt)
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], planar)
    for plane, values in zip(frame.planes, rgb_to_planes(rgb, planar, color), strict=True):
        view = np.frombuffer(plane, values.dtype).reshape(-1, plane.line_size // values.itemsize)
        view[: values.shape[0], : values.shape[1]] = values
    if color:
        frame.color_primaries, frame.color_trc = color[0], color[1]
        frame.colorspace, frame.color_range = color[2], color[3]
    # One thread: swscale's slices write past their last row's end, over the next slice's start.
    return frame if planar == pix_fmt else frame.reformat(format=pix_fmt, threads=1)


def write_numbers(output: Any, stream: Any, count: int) -> None:  # noqa: ANN401
    """Encode pictures that carry 0 and up, one per tick of the stream's rate, to its end."""
    for index in range(count):
        frame = make_frame(draw_number(index), "yuv420p")
        frame.pts = index
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def rgb_to_planes(
    rgb: NDArray[np.uint8], pix_fmt: str, color: tuple[int, int, int, int] | None = None
) -> list[NDArray[Any]]:
    """Convert 8-bit RGB to the planes of a planar format: left-sited chroma, by the tags given."""
    layout = av.VideoFormat(pix_fmt, 64, 64)
    bits = layout.components[0].bits
    dtype = np.uint8 if bits == 8 else np.dtype(">u2" if pix_fmt.endswith("be") else "<u2")
    if layout.is_rgb:
        order = [1, 2, 0] if layout.is_planar else None
        scaled = (rgb.astype(np.float64) * ((1 << bits) - 1) / 255).round().astype(dtype)
        return [scaled[..., i] for i in order] if order else [scaled.reshape(len(rgb), -1)]
    kr, kb = MATRIX_WEIGHTS.get(color[2] if color else 2, (0.299, 0.114))
    red, green, blue = (rgb[..., i] / 255.0 for i in range(3))
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    full = pix_fmt.startswith("yuvj") or bool(color and color[3] == 2)
    unit, peak = 2.0 ** (bits - 8), (1 << bits) - 1
    planes = [luma * peak if full else (16 + 219 * luma) * unit]
    if len(layout.components) > 1:
        for chroma in ((blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)):
            small = _shrink(chroma, layout.chroma_width(), layout.chroma_height())
            planes.append(128 * unit + small * (peak if full else 224 * unit))
    if len(layout.components) == 4:
        planes.append(np.full(luma.shape, peak / 2))
    return [plane.round().clip(0, peak).astype(dtype) for plane in planes]


PLANAR_TWINS = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "p010le": "yuv420p10le", "p210le": "yuv422p10le",
    "rgb24": "gbrp", "bgr24": "gbrp", "rgb0": "gbrp", "bgr0": "gbrp", "0rgb": "gbrp",
    "0bgr": "gbrp", "rgba": "gbrp", "bgra": "gbrp", "argb": "gbrp", "abgr": "gbrp",
    "rgb48le": "gbrp16le", "rgb48be": "gbrp16le", "rgba64be": "gbrp16le",
}  # fmt: skip
INTERLACED_FLAGS = int(av.codec.context.Flags.interlaced_dct) | int(
    av.codec.context.Flags.interlaced_me
)


def _shrink(plane: NDArray[Any], chroma_width: int, chroma_height: int) -> NDArray[Any]:
    """Subsample as `chroma_width` of 64 by `chroma_height` of 64 says, left-sited for factor 2."""
    if chroma_width == 32:
        padded = np.pad(plane, ((0, 0), (1, 1)), mode="edge")
        plane = ((padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4)[:, ::2]
    elif chroma_width == 16:
        plane = np.pad(plane, ((0, 0), (0, -plane.shape[1] % 4)), mode="edge")
        plane = plane.reshape(len(plane), -1, 4).mean(axis=-1)
    rows = 64 // chroma_height
    plane = np.pad(plane, ((0, -len(plane) % rows), (0, 0)), mode="edge")
    return plane.reshape(-1, rows, plane.shape[1]).mean(axis=1)


def _cells(width: int, height: int) -> Iterable[tuple[int, int, int, int]]:
    code_height = height * 2 // 3
    for row in range(CODE_ROWS):
        for column in range(CODE_COLUMNS):
            yield (
                row * code_height // CODE_ROWS,
                (row + 1) * code_height // CODE_ROWS,
                column * width // CODE_COLUMNS,
                (column + 1) * width // CODE_COLUMNS,
            )


def _bits(index: int) -> list[bool]:
    bits = [bool(index >> bit & 1) for bit in range(16)]
    rows: list[bool] = []
    for half in (bits[:CODE_COLUMNS], bits[CODE_COLUMNS:]):
        rows += [*half, *(not bit for bit in half)]
    return rows


def _tone(frequency: int, start: Fraction, end: Fraction) -> Iterable[av.AudioFrame]:
    total = max(1, round((end - start) * 48000))
    samples = np.arange(total)
    wave = (8000 * np.sin(2 * np.pi * frequency * samples / 48000)).astype(np.int16)
    for first in range(0, total, 1024):
        sound = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], "s16", "mono")
        sound.sample_rate, sound.time_base = 48000, Fraction(1, 48000)
        sound.pts = round(start * 48000) + first
        yield sound


def _field_marker(
    order: str, size: tuple[int, int], pix_fmt: str, time_base: Fraction
) -> Callable[[av.VideoFrame], av.VideoFrame]:
    """Make a function that marks a frame as interlaced; PyAV itself cannot set the flag."""
    graph = av.filter.Graph()
    described = f"video_size={size[0]}x{size[1]}:pix_fmt={pix_fmt}:time_base={time_base}"
    nodes = [graph.add("buffer", described), graph.add("setfield", order), graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()

    def mark(frame: av.VideoFrame) -> av.VideoFrame:
        graph.vpush(frame)
        marked: av.VideoFrame = graph.vpull()
        marked.pts, marked.time_base, marked.duration = frame.pts, time_base, frame.duration
        return marked

    return mark


WITH_B_FRAMES = {"preset": "veryfast", "crf": "12", "bf": "2", "g": "12"}


def cut_file(path: Path, kept: float) -> Path:
    """Keep only the first part of a file, as an interrupted copy does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    return path


def break_packets(path: Path, indices: Iterable[int], head: int = 0) -> Path:
    """Overwrite the payload of some video packets of an mp4 or mkv with noise, in place.

    Args:
        indices: In file order.
        head: This many bytes at the start of each are left whole.
    """
    with av.open(str(path)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data, searched = bytearray(path.read_bytes()), 0
    noise, broken = np.random.default_rng(0), set(indices)
    for index, payload in enumerate(payloads):
        start = data.index(payload, searched)
        searched = start + len(payload)
        if index in broken:
            data[start + head : searched] = noise.bytes(len(payload) - head)
    path.write_bytes(data)
    return path


def drop_packets(source: Path, target: Path, indices: Iterable[int]) -> Path:
    """Copy a video without some of its packets (in file order), times unchanged."""
    dropped = set(indices)
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        stream = given.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = (packet for packet in given.demux(stream) if packet.size)
        for index, packet in enumerate(packets):
            if index not in dropped:
                packet.stream = copy
                output.mux(packet)
    return target


def splice(path: Path, *parts: Path) -> Path:
    """Join MPEG-TS files byte by byte: the clock starts anew at each seam."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def hdr10_options() -> dict[str, str]:
    """x265 options that write HDR10 metadata: P3 primaries in 1000 cd/m2, MaxCLL 1000, 400."""
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    tags = "hdr10=1:repeat-headers=1"
    return {"x265-params": f"log-level=none:{tags}:master-display={display}:max-cll=1000,400"}


def make_pictures(
    folder: Path, *, frames: int = 5, first: int = 1, name: str = "%06d.png",
    size: tuple[int, int] = (64, 48), pix_fmt: str = "rgb24", codec: str = "png",
) -> Path:  # fmt: skip
    """Write numbered pictures; the one named `first` shows 0.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(frames):
        context = av.CodecContext.create(codec, "w")
        context.width, context.height = size
        context.pix_fmt = pix_fmt
        context.time_base = Fraction(1, 24)
        frame = make_frame(draw_number(index, *size), pix_fmt)
        packets = [*context.encode(frame), *context.encode(None)]
        (folder / (name % (first + index))).write_bytes(b"".join(bytes(p) for p in packets))
    return folder
