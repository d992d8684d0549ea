"""The checkpoints of a run, `checkpoints/step-N`: which there are, and which of them are as they were written."""

from __future__ import annotations

import re
from pathlib import Path

from latticear.checksums import SUMS, missing_or_changed, read_sums

__all__ = ["WEIGHTS", "checkpoints_in", "problems_of", "step_of_checkpoint", "way_on"]

WEIGHTS = "model.safetensors"
"""The file that every checkpoint has."""


def checkpoints_in(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted((p for p in folder.glob("step-*") if re.fullmatch(r"step-\d+", p.name)), key=step_of_checkpoint)


def step_of_checkpoint(checkpoint: Path) -> int:
    """The number in the name of a checkpoint."""
    return int(checkpoint.name.removeprefix("step-"))


def problems_of(checkpoint: Path) -> dict[str, str]:
    """For each file of a checkpoint what is wrong with it, by its digest; empty where nothing is known to be."""
    sums = read_sums(checkpoint / SUMS)
    names = {WEIGHTS, *sums.files, *(path.name for path in checkpoint.iterdir() if path.name != SUMS)}
    missing = {} if (checkpoint / WEIGHTS).exists() else {WEIGHTS: "it is missing"}
    return {name: missing_or_changed(checkpoint / name, sums) for name in sorted(names)} | missing


def way_on(checkpoint: Path) -> str:
    """What to do where a checkpoint is damaged: the end of a message, with the newest one before it that stands."""
    step = step_of_checkpoint(checkpoint) if re.fullmatch(r"step-\d+", checkpoint.name) else 0
    earlier = [path for path in checkpoints_in(checkpoint.parent) if step_of_checkpoint(path) < step]
    good = next((path for path in reversed(earlier) if not any(problems_of(path).values())), None)
    if good is None:
        return f"no checkpoint before it stands: remove {checkpoint} and train again"
    return (
        f"remove {checkpoint} to resume from an earlier checkpoint: {good.name} stands, and latticear train --out "
        f"{checkpoint.parent.parent} --resume goes on from there"
    )
