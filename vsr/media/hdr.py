"""HDR10 static metadata in the words of each encoder."""

from __future__ import annotations

from fractions import Fraction

from vsr.media.probe import HdrMetadata

# H.265 (D.3.28): chromaticities in steps of 0.00002, luminances in steps of 0.0001 cd/m2.
CHROMATICITY_STEPS = 50000
LUMINANCE_STEPS = 10000


def mastering_display(hdr: HdrMetadata) -> str | None:
    """Write a mastering display as x264 and x265 take it: "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)".

    Returns:
        The text, or None where primaries or luminances are missing: the message has no way to
        leave out one of them.
    """
    points = _points(hdr)
    if points is None or hdr.max_luminance is None or hdr.min_luminance is None:
        return None
    colors = "".join(
        f"{name}({round(x * CHROMATICITY_STEPS)},{round(y * CHROMATICITY_STEPS)})"
        for name, (x, y) in points
    )
    highest = round(hdr.max_luminance * LUMINANCE_STEPS)
    lowest = round(hdr.min_luminance * LUMINANCE_STEPS)
    return f"{colors}L({highest},{lowest})"


def mastering_display_decimal(hdr: HdrMetadata) -> str | None:
    """Write a mastering display as SVT-AV1 takes it: the same with decimal numbers."""
    points = _points(hdr)
    if points is None or hdr.max_luminance is None or hdr.min_luminance is None:
        return None
    colors = "".join(f"{name}({float(x):.5f},{float(y):.5f})" for name, (x, y) in points)
    return f"{colors}L({float(hdr.max_luminance):.4f},{float(hdr.min_luminance):.4f})"


def content_light(hdr: HdrMetadata) -> str | None:
    """Write MaxCLL and MaxFALL: "1000,400"; None where neither is known."""
    if hdr.max_content_light is None and hdr.max_frame_average_light is None:
        return None
    return f"{hdr.max_content_light or 0},{hdr.max_frame_average_light or 0}"


def encoder_parameters(codec: str, hdr: HdrMetadata) -> dict[str, str] | None:
    """Give the library parameters that carry the metadata.

    Args:
        codec: FFmpeg encoder name.

    Returns:
        Keys and values for `x264-params`, `x265-params` or `svtav1-params`; None where the encoder
        has no way to carry them.
    """
    if codec == "libx265":
        known = {
            "hdr10": "1",
            "repeat-headers": "1",
            "master-display": mastering_display(hdr),
            "max-cll": content_light(hdr),
        }
    elif codec == "libx264":
        known = {"mastering-display": mastering_display(hdr), "cll": content_light(hdr)}
    elif codec == "libsvtav1":
        known = {
            "mastering-display": mastering_display_decimal(hdr),
            "content-light": content_light(hdr),
        }
    else:
        return None
    return {key: value for key, value in known.items() if value is not None}


def _points(
    hdr: HdrMetadata,
) -> tuple[tuple[str, tuple[Fraction, Fraction]], ...] | None:
    if hdr.red is None or hdr.green is None or hdr.blue is None or hdr.white is None:
        return None
    return (("G", hdr.green), ("B", hdr.blue), ("R", hdr.red), ("WP", hdr.white))
