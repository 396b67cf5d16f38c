"""Make a run's averaged weights a bundled model, with its card but without local paths.

    python scripts/publish_weights.py runs/compact_x4 compact-x4 \
        --data "60 public clips" --hardware "2 CPU cores"
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

from safetensors.torch import load_file

from vsr.models.checkpoints import read_metadata, save_weights
from vsr.models.zoo import WEIGHTS

DEGRADATIONS = {
    "bicubic": "bicubic (MATLAB imresize), 8 bit",
    "bd": "Gaussian blur of sigma 1.6, every fourth pixel, 8 bit",
    "real": "blur, resizing, noise, JPEG, video codecs, twice over (vsr/data/recipe.py)",
    "footage": "whole films: optics, noise, tape, codecs, generations of copying "
    "(FootageRecipe of vsr/data/recipe.py)",
}


def hours(log: Path) -> float:
    """Time between the lines of a run's log, without the pauses between its parts."""
    times = [json.loads(line)["time"] for line in log.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = sorted(gaps)[len(gaps) // 2]
    return sum(min(gap, 10 * usual) for gap in gaps) / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="output folder of the run")
    parser.add_argument("name", help="of the model in `vsr models`")
    parser.add_argument("--data", required=True, help="training data")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--output", type=Path, help="another file than the model's own")
    parser.add_argument("--note", help="anything not in the options, such as a changed schedule")
    arguments = parser.parse_args()

    source = arguments.run / "weights.safetensors"
    metadata = read_metadata(source)
    options = metadata["options"]
    network = metadata.pop("network")
    for section, keys in (("data", ("train", "val", "cache")), ("run", ("output",))):
        for key in keys:
            options[section].pop(key, None)
    files = (("optimizer", "init"), ("optimizer", "clean_init"), ("optimizer", "flow_init"))
    for section, key in (*files, ("loss", "vgg")):
        options[section][key] = Path(options[section].get(key, "")).name
    facts = {
        "data": arguments.data,
        "degradation": DEGRADATIONS[options["data"].get("degradation", "bicubic")],
        "step": metadata["step"],
        "pixels": metadata["pixels"],
        "hours": round(hours(arguments.run / "log.jsonl"), 2),
        "hardware": arguments.hardware,
        "validation": metadata["validation"],
        "options": options,
    }
    if arguments.note:
        facts["note"] = arguments.note
    target = arguments.output or WEIGHTS / f"{arguments.name}.safetensors"
    save_weights(target, load_file(source), network, facts)
    print(f"{target.name}: {target.stat().st_size} bytes, step {facts['step']}")


if __name__ == "__main__":
    main()
