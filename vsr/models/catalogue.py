"""Networks that others published, and fetching their weights."""

from __future__ import annotations

import hashlib
import http.client
import os
import platform
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vsr.errors import ChecksumError, WeightsError
from vsr.files import give_name

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
        hyper_parameters: What the architecture is built with.
        address: Where it is published.
        digest: SHA-256 in hex, as far as it was published: all 64 digits or the first eight.
        licence: SPDX.
        purpose: One phrase: for which input it is made.
        degradation: What it was trained to undo; on anything else it loses 3 to 7 dB.
        scores: Published PSNR in dB by data set; RGB for REDS4, Y for the others.
        parameters: Their number.
        gmac: Billions of multiplications per frame of 320x180, as counted on this package's code.
    """

    architecture: str
    hyper_parameters: Mapping[str, Any]
    address: str
    digest: str
    purpose: str
    degradation: Degradation
    scores: Mapping[str, float]
    parameters: int
    gmac: float
    licence: str = "Apache-2.0"

    @property
    def file_name(self) -> str:
        """Last part of the address."""
        return self.address.rpartition("/")[2]


def _basicvsr(
    file: str, digest: str, purpose: str, degradation: Degradation, scores: Mapping[str, float]
) -> Published:
    return Published(
        architecture="basicvsr",
        hyper_parameters={"channels": 64, "blocks": 30},
        address=f"{_BASICVSR}{file}",
        digest=digest,
        purpose=purpose,
        degradation=degradation,
        scores=scores,
        parameters=6_291_311,
        gmac=375,
    )


def _basicvsr_pp(
    file: str, digest: str, purpose: str, degradation: Degradation, scores: Mapping[str, float]
) -> Published:
    return Published(
        architecture="basicvsr_pp",
        hyper_parameters={"scale": 4, "channels": 64, "blocks": 7},
        address=f"{_BASICVSR_PP}{file}",
        digest=digest,
        purpose=purpose,
        degradation=degradation,
        scores=scores,
        parameters=7_322_927,
        gmac=434,
    )


def _restoration(
    file: str, digest: str, purpose: str, degradation: Degradation, *, large: bool = False
) -> Published:
    return Published(
        architecture="basicvsr_pp",
        hyper_parameters={
            "scale": 1,
            "channels": 128 if large else 64,
            "blocks": 25 if large else 15,
        },
        address=f"{_BASICVSR_PP}{file}",
        digest=digest,
        purpose=f"{purpose}; the size stays",
        degradation=degradation,
        scores={},
        parameters=44_075_631 if large else 9_760_175,
        gmac=196 if large else 70,
    )


def _realbasicvsr(
    file: str, digest: str, purpose: str, threshold: float, scores: Mapping[str, float]
) -> Published:
    return Published(
        architecture="realbasicvsr",
        hyper_parameters={
            "channels": 64,
            "blocks": 20,
            "cleaning_blocks": 20,
            "threshold": threshold,
        },
        address=f"{_REAL}{file}",
        digest=digest,
        purpose=purpose,
        degradation="real",
        scores=scores,
        parameters=6_294_834,
        gmac=375,
    )


_CLEAN = "clean video that was shrunk bicubically"
_BLURRED = "clean video that was blurred (Gaussian, sigma 1.6) and then subsampled"

# Scores and addresses: mmagic, configs/basicvsr, basicvsr_pp and real_basicvsr. Full hashes: the
# manifests of KinoVSR; where there is none, the eight digits in the file's name.
PUBLISHED: Mapping[str, Published] = {
    "basicvsr-reds4": _basicvsr(
        "basicvsr_reds4_20120409-0e599677.pth",
        "0e599677",
        f"{_CLEAN}; trained on REDS",
        "bicubic",
        {"REDS4": 31.42, "Vid4 BI": 27.27, "Vimeo-90K-T BI": 36.28},
    ),
    "basicvsr-vimeo-bi": _basicvsr(
        "basicvsr_vimeo90k_bi_20210409-d2d8f760.pth",
        "d2d8f760",
        f"{_CLEAN}; trained on Vimeo-90K",
        "bicubic",
        {"Vid4 BI": 27.28, "Vimeo-90K-T BI": 37.20, "REDS4": 30.31, "Vid4 BD": 25.05},
    ),
    "basicvsr-vimeo-bd": _basicvsr(
        "basicvsr_vimeo90k_bd_20210409-0154dd64.pth",
        "0154dd64",
        _BLURRED,
        "blur",
        {"Vid4 BD": 27.98, "UDM10 BD": 40.00, "Vimeo-90K-T BD": 37.55, "Vid4 BI": 26.27},
    ),
    "basicvsr-pp-reds4": _basicvsr_pp(
        "c64n7_8x1_600k_reds4_20210217-db622b2f.pth",
        "db622b2fd4caae0a4c63ab5e54f1cfef7a62a0f3b8ad101aba2eae068d928549",
        f"{_CLEAN}; trained on REDS",
        "bicubic",
        {"REDS4": 32.39, "Vid4 BI": 27.77, "Vimeo-90K-T BI": 36.44, "Vid4 BD": 24.62},
    ),
    "basicvsr-pp-vimeo-bi": _basicvsr_pp(
        "c64n7_8x1_300k_vimeo90k_bi_20210305-4ef437e2.pth",
        "4ef437e27e7ed468853d9bad2e7a02e50fd4582c986a5cb4231054b0021b2e81",
        f"{_CLEAN}; trained on Vimeo-90K",
        "bicubic",
        {"Vid4 BI": 27.79, "Vimeo-90K-T BI": 37.79, "REDS4": 31.01, "Vid4 BD": 23.61},
    ),
    "basicvsr-pp-vimeo-bd": _basicvsr_pp(
        "c64n7_8x1_300k_vimeo90k_bd_20210305-ab315ab1.pth",
        "ab315ab1d83d09834d43c8ba17d019282a93f0cbf40bfd49be99dfcebf4c12eb",
        _BLURRED,
        "blur",
        {"Vid4 BD": 29.04, "UDM10 BD": 40.72, "Vimeo-90K-T BD": 38.21, "Vid4 BI": 26.44},
    ),
    "basicvsr-pp-ntire-vsr": Published(
        architecture="basicvsr_pp",
        hyper_parameters={"scale": 4, "channels": 128, "blocks": 25},
        address=f"{_BASICVSR_PP}c128n25_ntire_vsr_20210311-1ff35292.pth",
        digest="1ff352921112b84cacc79b23df502a2319d5714d6b26730248839a6e4074c285",
        purpose=f"{_CLEAN}; NTIRE 2021, six times the work",
        degradation="bicubic",
        scores={},
        parameters=43_780_463,
        gmac=2558,
    ),
    "basicvsr-pp-decompress-1": _restoration(
        "c128n25_ntire_decompress_track1_20210223-7b2eba02.pth",
        "7b2eba02a24989bfbf8b2ed4a06c8e6fd5dbeb193b1178ef7171cd1c455ddb0f",
        "video compressed with HEVC at a fixed quantiser (NTIRE 2021 track 1)",
        "compression",
        large=True,
    ),
    "basicvsr-pp-decompress-2": _restoration(
        "c128n25_ntire_decompress_track2_20210314-eeae05e6.pth",
        "eeae05e655b9849d57a7bb732004ebeb75d376cb0bf76792f18ca0f9eb491774",
        "the same, trained for looks rather than PSNR (NTIRE 2021 track 2)",
        "compression",
        large=True,
    ),
    "basicvsr-pp-decompress-3": _restoration(
        "c128n25_ntire_decompress_track3_20210304-6daf4a40.pth",
        "6daf4a405b0ff7221e3ac39b0a5c788468ae17661c577a3353b9fd477d0c983a",
        "video compressed with HEVC at a fixed bit rate (NTIRE 2021 track 3)",
        "compression",
        large=True,
    ),
    "basicvsr-pp-denoise": _restoration(
        "denoise-28f6920c.pth",
        "28f6920c4681bd8468a831d479459872c7f020d95c40eb3ced4745670bf2d596",
        "noisy video",
        "noise",
    ),
    "basicvsr-pp-deblur-dvd": _restoration(
        "deblur_dvd-ecd08b7f.pth",
        "ecd08b7f938c54f5cd8b2e62cbf4867a1b9e0500ce728bd981a6b99ea1ea9dbf",
        "video blurred by motion; trained on DVD",
        "motion blur",
    ),
    "basicvsr-pp-deblur-gopro": _restoration(
        "deblur_gopro-3c5bb9b5.pth",
        "3c5bb9b57b74b268624236ae01e7dc5f5d76ca0cdd3577f2f94d92943900f714",
        "video blurred by motion; trained on GoPro",
        "motion blur",
    ),
    "realbasicvsr": _realbasicvsr(
        "realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth",
        "52f77c2c835aaa3fe675b3959b2f85010a6c6f63f77f7e279394646e55a4e376",
        "real footage: noise, blur and compression unknown; adds texture (GAN)",
        5.0,
        {},
    ),
    "realbasicvsr-wogan": _realbasicvsr(
        "realbasicvsr_wogan_c64b20_2x30x8_lr1e-4_300k_reds_20211027-0e2ff207.pth",
        "0e2ff207",
        "real footage; smoother, without the GAN's texture",
        1.5,
        {},
    ),
}


Progress = Callable[[int, int | None], None]

_CHUNK = 2**20
_SECONDS = 30  # without a byte
_RANGE_NOT_SATISFIABLE = 416


def weights_folder() -> Path:
    """Return the folder of downloaded weights; it need not exist.

    `VSR_CACHE` if it is set, else the place that the system has for such files.
    """
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
    """Fetch a file, unless it is there already; it appears only when it is whole and right.

    What a broken attempt fetched is kept beside it as `.part`, and the next attempt goes on there.

    Args:
        address: http or https.
        target: Where it goes; folders are made.
        digest: SHA-256 in hex, or its first digits.
        progress: Told bytes fetched and bytes in all, None where the server does not say.

    Raises:
        ChecksumError: If what came is not what was published.
        WeightsError: If it cannot be fetched or written; the message says where to put it by hand.
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
            f"cannot fetch {address}: {reason}; try again (what came is kept), or fetch it by "
            f"other means and put it at {target}"
        ) from error
    try:
        check_digest(part, digest)
    except ChecksumError as error:
        part.unlink()
        raise ChecksumError(f"what came from {address} was thrown away: {error}") from error
    give_name(part, target)


def check_digest(path: Path, digest: str) -> None:
    """Check that a file is the one that was published.

    Raises:
        ChecksumError: With both hashes.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(digest):
        raise ChecksumError(
            f"'{path}' is not the published file: its SHA-256 begins with {found[:8]}, wanted "
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
        return  # all of it is here already; the hash will tell
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
