"""Downloads are resumed, verified, and appear whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vsr.errors import ChecksumError, WeightsError
from vsr.models.catalogue import download, weights_folder

CONTENT = bytes(range(256)) * 9000  # more than two chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: /file with ranges, /plain without, /cut breaks off in the middle."""

    ranges: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.ranges.append(asked)
        if self.path == "/none":
            self.send_error(404)
            return
        start = int(asked[6:-1]) if asked and self.path == "/file" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = len(CONTENT) // 2 if self.path == "/cut" else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep silent."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.ranges.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("digits", [8, 64])
def test_a_file_is_fetched_with_progress(server: str, tmp_path: Path, digits: int) -> None:
    target, told = tmp_path / "new" / "net.pth", []
    download(
        f"{server}/file",
        target,
        DIGEST[:digits],
        progress=lambda done, total: told.append((done, total)),
    )
    assert target.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("kept", [1, 1_000_000, len(CONTENT)])
def test_a_broken_download_is_resumed(server: str, tmp_path: Path, kept: int) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:kept])
    download(f"{server}/file", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert Handler.ranges == [f"bytes={kept}-"]


def test_a_server_that_does_not_resume_starts_over(server: str, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(b"xyz")
    download(f"{server}/plain", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_what_came_before_the_line_broke_is_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="try again"):
        download(f"{server}/cut", tmp_path / "net.pth", DIGEST)
    assert not (tmp_path / "net.pth").exists()
    assert (tmp_path / "net.pth.part").stat().st_size == len(CONTENT) // 2
    download(f"{server}/file", tmp_path / "net.pth", DIGEST)
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_file_that_is_not_the_published_one_is_thrown_away(server: str, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="not 00000000"):
        download(f"{server}/file", tmp_path / "net.pth", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_here_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT)
    download(f"{server}/none", tmp_path / "net.pth", DIGEST)
    assert not Handler.ranges


def test_a_wrong_file_that_is_here_is_refused(server: str, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"something else")
    with pytest.raises(ChecksumError, match="delete it"):
        download(f"{server}/file", tmp_path / "net.pth", DIGEST)


@pytest.mark.parametrize("address", ["{server}/none", "http://127.0.0.1:1/net.pth"])
def test_without_the_server_the_error_says_what_to_do(
    server: str, tmp_path: Path, address: str
) -> None:
    address = address.format(server=server)
    with pytest.raises(WeightsError) as caught:
        download(address, tmp_path / "net.pth", DIGEST)
    assert address in str(caught.value)
    assert str(tmp_path / "net.pth") in str(caught.value)


def test_the_cache_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CACHE", str(tmp_path))
    assert weights_folder() == tmp_path / "weights"
    monkeypatch.delenv("VSR_CACHE")
    assert weights_folder().parts[-2:] == ("vsr", "weights")
