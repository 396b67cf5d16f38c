"""XPSNR by libavfilter."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsr.errors import ConfigError

_TIME_BASE = Fraction(1, 25)


class Xpsnr:
    """XPSNR of the Y of a clip, frame by frame; higher is better, infinite for equal frames.

    Errors count by how busy their surroundings are in the truth, in space and against the frame
    before, so frames must come in order. Up to 32 frames per second are assumed.

    Source: Helmrich et al., "XPSNR: a low-complexity extension of the perceptually weighted peak
    signal-to-noise ratio", ICASSP 2020; FFmpeg's filter `xpsnr`.
    """

    def __init__(self) -> None:
        """Prepare for one clip.

        Raises:
            ConfigError: This build of FFmpeg lacks the filter.
        """
        if "xpsnr" not in av.filter.filters_available:
            raise ConfigError("this build of FFmpeg lacks the filter xpsnr; PyAV's wheels have it")
        self._graph: Graph | None = None
        self._count = 0

    def score(self, sr: NDArray[np.uint8], gt: NDArray[np.uint8]) -> float:
        """Score the next frame.

        Args:
            sr, gt: Y of output and truth, (H, W) uint8.

        Returns:
            dB.
        """
        if self._graph is None:
            self._graph = Graph()
            height, width = gt.shape
            grey = VideoFormat("gray", width, height)
            seen = [
                self._graph.add_buffer(
                    width=width, height=height, format=grey, time_base=_TIME_BASE, name=name
                )
                for name in ("truth", "output")
            ]
            judge, sink = self._graph.add("xpsnr"), self._graph.add("buffersink")
            for index, source in enumerate(seen):
                source.link_to(judge, 0, index)
            judge.link_to(sink)
            self._graph.configure()
            self._sources, self._sink = seen, sink
        for source, picture in zip(self._sources, (gt, sr), strict=True):
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            frame.pts, frame.time_base = self._count, _TIME_BASE
            source.push(frame)
        self._count += 1
        judged = self._sink.pull()
        assert isinstance(judged, VideoFrame)
        return float(judged.metadata["lavfi.xpsnr.xpsnr.y"])
