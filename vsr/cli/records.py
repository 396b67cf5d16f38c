"""Reports, summaries and tables: written only where no film is, or will be."""

from __future__ import annotations

import codecs
from pathlib import Path

from vsr.durable import write_error
from vsr.errors import ConfigError
from vsr.media.containers import MUXERS


def check_record(path: Path, flag: str, *, is_json: bool) -> None:
    """Refuse a place for JSON or a table that is a film, or the name of one to come.

    Writing there would replace the source, or the output that was just verified.

    Args:
        path: The file that will be written.
        flag: The option that named it.
        is_json: Only JSON may be replaced; otherwise any text.

    Raises:
        ConfigError: It must not be written there.
        MuxError: What is there cannot be read.
    """
    if path.suffix.lower() in (*MUXERS, ".png"):
        raise ConfigError(
            f"{flag} wants a file for text, and '{path}' is the name of a film or picture; give "
            "another name"
        )
    try:
        if path.is_file() and not _holds(path, is_json=is_json):
            kind = "JSON" if is_json else "text"
            raise ConfigError(
                f"{flag} writes {kind}, and '{path}' exists and holds something else; give "
                "another name"
            )
    except OSError as error:
        raise write_error(path, error) from error


def _holds(path: Path, *, is_json: bool) -> bool:
    """Judge a file by its beginning, as it may be a film of any length."""
    with path.open("rb") as file:
        start = file.read(2**16)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except ValueError:
        return False
    return text.lstrip()[:1] in ("", "{") if is_json else "\0" not in text
