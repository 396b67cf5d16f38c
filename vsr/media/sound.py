"""Converting sound, on a clock that counts its samples.

A container's clock may be coarser (Matroska's millisecond), and the last frames of some decoders
have no time, so small differences are ignored. For larger ones the container's clock is right: the
picture follows it.

Every choice is tried in memory against the target's own muxer: encoders list the rates and sample
formats they take, but not the channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from vsr.media.encoders import discarded

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
) -> SoundPlan | None:
    """Choose a conversion of sound for a container.

    Args:
        context: The source's decoder.
        muxer: Of the target.
        form: Rate and channels to convert from; by default those of the decoder.

    Returns:
        The plan, or None if no encoder for this container keeps all channels.
    """
    rate, channels = form or (context.sample_rate, context.layout)
    for codec in dict.fromkeys(_codecs(context, muxer)):
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
        if samples == "s32" and _bits(context) <= KEPT_BITS["pcm_s24le"]:
            yield "pcm_s24le"
        if samples in UNCOMPRESSED:
            yield UNCOMPRESSED[samples]
    if usual:
        yield usual
    elif muxer not in TAKES_UNCOMPRESSED:
        yield LOSSY_FORMAT.get(muxer, "aac")


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
