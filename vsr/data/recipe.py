"""What the `real` and `footage` degradations draw from: chances and ranges, no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

Range = tuple[float, float]

# Read by pydantic, which is not needed to import this file.
_STRICT = {"extra": "forbid"}


# Tuples that are no ranges.
_LISTS = ("kernels", "codecs", "codec_odds", "severity_beta")
_ABOVE_ZERO = ("resize", "sinc_cutoff", "qscale", "severity_beta")


def _check(drawn_from: object, chances: tuple[str, ...]) -> None:
    """Hold chances against 0 to 1, and ranges against their order.

    Raises:
        ValueError: Naming the value.
    """
    for name, value in vars(drawn_from).items():
        if name in chances and not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; wanted a chance, from 0 to 1")
        ranged = isinstance(value, tuple) and name not in _LISTS
        if ranged and not 0 <= value[0] <= value[1]:
            raise ValueError(f"{name} is {value}; wanted the lower end first, from 0 on")
        if name in _ABOVE_ZERO and not min(value) > 0:
            raise ValueError(f"{name} is {value}; wanted numbers above 0")
        if name.endswith("_step") and value < 0:
            raise ValueError(f"{name} is {value}; wanted 0 or more")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One generation of copying: blur, resize, noise, JPEG, in this order.

    Lengths count in low-quality pixels, so that one recipe serves every scale. Where a `_step` is
    given, the value walks from frame to frame by at most that much, within its range.
    """

    __pydantic_config__ = _STRICT

    blur: float
    """Chance of a blur."""
    blur_sigma: Range
    """Standard deviation of the kernel along each axis."""
    resize: Range
    """Size of the picture afterwards, as a factor of the low-quality size (at most the truth's)."""
    noise: float
    """Chance of noise."""
    gaussian_sigma: Range
    """Of 255."""
    poisson_scale: Range
    """Standard deviation of the noise against that of 255 photons at white."""
    jpeg: float
    """Chance of JPEG on every frame."""
    jpeg_quality: Range
    """From 0 (nothing left) to 100."""
    sinc_cutoff: Range = (1.6, 3.14)
    """Of the blurs that ring, in radians per low-quality pixel; up to pi at the picture's own."""
    blur_step: float = 0.01
    """How far `blur_sigma` walks from frame to frame at most."""
    sinc_step: float = 0.01
    """How far `sinc_cutoff` does."""
    gaussian_step: float = 0.1
    """How far `gaussian_sigma` does."""
    poisson_step: float = 0.005
    """How far `poisson_scale` does."""
    jpeg_step: float = 3.0
    """How far `jpeg_quality` does."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn from; see `_check`."""
        _check(self, chances=("blur", "noise", "jpeg"))


# Six Gaussians and the sinc.
_KERNELS = 7

_FIRST = Order(
    blur=0.7,
    blur_sigma=(0.1, 0.7),
    resize=(0.75, 4.0),
    noise=0.7,
    gaussian_sigma=(1, 15),
    poisson_scale=(0.05, 1.5),
    jpeg=0.3,
    jpeg_quality=(45, 95),
)
_SECOND = Order(
    blur=0.3,
    blur_sigma=(0.1, 0.4),
    resize=(0.8, 2.0),
    noise=0.3,
    gaussian_sigma=(1, 8),
    poisson_scale=(0.05, 0.8),
    jpeg=0.2,
    jpeg_quality=(60, 95),
)


@dataclass(frozen=True, kw_only=True)
class RealRecipe:
    """The `real` degradation: two orders, a video codec after each, and what archives add.

    Structure, odds of kernels and walks are those of RealBasicVSR (Chan et al., CVPR 2022, sec.
    4.1; `realbasicvsr_wogan_c64b20_2x30x8_lr1e-4_300k_reds.py`). The ranges are narrower: there,
    Gaussian noise reaches 30, pictures shrink to 0.6 of the low-quality size, JPEG goes down to 30
    and every stage always runs. Seen on contact sheets, that leaves samples in which nothing can
    be told. And what befalls a clip hangs together (`severity`): drawn one by one from ranges this
    wide, few clips are without something bad, which footage that people keep is not like.
    """

    __pydantic_config__ = _STRICT

    clean: float = 0.1
    """Chance that a clip is only shrunk bicubically: clean input must not get worse."""
    severity: Range = (0.0, 1.0)
    """How far the ranges below open, drawn per clip: 0 to their gentle end, 1 wholly."""
    first: Order = field(default_factory=lambda: _FIRST)
    """What camera and first file did; at most the size of the truth."""
    second: Order = field(default_factory=lambda: _SECOND)
    """What the next copy did."""
    kernels: tuple[float, ...] = (0.405, 0.225, 0.108, 0.027, 0.108, 0.027, 0.1)
    """Odds of Gaussian, generalised Gaussian, plateau, each round and then oval; and of sinc."""
    generalised_beta: Range = (0.5, 4.0)
    """Shape of the generalised Gaussian; 1 is a Gaussian."""
    plateau_beta: Range = (1.0, 2.0)
    """Shape of the plateau."""
    sinc_cutoff: Range = (1.6, 3.14)
    """Of that at the end, in radians per low-quality pixel."""
    final_sinc: float = 0.3
    """Chance of such a low-pass at the end: sharpening and ringing of scalers."""
    gray_noise: float = 0.4
    """Chance that noise is the same in all three channels."""
    codecs: tuple[str, ...] = ("libx264", "libx265", "mpeg4", "mpeg2video")
    """Encoders, each as likely."""
    first_codec: float = 0.4
    """Chance of a video codec after the first order."""
    last_codec: float = 0.8
    """Chance of one at or near the low-quality size."""
    quantiser: Range = (16, 31)
    """On H.264's scale: 18 is hard to see, 23 x264's default, 31 poor."""
    gop: tuple[int, int] = (8, 60)
    """Frames from one key frame to the next."""
    archive: float = 0.15
    """Chance of an old film or tape; the rest of the list is for these."""
    grain_sigma: Range = (2, 12)
    """Film grain in the middle tones, of 255."""
    grain_size: Range = (0.1, 0.4)
    """Standard deviation of a grain, in low-quality pixels."""
    flicker: float = 0.05
    """Largest change of brightness of a frame, as a factor."""
    scratches: int = 2
    """Most vertical scratches at once."""
    comb: float = 0.4
    """Chance of remnants of interlacing."""
    comb_weight: Range = (0.2, 0.8)
    """How much of every other row comes from the next frame."""
    bleed: float = 0.4
    """Chance of colour as poor as on tape."""

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn from; see `_check`."""
        chances = ("clean", "gray_noise", "final_sinc", "first_codec", "last_codec", "archive")
        _check(self, chances=(*chances, "comb", "bleed"))
        if not self.severity[1] <= 1:
            raise ValueError(f"severity is {self.severity}; wanted two numbers from 0 to 1")
        if len(self.kernels) != _KERNELS or min(self.kernels) < 0 or not sum(self.kernels):
            raise ValueError(f"kernels is {self.kernels}; wanted {_KERNELS} odds, not all 0")
        if not self.codecs:
            raise ValueError("codecs is empty; wanted names of encoders")
        if self.gop[0] < 1 or self.scratches < 0:
            raise ValueError(
                f"gop is {self.gop} and scratches {self.scratches}; "
                "wanted gop from 1 frame on, and no less than 0 scratches"
            )


def opened(recipe: RealRecipe, severity: float) -> RealRecipe:
    """Narrow a recipe to what a clip of one severity is drawn from.

    Each range keeps its gentle end; its other end moves there as severity falls to 0. The second
    generation of copying, its codec and the low-pass that rings become as much less likely. Chances
    of what the picture shows from the start (blur, noise, JPEG, the last codec) stay.

    Args:
        recipe: At severity 1.
        severity: 0 to 1.
    """
    return replace(
        recipe,
        severity=(1.0, 1.0),
        first=_opened_order(recipe.first, severity, chance=1.0),
        second=_opened_order(recipe.second, severity, chance=severity),
        sinc_cutoff=_from_above(recipe.sinc_cutoff, severity),
        final_sinc=recipe.final_sinc * severity,
        first_codec=recipe.first_codec * severity,
        quantiser=_from_below(recipe.quantiser, severity),
        grain_sigma=_from_below(recipe.grain_sigma, severity),
        flicker=recipe.flicker * severity,
        comb_weight=_from_below(recipe.comb_weight, severity),
    )


def _opened_order(order: Order, severity: float, chance: float) -> Order:
    smallest, largest = order.resize
    # No smaller than the low-quality size is gentle; in ratios, as sizes are drawn.
    gentle = min(largest, max(smallest, 1.0))
    return replace(
        order,
        blur=order.blur * chance,
        blur_sigma=_from_below(order.blur_sigma, severity),
        sinc_cutoff=_from_above(order.sinc_cutoff, severity),
        resize=(gentle * math.exp(severity * math.log(smallest / gentle)), largest),
        noise=order.noise * chance,
        gaussian_sigma=_from_below(order.gaussian_sigma, severity),
        poisson_scale=_from_below(order.poisson_scale, severity),
        jpeg=order.jpeg * chance,
        jpeg_quality=_from_above(order.jpeg_quality, severity),
    )


def _from_below(span: Range, severity: float) -> Range:
    low, high = span
    return low, low + (high - low) * severity


def _from_above(span: Range, severity: float) -> Range:
    low, high = span
    return high - (high - low) * severity, high


@dataclass(frozen=True, kw_only=True)
class FootageRecipe:
    """The `footage` degradation: whole films, degraded as cameras, tapes, scalers and codecs do.

    A codec sees the whole film, not a crop of it. What happens to one film hangs together: each of
    its strengths is drawn around the film's severity, and no stage is certain. Lengths count in
    low-quality pixels.

    Looked at beside films of 1916 and 1940 and a webcam recording (`scripts/contact_sheet.py
    --degradation footage`): blocks, smeared skin and colour look alike; the real ones are milder
    and softer. With severities drawn evenly from 0 to 1 several films of a sheet had lost their
    faces, so they are drawn from a beta distribution with its mean at 0.45.
    """

    __pydantic_config__ = _STRICT

    clean: float = 0.16
    """Chance of a film that is only shrunk bicubically."""
    severity_beta: tuple[float, float] = (1.3, 1.6)
    """Parameters of the beta distribution that a film's severity is drawn from."""
    spread: float = 0.4
    """Largest distance of a strength from the film's severity."""
    dark: float = 0.18
    """Chance of a dark scene; the truth is darkened too."""
    dark_gain: Range = (0.15, 0.7)
    """Its brightness, as a factor."""
    grey: float = 0.07
    """Chance of a black-and-white film; so is the truth."""
    blur: float = 0.45
    """Chance of a blur before the picture is sampled."""
    blur_sigma: Range = (0.2, 0.9)
    """Its standard deviation."""
    sampling: float = 0.35
    """Chance of a filter other than bicubic on the way to the low-quality size."""
    archive: float = 0.07
    """Chance of grain, scratches and flicker."""
    grain_sigma: Range = (2, 14)
    """Film grain in the middle tones, of 255."""
    flicker: float = 0.06
    """Largest change of brightness of a frame, as a factor."""
    sharpen: float = 0.2
    """Chance of an unsharp mask, halos included; the truth stays as it is."""
    sharpen_amount: Range = (0.2, 1.5)
    """Its strength."""
    sharpen_size: Range = (0.5, 1.5)
    """Standard deviation of its blur."""
    tape: float = 0.14
    """Chance of fields woven from neighbouring frames, poor colour, and bwdif after the codec."""
    noise: float = 0.5
    """Chance of sensor noise before the codec; in dark scenes more."""
    noise_grey: Range = (0.5, 11)
    """Noise common to all channels, of 255."""
    noise_colour: Range = (0.5, 8)
    """Noise of each channel, of 255."""
    noise_size: Range = (0.0, 0.8)
    """Standard deviation of its grains, for four in ten; else white."""
    codec: float = 0.93
    """Chance of a first codec."""
    again: float = 0.35
    """Chance of a second generation, more for severe films."""
    again_size: Range = (0.6, 1.0)
    """Size between the two, as a factor, for six in ten."""
    codecs: tuple[str, ...] = (
        "libx264", "libx265", "libvpx-vp9", "mpeg2video", "mpeg4", "mjpeg"
    )  # fmt: skip
    """Encoders."""
    codec_odds: tuple[float, ...] = (0.42, 0.12, 0.08, 0.15, 0.12, 0.11)
    """Odds of each."""
    crf: Range = (18, 40)
    """Of x264, in three presets, and x265; VP9 gets six more."""
    qscale: Range = (2, 16)
    """Of MPEG-2, MPEG-4 and MJPEG."""

    def __post_init__(self) -> None:
        """Refuse values that nothing can be drawn from; see `_check`."""
        chances = ("clean", "dark", "grey", "blur", "sampling", "archive", "sharpen", "tape")
        _check(self, chances=(*chances, "noise", "codec", "again", "spread"))
        odds = self.codec_odds
        if len(self.codecs) != len(odds) or not sum(odds) or min(odds) < 0:
            raise ValueError(
                f"codecs has {len(self.codecs)} names and codec_odds {len(self.codec_odds)} "
                "numbers; wanted one each, from 0 on and not all 0"
            )
