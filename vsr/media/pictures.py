"""Write a sequence of PNG pictures: into a hidden folder first, as videos go into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import av

from vsr.errors import EncodeError, MuxError
from vsr.files import sync, write_error
from vsr.media import encoders
from vsr.media.containers import pictures_in
from vsr.media.types import Captions, EncodePlan, Plane


class PictureWriter:
    """Write frames as PNG files of 8 or 16 bits; does for pictures what `PieceWriter` does.

    Attributes:
        size: Bytes of the pictures so far.
    """

    def __init__(self, folder: Path, target: Path, plan: EncodePlan, *, done: int = 0) -> None:
        """Create the folder where it is missing.

        Args:
            folder: Where the pictures wait until all are there; old ones are replaced.
            target: `TargetKind.pattern`; its name is that of the pictures.
            plan: For the muxer "images".
            done: How many pictures there are already.

        Raises:
            MuxError: The folder cannot be created.
        """
        self.folder = folder
        self.target = target
        self.plan = plan
        self.size = 0
        self._next = done + 1
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
        """Write one picture; pictures hold neither times nor captions.

        Raises:
            EncodeError: The encoder refused the frame.
            MuxError: The disk is full.
        """
        frame = encoders.make_frame(self.plan, tuple(planes), self._next, 1)
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise EncodeError(self.target, f"PNG refused frame {self._next}: {error}") from error
        path = self.folder / (self.target.name % self._next)
        try:
            self.size += path.write_bytes(b"".join(bytes(packet) for packet in packets))
        except OSError as error:
            raise write_error(self.target, error) from error
        self._written.append(path)
        self._next += 1

    def finish(self) -> None:
        """Wait until the pictures are on the disk.

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
        """Do nothing: pictures that are not finished are written again by the next run."""


class PictureFolder:
    """The finished pictures on their way to their names; does for them what `mux.Writer` does.

    Attributes:
        partial: The folder they are in, to be verified.
        warnings: Always empty.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, partial: Path, pattern: Path) -> None:
        """Take the folder that `PictureWriter` wrote, and where its pictures shall go."""
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
            raise MuxError(self.target, "no frame came out of the input; nothing was written")

    def publish(self, *, overwrite: bool) -> None:
        """Give the folder its name; an existing one keeps its other files.

        Raises:
            MuxError: Pictures of these names have come into being and must not be overwritten.
        """
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
        """Move pictures into a folder that exists, or those that are left of them.

        Old pictures beyond the new ones are removed.

        Args:
            count: All of them, moved ones too.

        Returns:
            Whether all are there now.

        Raises:
            MuxError: The disk refuses.
        """
        names = [self.target.name % (index + 1) for index in range(count)]
        try:
            for name in names:
                if (self.partial / name).exists():
                    (self.partial / name).replace(self.folder / name)
            if not all((self.folder / name).exists() for name in names):
                return False
            new = set(names)
            for path in pictures_in(self.target):
                if path.name not in new:
                    path.unlink()
            sync(self.folder)
        except OSError as error:
            raise write_error(self.target, error) from error
        return True
