"""Runs on grids: completion of their configs from the data, and the likelihood of held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latticear.data.configurations import Configurations
from latticear.data.reading import read_condition, read_metadata
from latticear.estimation.likelihood import negative_log_likelihood
from latticear.estimation.quantity import Estimate
from latticear.runs.config import RunConfig
from latticear.runs.directory import RunDirectory
from latticear.training.dataset import n_held_out
from latticear.workflows.trained import step_of, trained

__all__ = ["check_classes", "check_same_data", "completed", "held_out_data", "likelihood_run"]


def completed(grid: dict[str, Any], model: dict[str, Any], path: str, dataset: str | None = None) -> None:
    """Add the shape, components, classes and length of the condition to a config that does not contain them.

    Integers in `/condition` are class labels; `grid.n_classes` and `model.n_condition` then are the largest label plus
    1. With `model.n_condition = 0` the conditions of the file are not used.

    Args:
        grid: the section `[grid]`, changed in place.
        model: the section `[model]`, changed in place.
        path: path of the data file.
        dataset: name of the array of configurations in the file; None for the default.
    """
    if "shape" not in grid:
        components, *shape = _size(path, dataset)
        grid["shape"] = shape
        grid.setdefault("n_components", components)
    condition = None if model.get("n_condition") == 0 else read_condition(path, dataset)
    labels = condition is not None and condition.ndim == 1
    grid.setdefault("n_classes", int(condition.max()) + 1 if condition is not None and labels else 0)
    width = 0 if condition is None else grid["n_classes"] if labels else condition.shape[1]
    model.setdefault("n_condition", width)


def _size(path: str, dataset: str | None) -> tuple[int, ...]:
    """(C, H, W) of the configurations in a file; up to four components may come last, (H, W, C)."""
    size = read_metadata(path, dataset)["shape"]
    if len(size) not in (2, 3):
        raise ValueError(
            f"{path} must hold configurations (n, H, W) or (n, C, H, W), got (n, {str(size)[1:-1]}): give grid.shape "
            f"(--size) if each row is a configuration"
        )
    if len(size) == 3 and (size[2] == 1 < size[0] or size[2] <= 4 < size[0]):
        return (size[2], size[0], size[1])
    return (1, *size) if len(size) == 2 else tuple(size)


def check_classes(data: Configurations, held_out: float, n_classes: int) -> None:
    """Check that every class of the held-out data also occurs in the training data, unlike in data sorted by class.

    Args:
        data: all configurations, with one-hot conditions.
        held_out: fraction of the configurations, the last ones, that is held out.
        n_classes: number of classes; 0 for none.

    Raises:
        ValueError: names a class that is missing in the training data.
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
    """The part of the data of a run that was held out of its training.

    Raises:
        ValueError: if no data were held out, or the data file has changed since the training.
    """
    data = config.target.read_data(config.training["data"], **config.reading)
    check_same_data(RunDirectory(path), data)
    n = n_held_out(len(data.tokens), config.training["held_out"])
    if not n:
        raise ValueError(f"{path} has no held-out data (training.held_out is 0): give other data with --data FILE")
    return data.part(slice(-n, None))


def check_same_data(run: RunDirectory, data: Configurations) -> None:
    """Check that data are those that a run was trained on; only then is their end the held-out part.

    Raises:
        ValueError: if the data differ.
    """
    if run.read_json("environment.json").get("data") != data.fingerprint:
        raise ValueError(f"the data are not those that {run.path} was trained on; restore them, or begin another run")


def likelihood_run(path: Path, *, n: int, data: Path | None, device: str, dataset: str | None = None) -> dict[str, Any]:
    """The likelihood of configurations that a run was not trained on, as JSON values.

    The result for the held-out data is also written to estimates.json.

    Args:
        path: run directory.
        n: largest number of configurations to use.
        data: a file of configurations; None for the held-out data of the run.
        device: device of the network: auto, cpu or cuda.
        dataset: name of the array of configurations in `data`; None for that of the run.

    Raises:
        ValueError: for a run on a Hamiltonian, or data that do not fit.
        OSError: if a file cannot be read.
    """
    config, model = trained(path, device)
    if config.target.has_energy:
        raise ValueError(f"{path} is a run on a Hamiltonian, not on a grid")
    if data is None and dataset is not None:
        raise ValueError(f"--dataset names an array in the file --data, got {dataset!r} without one: leave it out")
    reading = config.reading | ({} if dataset is None else {"dataset": dataset})
    chosen = held_out_data(path, config) if data is None else config.target.read_data(data, **reading)
    tokens, condition, _ = chosen.part(slice(n))
    values: dict[str, Estimate] = negative_log_likelihood(model, tokens, condition)
    content: dict[str, Any] = {name: {"value": each.value, "error": each.error} for name, each in values.items()} | {
        "n": len(tokens),
        "data": str(data or config.training["data"]),
        "held_out": data is None,
    }
    if data is None:
        RunDirectory(path).write_json("estimates.json", content | {"checkpoint": step_of(path)})
    return content
