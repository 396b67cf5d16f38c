"""Whether the disk has room for an output: before the work, and again after each piece of it."""

from __future__ import annotations

import os

from vsr.durable import require_room
from vsr.ledger import Ledger
from vsr.media.containers import PICTURES
from vsr.planning import Job

# Bits per pixel of the output that only nearly empty films stay below. Films differ by factors of
# hundreds: before there is a piece to go by, no more than this is asked for.
_LEAST_BITS = 0.005
# The first pieces need not be like the rest, and there is a check after each.
_ALLOWED = 1.25


def check_room(job: Job, ledger: Ledger) -> None:
    """Refuse to go on where the output will not fit on the disk.

    Without a finished piece only the least is asked for; from then on what the finished ones lead
    one to expect, less a fifth. Pieces of a video are joined to a file beside them, so they take
    twice their room; what else the file will hold is not counted.

    Args:
        job: The plan.
        ledger: The pieces so far.

    Raises:
        DiskError: Saying how much is wanted and free.
    """
    frames = max(ledger.frames, job.frames or 0)
    least = _LEAST_BITS / 8 * job.encode.width * job.encode.height * frames
    each = ledger.size / max(1, ledger.frames)
    size = max(ledger.size, each * frames / _ALLOWED) or least
    pattern = job.target.pattern
    # A cluster's nodes share the folder: what others have finished is counted as well.
    if job.target.muxer == PICTURES:
        waiting = len(os.listdir(ledger.joined)) if ledger.joined.exists() else 0
        require_room(pattern, size - waiting * each)
    else:
        done = sum(path.stat().st_size for path in ledger.folder.glob("*.piece"))
        require_room(pattern, 2 * size - done)
