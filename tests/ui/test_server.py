"""The server of `vsr ui` answers its own page, and nobody else; nothing outside the roots."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import make_video
from ui_server import Server, key, running

from vsr.options import EncodeOptions, EnhanceOptions
from vsr.profiles import read_profile, ready_profiles
from vsr.ui.queue import chosen


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a film, beside a secret outside of it."""
    place = tmp_path_factory.mktemp("home")
    make_video(place / "secret.mp4", frames=2)
    root = place / "root"
    (root / "inner").mkdir(parents=True)
    make_video(root / "inner" / "film.mp4", frames=2)
    (root / "out").symlink_to(place)
    (root / "link.mp4").symlink_to(place / "secret.mp4")
    (root / "alias.mp4").symlink_to(root / "inner" / "film.mp4")
    return root


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(root, tmp_path_factory.mktemp("state") / "s") as server:
        yield server


def refused(server: Server) -> int:
    return server.log.read_text().count("refused (403)")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"host": "127.0.0.1.evil.example:{port}"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_other_hosts_and_pages_are_refused(server: Server, headers: dict[str, str]) -> None:
    before = refused(server)
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    assert server.request("", **headers)[0] == 403
    assert server.request("ask/folder", {}, **headers)[0] == 403
    assert refused(server) == before + 2


@pytest.mark.parametrize("token", ["x", "", "ask", "%C3%A9"])
def test_without_the_token_nothing_is_told(server: Server, token: str) -> None:
    before = refused(server)
    for path in ("", "static/app.js", "events", "nothing"):
        assert server.request(path, token=token)[0] == 403
    assert server.request("ask/folder", {}, token="x" + server.token[1:])[0] == 403
    assert refused(server) == before + 5


def test_forms_and_other_methods_are_refused(server: Server) -> None:
    assert server.request("ask/folder", {}, content_type="text/plain")[0] == 403
    assert server.request("", method="PUT")[0] == 403
    assert server.request("", method="OPTIONS")[0] == 403
    assert server.request("ask/folder", {"text": "x" * 2**20})[0] == 413
    assert server.request("ask/look", {})[0] == 400
    assert server.request("ask/nothing", {})[0] == 404


def test_only_the_loopback_address_is_listened_on(server: Server) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


@pytest.mark.parametrize(
    "path", ["../secret.mp4", "out/secret.mp4", "link.mp4", "inner/../../secret.mp4", "/etc/passwd"]
)
def test_paths_out_of_the_root_are_refused_and_logged(
    server: Server, root: Path, path: str
) -> None:
    before, outside = refused(server), key(os.path.join(root, path))
    name = {"file": outside, "folder": key(root), "name": "x.mp4", "options": {}}
    for what, given in {
        "look": name,
        "plan": name,
        "cost": name,
        "folder": {"key": outside},
        "add": {"films": [name], "options": {}},
    }.items():
        assert server.request(f"ask/{what}", given)[0] == 403, what
    assert server.request("ask/folder", {"text": str(root / path)})[0] == 403
    assert server.request(f"picture?file={outside}")[0] == 403
    inside = {"file": key(root / "inner" / "film.mp4"), "options": {}, "name": "x.mp4"}
    folder = key(Path(os.path.join(root, path)).parent)
    if path != "link.mp4":
        place = {"films": [inside | {"folder": folder}], "options": {}}
        assert server.request("ask/add", place)[0] == 403
    model = {"options": {"model": str(Path(root, path))}, "folder": key(root)}
    assert server.request("ask/plan", inside | model)[0] == 403
    assert refused(server) == before + (8 if path == "link.mp4" else 9)
    assert str(root) not in server.log.read_text()


def test_a_name_of_an_output_is_a_name(server: Server, root: Path) -> None:
    film = {"file": key(root / "inner" / "film.mp4"), "folder": key(root)}
    for name in ("../x.mp4", "a/b.mp4", "", "..", "x", "x.html", "x.py"):
        told = server.ask("add", films=[film | {"name": name}], options={})
        assert "name" in told["refused"], name
    told = server.ask("add", films=[film | {"name": "alias.mp4"}], options={})
    assert "exists already" in told["refused"]
    told = server.ask("add", films=[film | {"name": "x.mp4"}], options={"strength": 7})
    assert told["refused"] == "--strength must be at most 1; got 7"


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "movie=/etc/passwd"},
        {"encode": {"encoder_option": ["x265-params=recon=/tmp/x"]}},
        {"model": "os:system"},
        {"model": "no.pth"},
    ],
)
def test_options_reach_no_other_files_or_code(
    server: Server, root: Path, options: dict[str, object]
) -> None:
    film = {"file": key(root / "inner" / "film.mp4"), "folder": key(root), "name": "x.mp4"}
    status, told = server.request("ask/add", {"films": [film], "options": options})
    assert status == 403 if options == {"model": "no.pth"} else b"command line" in told


def test_a_folder_shows_its_films_and_no_links_out(server: Server, root: Path) -> None:
    found = server.ask("folder")
    assert [each["name"] for each in found["films"]] == ["alias.mp4"]
    assert [each["name"] for each in found["folders"]] == ["inner"]
    inner = server.ask("folder", key=found["folders"][0]["key"])
    assert [each["name"] for each in inner["crumbs"]] == ["root", "inner"]
    assert server.ask("folder", text="inner/film.mp4")["file"] == inner["films"][0]["key"]
    assert "no such file" in server.ask("folder", text="nothing")["refused"]
    facts = server.ask("look", file=inner["films"][0]["key"])
    assert facts["picture"] == "64 × 48"
    status, data = server.request(f"picture?file={facts['key']}&width=96")
    assert (status, data[:2]) == (200, b"\xff\xd8")


def test_names_that_are_not_utf8_are_handed_back_as_they_are(server: Server, root: Path) -> None:
    strange = root / "inner" / os.fsdecode(b"f\xff.mp4")
    try:
        make_video(root / "inner" / "x.mp4", frames=2).rename(strange)
    except OSError:
        pytest.skip("this file system takes no such name")
    found = server.ask("folder", key=key(root / "inner"))
    names = {each["name"]: each["key"] for each in found["films"]}
    assert names["f�.mp4"] == key(strange)
    assert server.ask("look", file=key(strange))["picture"] == "64 × 48"
    strange.unlink()


def test_the_page_is_small_and_comes_from_here_alone(server: Server) -> None:
    names = ["", *(f"static/{n}.js" for n in ("app", "dom", "film", "folders", "queue", "words"))]
    names += ["static/divider.js", "static/style.css", "static/divider.css"]
    found = {name: server.request(name) for name in names}
    assert {status for status, _ in found.values()} == {200}
    assert sum(len(data) for _, data in found.values()) < 300_000
    for name, (_, data) in found.items():
        assert b"//" not in data.replace(b"http://www.w3.org", b"") or name.endswith(".js")
        assert b"innerHTML" not in data or name == "static/divider.js"
    for path in ("static/server.py", "static/..%2fserver.py", "comparison/1"):
        assert server.request(path)[0] == 404


def test_options_are_saved_as_a_profile_that_the_command_line_reads(
    server: Server, root: Path
) -> None:
    film = {"file": key(root / "inner" / "film.mp4"), "folder": key(root), "name": "p.mp4"}
    server.ask("change", do="pause")
    options = {"model": "bicubic", "height": 96, "encode": {"crf": 20}, "start": "0"}
    (number,) = server.ask("add", films=[film], options=options)
    path = Path(server.ask("save", id=number, name="my tapes")["path"])
    assert read_profile(path) == EnhanceOptions(
        model="bicubic", height=96, encode=EncodeOptions(crf=20)
    )
    for name in ("", "../x", ".x", next(iter(ready_profiles()))):
        assert "refused" in server.ask("save", id=number, name=name)
    tape = {"options": chosen(read_profile("tape")), "films": [film | {"name": "q.mp4"}]}
    for added in (number, *server.ask("add", **tape)):
        server.ask("change", do="remove", id=added)


def test_a_user_has_one_server(server: Server, root: Path) -> None:
    state = server.log.with_suffix("")
    done = subprocess.run(
        [sys.executable, "-m", "vsr", "ui", "--no-open", "--root", str(root)],
        capture_output=True,
        text=True,
        env={**os.environ, "VSR_STATE": str(state)},
    )
    assert done.returncode == 2
    assert "vsr ui is running already" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_is_named() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; from vsr.cli.main import main; "
        "sys.exit(main(['ui', '--no-open']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "vsr: error: vsr ui needs uvicorn: pip install 'vsr-enhance[ui]'\n"


def test_the_state_is_this_users_alone(server: Server) -> None:
    folder = server.log.with_suffix("") / "vsr"
    assert folder.stat().st_mode & 0o077 == 0
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "queue.sqlite" in kept
    assert all(server.token.encode() not in path.read_bytes() for path in kept)
