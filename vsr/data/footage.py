"""Whole films as cameras, tapes, scalers and codecs leave them: drawn at random, or by name."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsr.color import Chroma
from vsr.data.clips import Frames, sweep
from vsr.data.codecs import compress
from vsr.data.datasets import Shot, cut, draw_crop, picked, to_clip
from vsr.data.degrade import (
    bicubic_down,
    bleed,
    blur,
    comb,
    film_grain,
    flicker,
    gaussian_kernel,
    quantise,
    scratch,
    walk,
)
from vsr.data.recipe import FootageRecipe, Range
from vsr.errors import DatasetError
from vsr.files import whole, write_durably
from vsr.media.roundtrip import CodecSettings, deinterlace
from vsr.ops.color import ColorLayout, planes_to_rgb, rgb_to_planes, to_levels, to_picture
from vsr.ops.resize import resize

Case = Literal["clean", "web", "phone", "dark", "dvd", "soft", "twice", "tape"]
CASES: tuple[Case, ...] = get_args(Case)

LONGEST = 48
"""Frames of a film at most; longer shots give several."""

_SEEDS = 2**62
_LEAST_SIDE = 16
_ROWS = 8  # of a frame, by which it is known
_FIELDS = ColorLayout(matrix="bt601", full_range=False, bit_depth=8, chroma="444")
_GREY = (0.299, 0.587, 0.114)
_TAPE: tuple[Chroma, ...] = ("420", "411", "410")
_ABANDONED = 6 * 3600  # seconds since a film was last opened


@dataclass(frozen=True, kw_only=True)
class Grading:
    """What is the same in a film and its truth.

    Attributes:
        gain: Brightness, as a factor.
        grey: Black and white.
    """

    gain: float = 1.0
    grey: bool = False

    def of(self, clip: Tensor) -> Tensor:
        """Apply to (..., 3, H, W), 0 to 1."""
        if self.grey:
            weights = clip.new_tensor(_GREY).view(3, 1, 1)
            clip = (clip * weights).sum(-3, keepdim=True).expand_as(clip)
        return clip * self.gain


@dataclass(frozen=True, kw_only=True)
class DegradedFilm:
    """A degraded shot.

    Attributes:
        lq: (T, H / scale, W / scale, 3), uint8, read-only.
        grading: Applies to the truth.
    """

    lq: Frames
    grading: Grading


def open_film(
    shot: Shot, scale: int, recipe: FootageRecipe, *, seed: int, variant: int, folder: Path
) -> DegradedFilm:
    """Open one variant of a shot; make it if it is not there.

    A film is a function of the shot's content and the arguments, so processes that make the same
    one at the same time do no harm. Films that were not opened for six hours are removed when
    another is made.

    Args:
        shot: The truth.
        scale: Integer factor; the truth is cropped to a multiple of it.
        recipe: Chances and ranges.
        seed: Of the run.
        variant: Which of the films of this shot.
        folder: Where films are kept.

    Raises:
        DatasetError: They cannot be written there.
    """
    frames = shot.clip.frames
    # Some rows of every frame: films of one length and size may begin with the same black one.
    rows = slice(None, None, max(1, frames.shape[1] // _ROWS))
    seen = np.ascontiguousarray(frames[slice(shot.first, shot.last), rows])
    about = (frames.shape, shot.first, shot.last, scale, seed, variant, asdict(recipe))
    digest = hashlib.sha256(repr(about).encode() + seen.tobytes()).hexdigest()[:24]
    pixels, facts = folder / f"{digest}.film", folder / f"{digest}.film.json"
    height, width = (side // scale for side in frames.shape[1:3])
    shape = (shot.last - shot.first, height, width, 3)
    if not (facts.is_file() and pixels.is_file()):
        gt = to_clip(frames[slice(shot.first, shot.last), : height * scale, : width * scale])
        rng = np.random.default_rng(int(digest[:15], 16))
        film, grading = degrade_film(gt, scale, rng, recipe)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder)
            with whole(pixels) as part:
                part.write_bytes(to_picture(film).tobytes())
            write_durably(facts, json.dumps(asdict(grading)).encode())
        except OSError as error:
            raise DatasetError(
                f"'{folder}' wanted for the degraded films of '{shot.clip.name}', which cannot be "
                f"written ({error.strerror}); make room or choose another data.cache"
            ) from error
    os.utime(facts)
    grading = Grading(**json.loads(facts.read_text()))
    return DegradedFilm(
        lq=np.memmap(pixels, dtype=np.uint8, mode="r", shape=shape), grading=grading
    )


def sample_film(
    found: Sequence[Shot],
    recipe: FootageRecipe,
    *,
    length: int,
    side: int,
    scale: int,
    seed: tuple[int, ...],
    variants: range,
    folder: Path,
    reverse: bool = True,
) -> tuple[Tensor, Tensor]:
    """Cut a random clip out of a film and out of its truth.

    Args:
        found: Where to cut; the chance of each grows with its number of frames.
        recipe: Chances and ranges.
        length: Frames.
        side: Rows and columns of the truth, a multiple of `scale`.
        scale: Integer factor.
        seed: For example (run seed, step, clip).
        variants: Of each shot, one of these films is taken.
        folder: Where films are kept.
        reverse: Play half of the clips backwards.

    Returns:
        (1, length, 3, side, side) and (1, length, 3, side / scale, side / scale), uint8.
    """
    ((shot, rng),) = picked(found, 1, seed)
    crop = draw_crop(shot, length, side, rng, reverse=reverse, grid=scale)
    variant = int(rng.choice(variants))
    film = open_film(shot, scale, recipe, seed=seed[0], variant=variant, folder=folder)
    small = replace(
        crop,
        t=crop.t - shot.first,
        y=crop.y // scale,
        x=crop.x // scale,
        side=side // scale,
    )
    gt = film.grading.of(cut(shot.clip.frames, crop).float() / 255)
    return to_levels(gt)[None], cut(film.lq, small)[None]


def _sweep(folder: Path) -> None:
    sweep(folder)
    for pixels in folder.glob("*.film"):
        facts = pixels.with_name(f"{pixels.name}.json")
        with suppress(OSError):  # another process was faster
            opened = (facts if facts.is_file() else pixels).stat().st_mtime
            if time.time() - opened > _ABANDONED:
                facts.unlink(missing_ok=True)
                pixels.unlink()


def degrade_film(
    gt: Tensor, scale: int, rng: np.random.Generator, recipe: FootageRecipe
) -> tuple[Tensor, Grading]:
    """Degrade a film; a function of its arguments alone.

    Args:
        gt: (T, 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale: Integer factor; 1 keeps the size.
        rng: Drawn from.
        recipe: Chances and ranges.

    Returns:
        (T, 3, H / scale, W / scale), 0 to 1, rounded to 8 bit; and what applies to the truth.

    Raises:
        ValueError: A side is not a multiple of `scale`.
        EncodeError: An encoder refuses the film.
    """
    dark, grey = rng.random() < recipe.dark, rng.random() < recipe.grey
    grading = Grading(gain=float(rng.uniform(*recipe.dark_gain)) if dark else 1.0, grey=bool(grey))
    shown = grading.of(gt)
    if rng.random() < recipe.clean:
        return quantise(bicubic_down(shown, scale)), grading
    draws = _Draws(rng, recipe)
    low = (gt.shape[-2] // scale, gt.shape[-1] // scale)
    clip = _recorded(shown, low, draws)
    tape = draws.happens(recipe.tape)
    if tape:
        clip = comb(clip, 1 - float(rng.choice([0.0, 0.0, 0.5])))
        clip = bleed(clip, _TAPE[rng.integers(3)], int(rng.integers(2)))
    if draws.happens(recipe.noise) or (dark and draws.happens(0.5)):
        clip = _noisy(clip, draws)
    clip = clip.clamp(0, 1)
    if draws.happens(recipe.codec):
        clip = _compressed(clip, draws, interlaced=tape)
    if tape:
        clip = deinterlaced(clip)
    if draws.happens(recipe.again * (0.4 + 1.2 * draws.severity)):
        if draws.happens(0.6):
            # The more severe, the smaller.
            factor = sum(recipe.again_size) - draws.strength(recipe.again_size)
            clip = _there_and_back(clip, factor, str(rng.choice(["bicubic", "bilinear", "area"])))
        clip = _compressed(clip, draws)
    return quantise(clip), grading


class _Draws:
    """The random draws of one film; its strengths lie around its severity."""

    def __init__(self, rng: np.random.Generator, recipe: FootageRecipe) -> None:
        self.rng = rng
        self.recipe = recipe
        self.severity = float(rng.beta(*recipe.severity_beta))

    def happens(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def strength(self, span: Range) -> float:
        spread = self.recipe.spread
        share = np.clip(self.severity + self.rng.uniform(-spread, spread), 0, 1)
        return float(span[0] + (span[1] - span[0]) * share)

    def seed(self) -> int:
        return int(self.rng.integers(_SEEDS))


def _recorded(shown: Tensor, low: tuple[int, int], draws: _Draws) -> Tensor:
    """Optics, sampling, film stock and sharpening, at the low-quality size."""
    rng, recipe, clip = draws.rng, draws.recipe, shown
    if draws.happens(recipe.blur):
        # Twice the size asked for is fine enough to blur at, and much cheaper than the truth's.
        if clip.shape[-1] > 2 * low[1]:
            clip = _resized(clip, (2 * low[0], 2 * low[1]), "bicubic")
        clip = _blurred(clip, clip.shape[-1] / low[1], draws)
    mode = str(rng.choice(["area", "bilinear"])) if draws.happens(recipe.sampling) else "bicubic"
    clip = _resized(clip, low, mode)
    if draws.happens(recipe.archive):
        grain = draws.strength(recipe.grain_sigma) / 255
        clip = film_grain(clip, grain, rng.uniform(0.3, 1.0), seed=draws.seed())
        clip = scratch(clip, int(rng.integers(3)), width=0.4, rng=rng)
        gains = walk(rng, (1 - recipe.flicker, 1 + recipe.flicker), recipe.flicker, len(clip))
        clip = flicker(clip, torch.from_numpy(gains)).clamp(0, 1)
    if draws.happens(recipe.sharpen):
        amount = draws.strength(recipe.sharpen_amount)
        soft = _soft(clip, draws.strength(recipe.sharpen_size))
        clip = (clip + amount * (clip - soft)).clamp(0, 1)
    return clip


def _resized(clip: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if clip.shape[-2:] == size:
        return clip
    if mode == "bicubic":
        return resize(clip, *size).clamp(0, 1)
    # Without antialiasing, as cheap scalers do.
    return F.interpolate(clip, size=size, mode=mode).clamp(0, 1)


def _there_and_back(clip: Tensor, factor: float, mode: str) -> Tensor:
    height, width = clip.shape[-2:]
    small = tuple(max(_LEAST_SIDE, round(side * factor / 2) * 2) for side in (height, width))
    return _resized(_resized(clip, (small[0], small[1]), mode), (height, width), mode)


def _soft(clip: Tensor, sigma: float) -> Tensor:
    return blur(clip, gaussian_kernel(sigma).expand(len(clip), -1, -1))


def _blurred(clip: Tensor, pixel: float, draws: _Draws) -> Tensor:
    rng, recipe = draws.rng, draws.recipe
    first = second = draws.strength(recipe.blur_sigma) * pixel
    if draws.happens(0.4):
        second = max(0.1, draws.strength(recipe.blur_sigma) * pixel * rng.uniform(0.3, 1))
    angle = rng.uniform(0, np.pi)
    drift = walk(rng, (0.85, 1.15), 0.02, len(clip))
    return blur(clip, torch.stack([gaussian_kernel(first * d, second * d, angle) for d in drift]))


def _noisy(clip: Tensor, draws: _Draws) -> Tensor:
    rng, recipe = draws.rng, draws.recipe
    grey, colour = (draws.strength(x) / 255 for x in (recipe.noise_grey, recipe.noise_colour))
    which = rng.random()
    noise = _white(clip, grey * (which < 0.8), colour * (which > 0.25), draws.seed())
    size = draws.strength(recipe.noise_size) if draws.happens(0.4) else 0.0
    if size > 0.25:
        noise = _soft(noise, size) / float((gaussian_kernel(size) ** 2).sum().sqrt())
    if draws.happens(0.4):
        # Photons: the lighter, the noisier.
        noise = noise * (0.3 + 1.4 * clip.mean(1, keepdim=True)).sqrt()
    return clip + flicker(noise, torch.from_numpy(walk(rng, (0.8, 1.2), 0.03, len(clip))))


def _white(clip: Tensor, grey: float, colour: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = grey * torch.randn(clip[:, :1].shape, generator=generator)
    return noise + colour * torch.randn(clip.shape, generator=generator)


def _compressed(clip: Tensor, draws: _Draws, *, interlaced: bool = False) -> Tensor:
    rng, recipe = draws.rng, draws.recipe
    odds = np.array(recipe.codec_odds)
    codec = str(rng.choice(recipe.codecs, p=odds / odds.sum()))
    if interlaced and draws.happens(0.6):
        codec = "mpeg2video"
    preset = ""
    if codec in ("libx264", "libx265", "libvpx-vp9"):
        quantiser = draws.strength(recipe.crf) + (6 if codec == "libvpx-vp9" else 0)
        if codec == "libx264":
            preset = str(rng.choice(["ultrafast", "veryfast", "medium"]))
    else:
        low, high = np.log(recipe.qscale)
        quantiser = float(np.exp(draws.strength((low, high))))
    settings = CodecSettings(
        codec=codec,
        quantiser=quantiser,
        gop=int(rng.integers(8, 120)),
        preset=preset,
        native=True,
        interlaced=interlaced and codec == "mpeg2video",
    )
    return compress(clip, settings)


def deinterlaced(clip: Tensor) -> Tensor:
    """Send (T, 3, H, W), 0 to 1, through bwdif, top field first."""
    luma, blue, red = (plane.numpy() for plane in rgb_to_planes(clip, _FIELDS))
    planes = [torch.from_numpy(plane) for plane in deinterlace((luma, blue, red))]
    return planes_to_rgb(planes, _FIELDS).clamp(0, 1)


def named_film(gt: Tensor, scale: int, case: Case, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Degrade a film in one of eight fixed ways, for measuring; training never draws these points.

    "clean": shrunk bicubically, as all others are first. "web": x264, CRF 28, medium. "phone": grey
    noise of sigma 6 and coloured of 3, x264 CRF 26, veryfast. "dark": 0.4 times as bright (the
    truth too), grey noise 6, x264 CRF 28. "dvd": MPEG-2, qscale 8. "soft": the truth blurred by
    half a low-quality pixel, MJPEG, qscale 6. "twice": x264 CRF 26, bicubic to 3/4 and back, x264
    CRF 30. "tape": fields of neighbouring frames, 4:1:1 colour, grey noise 4, MPEG-2 qscale 6,
    bwdif.

    Args:
        gt: (T, 3, H, W), 0 to 1; H and W multiples of `scale`.
        scale: Integer factor; 1 keeps the size.
        case: Its name.
        seed: Of the noise.

    Returns:
        (T, 3, H / scale, W / scale) and the truth, (T, 3, H, W); both 0 to 1, rounded to 8 bit.
    """
    if case == "dark":
        gt = quantise(gt * 0.4)
    clip = bicubic_down(_soft(gt, 0.5 * scale) if case == "soft" else gt, scale)
    return quantise(_CASES[case](clip, partial(_white, clip, seed=seed))), gt


Noise = Callable[[float, float], Tensor]
_X264 = CodecSettings(codec="libx264", quantiser=28, preset="medium", native=True)
_MPEG2 = CodecSettings(codec="mpeg2video", quantiser=8, gop=12, native=True)


def _web(clip: Tensor, noise: Noise) -> Tensor:
    return compress(clip, _X264)


def _phone(clip: Tensor, noise: Noise) -> Tensor:
    settings = replace(_X264, quantiser=26, preset="veryfast")
    return compress((clip + noise(6 / 255, 3 / 255)).clamp(0, 1), settings)


def _dark(clip: Tensor, noise: Noise) -> Tensor:
    return compress((clip + noise(6 / 255, 0)).clamp(0, 1), _X264)


def _dvd(clip: Tensor, noise: Noise) -> Tensor:
    return compress(clip, _MPEG2)


def _mjpeg(clip: Tensor, noise: Noise) -> Tensor:
    return compress(clip, CodecSettings(codec="mjpeg", quantiser=6, native=True))


def _twice(clip: Tensor, noise: Noise) -> Tensor:
    clip = compress(clip, replace(_X264, quantiser=26))
    return compress(_there_and_back(clip, 0.75, "bicubic"), replace(_X264, quantiser=30))


def _tape(clip: Tensor, noise: Noise) -> Tensor:
    clip = (bleed(comb(clip, 1.0), "411", 0) + noise(4 / 255, 0)).clamp(0, 1)
    return deinterlaced(compress(clip, replace(_MPEG2, quantiser=6, interlaced=True)))


_CASES: dict[Case, Callable[[Tensor, Noise], Tensor]] = {
    "clean": lambda clip, noise: clip,
    "web": _web,
    "phone": _phone,
    "dark": _dark,
    "dvd": _dvd,
    "soft": _mjpeg,
    "twice": _twice,
    "tape": _tape,
}
