"""Copies of runs to give away: what drawing, estimates and reports need, without the state of the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latticear.models import AbstractModel
from latticear.runs.config import RunConfig, stored
from latticear.runs.directory import RunDirectory
from latticear.runs.pretrained import check_is_writable

__all__ = ["write_copy"]


def write_copy(
    path: str | Path,
    config: RunConfig,
    model: AbstractModel,
    *,
    step: int,
    metrics: Iterable[Mapping[str, Any]],
    estimates: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> RunDirectory:
    """Write a run directory with the weights of a trained network, which cannot be trained further with `--resume`.

    Args:
        path: the directory, which must not exist.
        config: the config of the run, whose file of couplings is copied.
        model: its network.
        step: number of training steps behind its weights.
        metrics: rows of the metrics; those of later steps are left out.
        estimates: content of estimates.json; empty for none.
        environment: content of environment.json.

    Raises:
        FileExistsError: if the path exists.
        ValueError: for a path in the installed package.
        OSError: if a file cannot be written.
    """
    path = Path(path)
    check_is_writable(path, "a copy")
    if path.exists():
        raise FileExistsError(f"{path} already exists: give another path for the copy")
    run_toml, files = stored(config)
    run = RunDirectory.create(path, run_toml, dict(environment), files)
    for row in metrics:
        if row["step"] <= step:
            run.log(dict(row))
    checkpoint = run.save_checkpoint(model, model.state_dict(), {"step": step}, resumable=False)
    if estimates:
        run.write_json("estimates.json", dict(estimates) | {"checkpoint": checkpoint.name})
    return run
