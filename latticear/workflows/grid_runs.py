"""Runs on grids: what follows from their data, and the likelihood of what was held out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from latticear.data.labels import encoded, written_condition
from latticear.data.reading import read_condition, read_configurations, read_metadata
from latticear.estimation.estimates import Estimate
from latticear.estimation.likelihood import negative_log_likelihood
from latticear.runs.config import AnyConfig, GridConfig, build_space, load_any
from latticear.runs.directory import RunDirectory
from latticear.runs.provenance import fingerprint_of
from latticear.training.dataset import n_held_out
from latticear.workflows.runs import step_of, trained_any

__all__ = [
    "Configurations",
    "asked_condition",
    "check_classes",
    "check_same_data",
    "completed",
    "grid_data",
    "held_out_data",
    "is_grid_run",
    "likelihood_run",
    "read_encoded",
]


class Configurations(NamedTuple):
    """Configurations to learn from or to judge by.

    Attributes:
        tokens: `(n, H, W)` or `(n, C, H, W)`.
        condition: `(n, k)`, as the model takes it; None for a model without a condition.
    """

    tokens: torch.Tensor
    condition: torch.Tensor | None

    def part(self, rows: slice) -> Configurations:
        """Some of them."""
        return Configurations(self.tokens[rows], None if self.condition is None else self.condition[rows])

    @property
    def fingerprint(self) -> str:
        """A name for these data: 16 hexadecimal digits, others for other data."""
        return fingerprint_of(self.tokens, self.condition)


def is_grid_run(path: Path) -> bool:
    """Whether a run is on a grid, rather than on a Hamiltonian."""
    return isinstance(load_any(RunDirectory(path).config_path), GridConfig)


def completed(tree: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, with shape, components, classes and condition of the data file where nothing was said.

    Integers in `/condition` are labels; they make `grid.n_classes` and `model.n_condition` the largest one plus 1.
    `model.n_condition = 0` leaves them unused.
    """
    grid, training, model = (tree.get(key, {}) for key in ("grid", "training", "model"))
    if "grid" not in tree or not all(isinstance(section, dict) for section in (grid, training, model)):
        return tree
    path = training.get("data")
    if not isinstance(path, str) or not path:
        return tree
    tree = copy.deepcopy(tree)
    grid, model = tree["grid"], tree.setdefault("model", {})
    if "shape" not in grid:
        components, *shape = _size(path)
        grid["shape"] = shape
        grid.setdefault("n_components", components)
    condition = None if model.get("n_condition") == 0 else read_condition(path)
    labels = condition is not None and condition.ndim == 1
    grid.setdefault("n_classes", int(condition.max()) + 1 if condition is not None and labels else 0)
    width = 0 if condition is None else grid["n_classes"] if labels else condition.shape[1]
    model.setdefault("n_condition", width)
    return tree


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


def grid_data(config: GridConfig, path: str | Path | None = None) -> Configurations:
    """The configurations of a file, of the training data by default, with their conditions.

    Raises:
        ValueError: if they are not what the config says; names the first wrong value.
        OSError: if the file cannot be read.
    """
    path = Path(path or config.training["data"])
    return Configurations(read_configurations(path, build_space(config)), read_encoded(config, path))


def read_encoded(config: GridConfig, path: Path) -> torch.Tensor | None:
    """The conditions of a file as the model takes them; None for a model without.

    Raises:
        ValueError: if there are none, or others than those that the model takes.
    """
    n_condition, n_classes = config.model["n_condition"], config.grid["n_classes"]
    if not n_condition:
        return None
    found = read_condition(path)
    if found is None:
        raise ValueError(f"{path} has no /condition; model.n_condition is {n_condition}")
    try:
        condition = encoded(found, n_classes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if condition.shape[1] != n_condition:
        raise ValueError(f"{path}: a condition has {condition.shape[1]} entries, model.n_condition is {n_condition}")
    return condition


def asked_condition(config: AnyConfig, text: str | None, given: Path | None) -> torch.Tensor | None:
    """The condition of samples: the one asked for, or those in the file of sites held fixed; None for a model without.

    Returns:
        float32 `(k,)` for all samples, or `(K, k)`.

    Raises:
        ValueError: if there is none for a model that takes one, or one that it does not take.
    """
    n_condition = config.model["n_condition"]
    n_classes = config.grid["n_classes"] if isinstance(config, GridConfig) else 0
    if text is not None:
        return written_condition(text, n_classes, n_condition)
    if not n_condition:
        return None
    if isinstance(config, GridConfig) and given is not None:
        return read_encoded(config, given)
    what = f"a class 0..{n_classes - 1}" if n_classes else f"{n_condition} numbers with commas"
    raise ValueError(f"the model takes a condition: give --condition, {what}")


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


def held_out_data(path: Path, config: GridConfig) -> Configurations:
    """The part of the data that a run was not trained on.

    Raises:
        ValueError: if nothing was held out, or the data are not those that the run was trained on.
    """
    data = grid_data(config)
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
    config, _, model = trained_any(path, device)
    if not isinstance(config, GridConfig):
        raise ValueError(f"{path} is a run on a Hamiltonian, not on a grid")
    chosen = held_out_data(path, config) if data is None else grid_data(config, data)
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
