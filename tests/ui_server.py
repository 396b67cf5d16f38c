"""A real `vsr ui` in a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Server:
    """A server that was started; `log` has what it said on stderr."""

    process: subprocess.Popen[str]
    address: str
    log: Path
    root: Path
    state: Path

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].partition("/")[0])

    @property
    def token(self) -> str:
        return self.address.split("/")[3]

    def request(
        self,
        path: str,
        body: Any = None,  # noqa: ANN401
        *,
        method: str | None = None,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Send a request; underscores in names of headers are dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        data = None if body is None else json.dumps(body)
        if data is not None:
            headers.setdefault("content_type", "application/json")
        method = method or ("GET" if data is None else "POST")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.token if token is None else token
        connection.request(method, f"/{token}/{path}", data, named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def ask(self, what: str, **given: Any) -> Any:  # noqa: ANN401
        """Ask as the page does."""
        status, content = self.request(f"ask/{what}", given)
        assert status == 200, content
        return json.loads(content)

    def kill(self) -> None:
        """Kill it, as a crash of the machine would."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """Start another one with the same queue, under another address."""
        self.__dict__ |= vars(start(self.root, self.state))

    def film(self, number: int) -> Any:  # noqa: ANN401
        """All about a film in the queue."""
        return self.ask("film", id=number)

    def wait_for(self, number: int, *states: str) -> Any:  # noqa: ANN401
        """Wait until a film is in one of the states."""
        return until(lambda: (f := self.film(number))["state"] in states and f)


def until(found: Callable[[], Any], seconds: float = 600) -> Any:  # noqa: ANN401
    """Wait for something to be true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)
    raise TimeoutError


def key(path: Path | str) -> str:
    """A path as the page names it."""
    return urlsafe_b64encode(os.fsencode(path)).decode().rstrip("=")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(root: Path, state: Path, port: int = 0) -> Server:
    """Start a server for a folder; its queue is in `state`."""
    command = [sys.executable, "-m", "vsr", "ui", "--no-open", "--root", str(root)]
    command += ["--port", str(port or free_port())]
    log = state.with_suffix(".log")
    with log.open("a") as said:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "VSR_STATE": str(state), "OMP_NUM_THREADS": "1"},
        )
    assert process.stdout is not None
    with process.stdout as printed:
        line = printed.readline()
        printed.readline()
    assert "http://" in line, log.read_text()
    server = Server(process, line.split()[-1], log, root, state)
    until(lambda: _listens(server.port))
    return server


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(root: Path, state: Path) -> Iterator[Server]:
    """A server that is ended in the end."""
    server = start(root, state)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(300)
