"""How long a planned file will take, from three of its frames."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice

import torch

from vsr.inference.finish import finish
from vsr.inference.runner import enhance_frames
from vsr.media.decode import Decoder
from vsr.models.zoo import load_network
from vsr.ops.color import rgb_to_planes
from vsr.planning import Job
from vsr.recording import to_rgb

_FRAMES = 3


def seconds_per_frame(job: Job) -> float:
    """Enhance three frames twice, the second time by the clock; encoding is not counted.

    Args:
        job: The plan; its lookahead's share per window is reckoned in.

    Returns:
        Seconds per frame of the output.
    """
    device = torch.device(job.inference.device)
    network = load_network(job.model, device)
    with Decoder(job.info, job.decode) as decoder, torch.inference_mode():
        frames = [to_rgb(frame, job, device) for frame in islice(decoder, _FRAMES)]
        plan = replace(job.inference, lookahead=0)
        begin = time.monotonic()
        for turn in range(2):
            if turn == 1:
                begin = time.monotonic()
            for done in enhance_frames(frames, network, plan, warn=lambda text: None):
                picture = finish(
                    done.rgb,
                    frames[0].rgb,
                    height=job.encode.height,
                    width=job.encode.width,
                )
                [plane.cpu() for plane in rgb_to_planes(picture, job.target_layout)]
    each = (time.monotonic() - begin) / len(frames)
    # The frames looked at pass through about half of the network once more in the next window.
    return each * (1 + job.inference.lookahead / job.inference.window / 2)
