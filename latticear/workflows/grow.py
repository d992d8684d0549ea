"""Training on ever larger lattices, each beginning with the weights of the one before."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from latticear.models import MultiscalePixelCNN
from latticear.models.multiscale.order import SITE
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.directory import RunDirectory
from latticear.runs.trees import config_tree
from latticear.workflows.train import asked_config, train_run
from latticear.workflows.trained import Report

__all__ = ["grow_run", "stage_training", "stages"]

SMALLEST = 16
"""The first lattice has no larger extent than this, if it can be had by halving."""

SMALLEST_BATCH = 32
"""No stage has fewer configurations in a step."""


def grow_run(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: dict[str, Any],
    *,
    resume: bool,
    report: Report,
) -> bool:
    """Train on a small lattice, on one of twice its extents with the weights of the first, and so on up to the last.

    Every stage is a run of its own: those before the last stand beside it, `OUT-16x16`, `OUT-32x32`, and so on. The
    options of the training are those of the first stage; `stage_training` has the others.

    Args:
        out: run directory of the last stage.
        config_path, overrides, values: as of `train_run`, with the shape of the last stage.
        resume: go on where an earlier call was stopped.
        report: called with progress.

    Returns:
        False if it was stopped (saved) before its last step.

    Raises:
        ValueError: for a config that cannot be, a network that cannot grow, or data, which are of one lattice alone.
        FileExistsError: if `out` or a stage exists and `resume` is False.
    """
    config, shapes = _checked(config_tree(config_path, overrides, values))
    runs = [out.with_name(f"{out.name}-{height}x{width}") for height, width in shapes[:-1]] + [out]
    if not resume:
        for path in runs:
            if path.exists():
                raise FileExistsError(f"{path} already exists; continue with --resume or name another --out")
    asked = config_tree(config_path, overrides, values)
    asked.setdefault("model", {})["name"] = config.model["name"]  # small lattices have another default
    stage_trees = [_of_stage(asked, config, k, shape) for k, shape in enumerate(shapes)]
    finished = [_is_finished(path, tree) for path, tree in zip(runs, stage_trees, strict=True)]
    first = max((k + 1 for k, done in enumerate(finished) if done), default=0)  # what came before it was needed for it
    for k, path in list(enumerate(runs))[first:]:
        source = runs[k - 1] if k else None
        told = _told(report, shapes[k])
        if not train_run(path, None, (), stage_trees[k], resume=resume, report=told, source=source):
            return False
    return True


def _of_stage(asked: dict[str, Any], config: RunConfig, k: int, shape: tuple[int, int]) -> dict[str, Any]:
    """What is asked of stage k."""
    tree = copy.deepcopy(asked)
    tree.setdefault("hamiltonian", {})["shape"] = list(shape)
    tree.setdefault("training", {}).update(stage_training(config.training, k))
    return tree


def stage_training(training: dict[str, Any], k: int) -> dict[str, Any]:
    """The options of the training that differ in stage k from those of the first stage.

    A lattice of twice the extents has four times the sites to learn from, so half as many configurations do; and what
    has been learned is spoiled by steps as large as in the beginning.
    """
    if k == 0:
        return {}
    return {
        "batch_size": max(SMALLEST_BATCH, training["batch_size"] // 2**k),
        "learning_rate": training["learning_rate"] / 10,
    }


def stages(shape: tuple[int, int], cell: tuple[int, int] = SITE) -> list[tuple[int, int]]:
    """The lattices on the way to one: halves of it, as long as they are of whole cells and not small enough."""
    shapes = [shape]
    while max(shapes[0]) > SMALLEST and not any(n % (2 * m) for n, m in zip(shapes[0], cell, strict=True)):
        shapes.insert(0, (shapes[0][0] // 2, shapes[0][1] // 2))
    return shapes


def _checked(tree: dict[str, Any]) -> tuple[RunConfig, list[tuple[int, int]]]:
    """The config of the last stage, and the lattices of all."""
    if "grid" in tree:
        raise ValueError("--grow needs a Hamiltonian, which is the same on every lattice; a [grid] is not")
    config = parse_config(tree)
    if config.model["name"] != MultiscalePixelCNN.name:
        raise ValueError(
            f"--grow needs a network whose weights serve every lattice, model.name multiscale, "
            f"got {config.model['name']}"
        )
    if not config.model["translation_invariant"]:
        raise ValueError("--grow needs the same couplings everywhere: a perceptron of one site serves no other lattice")
    if config.training["data"]:
        raise ValueError("--grow draws its own configurations on each lattice; leave out --data")
    height, width = config.target.space.shape
    if len(stages((height, width))) == 1:
        raise ValueError(f"--grow needs an even lattice larger than {SMALLEST}, got {height}x{width}; leave it out")
    cell = cast(MultiscalePixelCNN, build_model(config)).cell  # the same for all: weights know no other
    shapes = stages((height, width), cell)
    if len(shapes) == 1:
        raise ValueError(
            f"--grow needs a lattice whose half is of whole unit cells of {cell[0]}x{cell[1]}, got {height}x{width}; "
            f"leave it out, or set model.cell to [1, 1]"
        )
    return config, shapes


def _is_finished(path: Path, tree: dict[str, Any]) -> bool:
    """Whether a stage is complete.

    Raises:
        ValueError: if it is a run of another config than asked for.
        FileNotFoundError: if there is something else at its place.
    """
    if not path.exists():
        return False
    try:
        run = RunDirectory(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; remove it to train this stage anew") from error
    asked_config(tree, run)
    return "finished" in run.read_json("environment.json")


def _told(report: Report, shape: tuple[int, int]) -> Report:
    """Progress that says which lattice it is of."""
    return lambda done, total, text: report(done, total, f"{shape[0]}x{shape[1]} {text}".rstrip())
