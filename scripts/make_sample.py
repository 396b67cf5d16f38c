"""Make samples/street.mp4: a walk along a wall of posters, 320x180, with sound.

    python scripts/make_sample.py [--truth DIR]

The pictures are photographs of scikit-image, all public domain or CC0: astronaut and
Hubble field (NASA), rocket (SpaceX), coffee (Rachel Michetti), cat (Stefan van der Walt), brick and
gravel (CC0Textures), text (Wikipedia); their docstrings in `skimage.data` have the sources.
`--truth` also writes the frames at 1280x720, of which the sample is the bicubic quarter.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data

from vsr.ops.resize import resize

FRAMES = 60
RATE = Fraction(24)
SAMPLE_RATE = 48000
TRUTH_SIZE = (1280, 720)
Picture = NDArray[np.uint8]


def tiled(texture: Picture, height: int, width: int, tint: tuple[float, float, float]) -> Picture:
    """Mirror-tile a grey texture over a surface and colour it."""
    row = np.concatenate((texture, texture[:, ::-1]), axis=1)
    block = np.concatenate((row, row[::-1]), axis=0)
    repeats = (height // block.shape[0] + 1, width // block.shape[1] + 1)
    grey = np.tile(block, repeats)[:height, :width, None]
    return np.clip(grey * np.array(tint), 0, 255).astype(np.uint8)


def paste(surface: Picture, picture: Picture, x: int, y: int, height: int) -> int:
    """Paste a framed picture on the wall; return its right edge."""
    width = round(picture.shape[1] * height / picture.shape[0])
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    surface[y - 14 : y + height + 22, x - 10 : x + width + 18] //= 2
    surface[y - 14 : y + height + 14, x - 14 : x + width + 14] = (240, 236, 224)
    surface[y : y + height, x : x + width] = scaled
    return x + width


def sign() -> Picture:
    """Letter a sign in sizes from easy to illegible at a quarter of the size."""
    board = np.full((600, 900, 3), (246, 240, 214), dtype=np.uint8)
    for line, scale, y in (
        ("STREET MARKET", 3.0, 110),
        ("every Sunday 9 to 17", 2.0, 210),
        ("bread, honey, apples, old books", 1.4, 300),
        ("cheese from the mountains, 4.50 a piece", 1.1, 380),
        ("please leave dogs and bicycles at the gate", 1.0, 450),
    ):
        cv2.putText(
            board, line, (40, y), cv2.FONT_HERSHEY_DUPLEX, scale, (40, 30, 90), 3, cv2.LINE_AA
        )
    return board


def wall() -> Picture:
    """Paint the street: brick wall, posters, gravel pavement."""
    surface = tiled(data.brick(), 1400, 5200, (1.15, 0.82, 0.68))
    surface[1050:] = tiled(data.gravel(), 350, 5200, (0.95, 0.93, 0.9))
    surface[1038:1056] = (92, 88, 84)
    notice = sign()
    text = np.repeat(data.text()[..., None], 3, axis=2)
    posters = (
        data.astronaut(),
        notice,
        data.coffee(),
        data.hubble_deep_field()[:, :700],
        data.chelsea(),
        text,
        data.rocket(),
    )
    x = 160
    for index, poster in enumerate(posters):
        height = 300 if poster is notice or poster is text else 430
        x = paste(surface, poster, x, 330 + 60 * (index % 3), height) + 90
    return surface


def camera(frame: int) -> NDArray[np.float64]:
    """Camera position: a walk to the right with a sway, coming closer half way."""
    t = frame / FRAMES
    zoom = 1.0 + 0.35 * np.sin(np.pi * t)
    angle = np.deg2rad(1.5 * np.sin(4 * np.pi * t))
    x, y = 760 + 1500 * t, 640 + 12 * np.sin(10 * np.pi * t)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    width, height = TRUTH_SIZE
    return np.array(
        (
            (cos, -sin, width / 2 - cos * x + sin * y),
            (sin, cos, height / 2 - sin * x - cos * y),
        )
    )


def lamp_post(picture: Picture, frame: int) -> None:
    """Draw a lamp post in front, which moves faster than the wall."""
    x = round(1500 - 2100 * frame / FRAMES)
    for offset in range(-14, 15):
        column = x + offset
        if 0 <= column < picture.shape[1]:
            shade = 70 - 3 * abs(offset - 4)
            picture[:, column] = (shade // 2, shade, shade // 2 + 6)


def truth(street: Picture, frame: int) -> Picture:
    """Render one frame at full size, supersampled twice against aliasing."""
    matrix = camera(frame) * 2
    size = (TRUTH_SIZE[0] * 2, TRUTH_SIZE[1] * 2)
    large = cv2.warpAffine(
        street, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    picture = cv2.resize(large, TRUTH_SIZE, interpolation=cv2.INTER_AREA)
    lamp_post(picture, frame)
    return picture


def tune() -> NDArray[np.float32]:
    """A tune, stereo, (2, samples), -1 to 1."""
    seconds = FRAMES / float(RATE)
    at = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros((2, len(at)))
    for index, semitone in enumerate((0, 4, 7, 12, 7, 4, 9, 5, 0, 12)):
        since = at - index * 0.25
        decay = np.where(since >= 0, np.exp(-4 * np.maximum(since, 0)), 0)
        note = decay * np.sin(2 * np.pi * 330 * 2 ** (semitone / 12) * np.maximum(since, 0))
        side = 0.35 + 0.3 * (index % 2)
        sound += 0.4 * np.stack((note * side, note * (1 - side)))
    return sound.astype(np.float32)


def shrink(picture: Picture) -> Picture:
    """Bicubic quarter of a picture."""
    full = torch.from_numpy(picture).permute(2, 0, 1).float()
    small = resize(full, TRUTH_SIZE[1] // 4, TRUTH_SIZE[0] // 4)
    return small.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("samples/street.mp4"))
    parser.add_argument("--truth", type=Path, help="folder for the frames at 1280x720, as PNG")
    arguments = parser.parse_args()
    street = wall()
    with av.open(str(arguments.output), "w", options={"movflags": "+faststart"}) as file:
        file.metadata.update({"title": "A street", "comment": "made by scripts/make_sample.py"})
        video = file.add_stream("libx264", rate=RATE, options={"crf": "14", "preset": "slow"})
        video.width, video.height = TRUTH_SIZE[0] // 4, TRUTH_SIZE[1] // 4
        video.pix_fmt = "yuv420p"
        # What FFmpeg makes of RGB at this size: BT.601 (H.273 code 6), limited range.
        context = video.codec_context
        context.color_range, context.colorspace = 1, 6
        context.color_primaries, context.color_trc = 6, 6
        sound = file.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        for frame in range(FRAMES):
            full = truth(street, frame)
            if arguments.truth:
                arguments.truth.mkdir(parents=True, exist_ok=True)
                name = str(arguments.truth / f"{frame:06d}.png")
                cv2.imwrite(name, cv2.cvtColor(full, cv2.COLOR_RGB2BGR))
            file.mux(video.encode(av.VideoFrame.from_ndarray(shrink(full), format="rgb24")))
        file.mux(video.encode(None))
        audio = av.AudioFrame.from_ndarray(tune(), format="fltp", layout="stereo")
        audio.sample_rate = SAMPLE_RATE
        file.mux(sound.encode(audio))
        file.mux(sound.encode(None))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes, {FRAMES} frames")


if __name__ == "__main__":
    main()
