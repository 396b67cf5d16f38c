"""`vsr evaluate`: the protocol against an independent computation."""

from __future__ import annotations

import csv
import json
import math
import re
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_folders import SIZE, film, write_clip
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from synthetic import make_pictures, make_video

import vsr
from vsr.benchmark import Measuring, evaluate, identity_of
from vsr.cli.main import main
from vsr.data.datasets import BYTES_PER_PIXEL, read_pairs
from vsr.data.layouts import PROTOCOLS, ClipFiles, open_training
from vsr.errors import ConfigError, DatasetError
from vsr.evaluation.metrics import luma
from vsr.evaluation.natural import niqe
from vsr.evaluation.perceptual import StLpips
from vsr.inference.plan import make_plan
from vsr.media.xpsnr import Xpsnr
from vsr.models.basicvsr import BasicVSR
from vsr.models.checkpoints import save_weights
from vsr.models.zoo import find_model, load_model
from vsr.ops.color import to_picture
from vsr.options import InferenceOptions
from vsr.results import markdown
from vsr.training.validation import validate


def imresize(x: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """MATLAB's bicubic imresize along axis 0."""
    old, factor = x.shape[0], size / x.shape[0]
    widen = min(1.0, factor)
    centres = (np.arange(size) + 0.5) / factor - 0.5
    taps = np.arange(-10, old + 10)
    t = np.abs(centres[:, None] - taps) * widen
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = np.where(t <= 1, near, np.where(t < 2, far, 0))
    weights /= weights.sum(1, keepdims=True)
    folded = np.where(taps < 0, -taps - 1, np.where(taps >= old, 2 * old - 1 - taps, taps))
    return np.tensordot(weights, x[folded], 1)


def both_axes(x: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    return imresize(imresize(x, height).swapaxes(0, 1), width).swapaxes(0, 1)


def rounded(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.floor(x + 0.5), 0, 255)


def shrunk(gt: NDArray[np.float64], degradation: str) -> NDArray[np.float64]:
    height, width = gt.shape[:2]
    if degradation == "bi":
        return rounded(both_axes(gt, height // 4, width // 4))
    kernel = np.exp(-((np.arange(12) - 5.5) ** 2) / (2 * 1.6**2))
    kernel /= kernel.sum()
    # scipy centres an even kernel one tap later than imfilter does.
    for axis in (0, 1):
        gt = correlate1d(gt, kernel, axis=axis, mode="nearest", origin=-1)
    return rounded(gt[1:-2:4, 1:-2:4])


def by_hand(frame: NDArray[np.uint8], degradation: str, on_luma: bool) -> tuple[float, float]:
    """PSNR and SSIM of bicubic, with MATLAB's formulas."""
    gt = frame[: SIZE[0], : SIZE[1]].astype(np.float64)
    sr = rounded(both_axes(shrunk(gt, degradation), *SIZE))
    pairs = [(sr[..., i], gt[..., i]) for i in range(3)]
    if on_luma:
        weights = np.array([65.481, 128.553, 24.966]) / 255
        pairs = [(sr @ weights + 16, gt @ weights + 16)]
    error = np.mean([(a - b) ** 2 for a, b in pairs])
    psnr = 10 * np.log10(255**2 / error)
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (0, 1):
            x = np.apply_along_axis(np.convolve, axis, x, window, mode="valid")
        return x

    values = []
    for a, b in pairs:
        m, n = mean(a), mean(b)
        v, w, c = mean(a * a) - m * m, mean(b * b) - n * n, mean(a * b) - m * n
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append(
            ((2 * m * n + c1) * (2 * c + c2) / ((m * m + n * n + c1) * (v + w + c2))).mean()
        )
    return float(psnr), float(np.mean(values))


@pytest.mark.parametrize(
    ("protocol", "degradation", "on_luma"),
    [("vid4-bi", "bi", True), ("vid4-bd", "bd", True), ("reds4", "bi", False)],
)
def test_bicubic_equals_an_independent_computation(
    tmp_path: Path, protocol: str, degradation: str, on_luma: bool
) -> None:
    names = ("calendar", "city", "foliage", "walk") if on_luma else ("000", "011", "015", "020")
    films = {name: film(2, seed) for seed, name in enumerate(names)}
    for name, frames in films.items():
        write_clip(tmp_path / "GT" / name, frames)
    found = evaluate([], tmp_path, Measuring(protocol=protocol, metrics=("psnr", "ssim")))
    for name, frames in films.items():
        wanted = np.mean([by_hand(frame, degradation, on_luma) for frame in frames], axis=0)
        score = found.entries["bicubic"][name].score
        assert score.psnr == pytest.approx(wanted[0], abs=0.01)
        assert score.ssim == pytest.approx(wanted[1], abs=0.0005)


def test_rgb_by_bd_equals_an_independent_computation(tmp_path: Path) -> None:
    # No test set is measured so, but the parts are to be right in any combination.
    from vsr.data.datasets import to_tensor
    from vsr.data.degrade import blur_down
    from vsr.evaluation.metrics import psnr, ssim
    from vsr.models.zoo import load_model

    frame = film(1)[0]
    gt = np.ascontiguousarray(frame[: SIZE[0], : SIZE[1]])
    lq = blur_down(to_tensor(gt))
    sr = to_picture(load_model("bicubic")(lq[None, None])[0][0, 0])
    wanted = by_hand(frame, "bd", on_luma=False)
    assert psnr(sr, gt, on_luma=False) == pytest.approx(wanted[0], abs=0.01)
    assert ssim(sr, gt, on_luma=False) == pytest.approx(wanted[1], abs=0.0005)


def test_the_low_quality_side_on_disk_gives_the_same_numbers(tmp_path: Path) -> None:
    for name in ("calendar", "city", "foliage", "walk"):
        frames = film(2)
        write_clip(tmp_path / "made" / "GT" / name, frames)
        write_clip(tmp_path / "given" / "GT" / name, frames)
        low = [shrunk(f[: SIZE[0], : SIZE[1]].astype(float), "bd").astype(np.uint8) for f in frames]
        write_clip(tmp_path / "given" / "BDx4" / name, low)
    measuring = Measuring(protocol="vid4-bd", metrics=("psnr", "ssim"))
    made, given = (evaluate([], tmp_path / side, measuring) for side in ("made", "given"))
    assert made.mean("bicubic") == given.mean("bicubic")


@pytest.mark.parametrize(("model", "tolerance"), [("bicubic", 0.0), ("compact-x4", 0.01)])
def test_numbers_do_not_depend_on_the_window(tmp_path: Path, model: str, tolerance: float) -> None:
    write_clip(tmp_path / "clip", film(12))
    psnrs = []
    for window, whole in ((3, False), (5, False), (None, True)):
        options = InferenceOptions(window=window, precision="fp32", lookahead=4)
        measuring = Measuring(
            protocol="folder-bi", inference=options, whole_clip=whole, metrics=("psnr", "ssim")
        )
        found = evaluate([model], tmp_path, measuring)
        psnrs.append([frame.psnr for frame in found.entries[model]["clip"].frames])
    means = [np.mean(values) for values in psnrs]
    assert max(means) - min(means) <= tolerance
    if tolerance == 0:
        assert psnrs[0] == psnrs[1] == psnrs[2]


@pytest.mark.parametrize("protocol", ["folder-bi", "folder-real"])
def test_numbers_do_not_depend_on_the_threads(tmp_path: Path, protocol: str) -> None:
    write_clip(tmp_path / "clip", film(6))
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results = evaluate(["compact-x4"], tmp_path, Measuring(protocol=protocol))
        found.append(results.entries["compact-x4"]["clip"].frames)
    for frames in zip(*found, strict=True):
        psnrs, flickers = [f.psnr for f in frames], [f.flicker for f in frames if f.flicker]
        assert max(psnrs) - min(psnrs) <= 0.01
        assert not flickers or max(flickers) - min(flickers) <= 0.01


def test_real_footage_is_degraded_by_name_not_by_place(tmp_path: Path) -> None:
    for folder, names in (("one", ("b",)), ("three", ("a", "b", "c"))):
        for name in names:
            write_clip(tmp_path / folder / name, film(4))
    one, three = (
        evaluate([], tmp_path / folder, Measuring(protocol="folder-real")).entries["bicubic"]
        for folder in ("one", "three")
    )
    assert one["b"].frames == three["b"].frames
    assert len({three[name].score.psnr for name in "abc"}) == 3


def test_real_footage_is_measured_as_training_validates(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.mkv", "b.mkv")):
        frames = film(5, seed)
        (tmp_path / "films").mkdir(exist_ok=True)
        make_video(tmp_path / "films" / name, frames=5, size=(64, 48),
                   picture=lambda i, w, h, f=frames: f[i][:h, :w])  # fmt: skip
    measuring = Measuring(protocol="folder-real", frames=4)
    found = evaluate([], tmp_path / "films", measuring).mean("bicubic")
    clips = open_training(tmp_path / "films", tmp_path / "cache")
    # In another order: only names count.
    validated = validate(
        load_model("bicubic"), clips[::-1], frames=4, scale=4, degradation="real",
        device=torch.device("cpu"),
    )  # fmt: skip
    assert found.psnr == pytest.approx(validated["psnr"], abs=1e-6)
    assert found.ssim == pytest.approx(validated["ssim"], abs=1e-6)


def test_a_clip_too_long_to_degrade_says_how_much_fits(tmp_path: Path) -> None:
    clip = ClipFiles(name="clip", gt=write_clip(tmp_path / "clip", film(3)))
    room = 2 * SIZE[0] * SIZE[1] * BYTES_PER_PIXEL
    protocol = PROTOCOLS["folder-real"]
    with pytest.raises(DatasetError, match="at most --frames 2"):
        list(read_pairs(clip, protocol, 4, frames=None, room=room))
    assert len(list(read_pairs(clip, protocol, 4, frames=2, room=room))) == 2


def test_vimeo_measures_the_middle_frame_alone(tmp_path: Path) -> None:
    frames = film(7)
    for index in (0, 1, 2, 4, 5, 6):
        frames[index] = np.zeros_like(frames[index])
    write_clip(tmp_path / "sequences" / "00001" / "0001", frames, "im{}.png")
    # Vimeo counts from 1.
    for index in range(6, -1, -1):
        folder = tmp_path / "sequences" / "00001" / "0001"
        (folder / f"im{index}.png").rename(folder / f"im{index + 1}.png")
    (tmp_path / "sep_testlist.txt").write_text("00001/0001\n")
    wanted = by_hand(frames[3], "bi", on_luma=True)
    for whole in (False, True):
        found = evaluate([], tmp_path, Measuring(protocol="vimeo90k-bi", whole_clip=whole))
        entry = found.entries["bicubic"]["00001/0001"]
        assert entry.score.frames == 1
        assert entry.score.psnr == pytest.approx(wanted[0], abs=0.01)


@pytest.mark.parametrize(
    ("name", "limit"),
    # By the compact network's figures bicubic would not fit in 2 MiB, BasicVSR would in 5.
    [("bicubic", 2), ("basicvsr", 5)],
)
def test_memory_is_planned_by_the_figures_of_each_model(
    tmp_path: Path, name: str, limit: int
) -> None:
    if name == "basicvsr":
        path = tmp_path / "net.safetensors"
        shape = {"channels": 8, "blocks": 1}
        save_weights(path, BasicVSR(**shape).state_dict(), {"name": name, **shape}, {})
        name = str(path)
    write_clip(tmp_path / "data" / "a", film(1))
    told: list[str] = []
    inference = InferenceOptions(device="cpu", precision="fp32", window=16, memory_limit=limit)
    measuring = Measuring(protocol="folder-bi", inference=inference, metrics=("psnr", "ssim"))
    evaluate([name], tmp_path / "data", measuring, tell=told.append)
    height, width = (side // 4 for side in SIZE)
    wanted = [
        f"note: a: {note}"
        for model in dict.fromkeys(("bicubic", name))
        for note in make_plan(height, width, inference, find_model(model).facts).notes
    ]
    assert [line for line in told if line.startswith("note")] == wanted
    assert (wanted == []) == (name == "bicubic")


def test_two_sides_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    for name in ("calendar", "city", "foliage", "walk"):
        write_clip(tmp_path / "GT" / name, film(2))
        write_clip(tmp_path / "BIx4" / name, [f[:10, :16] for f in film(2)])
    with pytest.raises(DatasetError, match="truth of 67x50 wants x4 smaller"):
        evaluate([], tmp_path, Measuring(protocol="vid4-bi"))


def test_a_protocol_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--protocol must be 'vid4-bi'.*; got 'folder-x'"):
        evaluate([], tmp_path, Measuring(protocol="folder-x"))


@pytest.mark.parametrize(
    ("border", "frames", "message"),
    [
        (-1, None, "--border must be at least 0; got -1"),
        (0, 0, "--frames must be at least 1; got 0"),
    ],
)
def test_options_out_of_range_are_refused(
    tmp_path: Path, border: int, frames: int | None, message: str
) -> None:
    measuring = Measuring(protocol="folder-bi", border=border, frames=frames)
    with pytest.raises(ConfigError, match=message):
        evaluate([], tmp_path, measuring)


def test_a_picture_too_small_to_measure_is_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "tiny", film(1))
    with pytest.raises(DatasetError, match="'tiny': 64x48 less a border of 20"):
        evaluate([], tmp_path, Measuring(protocol="folder-bi", border=20))


def test_finished_clips_are_not_measured_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", film(3))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi")
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    write_clip(tmp_path / "data" / "b", film(3, seed=1))
    again = evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["bicubic, a", "bicubic, b"]
    fresh = evaluate([], tmp_path / "data", measuring)
    assert again.mean("bicubic") == fresh.mean("bicubic")
    assert again.entries["bicubic"]["a"].frames == fresh.entries["bicubic"]["a"].frames


def test_numbers_by_another_method_are_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "data" / "a", film(2))
    measuring, told = Measuring(protocol="folder-bi", metrics=("psnr", "ssim")), []

    def run() -> None:
        path = tmp_path / "results.json"
        evaluate([], tmp_path / "data", measuring, results=path, tell=told.append)

    for _ in range(2):
        run()
    assert len(told) == 1
    monkeypatch.setattr("vsr.benchmark._METHOD", -1)
    run()
    assert len(told) == 2
    monkeypatch.setattr("vsr.benchmark.__version__", "of tomorrow")
    run()
    assert len(told) == 3


def test_an_interrupted_run_keeps_what_it_measured(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        write_clip(tmp_path / "data" / name, film(2, seed))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "ssim"))

    def interrupt(line: str) -> None:
        if "bicubic, b" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate([], tmp_path / "data", measuring, results=results, tell=interrupt)
    assert list(json.loads(results.read_text())["models"]["bicubic"]["clips"]) == ["a", "b"]
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert [line.split(":")[0] for line in told] == ["bicubic, c"]


def test_networks_are_measured_as_their_names_are(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "data" / name, film(2, seed))
    measuring = Measuring(
        protocol="folder-bi", metrics=("psnr", "ssim"), inference=InferenceOptions(precision="fp32")
    )
    network: Any = load_model("compact-x4")
    network.train()
    found = evaluate(["compact-x4", network, network], tmp_path / "data", measuring)
    assert list(found.entries) == ["bicubic", "compact-x4", "Compact", "Compact 2"]
    named = found.entries["compact-x4"]
    assert all(found.entries["Compact"][clip].score == named[clip].score for clip in "ab")
    assert network.training
    results, lines = tmp_path / "r.json", []
    for _ in range(2):
        found = evaluate(
            {"mine": network}, tmp_path / "data", measuring, results=str(results), tell=lines.append
        )
    assert list(found.entries) == ["bicubic", "mine"]
    # Code may have changed since: what is given is measured anew, what has a name is not.
    assert [line.split(",")[0] for line in lines] == ["bicubic"] * 2 + ["mine"] * 4


def test_progress_is_told_and_an_event_stops_the_measuring(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "data" / name, film(3, seed))
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "ssim"))
    seen: list[vsr.EvaluateProgress] = []
    event = threading.Event()

    def show(now: vsr.EvaluateProgress) -> None:
        seen.append(now)
        if (now.clip, now.frames) == ("b", 2):
            event.set()

    results = tmp_path / "r.json"
    with pytest.raises(vsr.CancelledError):
        evaluate([], tmp_path / "data", measuring, results=results, progress=show, cancel=event)
    assert {now.total for now in seen} == {2}
    of_a = [("a", 1, 0), ("a", 2, 0), ("a", 3, 0), ("a", 3, 1)]
    assert [(now.clip, now.frames, now.done) for now in seen] == [*of_a, ("b", 1, 1), ("b", 2, 1)]
    seen.clear()
    event.clear()
    evaluate([], tmp_path / "data", measuring, results=results, progress=seen.append, cancel=event)
    assert [now.done for now in seen] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": "compact-x4"}, r"models wants a list .* such as \['compact-x4'\]; got 'comp"),
        ({"models": 4}, "got int"),
        ({"models": [4]}, "wanted the name of a model, a weight file or a network; got int"),
        ({"models": [BasicVSR]}, "got the class BasicVSR; create one of it"),
        ({"models": [torch.nn.Identity()]}, "a network needs `scale`.* Identity has none"),
        ({"models": {"bicubic": load_model("bicubic")}}, "'bicubic' names two models"),
        ({"measuring": "folder-bi"}, "measuring must be a dictionary or an instance of Measuring"),
        ({"measuring": {"protocol": "vid5"}}, "--protocol must be 'vid4-bi'"),
        ({"data": None}, "text or a path wanted for the folder of the test set, got NoneType"),
        ({"results": 5}, "text or a path wanted for the file of results, got int"),
    ],
)
def test_wrong_arguments_are_errors_with_what_was_wanted(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write_clip(tmp_path / "a", film(1))
    known: dict[str, Any] = {
        "models": [],
        "data": tmp_path,
        "measuring": Measuring(protocol="folder-bi"),
    }
    with pytest.raises(vsr.VsrError, match=message):
        evaluate(**(known | given))


def test_many_clips_cost_one_hash_and_few_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(4):
        write_clip(tmp_path / "data" / str(index), film(1, index))
    hashed, written = [], []
    monkeypatch.setattr("vsr.models.zoo.sha256", lambda path: hashed.append(path) or "x")
    monkeypatch.setattr("vsr.results.write_text", lambda path, text: written.append(path))
    monkeypatch.setattr("vsr.results._LEAST_UNSAVED", 3600.0)
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "ssim"))
    evaluate(["compact-x4"], tmp_path / "data", measuring, results=tmp_path / "results.json")
    assert (len(hashed), len(written)) == (1, 1)


def test_a_changed_clip_is_measured_again(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "data" / "a", film(3))
    results, told = tmp_path / "results.json", []
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "ssim"))
    evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    (clip / "00000002.png").unlink()
    found = evaluate([], tmp_path / "data", measuring, results=results, tell=told.append)
    assert len(told) == 2
    assert found.mean("bicubic").frames == 2


def test_a_clip_of_the_same_size_and_names_is_measured_again(tmp_path: Path) -> None:
    clip = make_pictures(
        tmp_path / "data" / "a", frames=2, name="%06d.bmp", codec="bmp", pix_fmt="bgr24"
    )
    before = identity_of(None, clip)
    assert identity_of(None, clip) == before
    picture = clip / "000002.bmp"
    data = bytearray(picture.read_bytes())
    data[-10:] = bytes(255 - x for x in data[-10:])
    picture.write_bytes(data)
    assert identity_of(None, clip) != before


def test_results_measured_otherwise_are_not_mixed(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", film(2))
    results = tmp_path / "results.json"
    evaluate([], tmp_path / "data", Measuring(protocol="folder-bi", border=0), results=results)
    with pytest.raises(ConfigError, match="border was 0, is 4"):
        evaluate([], tmp_path / "data", Measuring(protocol="folder-bi", border=4), results=results)
    results.write_text("{}")
    with pytest.raises(ConfigError, match="no file of results"):
        evaluate([], tmp_path / "data", Measuring(protocol="folder-bi"), results=results)


def test_equal_frames_survive_the_json(tmp_path: Path) -> None:
    write_clip(tmp_path / "data" / "a", [np.full((48, 64, 3), 90, np.uint8)] * 2)
    results = tmp_path / "results.json"
    measuring = Measuring(protocol="folder-bi")
    first = evaluate([], tmp_path / "data", measuring, results=results)
    again = evaluate([], tmp_path / "data", measuring, results=results)
    assert first.mean("bicubic").psnr == again.mean("bicubic").psnr == float("inf")
    assert json.loads(results.read_text())["models"]["bicubic"]["mean"]["psnr"] == "infinite"


def test_values_of_ones_own_that_are_no_numbers_survive_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_odd_metric.py").write_text(
        "from math import inf, nan\n"
        "values = iter([4, nan, inf, nan, nan, nan, -inf, -inf, -inf])\n"
        "def some(sr, gt):\n"
        "    return next(values)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in "abc":
        write_clip(tmp_path / "data" / name, film(3))
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "my_odd_metric:some"))
    table, again = (
        evaluate([], tmp_path / "data", measuring, results=tmp_path / "r.json") for _ in range(2)
    )
    assert again == table
    clips = table.entries["bicubic"]
    frames = {name: [f.own["my_odd_metric:some"] for f in clips[name].frames] for name in "abc"}
    assert frames == {"a": [4.0, None, math.inf], "b": [None] * 3, "c": [-math.inf] * 3}
    means = [clips[name].score.own["my_odd_metric:some"] for name in "abc"]
    assert means == [4.0, None, -math.inf]
    assert "| bicubic | 4 " in markdown(table)
    assert "| bicubic | - " in markdown(table.of(["bicubic"], ["b"]))


def test_the_command_prints_the_table_and_writes_both_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate("ab"):
        write_clip(tmp_path / "data" / name, film(3, seed))
    arguments = ["--data", str(tmp_path / "data"), "--protocol", "folder-bd"]
    files = ["--json", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "r.md")]
    models = ["--model", "bicubic", "compact-x4"]
    assert main(["evaluate", *models, *arguments, *files]) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "r.md").read_text() == text
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert rows[0] == ["model", "a", "b", "mean"]
    assert [row[0] for row in rows[2:4]] == ["bicubic", "compact-x4"]
    mean = json.loads((tmp_path / "r.json").read_text())["models"]["compact-x4"]["mean"]
    assert rows[3][3] == f"{mean['psnr']:.2f} / {mean['ssim']:.4f}"
    assert [row[0] for row in rows[6:9]] == ["bicubic", "compact-x4", "the truth itself"]
    assert [row[0] for row in rows[11:]] == ["bicubic", "compact-x4"]
    clips = json.loads((tmp_path / "r.json").read_text())["models"]["compact-x4"]["clips"]
    name, frame, value = rows[12][2].replace(":", "").split()
    assert clips[name]["frames"][int(frame)]["tof"] == pytest.approx(float(value), abs=5e-4)
    assert float(value) >= max(f["tof"] for c in clips.values() for f in c["frames"][1:]) - 5e-4


def test_many_clips_are_summed_up(tmp_path: Path) -> None:
    for index in range(11):
        write_clip(tmp_path / f"{index:02d}", film(1, index))
    measuring = Measuring(protocol="folder-bi", metrics=("psnr", "ssim"))
    text = markdown(evaluate([], tmp_path, measuring))
    assert "| model   | mean " in text
    assert "11 clips" in text


def test_tables_fit_a_terminal(tmp_path: Path) -> None:
    for index in range(5):
        write_clip(tmp_path / f"a-clip-with-a-name-{index}", film(2, index))
    results = evaluate([], tmp_path, Measuring(protocol="folder-bi"))
    wide, narrow = markdown(results), markdown(results, 80)
    assert max(map(len, wide.splitlines())) > 80 >= max(map(len, narrow.splitlines()))
    cells = [
        {cell.strip() for line in text.splitlines() if "|" in line for cell in line.split("|")}
        for text in (wide, narrow)
    ]
    assert {cell for cell in cells[0] if "--" not in cell} == {
        cell for cell in cells[1] if "--" not in cell
    }


@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_a_file_that_cannot_be_written_is_named_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    write_clip(tmp_path / "data" / "a", film(1))
    (tmp_path / "file").write_text("")
    arguments = ["--model", "bicubic", "--data", str(tmp_path / "data"), "--protocol", "folder-bi"]
    for target, reason in ((tmp_path / "file" / "x", "cannot be written"), (tmp_path, "a folder")):
        assert main(["evaluate", *arguments, option, str(target)]) == 1
        error = capsys.readouterr().err
        assert reason in error
        assert "bicubic, a" not in error


def test_further_metrics_per_frame_and_clip_in_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    films = {}
    for seed, name in enumerate("ab"):
        base = film(2, seed)
        films[name] = [np.tile(frame[:48, :64], (2, 3, 1)) for frame in base]
        write_clip(tmp_path / "data" / name, films[name])
    torch.manual_seed(0)
    judge = StLpips("alex")  # the published weights are 64 MB; `tests/evaluation` loads such a file
    monkeypatch.setattr("vsr.benchmark._loaded_stlpips", lambda device: judge)
    files = {end: tmp_path / f"r.{end}" for end in ("json", "md", "csv")}
    flags = [
        "--json",
        str(files["json"]),
        "--markdown",
        str(files["md"]),
        "--csv",
        str(files["csv"]),
    ]
    data = ["--data", str(tmp_path / "data"), "--protocol", "folder-bi", "--model", "bicubic"]
    assert main(["evaluate", *data, "--metrics", "stlpips,niqe,xpsnr,flicker", *flags]) == 0
    clips = json.loads(files["json"].read_text())["models"]["bicubic"]["clips"]
    for name, frames in films.items():
        found = clips[name]["frames"]
        xpsnr = Xpsnr()
        for index, gt in enumerate(frames):
            low = shrunk(gt.astype(np.float64), "bi")
            sr = rounded(both_axes(low, *gt.shape[:2])).astype(np.uint8)
            pair = [torch.from_numpy(x).permute(2, 0, 1)[None] / 255 for x in (sr, gt)]
            assert found[index]["stlpips"] == pytest.approx(judge(*pair).item(), rel=1e-3)
            assert found[index]["niqe"] == pytest.approx(niqe(sr), rel=1e-3)
            y = [luma(x).round().astype(np.uint8) for x in (sr, gt)]
            assert found[index]["xpsnr"] == pytest.approx(xpsnr.score(*y), abs=1e-2)
            assert found[index]["tof"] is None
        assert found[1]["flicker"] > 0
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [row["clip"] + row["frame"] for row in rows] == (
        "a0 a1 amean b0 b1 bmean meanmean".split()  # noqa: SIM905
    )
    assert ",".join(rows[0]) == "model,clip,frame,psnr,ssim,flicker,stlpips,niqe,xpsnr"
    assert (rows[0]["flicker"], float(rows[4]["niqe"])) == ("", clips["b"]["frames"][1]["niqe"])
    assert float(rows[2]["xpsnr"]) == pytest.approx(np.mean([float(r["xpsnr"]) for r in rows[:2]]))
    text = files["md"].read_text()
    assert text == capsys.readouterr().out
    for head in (
        "ST-LPIPS, lower is better",
        "NIQE, lower is better",
        "XPSNR (dB), higher is better",
    ):
        assert re.search(rf"^\| {re.escape(head)} \| a +\| b +\| mean +\|$", text, re.M)
    assert "tOF" not in text


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("psnr,vmaf", "no metric 'vmaf'; known: psnr, ssim, tof, warping, flicker, stlpips, niqe"),
        ("stlpips", "pip install --no-deps stlpips-pytorch==0.0.2"),
        ("niqe", "64x48 is too small for niqe, which needs 192x96; leave it out of --metrics"),
    ],
)
def test_metrics_that_cannot_be_measured_are_named_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    metrics: str,
    message: str,
) -> None:
    def nothing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("vsr.evaluation.perceptual.distribution", nothing)
    vsr.benchmark._loaded_stlpips.cache_clear()
    write_clip(tmp_path / "data" / "a", [f[:48, :64] for f in film(1)])
    data = ["--data", str(tmp_path / "data"), "--protocol", "folder-bi", "--model", "bicubic"]
    assert main(["evaluate", *data, "--metrics", metrics]) in (1, 2)
    said = capsys.readouterr()
    assert message in said.err
    assert "bicubic, a" not in said.err
