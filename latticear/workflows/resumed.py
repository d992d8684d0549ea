"""What a run that is resumed shares with the run that was begun: its config and its budget; and what may differ."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from latticear.data.format import short_repr
from latticear.processes import Processes
from latticear.runs.config import RunConfig, stored_config
from latticear.runs.directory import RunDirectory
from latticear.runs.trees import differences
from latticear.threads import ThreadsWarning, useful_threads

__all__ = ["check_same_minutes", "check_unchanged", "note_processes", "note_threads", "without_auto"]


def without_auto(tree: dict[str, Any], stored: RunConfig) -> dict[str, Any]:
    """The config that a user requests, without the bond dimension "auto" where the run has the one that was found."""
    model = tree.get("model")
    found = stored.model.get("bond_dimension")
    if found is None or not isinstance(model, dict) or model.get("bond_dimension") != "auto":
        return tree
    return tree | {"model": {key: value for key, value in model.items() if key != "bond_dimension"}}


def check_unchanged(requested: dict[str, Any], before: dict[str, Any]) -> None:
    """Raise ValueError if a key that a user gives for a resumed run differs from the config of that run."""
    for key, (new, old) in differences(requested, before).items():
        raise ValueError(
            f"--resume continues a run as it was: {key} is {short_repr(old)} there, got {short_repr(new)}; leave it "
            f"out, or begin another run"
        )


def check_same_minutes(run: RunDirectory, minutes: float) -> None:
    """Check that a resumed run was planned for this time; the number of steps that was planned then stays.

    Raises:
        ValueError: if it was planned for another time, or with a number of steps.
    """
    stored = run.read_json("environment.json").get("minutes")
    if stored != minutes:
        steps = stored_config(run.config_path).training["steps"]
        first = f"{steps} steps" if stored is None else f"{stored:g} minutes ({steps} steps)"
        raise ValueError(
            f"--resume continues a run as it was: {run.path} is for {first}, got --minutes {minutes:g}; leave it out"
        )


def note_threads(run: RunDirectory, work: int) -> None:
    """Warn if a run is resumed with another number of threads than it was begun with, which changes the rounding."""
    began, available = run.read_json("environment.json").get("threads"), torch.get_num_threads()
    if isinstance(began, int) and useful_threads(work, began) != useful_threads(work):
        warnings.warn(
            f"{run.path} was begun with {began} threads and continues with {available}: numbers may differ by rounding "
            f"from those of a training without interruption; with --threads {began} they do not",
            ThreadsWarning,
            stacklevel=2,
        )


def note_processes(run: RunDirectory, processes: Processes) -> None:
    """Warn if a run is resumed by another number of processes than it was begun with, which changes the rounding."""
    began = run.read_json("environment.json").get("processes", 1)
    if began != processes.size:
        warnings.warn(
            f"{run.path} was begun with {began} process{'es' if began > 1 else ''} and continues with "
            f"{processes.size}: its numbers are the same but for rounding",
            ThreadsWarning,
            stacklevel=2,
        )
