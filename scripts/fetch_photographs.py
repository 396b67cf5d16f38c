"""Make clips to train on from the photographs in Debian's wallpaper packages.

    python scripts/fetch_photographs.py FOLDER --seed 0 --clips-per-megapixel 5

Needs a Debian or a descendant of it, and its archive; nothing is installed. Of each photograph
that may be passed on and changed, FOLDER gets some views: 16 frames that a camera takes as it
glides over the photograph, nearly lossless. SOURCES.tsv tells whose photograph each clip shows and
under which licence; whoever passes the clips on passes that on with them.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from fnmatch import fnmatch
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import av
import cv2
import numpy as np
import tyro
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Numbers = NDArray[np.float64]

PACKAGES = r"(wallpapers|backgrounds)(-[0-9a-z.]+)?$"
# Drawings come as PNG, WebP or SVG there; of the JPEGs, these were seen to be none or no clear
# photographs, though they are as detailed as such.
DRAWN = (
    "*/Autumn/*",
    "*/Elephants*",
    "*/Flow/*",
    "*/Honeywave/*",
    "*/Infinite-Sea_by_Aury88.jpg",
    "*/SafeLanding/*",
    "*/Shell/*",
    "*/Volna/*",
    "*/analogpattern_by_Peter_Nerlich.jpg",
    "*/string.jpg",
)
FREE = re.compile(
    r"CC0(-1\.0)?|CC-BY(-SA)?-[1-4]\.\d|(L|A)?GPL-?v?[123](\.\d)?(\+|-only|-or-later)?|FAL-?1\.[23]"
    r"|PD|public-domain|Expat|MIT|Apache-2\.0|BSD-[23]-clause|Artistic-2\.0|WTFPL|Zlib",
    re.IGNORECASE,
)
FRAMES = 16
RATE = Fraction(24)
SIZES = ((640, 640), (640, 640), (640, 480))
SHORTEST = 800  # side of a photograph, pixels
BLOCK = 32  # pixels, of which the mean steepness is taken
GRAIN = 0.9  # steepness: more is in the smoothest quarter of a photograph
IN_FOCUS = 1.0  # steepness without grain: less is out of focus, sky or wall
CRISP = 2.0  # steepness without grain of the sharpest tenth
LEAST_FOCUS = 0.25  # of a view
MARGIN = 4  # pixels that the cubic kernel may reach beyond a view


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A photograph and what is known of it."""

    package: str
    file: str
    author: str
    licence: str
    picture: Picture

    @property
    def name(self) -> str:
        """Of its clips, unlike that of any other."""
        parts = Path(self.file).parts
        own = parts[parts.index("contents") - 1] if "contents" in parts else Path(self.file).stem
        return re.sub(r"[^\w.-]", "_", f"{self.package}-{own}", flags=re.ASCII)

    @property
    def megapixels(self) -> float:
        """Width times height, in millions."""
        return self.picture[..., 0].size / 1e6


@dataclass(frozen=True, kw_only=True)
class Glide:
    """How the camera moves.

    Attributes:
        size: Width and height of the frames.
        shift: Of each frame's centre, (frames, 2), in pixels of the frame that comes closest.
        turn: Of each frame, radians.
        width: What each frame sees, 1 for the one that comes closest.
        gain: Brightness of each frame.
    """

    size: tuple[int, int]
    shift: Numbers
    turn: Numbers
    width: Numbers
    gain: Numbers

    def linear(self, frame: int) -> Numbers:
        """Matrix (2, 2) from the view's axes to the photograph's."""
        cos, sin = np.cos(self.turn[frame]), np.sin(self.turn[frame])
        return self.width[frame] * np.array(((cos, -sin), (sin, cos)))

    def box(self) -> tuple[Numbers, Numbers]:
        """Smallest and largest (x, y) seen, from the first frame's centre."""
        half = np.array(self.size) / 2
        corners = half * np.array(((-1, -1), (1, -1), (-1, 1), (1, 1)))
        seen = np.concatenate(
            [corners @ self.linear(frame).T + self.shift[frame] for frame in range(FRAMES)]
        )
        return seen.min(axis=0), seen.max(axis=0)


@dataclass(frozen=True, kw_only=True)
class View:
    """A way of the camera over one photograph.

    Attributes:
        path: The way.
        scale: Pixels of the photograph to one of the frame that comes closest.
        start: Where in the photograph the camera starts.
    """

    path: Glide
    scale: float
    start: Numbers


def apt(*command: str, folder: Path | None = None) -> str:
    """Run one of apt's commands; give back what it prints."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(
            f"there is no {command[0]} here: this script reads Debian's archive, and needs Debian "
            "or a system made from it"
        ) from None
    if done.returncode:
        raise SystemExit(
            f"'{' '.join(command)}' failed, is there no network? It says:\n{done.stderr.strip()}"
        )
    return done.stdout


def packages() -> list[str]:
    """Names of the wallpaper packages there are."""
    search = ("apt-cache", "search", "--names-only", PACKAGES)
    found = apt(*search)
    if not found.strip():
        apt("apt-get", "update")
        found = apt(*search)
    if not found.strip():
        raise SystemExit("apt knows no wallpaper packages: see /etc/apt/sources.list")
    # What a package provides counts as its name there.
    known = {line.split()[0] for line in found.splitlines()}
    return sorted(name for name in known if re.search(PACKAGES, name))


def unpack(package: str, folder: Path) -> Path:
    """Download a package and lay its files below a folder."""
    archives, files = folder / "archives" / package, folder / "files" / package
    archives.mkdir(parents=True)
    files.mkdir(parents=True)
    apt("apt-get", "download", package, folder=archives)
    for archive in archives.glob("*.deb"):
        apt("dpkg-deb", "-x", str(archive), str(files))
    return files


def is_free(licence: str) -> bool:
    """Whether a licence lets anybody pass the work on, and change it."""
    return all(FREE.fullmatch(part) for part in re.split(r",?\s+(?:or|and)\s+|,\s+", licence))


def stated(root: Path, package: str, file: Path) -> tuple[str, str] | None:
    """Author and licence by the package's copyright file; None where it names neither."""
    statement = root / "usr/share/doc" / package / "copyright"
    text = statement.read_text(errors="replace") if statement.is_file() else ""
    if not text.lstrip().startswith("Format:"):
        return None  # there is none, or one for people to read
    found = None
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", text.strip()):
        fields = HeaderParser().parsestr(paragraph)
        if any(covers(pattern, file) for pattern in (fields["Files"] or "").split()):
            licence = (fields["License"] or "").splitlines()
            found = names(fields["Copyright"] or ""), licence[0].strip() if licence else ""
    return found


def covers(pattern: str, file: Path) -> bool:
    """Whether a pattern of the source package means an installed file: folders may have moved."""
    last = pattern.rsplit("/", 1)[-1]
    return pattern == "*" or (last != "*" and fnmatch(file.name, last))


def names(copyright_field: str) -> str:
    """Take years and addresses from a statement of copyright."""
    found = []
    for line in copyright_field.splitlines():
        line = re.sub(r"<[^>]*>|https?://\S+|©|\([Cc]\)|[´\"]", "", line)
        line = re.sub(r"\b(19|20)\d\d(-\d+)?\b", "", line)
        found.append(re.sub(r"\s+", " ", line).strip(" ,.-"))
    return "; ".join(filter(None, found))


def described(file: Path) -> tuple[str, str] | None:
    """Author and licence by the description that Plasma's wallpapers have beside them."""
    for folder in file.parents[:4]:
        description = folder / "metadata.json"
        if description.is_file():
            about = json.loads(description.read_text()).get("KPlugin", {})
            people = "; ".join(person.get("Name", "") for person in about.get("Authors", ()))
            return people, about.get("License", "")
    return None


def steepness(picture: Picture, factor: float, blur: float = 0) -> Numbers:
    """Mean steepness of each block of a picture shrunk by a factor, in grey levels."""
    small = cv2.resize(picture, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if blur:
        grey = cv2.GaussianBlur(grey, (0, 0), blur)
    rows, columns = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    steep = np.abs(cv2.Laplacian(grey, cv2.CV_32F))[: rows * BLOCK, : columns * BLOCK]
    return steep.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)).astype(np.float64)


def focus(picture: Picture, factor: float) -> Numbers:
    """Detail of each block; grain does not count, as the blur leaves little of it."""
    return steepness(picture, factor, blur=1)


def least_shrink(picture: Picture) -> float:
    """How far a photograph is shrunk at least, against softness and traces of JPEG.

    Twice where it is large enough, further until the sharpest tenth of it is crisp.
    """
    short = min(picture.shape[:2])
    factor = min(2.0, short / 700)
    while np.quantile(focus(picture, factor), 0.9) < CRISP and short / factor >= 1000:
        factor *= 1.25
    return factor


def is_photograph(picture: Picture) -> bool:
    """Whether a picture has grain in its smooth parts, as cameras leave it, and a part in focus."""
    factor = max(2.0 if min(picture.shape[:2]) > 1400 else 1.5, min(picture.shape[:2]) / 1080)
    grain = np.quantile(steepness(picture, factor), 0.25)
    return bool(grain > GRAIN and np.quantile(focus(picture, factor), 0.9) > IN_FOCUS)


def photographs(package: str, folder: Path) -> Iterator[Photograph]:
    """Read the photographs of a package that are free, and tell of the others."""
    root = unpack(package, folder)
    left_out: Counter[str] = Counter()
    kept = 0
    for file in sorted(root.rglob("*.jp*g")):
        if file.is_symlink() or not file.is_file() or file.stem == "screenshot":
            continue
        source = stated(root, package, file.relative_to(root))
        own = described(file) or source
        if source is None or own is None or not (is_free(source[1]) and is_free(own[1])):
            left_out["without a free licence"] += 1
            continue
        picture = cv2.imread(str(file))
        if picture is None or min(picture.shape[:2]) < SHORTEST:
            left_out["too small"] += 1
        elif any(fnmatch(str(file), pattern) for pattern in DRAWN) or not is_photograph(picture):
            left_out["drawn or blurred"] += 1
        else:
            kept += 1
            yield Photograph(
                package=package,
                file=str(file.relative_to(root)),
                author=own[0] or "unknown",
                licence=own[1],
                picture=cv2.cvtColor(picture, cv2.COLOR_BGR2RGB),
            )
    notes = "".join(f", {count} {reason}" for reason, count in sorted(left_out.items()))
    print(f"{package}: {kept} photographs{notes}")


def without_copies(found: list[Photograph]) -> list[Photograph]:
    """Keep of each photograph the largest size."""
    kept: list[Photograph] = []
    icons: list[Numbers] = []
    for photograph in sorted(found, key=lambda one: -one.megapixels):
        icon = cv2.resize(photograph.picture, (16, 16), interpolation=cv2.INTER_AREA) * 1.0
        if all(np.abs(icon - other).mean() > 6 for other in icons):
            kept.append(photograph)
            icons.append(icon)
    return sorted(kept, key=lambda one: one.name)


def drift(rng: np.random.Generator, most: float) -> Numbers:
    """Draw a value for each frame that changes slowly, within -most and most."""
    middle = rng.uniform(-1, 1)
    swing = rng.uniform(0, 1) * (1 - abs(middle))
    turns = rng.uniform(0.3, 1) * np.arange(FRAMES) / FRAMES + rng.uniform()
    return most * (middle + swing * np.sin(2 * np.pi * turns))


def draw_path(rng: np.random.Generator) -> Glide:
    """Draw how the camera moves: one in seven stands nearly still, one in seven fades."""
    still = rng.random() < 1 / 7
    speed = rng.uniform(0.05, 0.3) if still else rng.uniform(1, 6)
    speeds = speed * (0.7 + drift(rng, 0.3))
    headings = rng.uniform(0, 2 * np.pi) + drift(rng, np.pi / 2)
    steps = speeds[:, None] * np.stack((np.cos(headings), np.sin(headings)), axis=1)
    turns = drift(rng, np.deg2rad(0.01 if still else rng.uniform(0, 0.4)))
    zooms = drift(rng, 0.0003 if still else 0.02 * rng.uniform() ** 2)
    steps[0] = turns[0] = zooms[0] = 0
    widths = np.exp(np.cumsum(zooms))
    gain = np.ones(FRAMES)
    if rng.random() < 1 / 7:
        gain = np.linspace(1, rng.uniform(0.5, 0.9), FRAMES)[:: rng.choice((-1, 1))]
    return Glide(
        size=SIZES[rng.integers(len(SIZES))],
        shift=np.cumsum(steps, axis=0),
        turn=np.cumsum(turns) + rng.uniform(-0.1, 0.1),
        width=widths / widths.min(),
        gain=gain,
    )


def views(photograph: Photograph, density: float, seed: int) -> Iterator[View]:
    """Draw as many views as the density says, per megapixel of the photograph once shrunk.

    Each view has something in focus and lies far from those before; where a photograph has too
    little in focus there are fewer.
    """
    rng = np.random.default_rng((seed, crc32(photograph.name.encode())))
    least = least_shrink(photograph.picture)
    in_focus = focus(photograph.picture, least) > IN_FOCUS
    extent = np.array(photograph.picture.shape[1::-1]) - 2 * MARGIN
    centres: list[Numbers] = []
    for _ in range(max(1, round(density * photograph.megapixels / least**2))):
        best: tuple[float, Numbers, View] | None = None
        for _ in range(40):
            path = draw_path(rng)
            low, high = path.box()
            most = float((extent / (high - low)).min())
            place, closeness = rng.uniform(size=2), rng.uniform()
            if most < least:
                continue
            scale = least * min(2, most / least) ** closeness
            start = MARGIN - low * scale + place * (extent - (high - low) * scale)
            (left, top), (right, bottom) = (
                np.round((start + edge * scale) / (least * BLOCK)).astype(int)
                for edge in (low, high)
            )
            if in_focus[top:bottom, left:right].mean() < LEAST_FOCUS:
                continue
            centre = start + (low + high) / 2 * scale
            room = min((float(np.hypot(*(centre - other))) for other in centres), default=0)
            if best is None or room > best[0]:
                best = room, centre, View(path=path, scale=scale, start=start)
        if best is not None:
            centres.append(best[1])
            yield best[2]


def render(picture: Picture, view: View) -> Iterator[Picture]:
    """Take the frames of a view, sampled at twice the size and then halved against aliasing.

    The photograph is first shrunk until the frame that sees most has one pixel of it to each
    sample, so no frame leaves pixels out.
    """
    path, scale, start = view.path, view.scale, view.start
    low, high = (start + edge * scale for edge in path.box())
    corner = np.floor(low).astype(int) - MARGIN
    end = np.ceil(high).astype(int) + MARGIN
    corner, end = np.maximum(corner, 0), np.minimum(end, picture.shape[1::-1])
    part = picture[corner[1] : end[1], corner[0] : end[0]]
    shrink = max(1.0, scale * float(path.width.max()) / 2)
    wanted = tuple(round(side / shrink) for side in part.shape[1::-1])
    small = cv2.resize(part, wanted, interpolation=cv2.INTER_AREA)
    ratio = np.array(small.shape[1::-1]) / np.array(part.shape[1::-1])
    half = np.array(path.size) / 2
    for frame in range(FRAMES):
        linear = scale * ratio[:, None] * path.linear(frame)
        centre = (start + scale * path.shift[frame] - corner) * ratio - 0.5
        matrix = np.column_stack((linear / 2, centre + linear @ (0.25 - half)))
        large = cv2.warpAffine(
            small,
            matrix,
            (path.size[0] * 2, path.size[1] * 2),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        seen = cv2.resize(large, path.size, interpolation=cv2.INTER_AREA)
        yield np.round(seen * path.gain[frame]).astype(np.uint8)


def write_clip(target: Path, size: tuple[int, int], frames: Iterator[Picture]) -> None:
    """Encode the frames so that nobody sees a difference."""
    with av.open(str(target), "w") as file:
        # One thread: more of them cut the work up otherwise, and the bytes would differ.
        options = {"crf": "8", "preset": "fast", "threads": "1"}
        video = file.add_stream("libx264", rate=RATE, options=options)
        video.width, video.height = size
        video.pix_fmt = "yuv444p"
        # What FFmpeg makes of RGB at this size: BT.601 (H.273 code 6), limited range.
        context = video.codec_context
        context.color_range, context.colorspace = 1, 6
        context.color_primaries, context.color_trc = 6, 6
        for frame in frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(video.encode(None))


def main(
    folder: tyro.conf.Positional[Path],
    *,
    seed: int = 0,
    clips_per_megapixel: float = 5.0,
) -> None:
    """Write the clips and SOURCES.tsv.

    Args:
        folder: Where to; must be empty or not there yet.
        seed: Of the views.
        clips_per_megapixel: Views of a photograph, by its size once shrunk against softness,
            about half its width; fewer where little of it is in focus.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SystemExit(f"'{folder}' is not an empty folder; name another, or remove it")
    cv2.setNumThreads(1)
    with TemporaryDirectory() as place:
        found = [one for package in packages() for one in photographs(package, Path(place))]
    found = without_copies(found)
    if not found:
        raise SystemExit("the wallpaper packages of this release hold no free photographs")
    folder.mkdir(parents=True, exist_ok=True)
    rows, shown = [], []
    for photograph in found:
        number = 0
        for number, view in enumerate(views(photograph, clips_per_megapixel, seed), 1):
            target = folder / f"{photograph.name}-{number:02d}.mp4"
            write_clip(target, view.path.size, render(photograph.picture, view))
            source = (photograph.package, photograph.file, photograph.author, photograph.licence)
            rows.append((target.name, *source))
        if number:
            shown.append(photograph)
        print(f"{photograph.name}: {number} clips of {photograph.megapixels:.1f} megapixels")
    with (folder / "SOURCES.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("clip", "package", "file", "author", "licence"))
        table.writerows(rows)
    megapixels = sum(photograph.megapixels for photograph in shown)
    print(f"{len(rows)} clips of {len(shown)} photographs, {megapixels:.0f} megapixels")
    for licence, number in sorted(Counter(one.licence for one in shown).items()):
        print(f"  {number} under {licence}")


if __name__ == "__main__":
    tyro.cli(main)
