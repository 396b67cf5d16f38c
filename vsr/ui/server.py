"""The server of the page: for this user's browser on this machine, and for nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files as resources
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vsr import files
from vsr.errors import ConfigError, VsrError
from vsr.jobs.journal import connected
from vsr.media.containers import MUXERS, VIDEO_SUFFIXES
from vsr.options import EnhanceOptions, parse_time, validated
from vsr.profiles import read_profile, ready_profiles, write_profile
from vsr.ui.queue import Film, Queue, chosen, command
from vsr.ui.worker import STOP, StoppedError, Worker

HOST = "127.0.0.1"
_LOG = logging.getLogger("vsr.ui")
_LARGEST_BODY = 2**20
_HEARTBEAT = 15.0  # seconds; a page that is gone is found out by writing to it
_UNHEARD = 2000  # messages a page may be behind
_PICTURES = 400  # small pictures kept in memory
_LOOKERS = 2
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
# A comparison is a page of its own: it may show what it holds and talk to nobody.
_ALONE = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "sandbox allow-scripts"
)


class OutsideError(VsrError):
    """A path outside the folders that the server was started for."""


class Guard:
    """Pass on only requests with the token, for this host, from this page."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in (HOST, "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to all others, and log why."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        reason = self._fault(scope)
        if reason is not None:
            await refusal(scope["method"], reason)(scope, receive, send)
            return
        rest = "/" + scope["path"].split("/", 2)[2]
        await self._app({**scope, "path": rest, "raw_path": rest.encode()}, receive, send)

    def _fault(self, scope: Scope) -> str | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        if [host not in self._hosts for host in headers.get(b"host", [b""])] != [False]:
            return "another host"
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            return "another origin"
        if any(
            site in (b"cross-site", b"same-site") for site in headers.get(b"sec-fetch-site", [])
        ):
            return "another site"
        parts = scope["path"].encode(errors="surrogateescape").split(b"/", 2)
        if len(parts) < 3 or not secrets.compare_digest(parts[1], self._token):
            return "no token, or a wrong one"
        if scope["method"] == "POST":
            kinds = headers.get(b"content-type", [])
            if [kind.partition(b";")[0] for kind in kinds] != [b"application/json"]:
                return "not JSON"
        elif scope["method"] not in ("GET", "HEAD"):
            return "an unknown method"
        return None


def refusal(what: str, reason: str) -> Response:
    """A refusal, which is logged."""
    _LOG.warning("refused (403): %s: %s", what, reason)
    return JSONResponse({"refused": f"refused: {reason}"}, status_code=403, headers=_HEADERS)


class Hub:
    """All open pages; what one of them is told, all are."""

    def __init__(self) -> None:
        self._pages: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Use the running loop."""
        self._loop = asyncio.get_running_loop()

    def tell(self, event: str, content: Any) -> None:  # noqa: ANN401
        """Send something to all pages, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, message(event, content))

    def _tell(self, text: str) -> None:
        for page in list(self._pages):
            if page.qsize() >= _UNHEARD:
                self._pages.discard(page)
                page.put_nowait("")
            else:
                page.put_nowait(text)

    async def listen(self, first: Callable[[], str]) -> AsyncIterator[str]:
        """What a page is told, beginning with how everything stands."""
        page: asyncio.Queue[str] = asyncio.Queue()
        self._pages.add(page)
        try:
            yield first()
            while True:
                try:
                    text = await asyncio.wait_for(page.get(), _HEARTBEAT)
                except TimeoutError:
                    text = ": still here\n\n"
                if not text:  # too far behind: the page connects anew
                    return
                yield text
        finally:
            self._pages.discard(page)


def message(event: str, content: Any) -> str:  # noqa: ANN401
    """A message of `text/event-stream`."""
    return f"event: {event}\ndata: {json.dumps(content)}\n\n"


def moment(text: str) -> str:
    """Seconds as the page gives them, to the millisecond.

    Raises:
        ValueError: They are none.
    """
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError(f"no moment: {text}")
    return f"{seconds:.3f}"


def key_of(path: str | Path) -> str:
    """A path as the page hands it back: names need not be UTF-8."""
    return base64.urlsafe_b64encode(os.fsencode(path)).decode().rstrip("=")


def shown_name(path: str | Path) -> str:
    """A path or name as text that can be shown."""
    return os.fsencode(path).decode(errors="replace")


class Site:
    """What the requests share."""

    def __init__(self, roots: Sequence[Path], folder: Path) -> None:
        self.roots = [root.resolve() for root in roots]
        self.folder = folder
        self.hub = Hub()
        self.thinker = Worker()
        self.queue: Queue
        self._warm = False
        self._looking: SimpleQueue[Worker] = SimpleQueue()
        self._lookers = [Worker() for _ in range(_LOOKERS)]
        for worker in self._lookers:
            self._looking.put(worker)
        self._pictures: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()

    def warm(self) -> None:
        """Have the slow libraries loaded, as a page is open, before they are needed."""
        if not self._warm:
            self._warm = True
            threading.Thread(target=self._load, name="warm", daemon=True).start()

    def _load(self) -> None:
        with suppress(VsrError):
            self.thinker.ask("choices")

    def close(self) -> None:
        """Stop all processes; the queue saves its work."""
        self.queue.close()
        for worker in (*self._lookers, self.thinker):
            worker.close()

    def inside(self, path: str | Path) -> Path:
        """A path, made absolute, if it lies in a root once all links are followed.

        Raises:
            OutsideError: It does not.
        """
        try:
            found = Path(os.path.abspath(path))
            real = found.resolve()
        except (OSError, ValueError, RuntimeError):
            raise OutsideError("no such place") from None
        if "\0" in str(path) or not any(real.is_relative_to(root) for root in self.roots):
            raise OutsideError("outside the folders this page may use; vsr ui --root DIR adds one")
        return found

    def named(self, key: str) -> Path:
        """The path of a key.

        Raises:
            OutsideError: It lies outside the roots, or it is no key.
        """
        try:
            name = os.fsdecode(base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)))
        except ValueError:
            raise OutsideError("no key of a path") from None
        if not os.path.isabs(name):
            raise OutsideError("no whole path")
        return self.inside(name)

    def look(self, name: str, *given: Any) -> Any:  # noqa: ANN401
        """Ask one of the processes that look at films; see `vsr.ui.films`."""
        worker = self._looking.get()
        try:
            return worker.ask(name, *given)
        finally:
            self._looking.put(worker)

    def picture(self, path: Path, at: str, width: int) -> bytes:
        """A small picture of a film, kept for the next time."""
        found = path.stat()
        key = (path, found.st_mtime_ns, found.st_size, at, width)
        if key not in self._pictures:
            self._pictures[key] = self.look("picture", str(path), at, width)
            while len(self._pictures) > _PICTURES:
                self._pictures.popitem(last=False)
        return self._pictures[key]

    def options(self, asked: dict[str, Any]) -> EnhanceOptions:
        """Options as the page gives them, by the names of `EnhanceOptions`.

        Raises:
            ConfigError: Naming the one that is wrong.
        """
        options: EnhanceOptions = validated(EnhanceOptions, asked)
        model = options.model or ""
        if ":" in model:
            raise ConfigError("a network by the name of its class is for the command line only")
        if Path(model).suffix or os.sep in model:
            self.inside(model)
        # Filters and encoders can be told to read and write any file.
        known = [(p.filter, p.encode.encoder_option) for _, p in self.profiles().values()]
        filters, encoding = zip((None, ()), *known, strict=True)
        if options.filter not in filters or options.encode.encoder_option not in encoding:
            raise ConfigError(
                "filters and options of encoders come from the command line or a profile only"
            )
        return options

    def profiles(self) -> dict[str, tuple[str, EnhanceOptions]]:
        """Profiles by name, ready ones and those saved here: what each is for, and its options."""
        found = {name: (text, read_profile(name)) for name, text in ready_profiles().items()}
        for path in sorted((self.folder / "profiles").glob("*.toml")):
            with suppress(VsrError):  # of another version, or changed by hand
                found[path.stem] = ("", read_profile(path))
        return found

    def target(self, asked: dict[str, Any]) -> Path:
        """The output that the page names by a folder's key and a file's name.

        Raises:
            ConfigError: It is no name of a file.
            OutsideError: It lies outside the roots.
        """
        name = str(asked["name"])
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise ConfigError(f"'{name}' is no name of a file; give one without a folder")
        if Path(name).suffix.lower() not in MUXERS:
            raise ConfigError(
                f"the name of a film ends with one of {' '.join(MUXERS)}; got '{name}'"
            )
        return self.inside(self.named(asked["folder"]) / name)

    def told(self, event: str, content: Any) -> None:  # noqa: ANN401
        """Pass on to all pages what happens in the queue."""
        self.hub.tell(event, brief(content) if isinstance(content, Film) else content)

    def everything(self) -> str:
        """How everything stands, for a page that has just been opened."""
        queue = {"films": [brief(each) for each in self.queue.films()], "paused": self.queue.paused}
        return message("all", queue)


def brief(film: Film) -> dict[str, Any]:
    """A film of the queue as its row on the page shows it."""
    return {
        "id": film.id,
        "name": shown_name(Path(film.source).name),
        "target": shown_name(Path(film.target).name),
        "source": key_of(film.source),
        "state": film.state,
        "error": None if film.error is None else shown_name(film.error),
        "progress": dict(film.progress),
        "notes": len(film.notes) or len(film.result.get("warnings", ())),
    }


def _whole(film: Film) -> dict[str, Any]:
    """All about a film of the queue."""
    report = film.result.get("report", {})
    made = Path(film.result.get("target", film.target))
    return brief(film) | {
        "folder": shown_name(made.parent),
        "folder_key": key_of(made.parent),
        "path": shown_name(made),
        "source_path": shown_name(film.source),
        "options": chosen(film.options),
        "command": command(film),
        "said": [shown_name(text) for text in film.notes or film.result.get("warnings", ())],
        "frames": film.result.get("frames"),
        "resumed": film.result.get("resumed"),
        "seconds": film.result.get("seconds"),
        "verified": report.get("verified"),
        "checks": len(report.get("verification", {}).get("checks", ())),
        "fidelity": report.get("fidelity", {}).get("mean_db"),
        "from": _size(report.get("source", {}).get("video", {})),
        "to": _size(report.get("target", {})),
    }


def _size(of: dict[str, Any]) -> str | None:
    return f"{of['width']} × {of['height']}" if "width" in of else None


Answer = Callable[[Site, Any], Any]


async def _page(request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    folder = "vsr.report" if name in ("divider.js", "divider.css") else "vsr.ui"
    place = resources(folder)
    file = (place if folder == "vsr.report" else place / "static") / name
    if Path(name).suffix not in _TYPES or not file.is_file():
        return Response(status_code=404, headers=_HEADERS)
    return Response(file.read_bytes(), media_type=_TYPES[Path(name).suffix], headers=_HEADERS)


async def _events(request: Request) -> Response:
    site: Site = request.app.state.site
    site.warm()
    stream = site.hub.listen(site.everything)
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


async def _picture(request: Request) -> Response:
    site: Site = request.app.state.site
    asked = request.query_params
    try:
        at, width = moment(asked.get("at", "0")), int(asked.get("width", "160"))
        path = site.named(asked["file"])
    except (KeyError, ValueError):
        return Response(status_code=400, headers=_HEADERS)
    data = await run_in_threadpool(site.picture, path, at, min(960, max(32, width)))
    headers = _HEADERS | {"cache-control": "private, max-age=3600"}
    return Response(data, media_type="image/jpeg", headers=headers)


async def _comparison(request: Request) -> Response:
    site: Site = request.app.state.site
    path = site.folder / f"{int(request.path_params['id'])}.html"
    if not path.is_file():
        return Response(status_code=404, headers=_HEADERS)
    return FileResponse(path, headers=_HEADERS | {"content-security-policy": _ALONE})


def folder(site: Site, asked: dict[str, Any]) -> dict[str, Any]:
    """What a folder holds: folders and films, by name."""
    if "text" in asked:
        text = os.path.expanduser(str(asked["text"]).strip().strip("'\""))
        path = site.inside(text if os.path.isabs(text) else site.roots[0] / text)
    else:
        path = site.named(asked["key"]) if asked.get("key") else site.roots[0]
    chosen_file = None
    if path.is_file():
        chosen_file, path = path, path.parent
    if not path.is_dir():
        raise ConfigError(f"{path}: no such file or folder")
    folders, films = [], []
    with os.scandir(path) as found:
        for each in sorted(found, key=lambda one: one.name.lower()):
            if each.name.startswith("."):
                continue
            try:
                site.inside(each.path)
                known = {"key": key_of(each.path), "name": shown_name(each.name)}
                if each.is_dir():
                    folders.append(known)
                elif Path(each.name).suffix.lower() in VIDEO_SUFFIXES and each.is_file():
                    films.append(known | {"bytes": each.stat().st_size})
            except (OutsideError, OSError):
                continue  # a link out of the roots, or gone since
    return {
        "key": key_of(path),
        "name": shown_name(path),
        "crumbs": _crumbs(site, path),
        "roots": [{"key": key_of(root), "name": shown_name(root)} for root in site.roots],
        "folders": folders,
        "films": films,
        "file": None if chosen_file is None else key_of(chosen_file),
    }


def _crumbs(site: Site, path: Path) -> list[dict[str, str]]:
    above = [path, *path.parents]
    within = [each for each in above if any(each.resolve().is_relative_to(r) for r in site.roots)]
    return [
        {"key": key_of(each), "name": shown_name(each.name or each)} for each in reversed(within)
    ]


def look(site: Site, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    """The facts of a film."""
    path = site.named(asked["file"])
    facts = site.look("look", str(path))
    return facts | {
        "key": asked["file"],
        "name": shown_name(path.name),
        "folder": key_of(path.parent),
        "folder_name": shown_name(path.parent),
        "stem": shown_name(path.stem),
        "suffix": path.suffix if path.suffix.lower() in MUXERS else ".mkv",
    }


def choices(site: Site, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    """Networks and profiles to choose from."""
    profiles = [
        {"name": name, "purpose": purpose, "options": chosen(options)}
        for name, (purpose, options) in site.profiles().items()
    ]
    return site.thinker.ask("choices") | {"profiles": profiles}


def save(site: Site, asked: dict[str, Any]) -> dict[str, str]:
    """Save the options of a film of the queue as a profile."""
    name = str(asked["name"]).strip()
    if not name or name != os.path.basename(name) or name.startswith("."):
        raise ConfigError(f"'{name}' is no name of a profile; give one without / and a first dot")
    if name in ready_profiles():
        raise ConfigError(f"'{name}' is a ready profile; choose another name")
    path = site.folder / "profiles" / f"{name}.toml"
    write_profile(path, site.queue.film(int(asked["id"])).options)
    return {"path": shown_name(path)}


def plan(site: Site, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    """What will become of a film."""
    source, target = str(site.named(asked["file"])), str(site.target(asked))
    options = site.options(asked["options"])
    found = site.thinker.ask("plan", source, target, options)
    film = Film(id=0, place=0, source=source, target=target, options=options)
    return found | {"command": command(film)}


def cost(site: Site, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    """Time and size of a whole film, from three frames."""
    source, target = str(site.named(asked["file"])), str(site.target(asked))
    return site.thinker.ask("cost", source, target, site.options(asked["options"]))


def attempt(site: Site, asked: dict[str, Any]) -> Any:  # noqa: ANN401
    """Some enhanced frames around a moment; one at a time, for whichever page asks."""
    source, options = str(site.named(asked["file"])), site.options(asked["options"])
    suffix = site.target(asked).suffix

    def tell(kind: str, now: Any) -> None:  # noqa: ANN401
        site.hub.tell("trying", {"id": asked["id"], **now})

    found = site.thinker.ask("attempt", source, moment(asked["at"]), suffix, options, tell=tell)
    return found | {"at": asked["at"]}


def stop(site: Site, asked: dict[str, Any]) -> None:
    """Stop the attempt that is being made."""
    site.thinker.say(STOP)


def add(site: Site, asked: dict[str, Any]) -> list[int]:
    """Put films into the queue."""
    options = site.options(asked["options"])
    pairs = []
    for each in asked["films"]:
        source, target = site.named(each["file"]), site.target(each)
        if target.exists() and not options.overwrite:
            raise ConfigError(f"{target} exists already; choose another name, or replace it")
        pairs.append((str(source), str(target)))
    return [film.id for film in site.queue.add(pairs, options)]


def change(site: Site, asked: dict[str, Any]) -> None:
    """Change the queue: what to do, and mostly to which film."""
    queue, what = site.queue, asked["do"]
    number = int(asked.get("id", 0))
    if what in ("pause", "go on"):
        queue.pause(what == "pause")
    elif what == "cancel":
        queue.cancel(number)
    elif what == "again":
        queue.again(number, overwrite=bool(asked.get("overwrite", False)))
    elif what == "move":
        queue.move(number, asked.get("before"))
    elif what == "remove":
        queue.remove(number)
        (site.folder / f"{number}.html").unlink(missing_ok=True)
    else:
        raise ConfigError(f"nothing is called '{what}'")


def film(site: Site, asked: dict[str, Any]) -> dict[str, Any]:
    """All about a film of the queue."""
    found = site.queue.film(int(asked["id"]))
    compared = (site.folder / f"{found.id}.html").is_file()
    return _whole(found) | {"compared": compared, "newest": site.queue.newest(found.id)}


def compare(site: Site, asked: dict[str, Any]) -> None:
    """Write the page that compares a finished film with its source."""
    found = site.queue.film(int(asked["id"]))
    made = found.result.get("target")
    if made is None:
        raise ConfigError("this film is not finished")
    page = site.folder / f"{found.id}.html"

    def tell(kind: str, frames: Any) -> None:  # noqa: ANN401
        site.hub.tell("comparing", {"id": found.id, "frames": frames})

    start = str(parse_time(found.options.start or "0", "start"))
    site.thinker.ask("comparison", found.source, made, start, str(page), tell=tell)


ANSWERS: dict[str, Answer] = {
    "folder": folder,
    "look": look,
    "choices": choices,
    "plan": plan,
    "cost": cost,
    "attempt": attempt,
    "stop": stop,
    "add": add,
    "change": change,
    "film": film,
    "compare": compare,
    "save": save,
}


async def _ask(request: Request) -> Response:
    """Answer a question of the page: JSON to JSON."""
    answer = ANSWERS.get(request.path_params["name"])
    if answer is None:
        return JSONResponse({"refused": "no such question"}, status_code=404, headers=_HEADERS)
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _LARGEST_BODY:
            return JSONResponse({"refused": "too large"}, status_code=413, headers=_HEADERS)
    try:
        asked = json.loads(data)
        found = await run_in_threadpool(answer, request.app.state.site, asked)
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse(
            {"refused": f"not understood: {error}"}, status_code=400, headers=_HEADERS
        )
    return JSONResponse(found, headers=_HEADERS)


async def _on_outside(request: Request, error: Exception) -> Response:
    return refusal(request.url.path.rsplit("/", 1)[-1], str(error))


async def _on_error(request: Request, error: Exception) -> Response:
    stopped = isinstance(error, StoppedError)
    if request.method == "GET":
        return Response(status_code=204, headers=_HEADERS)
    # What cannot be done is an answer like others: browsers log each 4xx as an error of the page.
    return JSONResponse({"refused": shown_name(str(error)), "stopped": stopped}, headers=_HEADERS)


def application(site: Site, token: str, port: int) -> ASGIApp:
    """All of the server."""

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        site.hub.begin()
        site.queue.start()
        yield
        await run_in_threadpool(site.close)

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        OutsideError: _on_outside,
        VsrError: _on_error,
        OSError: _on_error,
    }
    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/static/{name}", _page),
            Route("/events", _events),
            Route("/picture", _picture),
            Route("/comparison/{id:int}", _comparison),
            Route("/ask/{name}", _ask, methods=["POST"]),
        ],
        exception_handlers=handlers,
        lifespan=life,
    )
    app.state.site = site
    return Guard(app, token, port)


def state_folder() -> Path:
    """Folder of the queue: `VSR_STATE`, or the user's own."""
    given = os.environ.get("VSR_STATE") or os.environ.get("XDG_STATE_HOME")
    return Path(given or Path.home() / ".local" / "state") / "vsr"


def bound(port: int) -> socket.socket:
    """A socket at a port of the loopback address.

    Raises:
        ConfigError: The port cannot be had.
    """
    try:
        return socket.create_server((HOST, port), backlog=2048)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"port {port}: {why}; choose another one by --port") from None


def serve(roots: Sequence[Path], port: int, *, opens: bool, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; what is being worked on is saved then.

    Args:
        roots: The folders that it may use.
        port: On the loopback address.
        opens: Open the page in the browser of this desktop.
        say: Called with what there is to say on the terminal.

    Raises:
        ConfigError: A root is no folder, the port cannot be had, or this user has a server already.
        VsrError: The queue cannot be read.
    """
    for root in roots:
        if not root.is_dir():
            raise ConfigError(f"--root {root} is no folder")
    folder = state_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = files.take(folder / "lock", say)
    if lock is None:
        raise ConfigError("vsr ui is running already; use its page, or end it with Ctrl-C first")
    token = secrets.token_urlsafe(32)
    with lock, connected(folder / "queue.sqlite") as connection:
        site = Site(roots, folder)
        site.queue = Queue(connection, site.told)
        config = uvicorn.Config(
            application(site, token, port),
            host=HOST,
            port=port,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        sockets = [bound(port)]
        address = f"http://{HOST}:{port}/{token}/"
        say(f"vsr ui: {address}")
        say("Ctrl-C ends it; films half done go on at the next start")
        if opens:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=sockets)
