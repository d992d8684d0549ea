"""Runs on grids: what follows from their data, and the likelihood of what was held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latticear.data.configurations import Configurations
from latticear.data.reading import read_condition, read_metadata
from latticear.estimation.estimates import Estimate
from latticear.estimation.likelihood import negative_log_likelihood
from latticear.runs.config import RunConfig
from latticear.runs.directory import RunDirectory
from latticear.training.dataset import n_held_out
from latticear.workflows.trained import step_of, trained

__all__ = ["check_classes", "check_same_data", "completed", "held_out_data", "likelihood_run"]


def completed(grid: dict[str, Any], model: dict[str, Any], path: str) -> None:
    """Fill in shape, components, classes and condition of the data file where nothing was said.

    Integers in `/condition` are labels; they make `grid.n_classes` and `model.n_condition` the largest one plus 1.
    `model.n_condition = 0` leaves them unused.

    Args:
        grid, model: the sections of a config, changed in place.
        path: of the data.
    """
    if "shape" not in grid:
        components, *shape = _size(path)
        grid["shape"] = shape
        grid.setdefault("n_components", components)
    condition = None if model.get("n_condition") == 0 else read_condition(path)
    labels = condition is not None and condition.ndim == 1
    grid.setdefault("n_classes", int(condition.max()) + 1 if condition is not None and labels else 0)
    width = 0 if condition is None else grid["n_classes"] if labels else condition.shape[1]
    model.setdefault("n_condition", width)


def _size(path: str) -> tuple[int, ...]:
    """(C, H, W) of the configurations in a file."""
    size = read_metadata(path)["shape"]
    if len(size) not in (2, 3):
        raise ValueError(f"{path} must hold configurations (n, H, W) or (n, C, H, W), got (n, {str(size)[1:-1]})")
    if len(size) == 3 and size[2] <= 4 < size[0]:
        raise ValueError(
            f"{path} holds (n, {str(size)[1:-1]}), which looks like (n, H, W, C): move the components before the rows, "
            f"or say what is meant with grid.shape and grid.n_components"
        )
    return (1, *size) if len(size) == 2 else tuple(size)


def check_classes(data: Configurations, held_out: float, n_classes: int) -> None:
    """Every class that is held out must be trained on: data sorted by class are not what anyone wants.

    Raises:
        ValueError: names the classes.
    """
    if data.condition is None or not n_classes:
        return
    n_train = len(data.tokens) - n_held_out(len(data.tokens), held_out)
    classes = data.condition.argmax(1)
    missing = np.setdiff1d(classes[n_train:], classes[:n_train])
    if missing.size:
        raise ValueError(
            f"class {missing[0]} occurs only among the last {len(classes) - n_train} configurations, which are held "
            f"out: shuffle the data"
        )


def held_out_data(path: Path, config: RunConfig) -> Configurations:
    """The part of the data that a run was not trained on.

    Raises:
        ValueError: if nothing was held out, or the data are not those that the run was trained on.
    """
    data = config.target.read_data(config.training["data"])
    check_same_data(RunDirectory(path), data)
    n = n_held_out(len(data.tokens), config.training["held_out"])
    if not n:
        raise ValueError(f"{path} held nothing out (training.held_out is 0): name other data with --data FILE")
    return data.part(slice(-n, None))


def check_same_data(run: RunDirectory, data: Configurations) -> None:
    """Of other data than those of the training nobody knows what was held out.

    Raises:
        ValueError: if they are other ones.
    """
    if run.read_json("environment.json").get("data") != data.fingerprint:
        raise ValueError(
            f"the data are not those that {run.path} was begun with; bring them back, or begin another run"
        )


def likelihood_run(path: Path, *, n: int, data: Path | None, device: str) -> dict[str, Any]:
    """The likelihood of configurations that a run was not trained on, as JSON values; kept in estimates.json.

    Args:
        path: run directory.
        n: how many of them at most.
        data: a file of others; None for those held out, which alone are kept.
        device: of the network.
    """
    config, model = trained(path, device)
    if config.target.has_energy:
        raise ValueError(f"{path} is a run on a Hamiltonian, not on a grid")
    chosen = held_out_data(path, config) if data is None else config.target.read_data(data)
    tokens, condition = chosen.part(slice(n))
    values: dict[str, Estimate] = negative_log_likelihood(model, tokens, condition)
    content = {name: value.to_dict() for name, value in values.items()} | {
        "n": len(tokens),
        "data": str(data or config.training["data"]),
        "held_out": data is None,
    }
    if data is None:
        RunDirectory(path).write_json("estimates.json", content | {"checkpoint": step_of(path)})
    return content
