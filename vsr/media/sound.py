"""Sound: what its packets say of themselves, and converting it on a clock that counts its samples.

A container's clock may be coarser (Matroska's millisecond), and the last frames of some decoders
have no time, so small differences are ignored. For larger ones the container's clock is right: the
picture follows it.

Every choice of a conversion is tried in memory against the target's own muxer: encoders list the
rates and sample formats they take, but not the channels.

Rate, channels and coding may change in mid-stream (broadcasts, joined recordings), and most
containers hold one of each for a whole track. The headers of the packets say so without decoding.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.stream import Discard, Stream

from vsr.media.encoders import discarded
from vsr.media.source import has_discontinuous_clock, open_source, read_packets

GAP = Fraction(1, 25)  # seconds between the clocks; more is a gap or an overlap
LONGEST_OVERLAP = Fraction(10)  # seconds; for more, the container's clock has restarted


class SampleClock:
    """Time the frames of one track so that they follow each other sample by sample.

    Attributes:
        overlapping: Seconds left out because the track had sound for that time already.
        restarted: Whether the track's clock went back too far to follow.
    """

    def __init__(self) -> None:
        self.overlapping = Fraction(0)
        self.restarted = False
        self._due: int | None = None
        self._rate = 1
        self._cutting = False

    def place(self, frame: av.AudioFrame) -> av.AudioFrame | None:
        """Set a frame's time, in ticks of one sample, any overlap cut off at its start.

        Returns:
            None if nothing is left of it, or no time is known yet.
        """
        rate = frame.sample_rate
        if self._due is not None and rate != self._rate:
            self._due = round(Fraction(self._due * rate, self._rate))
        self._rate = rate
        stated = None
        if frame.pts is not None and frame.time_base is not None:
            stated = round(frame.pts * frame.time_base * rate)
        if self._due is None or (stated is not None and stated - self._due > GAP * rate):
            self._due, self._cutting = stated, False
        if self._due is None:
            return None
        over = 0 if stated is None else min(self._overlap(self._due - stated, rate), frame.samples)
        self.overlapping += Fraction(over, rate)
        if over == frame.samples:
            return None
        placed = _without_start(frame, over) if over else frame
        placed.pts, placed.time_base = self._due, Fraction(1, rate)
        self._due += placed.samples
        return placed

    def _overlap(self, behind: int, rate: int) -> int:
        """Samples to cut: once begun, until the clocks agree to the sample."""
        if behind > LONGEST_OVERLAP * rate:
            self.restarted = True
            return 0
        self._cutting = behind > (0 if self._cutting else GAP * rate)
        return behind if self._cutting else 0


class SoundFromZero:
    """Lay the sound of one track end to end from zero, for AVI, which holds no times for it.

    Sound before zero is cut off; a late start and gaps are filled with silence.
    """

    def __init__(self) -> None:
        self._due = 0

    def lay(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """Yield the frames from the end of the one before to the end of this one.

        Args:
            frame: Its pts counts samples on the output's clock.
        """
        assert frame.pts is not None
        over = min(max(self._due - frame.pts, 0), frame.samples)
        while (gap := frame.pts - self._due) > 0:
            # A second at once: a track may start hours late.
            silence = silent_frame(
                frame.format.name, frame.layout.name, min(gap, frame.sample_rate), frame.sample_rate
            )
            silence.pts = self._due
            self._due += silence.samples
            yield silence
        if over < frame.samples:
            rest = _without_start(frame, over) if over else frame
            rest.pts, rest.time_base = self._due, Fraction(1, frame.sample_rate)
            self._due += rest.samples
            yield rest


class OneForm:
    """Bring frames to the rate, channels and sample format of one encoder, though theirs change.

    Args:
        encoder: Its codec context.
    """

    def __init__(self, encoder: Any) -> None:  # noqa: ANN401
        self._wanted = encoder.format.name, encoder.layout.name, encoder.sample_rate
        self._form: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def bring(self, frame: av.AudioFrame | None) -> Iterator[av.AudioFrame]:
        """Yield what a frame becomes; None for the rest.

        Args:
            frame: Its time counts its own samples.
        """
        form = None
        if frame is not None:
            form = frame.format.name, frame.layout.name, frame.sample_rate
        if form != self._form:
            if self._resampler is not None:
                yield from self._resampler.resample(None)
            same = form in (None, self._wanted)
            self._resampler = None if same else av.AudioResampler(*self._wanted)
            self._form = form
        if frame is not None:
            yield from self._resampler.resample(frame) if self._resampler else (frame,)


def silent_frame(sample_format: str, layout: str, samples: int, rate: int) -> av.AudioFrame:
    """Make a frame of silence at time 0.

    Args:
        sample_format, layout: FFmpeg's names, such as "fltp" and "stereo".
        samples: Of each channel.
        rate: Samples per second.
    """
    frame = av.AudioFrame(sample_format, layout, samples)
    nothing = b"\x80" if sample_format.startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(nothing * plane.buffer_size)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    return frame


def _without_start(frame: av.AudioFrame, count: int) -> av.AudioFrame:
    channels = 1 if frame.format.is_planar else frame.layout.nb_channels
    samples: Any = np.ascontiguousarray(frame.to_ndarray()[:, count * channels :])
    rest = av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
    rest.sample_rate = frame.sample_rate
    return rest


# Lossless sources stay lossless where the container has a common lossless format.
LOSSLESS = {"flac", "alac", "truehd", "mlp", "tta", "wavpack", "ape", "tak", "shorten", "als"}
LOSSLESS_FORMAT = {"mp4": "flac", "mov": "alac", "matroska": "flac"}
LOSSY_FORMAT = {"mp4": "aac", "mov": "aac", "webm": "libopus", "mpegts": "aac"}
NOTHING_MORE_LOST = {"matroska": "flac", "avi": "pcm_s16le"}
# For any number of channels of these samples, where nothing smaller holds them.
UNCOMPRESSED = {
    "u8": "pcm_s16le", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le",
    "dbl": "pcm_f64le", "s64": "pcm_s32le",
}  # fmt: skip
TAKES_UNCOMPRESSED = ("avi", "matroska", "mov", "mp4")
FLOATING = ("flt", "dbl")
# Bits per sample that encoders keep of integers, or make of floating point.
KEPT_BITS = {"flac": 24, "alac": 24, "pcm_s16le": 16, "pcm_s24le": 24, "pcm_s32le": 32}
# Decoders of these give 32 bits, of which at most 24 are used.
AT_MOST_24 = {"truehd", "mlp", "tta", "ape", "tak", "shorten", "pcm_bluray", "pcm_dvd"}
# FFmpeg's layouts for unnamed channels, so that naming them mixes nothing.
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# The same channels in the same order, the side ones named back ones.
TWINS = {"quad(side)": "quad", "5.0(side)": "5.0", "5.1(side)": "5.1"}
AAC_BIT_RATE = 256_000
OPUS_RATE = 48000  # its encoder lists no rates


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundPlan:
    """Conversion of a track of sound.

    Attributes:
        codec: FFmpeg encoder name.
        layout: FFmpeg name of the channels handed to it.
        rate: Samples per second nearest to which it works.
        note: A phrase about what changes.
        loses: Whether that is a warning.
    """

    codec: str
    layout: str
    rate: int
    note: str
    loses: bool


def plan_sound(
    context: Any,  # noqa: ANN401
    muxer: str,
    form: tuple[int, av.AudioLayout] | None = None,
    *,
    pcm: bool = False,
) -> SoundPlan | None:
    """Choose a conversion of sound for a container.

    Args:
        context: The source's decoder.
        muxer: Of the target.
        form: Rate and channels to convert from; by default those of the decoder.
        pcm: Uncompressed only.

    Returns:
        The plan, or None if no encoder for this container keeps all channels.
    """
    rate, channels = form or (context.sample_rate, context.layout)
    codecs = _uncompressed(context) if pcm else _codecs(context, muxer)
    for codec in dict.fromkeys(codecs):
        for layout in _layouts(channels):
            if _works(context, codec, layout, rate, muxer):
                note, loses = _note(context, codec)
                return SoundPlan(codec=codec, layout=layout, rate=rate, note=note, loses=loses)
    return None


def largest_form(
    forms: Iterable[tuple[int, av.AudioLayout]],
) -> tuple[int, av.AudioLayout] | None:
    """Highest rate and most channels: no part is cut in frequency or mixed to fewer channels."""
    known = list(forms)
    if not known:
        return None
    channels = max((layout for _, layout in known), key=lambda layout: layout.nb_channels)
    return max(rate for rate, _ in known), channels


def add_sound(
    output: av.container.OutputContainer,
    context: Any,  # noqa: ANN401
    codec: str,
    layout: str,
    rate: int,
) -> Any:  # noqa: ANN401
    """Add an encoder with the nearest to a rate and to the source's sample depth."""
    encoder = av.Codec(codec, "w")
    rates = encoder.audio_rates or ([OPUS_RATE] if "opus" in codec else [])
    if rates and rate not in rates:
        rate = min((r for r in rates if r >= rate), default=max(rates))
    target: Any = output.add_stream(codec, rate=rate)
    target.codec_context.layout = layout
    formats = [sample_format.name for sample_format in encoder.audio_formats or ()]
    deep = next((name for name in ("s32", "s32p") if name in formats), None)
    if deep and not context.format.name.startswith(("s16", "u8")):
        target.codec_context.format = deep
    if codec in ("aac", "libopus"):
        target.codec_context.bit_rate = AAC_BIT_RATE
    return target


def _codecs(context: Any, muxer: str) -> Iterator[str]:  # noqa: ANN401
    if not _is_lossless(context.name):
        yield NOTHING_MORE_LOST.get(muxer) or LOSSY_FORMAT.get(muxer, "aac")
        return
    usual = LOSSLESS_FORMAT.get(muxer)
    samples = _samples(context)
    exact = samples not in FLOATING and _bits(context) <= KEPT_BITS.get(usual or "", 0)
    if usual and exact:
        yield usual
    if muxer in TAKES_UNCOMPRESSED:
        yield from _uncompressed(context)
    if usual:
        yield usual
    elif muxer not in TAKES_UNCOMPRESSED:
        yield LOSSY_FORMAT.get(muxer, "aac")


def _uncompressed(context: Any) -> Iterator[str]:  # noqa: ANN401
    samples = _samples(context)
    # Lossy sound has fewer than 24 bits; not every editor reads floating point.
    lossy = samples in FLOATING and not _is_lossless(context.name)
    if lossy or (samples == "s32" and _bits(context) <= KEPT_BITS["pcm_s24le"]):
        yield "pcm_s24le"
    if samples in UNCOMPRESSED:
        yield UNCOMPRESSED[samples]


def _layouts(layout: av.AudioLayout) -> list[str]:
    if "channels" in layout.name:
        return [LAYOUTS.get(layout.nb_channels, layout.name)]
    return [layout.name, *([TWINS[layout.name]] if layout.name in TWINS else [])]


def _works(context: Any, codec: str, layout: str, rate: int, muxer: str) -> bool:  # noqa: ANN401
    """Try by writing a moment of silence: some muxers refuse only at the end."""
    try:
        with discarded(muxer) as output:
            stream = add_sound(output, context, codec, layout, rate)
            encoder = stream.codec_context
            rate = encoder.sample_rate
            silence = silent_frame(encoder.format.name, layout, rate // 10, rate)
            output.mux(stream.encode(silence))
            output.mux(stream.encode(None))
            output.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _note(context: Any, codec: str) -> tuple[str, bool]:  # noqa: ANN401
    kept = KEPT_BITS.get(codec)
    if not _is_lossless(context.name):
        if kept is None:
            return "little is lost, at a high bit rate", True
        return f"decoded to {kept} bits per sample, nothing more is lost", False
    if kept is None and not codec.startswith("pcm_f"):
        return "little is lost, at a high bit rate", True
    if kept is not None and _samples(context) in FLOATING:
        return f"its floating-point samples become integers of {kept} bits", True
    if kept is not None and _bits(context) > kept:
        return f"{kept} bits of each sample are kept, it may have up to {_bits(context)}", True
    return "no sample is lost", False


def _is_lossless(codec: str) -> bool:
    return codec in LOSSLESS or codec.startswith("pcm_")


def _samples(context: Any) -> str:  # noqa: ANN401
    return str(context.format.name).removesuffix("p")


def _bits(context: Any) -> int:  # noqa: ANN401
    """Most bits that samples of a lossless codec have, as far as known."""
    extra = context.extradata or b""
    if context.name.startswith("pcm_s24") or context.name in AT_MOST_24:
        return min(24, int(context.format.bits))
    if context.name == "flac" and len(extra) >= 34:  # STREAMINFO, RFC 9639 8.2
        return ((extra[12] & 1) << 4 | extra[13] >> 4) + 1
    if context.name == "alac" and len(extra) >= 36:  # the magic cookie's third field
        return int(extra[17])
    return int(context.format.bits)


HEADED = ("aac", "ac3", "eac3", "mp1", "mp2", "mp3")
# Packets that a setup must have to count in the choice of one for the whole track: fewer are more
# likely damaged headers.
LASTING = 5
ADTS_RATES = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
ADTS_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)  # 0: a table within the packet tells them
ADTS_PROFILES = ("Main", "LC", "SSR", "LTP")
AC3_RATES = (48000, 44100, 32000)
AC3_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)  # by audio coding mode, without low frequencies
AC3_KILOBITS = (
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
)  # fmt: skip
# By layer, of MPEG-1; then layer 1 and the others at low rates.
MPEG_KILOBITS = (
    tuple(range(32, 449, 32)),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
MPEG_RATES = (44100, 48000, 32000)  # MPEG-1; half in MPEG-2, a quarter in MPEG-2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Setup that one packet of sound states.

    Attributes:
        coding: Such as "AAC LC".
        rate: Samples per second.
        channels: How many; 0 if the header does not say.
        arrangement: The header's number for them.
    """

    coding: str
    rate: int
    channels: int
    arrangement: int

    def __str__(self) -> str:
        known = f", {self.channels} channel{'s' * (self.channels != 1)}" if self.channels else ""
        return f"{self.coding} at {self.rate} Hz{known}"


@dataclass(kw_only=True, slots=True)
class Setup:
    """The packets of one setup of a track.

    Attributes:
        name: For sentences.
        start: Seconds of its first packet on the source's clock, if known.
        extradata: For the decoder, if the container gave new one.
        packets: How many.
        first: The first few of them.
    """

    name: str
    start: Fraction | None
    extradata: bytes | None = None
    packets: int = 0
    first: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundScan:
    """Everything learnt of one track.

    Attributes:
        setups: In the order of their first packets; one or none if nothing changes.
        damaged: Number of packets whose header cannot be read, or is one of few; a last one that
            cannot be read is cut off.
        refused: Which packet the target's muxer refuses; empty if it takes all.
    """

    setups: tuple[Setup, ...] = ()
    damaged: int = 0
    refused: str = ""


def read_header(codec: str, data: bytes) -> Header | None:
    """Read the setup from the header of a packet.

    Args:
        codec: FFmpeg's name of the format.
        data: The packet.

    Returns:
        None if packets of this codec have no such header, or this one is damaged.
    """
    if codec == "aac":
        return _adts(data)
    if codec in ("ac3", "eac3"):
        return _ac3(data)
    if codec in ("mp1", "mp2", "mp3"):
        return _mpeg(data)
    return None


def _adts(data: bytes) -> Header | None:
    """ISO/IEC 14496-3, 1.A.2.2; a length that is not the packet's is damage."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    rate, channels = data[2] >> 2 & 15, (data[2] & 1) << 2 | data[3] >> 6
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if rate >= len(ADTS_RATES) or length != len(data):
        return None
    return Header(
        coding=f"AAC {ADTS_PROFILES[data[2] >> 6]}",
        rate=ADTS_RATES[rate],
        channels=ADTS_CHANNELS[channels],
        arrangement=channels,
    )


def _ac3(data: bytes) -> Header | None:
    """ATSC A/52:2018, 5.4.1 and 5.4.2; for E-AC-3, whose packets may hold several frames, E.2.3."""
    first, at = None, 0
    while at < len(data):
        found = _ac3_frame(data[at:])
        if found is None:
            return None
        first, at = first or found[0], at + found[1]
    return first if at == len(data) else None


def _ac3_frame(data: bytes) -> tuple[Header, int] | None:
    """Read header and length in bytes of one frame."""
    if len(data) < 8 or data[:2] != b"\x0b\x77" or data[5] >> 3 > 16:
        return None
    version, code = data[5] >> 3, data[4] >> 6
    if version > 10:
        half = data[4] >> 4 & 3
        if code == half == 3:
            return None
        rate = AC3_RATES[half] // 2 if code == 3 else AC3_RATES[code]
        size = 2 * ((data[2] & 7) << 8 | data[3]) + 2
        return _ac3_header("E-AC-3", rate, data[4] >> 1 & 7, data[4] & 1), size
    if code == 3 or data[4] & 63 >= 2 * len(AC3_KILOBITS):
        return None
    mode, kilobits = data[6] >> 5, AC3_KILOBITS[(data[4] & 63) >> 1]
    # Two bits each: centre and surround mix levels, or the surround mode of stereo.
    before = 2 * (mode & 1 and mode != 1) + 2 * (mode & 4 != 0) + 2 * (mode == 2)
    low = int.from_bytes(data[6:8]) >> (12 - before) & 1
    odd = data[4] & 1 if code == 1 else 0  # one more word, so that 44.1 kHz comes out
    size = 2 * (kilobits * 96_000 // AC3_RATES[code] + odd)
    return _ac3_header("AC-3", AC3_RATES[code] >> max(version - 8, 0), mode, low), size


def _ac3_header(coding: str, rate: int, mode: int, low: int) -> Header:
    channels = AC3_CHANNELS[mode] + low
    return Header(coding=coding, rate=rate, channels=channels, arrangement=mode << 1 | low)


def _mpeg(data: bytes) -> Header | None:
    """ISO/IEC 11172-3, 2.4.2.3, and 13818-3, 2.4.2.3; version 2.5 is common practice."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    code, bits = data[2] >> 2 & 3, data[2] >> 4
    if version == 1 or layer == 4 or code == 3 or bits == 15:
        return None
    low = version != 3
    rate = MPEG_RATES[code] >> (low + (version == 0))
    if bits:  # otherwise the bit rate is free, and the length not told
        kilobits = MPEG_KILOBITS[min(layer, 2) + 2 if low else layer - 1][bits - 1]
        slots = (12 if layer == 1 else 72 if low and layer == 3 else 144) * kilobits * 1000 // rate
        if (slots + (data[2] >> 1 & 1)) * (4 if layer == 1 else 1) != len(data):
            return None
    channels = 1 if data[3] >> 6 == 3 else 2  # joint and dual stereo may alternate
    return Header(
        coding=f"MPEG audio layer {layer}", rate=rate, channels=channels, arrangement=channels
    )


def scan_sound(
    path: Any,  # noqa: ANN401
    indices: Collection[int],
    copied: Collection[int],
    muxer: str,
) -> dict[int, SoundScan]:
    """Read all packets of some tracks of sound once, up to a damaged end.

    Args:
        path: The source.
        indices: Of the streams to read.
        copied: Those whose packets are given to the target's muxer, whose output is thrown away:
            it may refuse any of them.
        muxer: Of the target.
    """
    if not indices:
        return {}
    source, _ = open_source(path)
    with source:
        wanted = [source.streams[index] for index in indices]
        if not has_discontinuous_clock(source):
            for stream in source.streams:
                if stream.index not in indices:
                    stream.discard = Discard.all
        tracks = {
            stream.index: _Track(stream, muxer if stream.index in copied else None)
            for stream in wanted
        }
        with contextlib.suppress(av.FFmpegError):
            for packet in read_packets(source, wanted):
                if packet.size:
                    tracks[packet.stream.index].add(packet)
        return {index: track.result() for index, track in tracks.items()}


class _Track:
    def __init__(self, stream: Stream, muxer: str | None) -> None:
        context = stream.codec_context
        self._codec = context.codec.canonical_name if context else ""
        extra = (context.extradata if context else None) or b""
        # Without configuration in the container, packets of AAC begin with it.
        self._headed = self._codec != "aac" or not extra
        self._extra = extra
        self._setups: dict[Header | bytes, Setup] = {}
        self._damaged = 0
        self._last_damaged = False
        self._trial = _Trial(stream, muxer) if muxer else None

    def add(self, packet: Packet[Any]) -> None:
        new = packet.get_sidedata("new_extradata") if packet.has_sidedata("new_extradata") else None
        if new is not None:
            self._extra = bytes(new)
        data = bytes(packet)
        header = read_header(self._codec, data) if self._headed else None
        readable = header is not None or not self._headed or self._codec not in HEADED
        self._damaged += self._last_damaged
        self._last_damaged = not readable  # the last packet of all is often cut off
        if readable:
            self._count(header or self._extra, header, packet, data)
        if self._trial:
            self._trial.add(packet)

    def _count(
        self, key: Header | bytes, header: Header | None, packet: Packet[Any], data: bytes
    ) -> None:
        setup = self._setups.get(key)
        if setup is None:
            ticks = packet.pts if packet.pts is not None else packet.dts
            setup = self._setups[key] = Setup(
                name=str(header or self._codec),
                start=None if ticks is None else ticks * packet.time_base,
                extradata=None if header else self._extra,
            )
        setup.packets += 1
        if len(setup.first) < LASTING:
            setup.first.append(data)

    def result(self) -> SoundScan:
        refused = self._trial.finish() if self._trial else ""
        setups = tuple(self._setups.values())
        few = sum(setup.packets for setup in setups if setup.packets < LASTING)
        damaged = self._damaged + (few if len(setups) > 1 else 0)
        damaged += self._last_damaged and not setups
        return SoundScan(setups=setups, damaged=damaged, refused=refused)


class _Trial:
    """A file with one track alone, on a clock of its own, written to nowhere."""

    def __init__(self, stream: Stream, muxer: str) -> None:
        self._output = av.open(os.devnull, "w", format=muxer)
        self._target: Any = self._output.add_stream_from_template(stream, opaque=True)
        self._time = 0
        self._refused = ""

    def add(self, packet: Packet[Any]) -> None:
        if self._refused:
            return
        ticks = packet.pts if packet.pts is not None else packet.dts
        at = "" if ticks is None else f" at {float(ticks * packet.time_base):.3f} s"
        packet.pts = packet.dts = self._time
        self._time += max(packet.duration or 0, 1)
        packet.stream = self._target
        try:
            self._output.mux(packet)
        except (av.FFmpegError, ValueError):
            self._refused = f"the packet{at} is damaged"

    def finish(self) -> str:
        try:
            self._output.close()
        except (av.FFmpegError, ValueError):
            self._refused = self._refused or "its packets are damaged"
        return self._refused


def decoded_forms(codec: str, setups: Collection[Setup]) -> Iterator[tuple[int, av.AudioLayout]]:
    """Yield rate and channels of the lasting setups as they decode.

    Headers of HE-AAC state half the rate, and some of AAC no channels.
    """
    for setup in setups:
        if setup.packets < LASTING:
            continue
        context: Any = av.CodecContext.create(codec, "r")
        if setup.extradata:
            context.extradata = setup.extradata
        form = None
        for data in setup.first:
            with contextlib.suppress(av.FFmpegError):
                for frame in context.decode(Packet(data)):
                    form = frame.sample_rate, frame.layout
        if form:
            yield form
