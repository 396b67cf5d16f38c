"""Measure the comparison page of a one-minute film: its size, and the time to open it.

    python scripts/bench_page.py

Makes a film of one minute, 320x180, and one of four times its size, compares them, and opens the
page in Debian's headless Chromium (`apt-get install chromium chromium-driver`). Prints a table.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import tyro
from bench import moving_frames, table
from numpy.typing import NDArray

from vsr.report.compare import compare

SIZE = (320, 180)
RATE = Fraction(24)
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")


def main(*, seconds: int = 60, opened: int = 5) -> None:
    """Print the size of the page and the times to open it.

    Args:
        seconds: Length of the films.
        opened: Number of times the page is opened.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = int(seconds * RATE)
        small, large = folder / "in.mp4", folder / "out.mp4"
        write_pair(small, large, frames)
        begin = time.monotonic()
        page = compare(small, [large], folder / "page.html").page
        made = time.monotonic() - begin
        times, busy = open_often(page, opened, folder / "profile")
        rows = [
            ("frames compared", f"{frames}"),
            ("time to make the page", f"{made:.1f} s"),
            ("its size", f"{page.stat().st_size / 1e6:.2f} MB"),
            ("opened, median", f"{sorted(times)[len(times) // 2]:.2f} s"),
            ("opened, slowest", f"{max(times):.2f} s"),
            ("its share of one core", f"{busy:.2f} s"),
        ]
    table(("page of a film", f"{seconds} s, {SIZE[0]}x{SIZE[1]} against x4"), rows)
    print("\nopened: from asking for the page until its load event and a drawn frame after it;")
    print("share of a core: what the page's main thread computed for that, once, whoever waits")


def write_pair(small: Path, large: Path, frames: int) -> None:
    """Write a pan over a photograph, and the same at four times the size."""
    width, height = SIZE
    with av.open(str(small), "w") as one, av.open(str(large), "w") as two:
        streams = []
        for file, factor in ((one, 1), (two, 4)):
            stream = file.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
            stream.width, stream.height = factor * width, factor * height
            stream.pix_fmt = "yuv420p"
            streams.append((file, stream))
        for picture in moving_frames(frames, width, height):
            for (file, stream), pixels in zip(streams, (picture, enlarged(picture)), strict=True):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for file, stream in streams:
            file.mux(stream.encode(None))


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Four times the size, with grain, so that the file is as large as a real one."""
    import cv2

    height, width = (4 * side for side in picture.shape[:2])
    large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = np.random.default_rng(0).integers(-6, 7, (height, width, 1), dtype=np.int16)
    return (large + grain).clip(0, 255).astype(np.uint8)


def open_often(page: Path, count: int, profile: Path) -> tuple[list[float], float]:
    """Open a page repeatedly in a running browser.

    Returns:
        Seconds of each time, and seconds of the page's main thread the last time.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        sys.exit("chromium and chromedriver are wanted: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = binary
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    times, busy = [], 0.0
    for _ in range(count):
        browser.get("about:blank")
        begin = time.monotonic()
        browser.get(page.as_uri())  # returns after the load event
        browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => done())"
        )
        times.append(time.monotonic() - begin)
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        busy = next(m["value"] for m in metrics if m["name"] == "TaskDuration")
    browser.quit()
    return times, busy


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
