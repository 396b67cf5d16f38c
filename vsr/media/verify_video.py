"""Compare the enhanced stream of a finished file with what was to come of it: shape and tags."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from vsr.media.checks import Check, check
from vsr.media.containers import LABELS, PICTURES, TargetKind
from vsr.media.encode import EncodePlan
from vsr.media.frames import spans_full_range
from vsr.media.h273 import (
    MATRIX_NAMES,
    PRIMARIES_NAMES,
    RANGE_NAMES,
    TRANSFER_NAMES,
    UNSPECIFIED,
    numbered,
)
from vsr.media.pixel_formats import plane_format
from vsr.media.probe import ColorTags, HdrMetadata, SourceInfo, VideoInfo
from vsr.media.turning import as_turned

# Two codes of one matrix (H.273, table 4); MJPEG is read back as the first.
_BT601 = (5, 6)


class Shape(NamedTuple):
    """Of pictures: their size in pixels, and the width of a pixel over its height."""

    width: int
    height: int
    aspect: Fraction


def check_video(
    kind: TargetKind,
    info: SourceInfo,
    made: SourceInfo,
    *,
    plan: EncodePlan | None,
    shape: Shape | None,
    chain: str | None,
) -> list[Check]:
    """Compare size, shape of pixels, rotation, colour tags and HDR metadata.

    Args:
        kind: What the finished file is.
        info: The source.
        made: The finished file.
        plan: How it was encoded; None to judge by the source alone.
        shape: Of the source's frames after filters; None for that of the source.
        chain: The filters that the source's frames went through.
    """
    before, after = as_turned(info, chain)[0].video, made.video
    checks = []
    if plan is not None:
        checks.append(
            _equal("size", f"{plan.width}x{plan.height}", f"{after.width}x{after.height}")
        )
    if kind.muxer == PICTURES:
        return checks
    found = Shape(after.width, after.height, after.sample_aspect_ratio or Fraction(1))
    if plan is not None:
        aspect = plan.sample_aspect_ratio or Fraction(1)
    else:
        aspect = _aspect_wanted(shape or _shape(before), found)
    checks.append(_equal("sample aspect ratio", str(aspect), str(found.aspect)))
    if "rotation" in LABELS[kind.muxer]:
        turned = before.rotation if plan is None or plan.display_matrix is not None else 0
        checks.append(_equal("rotation", str(turned), str(after.rotation)))
    gray = plan.planes.chroma == "gray" if plan else after.pix_fmt.startswith("gray")
    checks.append(_check_color(plan.told if plan else before.color, _told(after), gray=gray))
    hdr = plan.hdr if plan else before.hdr
    checks.append(
        check("HDR metadata", _same_hdr(hdr, after.hdr), f"wanted {hdr}, found {after.hdr}")
        if hdr != after.hdr
        else check("HDR metadata", True, "kept" if hdr else "none, as in the source")
    )
    return checks


def _shape(video: VideoInfo) -> Shape:
    return Shape(video.width, video.height, video.sample_aspect_ratio or Fraction(1))


def _aspect_wanted(source: Shape, found: Shape) -> Fraction:
    """Give the shape of pixels with which a picture of this size shows what the source does.

    That of the source, or that which makes up for another size; what was found, where the two
    differ by the pixel to which sides are rounded.
    """
    exact = source.aspect * Fraction(source.width * found.height, source.height * found.width)
    pixel = max(Fraction(1, found.width), Fraction(1, found.height))
    if abs(found.aspect / exact - 1) <= pixel:
        return found.aspect
    return source.aspect if abs(source.aspect / exact - 1) <= pixel else exact


def _told(video: VideoInfo) -> ColorTags:
    """Give a film's tags, the range as players take it where none is written.

    Grey, as of FFV1 in AVI, is read as full; YUV as limited, such as the grey of x264, which comes
    back as that, and of which x264 writes no range.
    """
    planes = plane_format(video.pix_fmt)
    if planes is None or video.color.range:
        return video.color
    return replace(video.color, range=2 if spans_full_range(planes, 0) else 1)


def _check_color(wanted: ColorTags, found: ColorTags, *, gray: bool) -> Check:
    """Compare the tags that the source has; what it leaves open may be filled in."""
    if gray:
        wanted = replace(wanted, matrix=UNSPECIFIED)
    if found.matrix in _BT601 and wanted.matrix in _BT601:
        found = replace(found, matrix=wanted.matrix)
    tags = [
        ("primaries", PRIMARIES_NAMES),
        ("transfer", TRANSFER_NAMES),
        ("matrix", MATRIX_NAMES),
    ]
    wrong = [
        f"{name} {numbered(names, before)} became {numbered(names, after)}"
        for name, names in tags
        if (before := getattr(wanted, name)) not in (after := getattr(found, name), UNSPECIFIED)
    ]
    if wanted.range not in (found.range, 0):
        after = RANGE_NAMES.get(found.range, "untagged")
        wrong.append(f"range {RANGE_NAMES[wanted.range]} became {after}")
    return check("colour tags", not wrong, "; ".join(wrong) or "kept")


def _same_hdr(wanted: HdrMetadata | None, found: HdrMetadata | None) -> bool:
    """Compare within the steps that the bit streams count in."""
    if wanted is None or found is None:
        return wanted is found
    chroma, light = Fraction(1, 50000), Fraction(1, 1000)
    for name in ("red", "green", "blue", "white"):
        a, b = getattr(wanted, name), getattr(found, name)
        if (a is None) != (b is None):
            return False
        if a is not None and any(abs(x - y) > chroma for x, y in zip(a, b, strict=True)):
            return False
    for name in ("min_luminance", "max_luminance"):
        a, b = getattr(wanted, name), getattr(found, name)
        if (a is None) != (b is None) or (a is not None and abs(a - b) > light):
            return False
    return (wanted.max_content_light or 0, wanted.max_frame_average_light or 0) == (
        found.max_content_light or 0,
        found.max_frame_average_light or 0,
    )


def _equal(name: str, wanted: str, found: str) -> Check:
    same = wanted == found
    return check(name, same, f"{found}" if same else f"wanted {wanted}, found {found}")
