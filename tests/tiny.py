"""A run that trains in half a second, for the tests of everything that needs one."""

from pathlib import Path
from typing import Any

from latticear.workflows import train_run

SIZE, TEMPERATURE, STEPS = (4, 4), 2.269, 12

SETS = [
    "model.width=8",
    "model.depth=2",
    f"training.steps={STEPS}",
    "training.batch_size=32",
    "training.checkpoint_every=4",
]

OPTIONS = ["--size", "4", "--temperature", str(TEMPERATURE), *(word for key in SETS for word in ("--set", key))]
"""The same on the command line."""


def train(out: Path, *sets: str, resume: bool = False, report: Any = lambda *_: None) -> Path:
    """Train, or continue, a tiny run; `sets` as `--set` takes them, over the defaults above."""
    values = {"temperature": TEMPERATURE, "hamiltonian": {"shape": list(SIZE)}}
    assert train_run(out, None, [*SETS, *sets], values, resume=resume, report=report)
    return out
