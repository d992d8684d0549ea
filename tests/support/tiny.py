"""A run that trains in half a second, for the tests of everything that needs one."""

import json
from pathlib import Path
from typing import Any

import torch

from latticear.estimation.estimates import Estimates
from latticear.runs.config import load_config
from latticear.runs.directory import RunDirectory
from latticear.workflows import estimate_run, monte_carlo_run, train_run

SIZE, TEMPERATURE, STEPS = (4, 4), 2.269, 12

SETS = [
    "model.name=pixelcnn",
    "model.width=8",
    "model.depth=2",
    f"training.steps={STEPS}",
    "training.batch_size=32",
    "training.checkpoint_every=4",
]
VALUES: dict[str, Any] = {"temperature": TEMPERATURE, "hamiltonian": {"shape": list(SIZE)}}

OPTIONS = ["--size", "4", "--temperature", str(TEMPERATURE), *(word for key in SETS for word in ("--set", key))]
"""The same on the command line."""


def silent(*_: object) -> None:
    """Reports nothing."""


def train(out: Path, *sets: str, resume: bool = False, report: Any = silent) -> Path:
    """Train, or continue, a tiny run; `sets` as `--set` takes them, over the defaults above."""
    assert train_run(out, None, [*SETS, *sets], VALUES, resume=resume, report=report)
    return out


def estimated(run: Path, n: int = 200, **changes: Any) -> list[Estimates]:
    """Estimates of a run by importance sampling, but for the changes."""
    options = {"temperatures": None, "method": "is", "data": None, "seed": 0, "device": "cpu"} | changes
    return estimate_run(run, n, **options, report=silent)


def monte_carlo(out: Path, n: int = 400) -> Path:
    """Configurations of the system that the tiny run is trained on."""
    config = load_config(None, values=VALUES)
    monte_carlo_run(
        out, config, n, method="swendsen-wang", seed=0, device="cpu", schedule={"thinning": 2}, report=silent
    )
    return out


def forward(data: Path) -> list[str]:
    """Settings of maximum likelihood with averaged weights."""
    return [
        "training.objective=forward-kl",
        f"training.data={data}",
        "training.ema_decay=0.6",
        "training.evaluate_every=5",
    ]


def content(path: Path) -> dict[str, Any]:
    """All that a run must reproduce bit for bit: config, metrics but for the clock, both files of its checkpoints."""
    run = RunDirectory(path)
    found: dict[str, Any] = {"config": run.config_path.read_text()}
    found["metrics"] = [{k: repr(v) for k, v in row.items() if k != "elapsed"} for row in run.metrics()]
    last = run.latest()
    if last is not None:
        found["weights"] = (last / "model.safetensors").read_bytes()
        found["trainer"] = json.dumps(run.load_trainer(last, torch.device("cpu")), default=lambda t: t.tolist())
    return found
