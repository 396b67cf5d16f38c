"""Writing a sequence of PNG pictures, first into a hidden folder."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Self

import av

from vsr.errors import EncodeError, MuxError
from vsr.files import sync, write_error
from vsr.media import encoders
from vsr.media.containers import PICTURES, pictures_in
from vsr.media.filters import parse_chain
from vsr.media.probe import SourceInfo
from vsr.media.types import Captions, EncodePlan, Plane
from vsr.options import DecodeOptions


class PictureWriter:
    """Write frames as PNG files of 8 or 16 bits; `PieceWriter` for pictures.

    Attributes:
        size: Bytes of the pictures so far.
    """

    def __init__(
        self,
        folder: Path,
        target: Path,
        plan: EncodePlan,
        *,
        done: int = 0,
        first_pts: int | None = None,
    ) -> None:
        """Create the folder if it is missing.

        Args:
            folder: Temporary folder of the pictures; old ones are replaced.
            target: `TargetKind.pattern`, the pictures' names.
            plan: For the muxer "images".
            done: Number of pictures already written.
            first_pts: Of the picture that gets the number 1, one tick for each number; None to
                number them in the order of their coming.

        Raises:
            MuxError: The folder cannot be created.
        """
        self.folder = folder
        self.target = target
        self.plan = plan
        self.size = 0
        self._next = done + 1
        self._first_pts = first_pts
        self._written: list[Path] = []
        self._context = av.Codec(plan.codec, "w").create("video")
        self._context.width, self._context.height = plan.width, plan.height
        self._context.pix_fmt, self._context.time_base = plan.pix_fmt, plan.time_base
        self._context.options = dict(plan.options)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(target, error) from error

    def write(
        self,
        planes: Sequence[Plane],
        pts: int,
        duration: int,
        captions: Captions | None = None,
    ) -> None:
        """Write one picture; it holds neither times nor captions.

        Raises:
            EncodeError: The encoder refused the frame.
            MuxError: The disk is full.
        """
        frame = encoders.make_frame(self.plan, tuple(planes), self._next, 1)
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise EncodeError(self.target, f"PNG refused frame {self._next}: {error}") from error
        number = self._next if self._first_pts is None else pts - self._first_pts + 1
        path = self.folder / (self.target.name % number)
        try:
            self.size += path.write_bytes(b"".join(bytes(packet) for packet in packets))
        except OSError as error:
            raise write_error(self.target, error) from error
        self._written.append(path)
        self._next += 1

    def finish(self) -> None:
        """Flush the pictures to the disk.

        Raises:
            MuxError: The disk is full.
        """
        try:
            for path in self._written:
                sync(path)
            sync(self.folder)
        except OSError as error:
            raise write_error(self.target, error) from error

    def close(self) -> None:
        """Do nothing: the next run writes unfinished pictures again."""


class PictureFolder:
    """Publish the finished pictures; `mux.Writer` for pictures.

    Attributes:
        partial: The temporary folder, to be verified.
        warnings: Always empty.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, partial: Path, pattern: Path) -> None:
        """Start with the folder that `PictureWriter` wrote, and the final pattern."""
        self.partial = partial
        self.target = pattern
        self.folder = pattern.parent.resolve()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def join(self, pieces: Sequence[Path]) -> None:
        """Check that there are pictures; there is nothing to join.

        Raises:
            MuxError: There are none.
        """
        if not pieces:
            raise MuxError(self.target, "the input gave no frames; nothing was written")

    def publish(self, *, overwrite: bool, name: Path | None = None) -> None:
        """Rename the folder to its final name; an existing one keeps its other files.

        Args:
            overwrite: Whether existing pictures may be replaced.
            name: Another pattern than `target`, in a folder beside its own.

        Raises:
            MuxError: Pictures of these names exist by now and must not be overwritten.
        """
        if name is not None:
            self.target, self.folder = name, name.parent.resolve()
        try:
            if not self.folder.exists():
                self.partial.rename(self.folder)
                sync(self.folder.parent)
                return
            if pictures_in(self.target) and not overwrite:
                raise MuxError(
                    self.folder, "holds pictures of these names by now; remove them, or --overwrite"
                )
            count = len(pictures_in(self.partial / self.target.name))
        except OSError as error:
            raise write_error(self.target, error) from error
        self.move(count)

    def move(self, count: int) -> bool:
        """Move the remaining pictures into an existing folder, older ones removed before.

        Args:
            count: Of all pictures, moved ones too.

        Returns:
            Whether all are there now.

        Raises:
            MuxError: The disk refuses.
        """
        try:
            waiting = pictures_in(self.partial / self.target.name)
            if len(waiting) == count:  # none is moved yet, so all there are older
                names = {path.name for path in waiting}
                for path in pictures_in(self.target):
                    if path.name not in names:
                        path.unlink()
            for path in waiting:
                path.replace(self.folder / path.name)
            sync(self.folder)
            return len(pictures_in(self.target)) >= count
        except OSError as error:
            raise write_error(self.target, error) from error


# Filters after which a picture has the time of the one it was made from.
SAME_TIMES = frozenset(
    ("transpose", "hflip", "vflip", "scale", "crop", "pad", "format", "null", "unsharp", "nlmeans")
)


def first_number(info: SourceInfo, decode: DecodeOptions) -> int | None:
    """The pts of the picture that gets number 1, so that pictures of pictures keep their numbers.

    Returns:
        As for `PictureWriter`: None where frames are no pictures, or filters may drop some.
    """
    calls = parse_chain(decode.filter_chain).calls
    if info.format != PICTURES or decode.deinterlace in ("frame", "field"):
        return None
    if any(call.name not in SAME_TIMES for call in calls):
        return None
    return ceil(decode.start / info.video.time_base)
