"""Published networks, and the download of their weights."""

from __future__ import annotations

import http.client
import os
import platform
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vsr.errors import ChecksumError, WeightsError
from vsr.files import give_name, sha256

Degradation = Literal[
    "bicubic", "blur", "compression", "noise", "motion blur", "real", "any", "unknown"
]

_OPENMMLAB = "https://download.openmmlab.com/mmediting/restorers/"
_BASICVSR = _OPENMMLAB + "basicvsr/"
_BASICVSR_PP = _OPENMMLAB + "basicvsr_plusplus/basicvsr_plusplus_"
_REAL = _OPENMMLAB + "real_basicvsr/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A checkpoint that can be downloaded.

    Attributes:
        architecture: Key of `zoo.ARCHITECTURES`.
        hyper_parameters: Arguments of the architecture.
        address: URL.
        digest: SHA-256 in hex, as far as published: all 64 digits or the first eight.
        purpose: The input it is made for, in one phrase.
        degradation: What it was trained to undo; on anything else it loses 3 to 7 dB.
        parameters: Their number.
        gmac: Billions of multiplications per 320x180 frame, counted on this package's code.
        scores: Published PSNR in dB by data set; RGB for REDS4, Y for the others.
        licence: SPDX.
    """

    architecture: str
    hyper_parameters: Mapping[str, Any]
    address: str
    digest: str
    purpose: str
    degradation: Degradation
    parameters: int
    gmac: float
    scores: Mapping[str, float] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return self.address.rpartition("/")[2]


_basicvsr = partial(
    Published,
    architecture="basicvsr",
    hyper_parameters={"channels": 64, "blocks": 30},
    parameters=6_291_311,
    gmac=375,
)
_basicvsr_pp = partial(
    Published,
    architecture="basicvsr_pp",
    hyper_parameters={"scale": 4, "channels": 64, "blocks": 7},
    parameters=7_322_927,
    gmac=434,
)
_restoration = partial(
    Published,
    architecture="basicvsr_pp",
    hyper_parameters={"scale": 1, "channels": 64, "blocks": 15},
    parameters=9_760_175,
    gmac=70,
)
_decompression = partial(
    Published,
    architecture="basicvsr_pp",
    hyper_parameters={"scale": 1, "channels": 128, "blocks": 25},
    degradation="compression",
    parameters=44_075_631,
    gmac=196,
)
_realbasicvsr = partial(
    Published, architecture="realbasicvsr", degradation="real", parameters=6_294_834, gmac=375
)

_REAL_SHAPE = {"channels": 64, "blocks": 20, "cleaning_blocks": 20}
_CLEAN = "clean, bicubically downscaled video"
_BLURRED = "clean video, blurred (Gaussian, sigma 1.6) and subsampled"
_SAME_SIZE = "; same size"

# Scores and addresses: mmagic, configs/basicvsr, basicvsr_pp and real_basicvsr. Full hashes:
# KinoVSR's manifests; otherwise the eight digits in the file's name.
PUBLISHED: Mapping[str, Published] = {
    "basicvsr-reds4": _basicvsr(
        address=f"{_BASICVSR}basicvsr_reds4_20120409-0e599677.pth",
        digest="0e599677",
        purpose=f"{_CLEAN}; trained on REDS",
        degradation="bicubic",
        scores={"REDS4": 31.42, "Vid4 BI": 27.27, "Vimeo-90K-T BI": 36.28},
    ),
    "basicvsr-vimeo-bi": _basicvsr(
        address=f"{_BASICVSR}basicvsr_vimeo90k_bi_20210409-d2d8f760.pth",
        digest="d2d8f760",
        purpose=f"{_CLEAN}; trained on Vimeo-90K",
        degradation="bicubic",
        scores={"Vid4 BI": 27.28, "Vimeo-90K-T BI": 37.20, "REDS4": 30.31, "Vid4 BD": 25.05},
    ),
    "basicvsr-vimeo-bd": _basicvsr(
        address=f"{_BASICVSR}basicvsr_vimeo90k_bd_20210409-0154dd64.pth",
        digest="0154dd64",
        purpose=_BLURRED,
        degradation="blur",
        scores={"Vid4 BD": 27.98, "UDM10 BD": 40.00, "Vimeo-90K-T BD": 37.55, "Vid4 BI": 26.27},
    ),
    "basicvsr-pp-reds4": _basicvsr_pp(
        address=f"{_BASICVSR_PP}c64n7_8x1_600k_reds4_20210217-db622b2f.pth",
        digest="db622b2fd4caae0a4c63ab5e54f1cfef7a62a0f3b8ad101aba2eae068d928549",
        purpose=f"{_CLEAN}; trained on REDS",
        degradation="bicubic",
        scores={"REDS4": 32.39, "Vid4 BI": 27.77, "Vimeo-90K-T BI": 36.44, "Vid4 BD": 24.62},
    ),
    "basicvsr-pp-vimeo-bi": _basicvsr_pp(
        address=f"{_BASICVSR_PP}c64n7_8x1_300k_vimeo90k_bi_20210305-4ef437e2.pth",
        digest="4ef437e27e7ed468853d9bad2e7a02e50fd4582c986a5cb4231054b0021b2e81",
        purpose=f"{_CLEAN}; trained on Vimeo-90K",
        degradation="bicubic",
        scores={"Vid4 BI": 27.79, "Vimeo-90K-T BI": 37.79, "REDS4": 31.01, "Vid4 BD": 23.61},
    ),
    "basicvsr-pp-vimeo-bd": _basicvsr_pp(
        address=f"{_BASICVSR_PP}c64n7_8x1_300k_vimeo90k_bd_20210305-ab315ab1.pth",
        digest="ab315ab1d83d09834d43c8ba17d019282a93f0cbf40bfd49be99dfcebf4c12eb",
        purpose=_BLURRED,
        degradation="blur",
        scores={"Vid4 BD": 29.04, "UDM10 BD": 40.72, "Vimeo-90K-T BD": 38.21, "Vid4 BI": 26.44},
    ),
    "basicvsr-pp-ntire-vsr": Published(
        architecture="basicvsr_pp",
        hyper_parameters={"scale": 4, "channels": 128, "blocks": 25},
        address=f"{_BASICVSR_PP}c128n25_ntire_vsr_20210311-1ff35292.pth",
        digest="1ff352921112b84cacc79b23df502a2319d5714d6b26730248839a6e4074c285",
        purpose=f"{_CLEAN}; NTIRE 2021, six times the work",
        degradation="bicubic",
        parameters=43_780_463,
        gmac=2558,
    ),
    "basicvsr-pp-decompress-1": _decompression(
        address=f"{_BASICVSR_PP}c128n25_ntire_decompress_track1_20210223-7b2eba02.pth",
        digest="7b2eba02a24989bfbf8b2ed4a06c8e6fd5dbeb193b1178ef7171cd1c455ddb0f",
        purpose=f"video compressed with HEVC at a fixed quantiser (NTIRE 2021 track 1){_SAME_SIZE}",
    ),
    "basicvsr-pp-decompress-2": _decompression(
        address=f"{_BASICVSR_PP}c128n25_ntire_decompress_track2_20210314-eeae05e6.pth",
        digest="eeae05e655b9849d57a7bb732004ebeb75d376cb0bf76792f18ca0f9eb491774",
        purpose=f"the same, trained for looks rather than PSNR (NTIRE 2021 track 2){_SAME_SIZE}",
    ),
    "basicvsr-pp-decompress-3": _decompression(
        address=f"{_BASICVSR_PP}c128n25_ntire_decompress_track3_20210304-6daf4a40.pth",
        digest="6daf4a405b0ff7221e3ac39b0a5c788468ae17661c577a3353b9fd477d0c983a",
        purpose=f"video compressed with HEVC at a fixed bit rate (NTIRE 2021 track 3){_SAME_SIZE}",
    ),
    "basicvsr-pp-denoise": _restoration(
        address=f"{_BASICVSR_PP}denoise-28f6920c.pth",
        digest="28f6920c4681bd8468a831d479459872c7f020d95c40eb3ced4745670bf2d596",
        purpose=f"noisy video{_SAME_SIZE}",
        degradation="noise",
    ),
    "basicvsr-pp-deblur-dvd": _restoration(
        address=f"{_BASICVSR_PP}deblur_dvd-ecd08b7f.pth",
        digest="ecd08b7f938c54f5cd8b2e62cbf4867a1b9e0500ce728bd981a6b99ea1ea9dbf",
        purpose=f"video blurred by motion; trained on DVD{_SAME_SIZE}",
        degradation="motion blur",
    ),
    "basicvsr-pp-deblur-gopro": _restoration(
        address=f"{_BASICVSR_PP}deblur_gopro-3c5bb9b5.pth",
        digest="3c5bb9b57b74b268624236ae01e7dc5f5d76ca0cdd3577f2f94d92943900f714",
        purpose=f"video blurred by motion; trained on GoPro{_SAME_SIZE}",
        degradation="motion blur",
    ),
    "realbasicvsr": _realbasicvsr(
        address=f"{_REAL}realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth",
        digest="52f77c2c835aaa3fe675b3959b2f85010a6c6f63f77f7e279394646e55a4e376",
        purpose="real footage of unknown noise, blur and compression; adds texture (GAN)",
        hyper_parameters={**_REAL_SHAPE, "threshold": 5.0},
    ),
    "realbasicvsr-wogan": _realbasicvsr(
        address=f"{_REAL}realbasicvsr_wogan_c64b20_2x30x8_lr1e-4_300k_reds_20211027-0e2ff207.pth",
        digest="0e2ff207",
        purpose="real footage; smoother, without the GAN's texture",
        hyper_parameters={**_REAL_SHAPE, "threshold": 1.5},
    ),
}


Progress = Callable[[int, int | None], None]

_CHUNK = 2**20
_SECONDS = 30  # without a byte
_RANGE_NOT_SATISFIABLE = 416


def weights_folder() -> Path:
    """Folder of downloaded weights, which may not exist: `VSR_CACHE`, or the user's cache."""
    given = os.environ.get("VSR_CACHE")
    if given:
        return Path(given) / "weights"
    home = Path.home()
    if platform.system() == "Windows":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform.system() == "Darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "vsr" / "weights"


def download(
    address: str,
    target: Path,
    digest: str,
    *,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download a file unless it exists; it appears only when complete and verified.

    A failed attempt leaves `.part` beside it, where the next one resumes.

    Args:
        address: http or https.
        target: The file; folders are created.
        digest: SHA-256 in hex, or its first digits.
        progress: Called with bytes fetched and total bytes, None if the server does not say.

    Raises:
        ChecksumError: The file is not the published one.
        WeightsError: It cannot be fetched or written; the message says where to put it manually.
    """
    if target.is_file():
        check_digest(target, digest)
        return
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(address, part, progress)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"cannot download {address}: {reason}; try again (it resumes), or download it some "
            f"other way to {target}"
        ) from error
    try:
        check_digest(part, digest)
    except ChecksumError as error:
        part.unlink()
        raise ChecksumError(f"download from {address} discarded: {error}") from error
    give_name(part, target)


def check_digest(path: Path, digest: str) -> None:
    """Check the SHA-256 of a file.

    Args:
        path: The file.
        digest: In hex, or its first digits.

    Raises:
        ChecksumError: It differs; both hashes are in the message.
    """
    found = sha256(path)
    if not found.startswith(digest):
        raise ChecksumError(
            f"'{path}' is not the published file: its SHA-256 begins with {found[:8]}, not "
            f"{digest[:8]}; delete it and run `vsr models download`"
        )


def _fetch(address: str, part: Path, progress: Progress) -> None:
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "vsr"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        return  # complete already; the hash is checked next
    with answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT
        done = done if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if goes_on else "wb") as file:
            done = _copy(answer, file, done, total, progress)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done} of {total} bytes")


def _copy(
    source: BinaryIO, target: BinaryIO, done: int, total: int | None, progress: Progress
) -> int:
    progress(done, total)
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        done += len(chunk)
        progress(done, total)
    return done
