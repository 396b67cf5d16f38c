"""Put decoded sound on a clock that counts its samples, as encoders want it, in step with its own.

A container's clock may be coarser (Matroska's millisecond), and the last frames of some decoders
have no time, so small differences count for nothing. Where the two clocks part for good, the
container's is right: the picture goes by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

# Sound that is told to come later or earlier than the samples before it call for, in seconds, by
# more than this follows a gap or overlaps them.
GAP = Fraction(1, 25)
# Sound that would have to wait longer than this for its time has a clock that began anew.
LONGEST_OVERLAP = Fraction(10)


class SampleClock:
    """Give frames of one track times that follow each other sample by sample.

    Attributes:
        overlapping: Seconds left out because the track had sound for that time already.
        restarted: The track's clock went back so far that it is not followed any more.
    """

    def __init__(self) -> None:
        self.overlapping = Fraction(0)
        self.restarted = False
        self._due: int | None = None
        self._cutting = False

    def place(self, frame: av.AudioFrame) -> av.AudioFrame | None:
        """Set a frame's time, in ticks of one sample, with what overlaps cut off at its start.

        Returns:
            None where nothing is left of it, or no time is known yet.
        """
        rate = frame.sample_rate
        told = None
        if frame.pts is not None and frame.time_base is not None:
            told = round(frame.pts * frame.time_base * rate)
        if self._due is None or (told is not None and told - self._due > GAP * rate):
            self._due, self._cutting = told, False
        if self._due is None:
            return None
        over = min(self._overlap(told, rate), frame.samples)
        self.overlapping += Fraction(over, rate)
        if over == frame.samples:
            return None
        placed = _without_start(frame, over) if over else frame
        placed.pts, placed.time_base = self._due, Fraction(1, rate)
        self._due += placed.samples
        return placed

    def _overlap(self, told: int | None, rate: int) -> int:
        """Count samples to cut: once begun, until the clocks agree to the sample."""
        if told is None or self._due is None:
            return 0
        behind = self._due - told
        if behind > LONGEST_OVERLAP * rate:
            self.restarted = True
            return 0
        self._cutting = behind > (0 if self._cutting else GAP * rate)
        return behind if self._cutting else 0


class SoundFromZero:
    """Lay the sound of one track end to end from zero, for AVI, which has no times for it.

    What comes before zero is cut off; a late start and gaps are filled with silence.
    """

    def __init__(self) -> None:
        self._due = 0

    def lay(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """Give what belongs between the frame before and the end of this one.

        Args:
            frame: Its pts counts samples on the output's clock.
        """
        assert frame.pts is not None
        over = min(max(self._due - frame.pts, 0), frame.samples)
        while (gap := frame.pts - self._due) > 0:
            # A second at once: a track may begin hours late.
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


def silent_frame(sample_format: str, layout: str, samples: int, rate: int) -> av.AudioFrame:
    """Make a frame of silence at time 0.

    Args:
        sample_format: FFmpeg's name, such as "fltp".
        layout: Of the channels, by FFmpeg's name.
        samples: How many, of each channel.
        rate: Of them per second.
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
