"""What commands print: notes, counts, bars for people, lines for programs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

ProgressKind = Literal["bar", "json", "none"]


def note(text: str) -> None:
    """Print a remark on stderr, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(_wrapped(f"vsr: note: {text}", sys.stderr), file=sys.stderr)


def say(text: str, to: TextIO | None = None) -> None:
    """Print a sentence, wrapped to the width of a terminal."""
    to = to or sys.stdout
    print(_wrapped(text, to), file=to)


def print_line(text: str, to: TextIO | None = None) -> None:
    """Print a line of a table or a list, as long as it is."""
    print(shown(text), file=to or sys.stdout, flush=True)


def print_above(text: str) -> None:
    """Print a line on stdout, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(shown(text))
    sys.stdout.flush()


def say_above(text: str) -> None:
    """Print a sentence on stdout, wrapped, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(_wrapped(text, sys.stdout))
    sys.stdout.flush()


def _wrapped(text: str, to: TextIO) -> str:
    """Wrap on a terminal only: where programs read, a remark is one line."""
    text = shown(text)
    if not to.isatty():
        return text
    return textwrap.fill(
        text,
        shutil.get_terminal_size().columns,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


# C0, DEL and C1; marks, embeddings, overrides and isolates of direction; ends of lines; surrogates,
# which are bytes of a name that is not UTF-8.
_STEERING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shown(text: str) -> str:
    """Text of a file or a name, with escapes for what would steer a terminal."""
    return _STEERING.sub(lambda sign: repr(sign[0])[1:-1], text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 file", "2 files"."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def print_event(event: str, **facts: Any) -> None:  # noqa: ANN401
    """Print a line of JSON."""
    print(json.dumps({"event": event, **facts}), flush=True)


def each_second() -> Callable[[], bool]:
    """A function that is true at the first call, then at most once per second."""
    due = float("-inf")

    def is_due() -> bool:
        nonlocal due
        now = time.monotonic()
        if now < due:
            return False
        due = now + 1
        return True

    return is_due


@contextmanager
def bar(**options: Any) -> Iterator[tqdm[Any]]:  # noqa: ANN401
    """A bar on stderr that goes when it is done; none where stderr is no terminal."""
    from tqdm import tqdm

    with tqdm(**{"dynamic_ncols": True, "leave": False, "disable": None, **options}) as shown_bar:
        stop = Event()
        clock = Thread(target=_keep_time, args=(shown_bar, stop), name="clock", daemon=True)
        clock.start()
        try:
            yield shown_bar
        finally:
            stop.set()
            clock.join()


def _keep_time(shown_bar: tqdm[Any], stop: Event) -> None:
    """Let the clock of a bar run on while nothing is done yet."""
    while not stop.wait(1):
        shown_bar.refresh()


def advance(to: tqdm[Any], done: int, total: int | None, doing: str = "") -> None:
    """Move a bar to a count, whose total may change; `doing` stands at its end."""
    if to.total != total:
        to.total = total
    to.set_postfix_str(doing, refresh=False)
    to.update(done - to.n)
