"""The containers that can be written, and checks of a target before any work."""

from __future__ import annotations

import codecs
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.errors import ConfigError, MuxError
from vsr.files import write_error

PATTERN = re.compile(r"%(?P<zero>0?)(?P<width>\d*)d")
PICTURES = "images"
MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
}
# Taken from folders as videos; a named file may have any suffix.
VIDEO_SUFFIXES = frozenset((
    *MUXERS, ".mpg", ".mpeg", ".m2v", ".mpv", ".vob", ".mts", ".m2ts", ".mxf", ".dv", ".wmv",
    ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".ogm", ".rm", ".rmvb", ".divx", ".y4m",
    ".h264", ".264", ".h265", ".hevc", ".avif", ".gif",
))  # fmt: skip
# Labels that FFmpeg 8's muxers write and its demuxers read again; tried one by one.
LABELS = {
    "mp4": {"language", "title", "chapters", "rotation"},
    "mov": {"language", "title", "chapters", "rotation"},
    "matroska": {"language", "title", "chapters", "rotation"},
    "webm": {"language", "title", "chapters", "rotation"},
    "avi": {"title"},
    "mpegts": {"language"},
}
_MATROSKA = {"default", "dub", "original", "comment", "forced", "hearing_impaired"}
DISPOSITIONS = {
    "mp4": {
        "default", "dub", "comment", "forced", "hearing_impaired", "visual_impaired", "captions",
        "descriptions",
    },
    "mov": {"default"},
    "matroska": {*_MATROSKA, "visual_impaired"},
    "webm": {"default", "forced"},
    "avi": set[str](),
    "mpegts": {"hearing_impaired", "visual_impaired", "clean_effects"},
}  # fmt: skip
# These two accept any codec in the header and then lose it, or its times.
CODECS = {
    "avi": {
        "h264", "mpeg4", "mpeg2video", "mjpeg", "mp2", "mp3", "ac3", "pcm_u8", "pcm_s16le",
        "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le",
    },
    "mpegts": {
        "h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "aac", "mp2", "mp3", "ac3", "eac3",
        "dts", "opus", "dvb_subtitle", "dvb_teletext", "klv", "scte_35",
    },
}  # fmt: skip
# Padding of MPEG-TS (ISO/IEC 13818-1, 2.4.3.3). FFmpeg does not recognise a film of a few flat
# frames: it looks at 2048 bytes at least.
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184
SHORTEST_TS = 12
# One file system limit, 255 bytes per name, minus what the temporary name adds.
LONGEST_NAME = 255 - len(".") - len(".part")


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetKind:
    """Kind of the target.

    Attributes:
        muxer: FFmpeg muxer name ("mp4", "matroska"), or "images".
        pattern: For "images": the printf pattern of the picture files; otherwise the file.
    """

    muxer: str
    pattern: Path


def target_kind(target: str | os.PathLike[str]) -> TargetKind:
    """Kind of a target by its name: a container by its extension, or PNG pictures.

    A folder (an existing one, or a string that ends with a slash) and a printf pattern such as
    "out/%06d.png" mean pictures. A `Path` loses its last slash: pass the user's own string first,
    and `TargetKind.pattern` later.

    Raises:
        ConfigError: The name is empty.
        MuxError: The extension is not known.
    """
    text = os.fspath(target)
    if not text:  # as from a shell's variable that is not set, not the current folder
        raise ConfigError("the name of the output is empty")
    path = Path(text)
    if text.endswith(("/", os.sep)) or path.is_dir():
        return TargetKind(muxer=PICTURES, pattern=path / "%06d.png")
    if "%" in path.name and path.suffix.lower() == ".png":
        _check_pattern(path)
        return TargetKind(muxer=PICTURES, pattern=path)
    muxer = MUXERS.get(path.suffix.lower())
    if muxer is None:
        known = " ".join(MUXERS)
        found = f"the extension {path.suffix!r} is unknown" if path.suffix else "has no extension"
        raise MuxError(
            path,
            f"{found}; name a video file ({known}), a folder with a slash at its end, or a pattern "
            "such as frames/%06d.png",
        )
    return TargetKind(muxer=muxer, pattern=path)


def check_target(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool
) -> TargetKind:
    """Refuse a target that cannot or must not be written, before any work.

    Args:
        source: The input file, folder or pattern.
        target: The output as the user named it.
        overwrite: Whether an existing output may be replaced.

    Raises:
        MuxError: The output is the input (also by a symbolic or hard link), exists already, has
            an unknown extension, or its folder is missing or cannot be written to.
    """
    kind = target_kind(target)
    if kind.muxer == PICTURES:
        _check_picture_folder(Path(source), kind.pattern, overwrite=overwrite)
        return kind
    path = kind.pattern
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise MuxError(path, f"the name is longer than {LONGEST_NAME} bytes; shorten it")
    if _same_file(Path(source), path):
        raise MuxError(path, "the output is the input itself; give the output another name")
    if path.exists() and not overwrite:
        raise MuxError(path, "exists already; give another name, or --overwrite to replace it")
    if os.path.lexists(path) and not path.exists():
        raise MuxError(path, "is a link to nothing; remove it or give another name")
    if path.exists() and not path.is_file():
        raise MuxError(path, "is no regular file; give the output another name")
    _check_folder(path.parent, path)
    return kind


def damaged_kind(kind: TargetKind) -> TargetKind:
    """Kind with the name of an output that lacks much: NAME.damaged.EXT, or the folder's so."""
    if kind.muxer == PICTURES:
        folder = kind.pattern.parent.resolve()
        named = folder.with_name(f"{folder.name}.damaged")
        return replace(kind, pattern=named / kind.pattern.name)
    return _worded(kind, "damaged")


def part_kind(kind: TargetKind) -> TargetKind:
    """Kind of a film of what is finished, with its name: NAME.part.EXT."""
    return _worded(kind, "part")


def own_path(target: Path) -> Path:
    """The file that a link leads to, maybe on another disk; other paths as they are."""
    return target.resolve() if target.is_symlink() else target


def _worded(kind: TargetKind, word: str) -> TargetKind:
    path = own_path(kind.pattern)
    ending = os.fsencode(f".{word}{path.suffix}")
    stem = os.fsencode(path.stem)[: LONGEST_NAME - len(ending)]
    return replace(kind, pattern=path.with_name(os.fsdecode(stem + ending)))


def check_damaged_name(kind: TargetKind, *, overwrite: bool) -> None:
    """Refuse where the name of a damaged output is taken, before any work.

    Raises:
        MuxError: It exists, and must not be replaced.
    """
    path = damaged_kind(kind).pattern
    taken = path.exists()
    if kind.muxer == PICTURES:
        taken = path.parent.is_dir() and bool(pictures_in(path))
        path = path.parent
    if taken and not overwrite:
        raise MuxError(
            path,
            "exists already, and the output gets this name if more than a tenth of the input is "
            "lost; remove it, or --overwrite to replace it, or --allow-damage",
        )


def partial_path(target: Path) -> Path:
    """Hidden sibling of `target` that is written first, and renamed once verified."""
    return target.with_name(f".{target.name}.part")


def work_path(target: Path) -> Path:
    """Name the hidden folder beside a target in which its pieces are collected."""
    target = target.resolve()
    return target.with_name(f".{target.name}.vsr")


def _check_pattern(path: Path) -> None:
    match = PATTERN.search(path.name)
    if match is None or path.name.count("%") != 1:
        raise MuxError(path, "the pattern must have one number, such as %06d")
    if match["width"] and not match["zero"]:  # it would be padded with spaces
        raise MuxError(path, f"write %0{match['width']}d, so that numbers begin with zeros")


def _check_folder(folder: Path, target: Path) -> None:
    if not folder.exists():
        raise MuxError(target, f"the folder {folder} does not exist; create it first")
    if not folder.is_dir():
        raise MuxError(target, f"{folder} is no folder; choose another place")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise MuxError(
            target,
            f"the folder {folder} cannot be written to ({error.strerror}); change its permissions "
            "or choose another place",
        ) from error


def _check_picture_folder(source: Path, pattern: Path, *, overwrite: bool) -> None:
    folder = pattern.parent
    _check_folder(folder.resolve().parent, pattern)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MuxError(folder, "is no folder; give the output another name")
    if folder.resolve() in (source.resolve(), source.resolve().parent) and (
        source.is_dir() or "%" in source.name
    ):
        raise MuxError(folder, "holds the input pictures; give the output another folder")
    taken = pictures_in(pattern)
    if any(_same_file(source, path) for path in taken):
        raise MuxError(folder, "holds the input itself under such a name; give another folder")
    if taken and not overwrite:
        raise MuxError(
            folder, "holds pictures of these names already; give another folder, or --overwrite"
        )
    _check_folder(folder, pattern)


def pictures_in(pattern: Path) -> list[Path]:
    """List the files that a printf pattern of pictures has written, in order."""
    before, _, rest = pattern.name.partition("%")
    after = rest[rest.index("d") + 1 :] if "d" in rest else ""
    found = []
    for path in pattern.parent.iterdir():
        number = path.name[len(before) : len(path.name) - len(after)]
        if number.isdecimal() and path.name == pattern.name % int(number):
            found.append((int(number), path))
    return [path for _, path in sorted(found)]


def _same_file(source: Path, target: Path) -> bool:
    return source.exists() and target.exists() and source.samefile(target)


def check_record(path: Path, flag: str, *, is_json: bool) -> None:
    """Refuse a path for JSON or a table that is a film's, or a future film's.

    Writing there would replace the source, or the output that was just verified.

    Args:
        path: The file that will be written.
        flag: The option that named it.
        is_json: Only JSON may be replaced; otherwise any text.

    Raises:
        ConfigError: It must not be written there.
        MuxError: It is a folder, or the existing file cannot be read.
    """
    if path.suffix.lower() in (*MUXERS, ".png"):
        raise ConfigError(
            f"{flag} writes text, and '{path}' is the name of a film or picture; give another name"
        )
    if path.is_dir():
        raise MuxError(path, f"is a folder, and {flag} writes a file; give another name")
    try:
        if path.is_file() and not _holds(path, is_json=is_json):
            kind = "JSON" if is_json else "text"
            raise ConfigError(
                f"{flag} writes {kind}, and '{path}' holds something else; give another name"
            )
    except OSError as error:
        raise write_error(path, error) from error


def _holds(path: Path, *, is_json: bool) -> bool:
    """Judge a file by its first bytes, as it may be a film of any length."""
    with path.open("rb") as file:
        start = file.read(2**16)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
    except ValueError:
        return False
    return text.lstrip()[:1] in ("", "{") if is_json else "\0" not in text


def lengthen_ts(path: Path) -> None:
    """Add null packets to MPEG-TS that is too short to be recognised."""
    missing = max(0, SHORTEST_TS - path.stat().st_size // len(NULL_PACKET))
    with path.open("ab") as file:
        file.write(NULL_PACKET * missing)
