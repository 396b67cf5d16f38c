"""One file to one file: decode, enhance, encode, mux, verify, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vsr.color import LUMA_WEIGHTS
from vsr.errors import (
    Cancel,
    DamagedError,
    DecodeError,
    OutOfMemoryError,
    VerifyError,
    stop_if,
)
from vsr.inference.plan import describe, pixels_at_once
from vsr.inference.queues import Copies, Download, Sink, Stopwatch, Upload, prefetch
from vsr.inference.runner import (
    LqFrame,
    Position,
    SrFrame,
    decibels,
    finish,
    is_out_of_memory,
    squared_errors,
    upscale,
)
from vsr.inference.windows import Still, stills
from vsr.media.clock import output_clock, output_range
from vsr.media.containers import PICTURES, damaged_kind, target_kind
from vsr.media.decode import Decoder, DecodeSummary
from vsr.media.mux import Writer
from vsr.media.pictures import PictureFolder, PictureWriter, first_number
from vsr.media.pieces import PieceWriter
from vsr.media.types import FrameMarks, PlanarFrame, marks_of
from vsr.media.verify import Expected, VerifyResult, verify
from vsr.models.contract import State, VideoNetwork
from vsr.models.zoo import ModelInfo, load_network
from vsr.ops.color import planes_to_rgb, rgb_to_planes, to_picture
from vsr.options import EnhanceOptions, text_of
from vsr.plan import Job, plan_job
from vsr.rehearsal import rehearse
from vsr.reporting import (
    Made,
    Warnings,
    describe_damage,
    describe_losses,
    describe_unlike,
    make_report,
    plain,
)
from vsr.work import (
    Ledger,
    WorkFolder,
    check_room,
    ends_piece,
    identify,
    note_publishing,
    published_before,
    request,
)

Shown = NDArray[np.uint8]
Part = Literal["decoder", "network", "encoder"]
"""Parts of the work that go on at once; the slowest sets the pace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a file is.

    Attributes:
        frames: Enhanced so far, by earlier runs as well.
        resumed: Of these, by earlier runs.
        total: Expected in all; None if unknown.
        seconds: Since the first frame was asked for.
        waits_for: What most of them went to.
    """

    frames: int
    total: int | None
    seconds: float
    resumed: int = 0
    waits_for: Part = "network"

    @property
    def fps(self) -> float:
        """Frames per second so far."""
        return (self.frames - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None if unknown."""
        if self.total is None or self.fps == 0:
            return None
        return max(0, self.total - self.frames) / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhanceResult:
    """The finished file.

    Attributes:
        target: The finished file, or pattern of pictures.
        frames: Written.
        resumed: Of these, how many an earlier run that was interrupted had finished.
        seconds: From opening the source to the published file.
        network_seconds: Of these, inside the network.
        warnings: What was assumed, converted or lost.
        report: The same and everything verified, ready for JSON; see docs/enhancing.md.
        damage: What is lost, where it is so much that the target is named as damaged.
    """

    target: os.PathLike[str]
    frames: int
    resumed: int
    seconds: float
    network_seconds: float
    warnings: tuple[str, ...]
    report: dict[str, Any]
    damage: str | None = None


def enhance(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    options: EnhanceOptions | None = None,
    *,
    progress: Callable[[Progress], None] = lambda now: None,
    warn: Callable[[str], None] = lambda sentence: None,
    planned: Callable[[Job], None] = lambda job: None,
    load: Callable[[ModelInfo, str], VideoNetwork] = load_network,
    cancel: Cancel | None = None,
    shown: Callable[[Callable[[], Shown]], None] = lambda picture: None,
) -> EnhanceResult:
    """Enhance a video file; the target appears only when it is complete and verified.

    Until then it grows in a hidden folder beside its place. Where an earlier call with the same
    arguments was interrupted or killed, this one goes on with what that had finished.

    Args:
        source: A video, a folder of pictures, or a pattern such as frames/%06d.png.
        target: A video file; or pictures: a folder name that ends with a slash, or a pattern.
        options: See `EnhanceOptions`.
        progress: Called before the first frame and after each.
        warn: Called with each warning; all of them are in the result as well.
        planned: Called with the plan, once its rehearsal has passed and before the first frame.
        load: Gives the network for a device; to keep it from one file to the next.
        cancel: Set it, from any thread, to stop as Ctrl-C does: before the next call of the
            network, or the next frame that is decoded or verified.
        shown: Called after each frame with a function that gives its picture, upright: (H, W, 3)
            uint8 RGB, HDR without tone mapping.

    Raises:
        ConfigError: An option is wrong.
        CancelledError: `cancel` was set; the same call continues.
        MediaError: The source cannot be read, or the target not be written or not be verified.
        DamagedError: More than a tenth of the source is lost; the target is named as damaged.
        WeightsError: The model's weights are missing or do not fit.
        OutOfMemoryError: Not even small tiles fit in memory.
    """
    source, target = text_of(source, "the input"), text_of(target, "the output")
    options = options or EnhanceOptions()
    stop = partial(stop_if, cancel)
    stop()
    begin = time.monotonic()
    tell = Warnings(warn)
    earlier = finished_before(source, target, options)
    if earlier is not None:
        return undamaged(earlier, source)
    job = plan_job(source, target, options)
    for warning in job.warnings:
        tell(warning)
    stop()
    with open_work(job, options, tell) as work:
        job = replace(job, inference=work.plan)
        job = try_output(job, work, tell)
        planned(job)
        stop()
        network = TimedNetwork(load(job.model, job.inference.device), before=stop)
        resumed = work.ledger.frames
        summary, marks = run(job, network, options, work.ledger, progress, tell, stop, shown)
        made = Made(
            summary=summary,
            marks=marks,
            resumed=resumed,
            seconds=time.monotonic() - begin,
            network_seconds=network.seconds,
        )
        result = publish(job, options, work.ledger, made, tell, stop)
        work.remove()
    return undamaged(result, source)


def undamaged(result: EnhanceResult, source: str | os.PathLike[str]) -> EnhanceResult:
    """Pass a result on.

    Raises:
        DamagedError: Its target is named as damaged.
    """
    if result.damage is None:
        return result
    raise DamagedError(
        source,
        f"{result.damage}; what there is, is verified and named '{result.target}': get a better "
        "copy, or rename it (--allow-damage gives such films their names)",
        result,
    )


def finished_before(
    source: str | os.PathLike[str], target: str | os.PathLike[str], options: EnhanceOptions
) -> EnhanceResult | None:
    """The result of a run that was killed after its output had got its name."""
    kind = target_kind(target)
    earlier = published_before(Path(os.fspath(source)), kind, options)
    if earlier is None:
        return None
    if earlier["damage"] is not None:
        kind = damaged_kind(kind)
    warnings = tuple(earlier["warnings"])
    return EnhanceResult(**{**earlier, "target": kind.pattern, "warnings": warnings})


def publish(
    job: Job,
    options: EnhanceOptions,
    ledger: Ledger,
    made: Made,
    warn: Warnings,
    stop: Callable[[], None] = lambda: None,
) -> EnhanceResult:
    """Join the pieces, verify the whole and give it its name.

    Args:
        job: The plan.
        options: What was asked for.
        ledger: All pieces of the film.
        made: What is known of them.
        warn: Called with each warning; all of them are in the result.
        stop: Called before each step and verified frame; raises where the caller wants no more.

    Raises:
        MuxError: The output cannot be written.
        DiskError: There is no room for it.
        VerifyError: It is wrong.
    """
    begin = time.monotonic()
    stop()
    check_room(replace(job, frames=None), ledger)
    with open_output(job, ledger) as output:
        output.join(ledger.piece_paths)
        losses = describe_losses(made.summary, captions=job.encode.captions)
        unlike = describe_unlike(made.marks.pts, ledger.fidelity, job.encode.time_base)
        for warning in (*made.summary.warnings, *losses, *unlike, *output.warnings):
            warn(warning)
        checked = check_output(job, ledger, made.marks, warn, stop)
        made = replace(made, seconds=made.seconds + time.monotonic() - begin)
        report = make_report(job, options, made, checked, ledger.joined, ledger.fidelity, warn.said)
        # Pictures that cannot be decoded are named one by one, and leave their numbers free.
        exempt = options.allow_damage or job.info.format == PICTURES
        damage = None if exempt else describe_damage(made.summary)
        named = job.target if damage is None else damaged_kind(job.target)
        result = EnhanceResult(
            target=named.pattern,
            frames=len(made.marks),
            resumed=made.resumed,
            seconds=made.seconds,
            network_seconds=made.network_seconds,
            warnings=tuple(warn.said),
            report=report,
            damage=damage,
        )
        note_publishing(
            ledger, job.target.pattern, request(job.info.path, options), plain(asdict(result))
        )
        output.publish(overwrite=options.overwrite, name=named.pattern)
    return result


def try_output(job: Job, work: WorkFolder, warn: Callable[[str], None]) -> Job:
    """Rehearse the output, so that a refusal comes before hours of work.

    Returns:
        The plan, mended where the rehearsal failed.

    Raises:
        MuxError, EncodeError: It cannot be written.
        DiskError: There is no room for it.
        VerifyError: It would not be what its source calls for.
    """
    check_room(job, work.ledger)
    job = rehearse(job, work.path)
    for warning in job.warnings:
        warn(warning)
    return job


def open_work(job: Job, options: EnhanceOptions, warn: Callable[[str], None]) -> WorkFolder:
    """Open the hidden work folder of an output, with what an earlier run finished."""
    pattern = job.target.pattern
    work = WorkFolder(
        pattern.parent if job.target.muxer == PICTURES else pattern,
        identify(job, options),
        job.inference,
        resume=options.resume,
        warn=warn,
    )
    width, height = job.input_size
    now, before = (pixels_at_once(plan, height, width) for plan in (job.inference, work.plan))
    if options.inference.memory_limit is not None and now < before:
        work.ledger.smaller = job.inference
        warn(f"from there on, for --memory-limit: {describe(job.inference)}")
    return work


def run(
    job: Job,
    network: VideoNetwork,
    options: EnhanceOptions,
    ledger: Ledger,
    progress: Callable[[Progress], None],
    warn: Warnings,
    stop: Callable[[], None],
    shown: Callable[[Callable[[], Shown]], None] = lambda picture: None,
) -> tuple[DecodeSummary, FrameMarks]:
    """Push all frames through the network.

    The source is decoded from its beginning even where an earlier run has done a part: what is
    decoded, lost, repaired and deinterlaced is then the same, whatever the format.

    Args:
        job: The plan.
        network: On the plan's device.
        options: Strength, and length of pieces.
        ledger: Where finished frames go, and what is finished already.
        progress: Called before the first frame and after each.
        warn: Called with each warning; all of them are kept with each piece.
        stop: Called for each frame decoded; raises where the caller wants no more.
        shown: As for `enhance`.

    Returns:
        What decoding met, and the marks of all frames that were decoded.
    """
    begin, count, resumed = time.monotonic(), ledger.frames, ledger.frames
    waits = Waits()
    with Decoder(job.info, job.decode) as decoder:
        marks = marks_of(job.info.video, decoder.format, decoder.time_base)
        frames = skip(marked(decoder, marks, stop), ledger.pts, job.info.path)

        def report() -> None:
            progress(
                Progress(
                    frames=count,
                    resumed=resumed,
                    total=job.frames,
                    seconds=time.monotonic() - begin,
                    waits_for=waits.longest,
                )
            )

        def tick(picture: Finished) -> None:
            nonlocal count
            count += 1
            shown(partial(to_shown, picture, job))
            report()

        report()
        record(frames, job, network, options, ledger, warn, tick, waits)
        return decoder.summary, marks


def skip(frames: Iterator[PlanarFrame], pts: Sequence[int], source: Path) -> Iterator[PlanarFrame]:
    """Skip the frames that are finished.

    Raises:
        DecodeError: They differ from those of the earlier run.
    """
    for index, expected in enumerate(pts):
        frame = next(frames, None)
        if frame is None or frame.pts != expected:
            raise DecodeError(
                source,
                f"wanted the frames that an earlier run has worked on, got another at number "
                f"{index}; start afresh with --no-resume",
            )
    yield from frames


def check_output(
    job: Job,
    ledger: Ledger,
    marks: FrameMarks,
    warn: Callable[[str], None],
    stop: Callable[[], None],
) -> VerifyResult:
    """Verify what was written against all that the job knows; `stop` is called for each frame.

    Raises:
        VerifyError: It is wrong; the pieces stay.
    """
    checked = compare_output(job, ledger.joined, marks, warn, stop)
    if checked.passed:
        return checked
    kept = ledger.set_aside()
    raise VerifyError(
        job.target.pattern,
        f"the finished file is not what its source calls for ({'; '.join(checked.problems)})"
        + (f"; it is kept as '{kept}', to look at" if kept else ""),
    )


def compare_output(
    job: Job,
    written: Path,
    marks: FrameMarks,
    warn: Callable[[str], None],
    stop: Callable[[], None],
) -> VerifyResult:
    """Compare a written file, which has no name yet, with all that the job knows."""
    checked = verify(
        job.info.path,
        written,
        Expected(
            plan=job.encode,
            streams=job.streams,
            decode=job.decode,
            time_range=job.time_range,
            marks=marks,
        ),
        named=job.target.pattern,
        tick=stop,
    )
    for warning in (*checked.changes, *checked.warnings):
        warn(warning)
    return checked


def marked(
    frames: Iterable[PlanarFrame], marks: FrameMarks, tick: Callable[[], None] = lambda: None
) -> Iterator[PlanarFrame]:
    """Add each frame that passes to the marks, for verification, and call `tick`."""
    for frame in frames:
        tick()
        marks.add(frame)
        yield frame


def open_output(job: Job, ledger: Ledger) -> Writer | PictureFolder:
    """Open what the pieces are joined to."""
    if job.target.muxer == PICTURES:
        return PictureFolder(ledger.joined, job.target.pattern)
    return Writer(
        job.info,
        job.target.pattern,
        job.encode,
        job.streams,
        time_range=job.time_range,
        partial=ledger.joined,
    )


T = TypeVar("T")


class Waits:
    """Wall seconds that the network waited for the decoder before it and the encoder behind it."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._decoder = self._encoder = self._device = 0.0

    def drawn(self, items: Iterable[T]) -> Iterator[T]:
        """Pass items of the decoder on."""
        begin = time.monotonic()
        for item in items:
            self._decoder += time.monotonic() - begin
            yield item
            begin = time.monotonic()

    def hand_over(self, sink: Sink[T], item: T) -> None:
        """Put an item into the queue of the encoder."""
        begin = time.monotonic()
        sink.put(item)
        self._encoder += time.monotonic() - begin

    def received(self, made: Download) -> list[NDArray[Any]]:
        """Wait for a picture as the encoder does: for the network, on a GPU that is behind."""
        begin = time.monotonic()
        arrays = made.arrays()
        self._device += time.monotonic() - begin
        return arrays

    @property
    def longest(self) -> Part:
        """What most of the time so far went to."""
        encoder = max(0.0, self._encoder - self._device)
        spent: dict[Part, float] = {
            "network": time.monotonic() - self._begin - self._decoder - encoder,
            "decoder": self._decoder,
            "encoder": encoder,
        }
        return max(spent, key=spent.__getitem__)


class TimedNetwork(nn.Module):
    """A network that counts the seconds spent in it, and calls `before` first."""

    def __init__(self, network: Any, before: Callable[[], None] = lambda: None) -> None:  # noqa: ANN401
        super().__init__()
        self._before = before
        self._network = network
        self._watch = Stopwatch()
        self.scale: int = network.scale
        self.min_size: int = network.min_size

    @property
    def seconds(self) -> float:
        """Time inside the network so far; on a GPU, waits until it has finished."""
        return self._watch.seconds

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy of the network with the same clock."""
        copy = type(self)(deepcopy(self._network, memo), self._before)
        copy._watch = self._watch
        return copy.train(self.training)

    def forward(
        self, lq: Tensor, state: State | None = None, lookahead: int = 0
    ) -> tuple[Tensor, State]:
        """Run it."""
        self._before()
        with self._watch.running(lq.device):
            made: tuple[Tensor, State] = self._network(lq, state, lookahead)
        return made


# Pictures that wait between decoder and network.
_AHEAD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A picture as the encoder takes it.

    Attributes:
        source: The decoded frames that show it: their times, their captions.
        planes: (H, W) integers on the device, in the encoder's format.
        error: Mean of `runner.squared_errors`, on the device.
        position: As in `SrFrame`.
    """

    source: Still[PlanarFrame]
    planes: tuple[Tensor, ...]
    error: Tensor
    position: Position | None


def to_lq(still: Still[PlanarFrame], job: Job, device: torch.device) -> LqFrame[Still[PlanarFrame]]:
    """Bring decoded planes to the device and into RGB, those of repeats once."""
    return arrived(sent(still, Copies(device)), job)


def sent(still: Still[PlanarFrame], copies: Copies) -> tuple[Still[PlanarFrame], Upload]:
    """Send decoded planes to the device, those of repeats once; in any thread."""
    planes = [torch.from_numpy(_owned(plane)) for plane in still.frames[0].planes]
    return still, copies.up(planes)


def arrived(given: tuple[Still[PlanarFrame], Upload], job: Job) -> LqFrame[Still[PlanarFrame]]:
    """Turn planes that were `sent` into RGB."""
    still, planes = given
    first = still.frames[0]
    return LqFrame(
        source=still,
        lq=planes_to_rgb(planes.tensors(), job.source_layout),
        pts=first.pts,
        scene_score=still.scene_score,
    )


def _owned(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Copy read-only arrays and odd strides, which torch refuses or warns about."""
    return plane if plane.flags.writeable and plane.flags.c_contiguous else plane.copy()


def finished(done: SrFrame[Still[PlanarFrame]], job: Job, strength: float) -> Finished:
    """Bring a picture to its final size, measure it, convert it to the encoder's planes."""
    size = {"height": job.encode.height, "width": job.encode.width}
    rgb = finish(done.sr, done.lq, **size, strength=strength)
    return Finished(
        source=done.source,
        error=squared_errors(rgb, done.lq, LUMA_WEIGHTS[job.source_layout.matrix]).mean(),
        planes=rgb_to_planes(rgb, job.target_layout),
        position=done.position,
    )


def sent_back(
    upscaled: Iterable[SrFrame[Still[PlanarFrame]]], job: Job, strength: float, copies: Copies
) -> Iterator[tuple[Finished, Download]]:
    """Finish pictures and send their planes and errors to the CPU."""
    # `map` lets go of each picture; the network needs its room for the next window.
    for picture in map(partial(finished, job=job, strength=strength), upscaled):
        yield picture, copies.down((*picture.planes, picture.error))


def to_shown(picture: Finished, job: Job) -> Shown:
    """A finished picture as a screen shows it."""
    rgb = to_picture(planes_to_rgb([plane.cpu() for plane in picture.planes], job.target_layout))
    return np.rot90(rgb, job.info.video.rotation // 90)


class Recorder:
    """Write finished frames to pieces; a context manager that drops an unfinished piece."""

    def __init__(self, job: Job, ledger: Ledger, length: int, said: Sequence[str]) -> None:
        """Start after what `ledger` has.

        Args:
            job: The plan.
            ledger: Where pieces go.
            length: Frames per piece.
            said: The growing list of all warnings, kept with each piece.
        """
        self._job = job
        self._ledger = ledger
        self._length = length
        self._said = said
        self._clock = output_clock(job.encode, output_range(job.info, job.encode, job.time_range))
        self._frames: list[tuple[int, float]] = []  # pts and fidelity
        self._position: Position | None = None
        self._writer: PieceWriter | PictureWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def take(self, picture: Finished, made: Sequence[NDArray[Any]]) -> None:
        """Encode all frames that show a picture; finish a piece that is long enough.

        Args:
            picture: What is to be encoded.
            made: Its planes and its error, on the CPU.

        Raises:
            EncodeError, MuxError: The encoder or the disk refuses.
            DiskError: The rest will not fit on the disk.
        """
        if self._writer is None:
            self._writer = self._open()
        *planes, error = made
        fidelity = decibels(float(error))
        for frame in picture.source.frames:
            self._writer.write(planes, frame.pts, frame.duration, frame.captions)
            self._frames.append((frame.pts, fidelity))
        if picture.position is not None:
            self._position = picture.position
            at_cut = picture.position.state is None
            if ends_piece(len(self._frames), self._length, at_cut=at_cut):
                self.finish()
                check_room(self._job, self._ledger)

    def finish(self) -> None:
        """Finish the piece, if one is begun.

        Raises:
            EncodeError, MuxError: The encoder or the disk refuses.
        """
        if self._writer is None:
            return
        assert self._position is not None
        self._writer.finish()
        pts, fidelities = zip(*self._frames, strict=True)
        self._ledger.commit(pts, fidelities, self._writer.size, self._position, self._said)
        self._writer, self._frames = None, []

    def _open(self) -> PieceWriter | PictureWriter:
        pattern = self._job.target.pattern
        if self._job.target.muxer == PICTURES:
            done = self._ledger.first_frame + self._ledger.frames
            first = first_number(self._job.info, self._job.decode)
            return PictureWriter(
                self._ledger.joined, pattern, self._job.encode, done=done, first_pts=first
            )
        return PieceWriter(self._ledger.unfinished, pattern, self._job.encode, self._clock)


# It was tried on two; with many, most are idle while the encoder is at it alone.
_FEW_PROCESSORS = 4


def takes_turns(device: torch.device) -> bool:
    """Whether network and encoder share so few processors that each runs faster alone.

    Each operator of the network waits for the slowest of its threads, so a processor that is taken
    away for the encoder is lost on all. The common encoders have threads of their own.
    """
    threads = torch.get_num_threads()
    few = (os.cpu_count() or 1) <= 2 * min(threads, _FEW_PROCESSORS)  # two to a core
    return device.type == "cpu" and threads > 1 and few


def record(
    frames: Iterable[PlanarFrame],
    job: Job,
    network: VideoNetwork,
    options: EnhanceOptions,
    ledger: Ledger,
    warn: Warnings,
    tick: Callable[[Finished], None] = lambda picture: None,
    waits: Waits | None = None,
) -> None:
    """Enhance and encode frames; decoder and encoder work in threads of their own.

    Where few processors do everything, the encoder and the network take turns instead.

    Frames that repeat the one before do not reach the network: they are encoded after it, at their
    own times, with its picture.

    Args:
        frames: Those that follow what `ledger` has; pieces do not end between a frame and its
            repeats.
        job: The plan.
        network: On the plan's device.
        options: Strength, and length of pieces.
        ledger: Where finished frames go, and what is finished already.
        warn: Called with each warning; all of them are kept with each piece.
        tick: Called after each frame, with its picture.
        waits: Counts where the time goes.

    Raises:
        EncodeError, MuxError: The encoder or the disk refuses.
        OutOfMemoryError: Not even small tiles fit in memory.
    """
    waits = waits or Waits()
    device = torch.device(job.inference.device)
    copies = Copies(device)
    decoded = prefetch((sent(still, copies) for still in stills(frames)), _AHEAD)

    def encode(item: tuple[Finished, Download]) -> None:
        picture, made = item
        recorder.take(picture, waits.received(made))

    try:
        with (
            torch.inference_mode(),
            Recorder(job, ledger, options.piece, warn.said) as recorder,
            # Room for a window: the encoder works on it while the network does the next.
            Sink(encode, 0 if takes_turns(device) else job.inference.window + 1) as sink,
        ):
            given = map(partial(arrived, job=job), waits.drawn(decoded))
            start = ledger.position()
            upscaled = upscale(given, network, job.inference, warn=warn, start=start)
            for item in sent_back(upscaled, job, options.strength, copies):
                waits.hand_over(sink, item)
                for _ in item[0].source.frames:
                    tick(item[0])
            sink.close()
            recorder.finish()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{job.info.path}: out of memory beside the network, with pictures of "
            f"{job.encode.width}x{job.encode.height}; make --size smaller, or use fewer --workers"
        ) from error
    finally:
        decoded.close()  # type: ignore[attr-defined]
