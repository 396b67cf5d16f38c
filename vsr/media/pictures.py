"""Write a sequence of PNG pictures, in a hidden folder first, as `mux.Writer` does with files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from vsr.errors import EncodeError, MuxError
from vsr.media import encoders
from vsr.media.containers import partial_path, pictures_in
from vsr.media.encode import EncodePlan
from vsr.media.frames import Plane
from vsr.media.mux import write_error


class PictureWriter:
    """Write every frame as a PNG file of 8 or 16 bits; a context manager.

    Leaving the context before `publish` removes what was written.

    Attributes:
        partial: The folder being written, to be verified after `finish`.
        warnings: Always empty; for the sake of `mux.Writer`.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, pattern: Path, plan: EncodePlan, *, first_number: int = 1) -> None:
        """Create the hidden folder; what an earlier, killed run left in it is removed.

        Args:
            pattern: `TargetKind.pattern`: the folder with a printf pattern for the names.
            plan: For the muxer "images".
            first_number: In the first picture's name.

        Raises:
            MuxError: The folder cannot be created.
        """
        self.target = pattern
        self.folder = pattern.parent.resolve()
        self.partial = partial_path(self.folder)
        self.plan = plan
        self.frames = 0
        self._first = first_number
        self._finished = self._published = False
        self._context = av.Codec(plan.codec, "w").create("video")
        self._context.width, self._context.height = plan.width, plan.height
        self._context.pix_fmt, self._context.time_base = plan.pix_fmt, plan.time_base
        self._context.options = dict(plan.options)
        try:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=False)
        except OSError as error:
            raise write_error(pattern, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._published:
            shutil.rmtree(self.partial, ignore_errors=True)

    def write(self, planes: Sequence[Plane], pts: int, duration: int) -> None:
        """Write one picture; pictures hold no times, so order is all that remains of them.

        Raises:
            EncodeError: The encoder refused the frame.
            MuxError: The disk is full.
        """
        frame = encoders.make_frame(self.plan, tuple(planes), self.frames, 1)
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise EncodeError(self.target, f"PNG refused frame {self.frames}: {error}") from error
        name = self.target.name % (self._first + self.frames)
        try:
            with (self.partial / name).open("wb") as file:
                for packet in packets:
                    file.write(bytes(packet))
        except OSError as error:
            raise write_error(self.target, error) from error
        self.frames += 1

    def finish(self) -> None:
        """Sync the folder to disk.

        Raises:
            MuxError: No frame was written.
        """
        if not self.frames:
            raise MuxError(self.target, "no frame came out of the input; nothing was written")
        with contextlib.suppress(OSError):  # some file systems sync no folders
            handle = os.open(self.partial, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        self._finished = True

    def publish(self, *, overwrite: bool) -> None:
        """Give the folder its name; an existing one keeps its other files.

        Raises:
            MuxError: Pictures of these names have come into being and must not be overwritten.
        """
        if not self._finished:
            raise ValueError("publish() before finish()")
        try:
            if not self.folder.exists():
                self.partial.rename(self.folder)
            else:
                self._move_into_folder(overwrite=overwrite)
        except OSError as error:
            raise write_error(self.target, error) from error
        self._published = True

    def _move_into_folder(self, *, overwrite: bool) -> None:
        old = pictures_in(self.target)
        if old and not overwrite:
            raise MuxError(
                self.folder, "holds pictures of these names by now; remove them, or --overwrite"
            )
        new = {path.name for path in self.partial.iterdir()}
        for name in sorted(new):
            (self.partial / name).replace(self.folder / name)
        for path in old:
            if path.name not in new:
                path.unlink()
        self.partial.rmdir()
