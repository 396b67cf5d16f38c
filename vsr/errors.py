"""All errors that `vsr` raises about its input and the machine.

    VsrError
      ConfigError            an option that is unknown, of the wrong type or contradictory
      MediaError             carries the path
        ProbeError           the file cannot be read as video
        DecodeError          its frames cannot be decoded
        DamagedError         too many of its frames are lost; the output got another name
        EncodeError          the encoder refused
        MuxError             the output cannot be written
          StreamError        one stream beside the video cannot be written
          BusyError          another process writes it
          DiskError          its disk is full, will be, or fails; the same call continues later
        VerifyError          the finished file is not what it should be
      WeightsError
        ChecksumError        the file differs from the published one
        CheckpointFormatError  the file does not fit the network
      ExportError            a network cannot be written for other engines
      DatasetError           a folder is not laid out as expected
      FrameError             a frame given from Python has another shape, type or range
      OutOfMemoryError       even the smallest tile does not fit
      CancelledError         the caller's event was set; the same call continues later

A message has what was wanted, what came and what to do. A wrong call within `vsr` is a `ValueError`
or `TypeError` instead. Only the command line and the batch worker catch these.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Protocol


class VsrError(Exception):
    """Base of all errors that a user can cause or meet."""


class ConfigError(VsrError):
    """An option is unknown, of the wrong type, or contradicts another."""


class MediaError(VsrError):
    """A media file cannot be read or written.

    Attributes:
        path: The file in question.
    """

    def __init__(self, path: str | PathLike[str], message: str) -> None:
        self.path = fspath(path)
        # Both are kept: pickling, on the way from another process, needs the arguments.
        super().__init__(self.path, message)

    @property
    def reason(self) -> str:
        """The message without the path."""
        return str(self.args[1])

    def __str__(self) -> str:
        return ": ".join(self.args[:2])


class ProbeError(MediaError):
    """The file cannot be opened, or holds no video."""


class DecodeError(MediaError):
    """The frames of the file cannot be decoded."""


class DamagedError(MediaError):
    """More than a tenth of the input's frames are lost; the output is named as damaged.

    Attributes:
        result: Of `vsr.enhance`, as without the damage.
    """

    def __init__(self, path: str | PathLike[str], message: str, result: Any = None) -> None:  # noqa: ANN401
        super().__init__(path, message)
        self.result = result
        self.args = (self.path, message, result)


class EncodeError(MediaError):
    """The encoder refused the size or the frames, or lacks its hardware."""


class MuxError(MediaError):
    """The output file cannot be created or written."""


class StreamError(MuxError):
    """One stream beside the video cannot be written to the output.

    Attributes:
        index: Of the stream in the source.
    """

    def __init__(self, path: str | PathLike[str], message: str, index: int = -1) -> None:
        super().__init__(path, message)
        self.index = index
        self.args = (self.path, message, index)

    def __str__(self) -> str:
        return f"{super().__str__()}; write another container, such as .mkv"


class BusyError(MuxError):
    """Another process writes the same output; the same call continues when it has ended."""


class DiskError(MuxError):
    """The disk is full, or will be, or fails; finished work is kept, to be continued."""


class VerifyError(MediaError):
    """The finished file differs from what its source and the options call for."""


class WeightsError(VsrError):
    """Weights cannot be found or used."""


class ChecksumError(WeightsError):
    """A weight file's hash differs from the published one."""


class CheckpointFormatError(WeightsError):
    """A weight file does not fit the network; names the tensors that differ."""


class ExportError(VsrError):
    """A network cannot be written for other engines, or the file would compute something else."""


class DatasetError(VsrError):
    """A dataset folder is not laid out as expected; names the file looked for."""


class FrameError(VsrError):
    """A frame given to `vsr.enhance_frames` has another shape, type or range; names its number."""


class OutOfMemoryError(VsrError):
    """The smallest window and tile that make sense do not fit in memory."""


class CancelledError(VsrError):
    """The event given as `cancel` was set; finished work is kept, and the same call continues."""


class Cancel(Protocol):
    """What stops a job when it is set: `threading.Event`, `multiprocessing.Event` or alike."""

    def is_set(self) -> bool:
        """Whether the job shall stop."""


def stop_if(cancel: Cancel | None) -> None:
    """Stop where the caller wants no more.

    Raises:
        CancelledError: The event is set.
    """
    if cancel is not None and cancel.is_set():
        raise CancelledError("cancelled; finished work is kept, the same call continues it")


def in_one_line(error: Exception) -> str:
    """What an error of others' code says, in one line of some length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
