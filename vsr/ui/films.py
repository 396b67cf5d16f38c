"""What the page asks about films, answered in processes of their own; heavy imports come late."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.errors import DecodeError
from vsr.jobs.journal import BatchJob
from vsr.media.decode import Decoder
from vsr.media.probe import probe
from vsr.media.reading import SEEKABLE
from vsr.options import DecodeOptions, EnhanceOptions, checked
from vsr.report.facts import clock, fact_rows, in_bytes, shown_film, shown_size
from vsr.ui.worker import Line

_EVERY = 0.25  # seconds from one message about progress to the next
_SHOWN_EVERY = 2.0  # seconds from one enhanced picture to the next
_WIDEST = 720  # pixels
_QUALITY = 80
TRIED, _SHOWN = 12, 3  # frames of a preview


def look(line: Line, path: str) -> dict[str, Any]:
    """The facts of a film, from its headers and first frame.

    Raises:
        MediaError: It cannot be read.
    """
    info = probe(path)
    width, height = shown_size(info.video)
    length = info.video.duration or info.duration
    return {
        "seconds": None if length is None else float(length),
        "clock": "" if length is None else clock(length, digits=0),
        "size": in_bytes(info.size_bytes),
        "picture": f"{info.video.width} × {info.video.height}",
        "width": round(width),
        "height": round(height),
        "rate": float(info.video.frame_rate),
        "seekable": info.format in SEEKABLE,
        "rows": fact_rows([info], [info.video.frame_count]),
    }


def picture(line: Line, path: str, at: str, width: int) -> bytes:
    """A small picture of a film, upright, as JPEG.

    Args:
        line: Unused.
        path: The film.
        at: Seconds from its first frame.
        width: In pixels, as shown.

    Raises:
        MediaError: There is no frame at that time, or it cannot be decoded.
    """
    info = probe(path)
    shown = shown_size(info.video)
    size = [width, max(2, round(width * shown[1] / shown[0] / 2) * 2)]
    if info.video.rotation % 180:
        size.reverse()
    chain = f"scale={size[0]}:{size[1]},format=gbrp"
    options = DecodeOptions(start=Fraction(at), deinterlace="off", filter_chain=chain, threads=1)
    with Decoder(info, options) as decoder:
        frame = next(iter(decoder), None)
        if frame is None:
            raise DecodeError(info.path, f"no frame at {float(Fraction(at)):.3f} s")
        bgr = np.rot90(np.stack(frame.planes[::-1], axis=-1), info.video.rotation // 90)
    return _jpeg(bgr)


def _jpeg(bgr: NDArray[Any]) -> bytes:
    good, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not good:
        raise ValueError(f"no JPEG of a picture of {bgr.shape}")
    return data.tobytes()


def choices(line: Line) -> dict[str, Any]:
    """The networks that are on this machine, with what each is for."""
    from vsr.models.catalogue import PUBLISHED
    from vsr.models.zoo import MODELS, published_model

    here = [published_model(name) for name in PUBLISHED]
    found = [*MODELS.values(), *(each for each in here if each.weights and each.weights.is_file())]
    return {
        "models": [
            {"name": each.name, "scale": each.scale, "purpose": each.purpose} for each in found
        ]
    }


def plan(line: Line, source: str, target: str, options: EnhanceOptions) -> dict[str, Any]:
    """Rehearse a file; what will become of the film and each of its streams.

    Raises:
        VsrError: It would fail.
    """
    from vsr.plan import describe, plan_job
    from vsr.rehearsal import rehearse

    job = rehearse(plan_job(source, target, checked(options)))
    streams = {each.index: each for each in job.info.streams}
    rows = []
    for each in job.streams:
        there = streams[each.index]
        name = " ".join(part for part in (there.language, there.title) if part and part != "und")
        rows.append(
            {
                "kind": each.kind,
                "what": " ".join(part for part in (there.codec, there.details, name) if part),
                "action": each.action,
                "codec": each.codec,
                "reason": each.reason,
                "loses": each.loses or bool(each.lost_labels),
            }
        )
    video = f"{job.encode.codec} {job.encode.pix_fmt}"
    return {
        "lines": [text.strip() for text in describe(job, notes=False)][1:],
        "streams": rows,
        "notes": list(job.warnings),
        "from": f"{job.input_size[0]} × {job.input_size[1]}",
        "to": f"{job.encode.width} × {job.encode.height}",
        "video": video,
        "frames": job.frames,
        "model": job.model.name,
        "purpose": job.model.purpose,
    }


def cost(line: Line, source: str, target: str, options: EnhanceOptions) -> dict[str, Any]:
    """Time and size of the whole film on this machine, from three frames of it.

    Raises:
        VsrError: No frame can be had.
    """
    from vsr.estimate import estimate
    from vsr.plan import plan_job

    options = checked(options)
    job = plan_job(source, target, options)
    found = estimate(job, options, _loader()(job.model, job.inference.device))
    seconds, size = found.seconds_for(job), found.bytes_for(job, options.piece)
    return {
        "time": None if seconds is None else clock(seconds, digits=0),
        "size": None if size is None else in_bytes(size),
        "fps": round(1 / found.seconds, 2),
    }


@cache
def _loader() -> Callable[..., Any]:
    from vsr.models.zoo import loader

    return loader()


def enhance(
    line: Line, source: str, target: str, options: EnhanceOptions, interrupted: bool
) -> tuple[str, Any]:
    """Enhance a film; what became of it as `jobs.local.do_file` says.

    Args:
        line: Gets progress some times a second, warnings, and now and then the newest picture.
        source, target: Of the film.
        options: What was asked for.
        interrupted: An earlier process was killed at it, maybe when it was all but done.
    """
    from vsr.jobs.files import settle
    from vsr.jobs.local import do_file

    if interrupted:
        before = BatchJob(source=source, target=target, request="", state="running")
        files = [(Path(source), Path(target))]
        (_, now), *_ = settle({source: before}, files, options, retries=0)
        if now.state == "done":
            return "done", dict(now.result)
    due = 0.0

    def tell(kind: str, content: Any) -> None:  # noqa: ANN401
        nonlocal due
        if kind != "progress":
            line.tell(kind, content)
            return
        if time.monotonic() >= due or content.frames == content.total:
            due = time.monotonic() + _EVERY
            line.tell(kind, _progress(content))
        line.listen()

    drawn = 0.0

    def show(shown: Callable[[], NDArray[np.uint8]]) -> None:
        nonlocal drawn
        if time.monotonic() >= drawn:
            line.tell("newest", _small(shown()))
            drawn = time.monotonic() + _SHOWN_EVERY

    return do_file(Path(source), Path(target), options, _loader(), tell, show)


def _small(rgb: NDArray[np.uint8]) -> str:
    """A picture no wider than the page shows it, as the address of an image."""
    height, width = rgb.shape[:2]
    bgr = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR)
    if width > _WIDEST:
        size = (_WIDEST, max(1, round(height * _WIDEST / width)))
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return f"data:image/jpeg;base64,{base64.b64encode(_jpeg(bgr)).decode()}"


def _progress(now: Any) -> dict[str, Any]:  # noqa: ANN401
    left = now.seconds_left
    return {
        "frames": now.frames,
        "total": now.total,
        "fps": round(now.fps, 2),
        "left": None if left is None else clock(left, digits=0),
        "waits_for": now.waits_for,
    }


def attempt(
    line: Line, source: str, at: str, suffix: str, options: EnhanceOptions
) -> dict[str, Any]:
    """Enhance some frames around a moment, to be shown beside the bicubically enlarged input.

    Args:
        line: Gets progress.
        source: The film.
        at: Seconds from its first frame.
        suffix: Of the result.
        options: What was asked for; of the part asked for nothing counts.

    Returns:
        "moments" as the comparison page draws them, and of the result "name" (of the network),
        "size" and "aspect".

    Raises:
        StoppedError: It was stopped.
        VsrError: As `enhance`.
    """
    from vsr.pipeline import enhance
    from vsr.report.moments import PICTURE_BYTES
    from vsr.report.preview import differing_moments

    info = probe(source)
    length, total = TRIED / info.video.frame_rate, info.video.duration or info.duration
    start = Fraction(at) - length / 2
    if total is not None:
        start = min(start, total - length)
    start = Fraction(ceil(max(start, Fraction(0)) * 1000), 1000)
    options = replace(
        options,
        start=f"{float(start):.3f}",
        duration=f"{float(length):.6f}",
        overwrite=False,
    )

    def tell(now: Any) -> None:  # noqa: ANN401
        line.listen()
        line.tell("progress", _progress(now))

    with TemporaryDirectory(prefix="vsr-attempt-") as folder:
        target = Path(folder) / f"attempt{suffix}"
        result = enhance(source, target, options, progress=tell, load=_loader())
        made = probe(target)
        moments = differing_moments(info, [made], start, _SHOWN, PICTURE_BYTES // _SHOWN)
    return {"moments": moments, **shown_film(made), "name": result.report["model"]["name"]}


def comparison(line: Line, source: str, target: str, start: str, page: str) -> None:
    """Write the page that compares a film with what was made of it.

    Raises:
        VsrError: As `report.compare.compare`.
    """
    from vsr.report.compare import compare

    due = 0.0

    def tell(frames: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _EVERY
            line.tell("progress", frames)

    compare(source, [target], page, start=Fraction(start), overwrite=True, progress=tell)


ANSWERS: Mapping[str, Callable[..., Any]] = {
    "look": look,
    "picture": picture,
    "choices": choices,
    "plan": plan,
    "cost": cost,
    "enhance": enhance,
    "attempt": attempt,
    "comparison": comparison,
}
