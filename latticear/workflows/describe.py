"""Describes run directories and data files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from latticear.data.contents import described
from latticear.runs.config import stored_config
from latticear.runs.directory import RunDirectory, load_model
from latticear.runs.pretrained import PRETRAINED, is_shipped
from latticear.sampling.receptive import summary
from latticear.workflows.run import estimates_in

__all__ = ["describe"]


def describe(path: Path) -> dict[str, Any]:
    """The content of a run directory or a data file, as JSON values.

    Raises:
        OSError, ValueError: if the path is neither a run directory nor a data file.
    """
    if not path.is_dir():
        return described(path)
    run = RunDirectory(path)
    metrics = run.metrics()
    latest = run.latest()
    config = stored_config(run.config_path)
    card = {"card": PRETRAINED[path.name].to_dict()} if is_shipped(path) else {}
    content: dict[str, Any] = card | {
        "config": config.to_dict(),
        "environment": run.read_json("environment.json"),
        "checkpoint": None if latest is None else latest.name,
        "last_step": metrics[-1] if metrics else None,
    }
    if latest is not None:
        model = load_model(path)
        content |= {"n_parameters": sum(p.numel() for p in model.parameters()), "receptive_field": summary(model)}
    estimates = run.read_json("estimates.json")
    estimates_in(estimates, config.target, path / "estimates.json")
    return content | ({"estimates": estimates} if estimates else {})
