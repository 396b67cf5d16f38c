"""Frames of several films and small pictures in one picture, by libavfilter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vsr.color import MATRIX_OF_CODE, Chroma, Matrix
from vsr.media.formats import fill_frame, frame_planes, packing_of
from vsr.media.types import EncodePlan, PlanarFrame, Plane

# What `overlay` takes: 8 or 10 bits, these or 4:4:4.
_CHROMA: dict[Chroma, str] = {"gray": "420", "410": "420", "420": "420", "411": "422", "422": "422"}


class Collage:
    """A filter graph, built from its sources to `end`, then called once per picture.

    Attributes:
        pix_fmt: Of the frames that films give; so all is put together.
        colors: Options of libavfilter's `scale` that convert to the colours of the result.
    """

    def __init__(self, plan: EncodePlan, matrix: Matrix, *, full_range: bool) -> None:
        """Start a graph whose pictures are as a plan, with this matrix and range, says."""
        chroma = _CHROMA.get(plan.planes.chroma, "444")
        self.pix_fmt = f"yuv{chroma}p{'10le' if plan.planes.bit_depth > 8 else ''}"
        self.colors = (  # Catmull-Rom is what bicubic is elsewhere
            "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp:param0=0:param1=0.5"
            f":out_color_matrix={matrix}:out_range={'pc' if full_range else 'tv'}"
        )
        code = next(code for code, name in MATRIX_OF_CODE.items() if name == matrix)
        self._tags = f"colorspace={code}:range={2 if full_range else 1}"
        self._plan = plan
        self._graph = Graph()
        self._reformatter = VideoReformatter()
        self._films: list[FilterContext] = []
        self._pictures: list[tuple[FilterContext, VideoFrame]] = []

    def film(self, width: int, height: int) -> FilterContext:
        """Add a film; each call of the collage takes a frame of it."""
        self._films.append(self._source(width, height, self.pix_fmt, self._tags))
        return self._films[-1]

    def picture(self, rgba: NDArray[np.uint8]) -> FilterContext:
        """Add a picture, (h, w, 4), alpha not multiplied in, to be laid over."""
        frame = VideoFrame.from_ndarray(rgba, format="rgba")
        source = self._source(frame.width, frame.height, "rgba", "colorspace=0:range=2")
        self._pictures.append((source, frame))
        alpha = self.pix_fmt.replace("yuv", "yuva")
        return self.add(f"format={alpha}", self.add(f"scale={self.colors}", source))

    def over(self, below: FilterContext, above: FilterContext, x: str, y: str) -> FilterContext:
        """Lay one over another at a place in pixels: expressions of `t`, in seconds."""
        kind = self.pix_fmt.replace("p10le", "p10").removesuffix("p")
        return self.add(f"overlay={x}:{y}:format={kind}", below, above)

    def add(self, call: str, *inputs: FilterContext) -> FilterContext:
        """Add a filter, "name=options"."""
        name, _, options = call.partition("=")
        context = self._graph.add(name, options or None)
        for index, given in enumerate(inputs):
            given.link_to(context, 0, index)
        return context

    def end(self, last: FilterContext) -> None:
        """Finish the graph."""
        planar = self.add(f"scale={self.colors}", self.add(f"format={self.pix_fmt}", last))
        self.add("buffersink", self.add(f"format={self._plan.planes.name}", planar))
        self._graph.configure()
        for source, frame in self._pictures:
            frame.pts, frame.time_base = 0, self._plan.time_base
            source.push(frame)
            source.push(None)  # it stays

    def __call__(self, frames: Sequence[PlanarFrame], ticks: int) -> tuple[Plane, ...]:
        """Put together what is shown `ticks` after the first frame."""
        for source, frame in zip(self._films, frames, strict=True):
            height, width = frame.planes[0].shape
            given = fill_frame(frame.planes, self.pix_fmt, width, height)
            given.pts, given.time_base = ticks, self._plan.time_base
            source.push(given)
        packing = packing_of(self._plan.planes.name)
        assert packing is not None
        return frame_planes(self._graph.vpull(), packing, self._reformatter)

    def _source(self, width: int, height: int, pix_fmt: str, tags: str) -> FilterContext:
        base = self._plan.time_base
        return self.add(
            f"buffer=video_size={width}x{height}:pix_fmt={pix_fmt}:pixel_aspect=1"
            f":time_base={base.numerator}/{base.denominator}:{tags}"
        )
