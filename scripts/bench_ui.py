"""The part of `bench.py` about the local page: its first preview against the command line."""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from measuring import table

from vsr.media.probe import probe
from vsr.ui.films import TRIED

SAMPLE = Path(__file__).parents[1] / "samples" / "street.mp4"
VSR = (sys.executable, "-m", "vsr")


def ui(*, model: str = "compact-x4", source: Path = SAMPLE, at: float = 1.0) -> None:
    """Print what a preview takes on the page of `vsr ui`, and the same frames by `vsr enhance`.

    The first one is asked for, as by a person, when what will become of the film has appeared.

    Args:
        model: Name or weight file.
        source: The film.
        at: Seconds from its start.
    """
    from vsr.ui.server import key_of

    source = source.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _server([source.parent, folder], folder / "state") as page:
            begin = time.monotonic()
            _request(page)
            opened = time.monotonic() - begin
            asked = {"file": key_of(source), "folder": key_of(folder), "name": "out.mp4", "id": 1}
            asked |= {"at": f"{at:.3f}", "options": {"model": model}}
            planned = _taken(page, "ask/plan", asked)
            first, second = (_taken(page, "ask/attempt", asked) for _ in range(2))
        taken = [_enhance(source, folder / f"{i}.mp4", model, at) for i in range(3)]
    alone = statistics.median(taken)
    rows = [
        ("vsr enhance, the same frames", f"{alone:.2f} s"),
        ("the page, from request to last byte", f"{opened:.3f} s"),
        ("then what will become of the film", f"{planned:.2f} s"),
        ("then the first preview", f"{first:.2f} s"),
        ("the second", f"{second:.2f} s"),
    ]
    table((f"{model}, {TRIED} frames", "time"), rows)
    print(f"\nthe first preview takes {first - alone:+.2f} s more than the command line")


@contextmanager
def _server(roots: list[Path], state: Path) -> Iterator[str]:
    """A server of `vsr ui`; gives its address."""
    options = [text for root in roots for text in ("--root", str(root))]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    process = subprocess.Popen(
        [*VSR, "ui", "--no-open", "--port", port, *options],
        env={**os.environ, "VSR_STATE": str(state)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(address: str) -> None:
    for _ in range(200):
        try:
            http.client.HTTPConnection(urlsplit(address).netloc).connect()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nobody answers at {address}")


def _request(address: str, path: str = "", body: object = None) -> bytes:
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc, timeout=600)
    data = None if body is None else json.dumps(body)
    method = "GET" if data is None else "POST"
    connection.request(method, url.path + path, data, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {content.decode()}")
    return content


def _taken(address: str, path: str, asked: object) -> float:
    """Seconds until the answer is there."""
    begin = time.monotonic()
    _request(address, path, asked)
    return time.monotonic() - begin


def _enhance(source: Path, target: Path, model: str, at: float) -> float:
    """Seconds of the command line for the frames around a moment that a preview shows."""
    length = float(TRIED / probe(source).video.frame_rate)
    part = ["--start", f"{max(0.0, at - length / 2):.3f}", "--duration", f"{length:.6f}"]
    begin = time.monotonic()
    subprocess.run(
        [*VSR, "enhance", str(source), str(target), "--model", model, *part],
        check=True,
        capture_output=True,
    )
    return time.monotonic() - begin
