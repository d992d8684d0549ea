"""Training on a sequence of growing lattices; each starts from the weights of the previous, smaller one."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from latticear.models import MODELS, MultiscalePixelCNN
from latticear.models.multiscale.order import SITE
from latticear.runs.config import RunConfig, build_model, parse_config
from latticear.runs.directory import RunDirectory
from latticear.runs.trees import config_tree
from latticear.workflows.budget import Clock, check_minutes, check_no_steps, shares_of, without_steps
from latticear.workflows.train import asked_config, check_out, train_run
from latticear.workflows.trained import Report, Say

__all__ = ["grow_run", "stage_training", "stages"]

SMALLEST = 16
"""Largest extent of the first lattice, if halving the final lattice leads to one as small."""

SMALLEST_BATCH = 32
"""Smallest batch size of a stage."""


def grow_run(
    out: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    values: dict[str, Any],
    *,
    resume: bool,
    report: Report,
    minutes: float | None = None,
    say: Say = lambda _: None,
    clock: Clock = time.perf_counter,
) -> bool:
    """Train on a small lattice, then on one of twice its extents starting from those weights, up to the final lattice.

    Each stage is a run. The runs of the earlier stages are in the same folder as the last one and have names such as
    `OUT-16x16` and `OUT-32x32`. The training options of the config are those of the first stage; `stage_training` gives
    those of the later stages.

    Args:
        out: run directory of the last stage.
        config_path: TOML file, as for `train_run`, with the shape of the final lattice.
        overrides: overrides of single keys, as for `train_run`.
        values: further keys of the config, as for `train_run`.
        resume: whether to continue an earlier call that was stopped.
        report: called with progress.
        minutes: time budget of all stages together, most of it for the last ones (`shares_of`); None for the number of
            steps in the config.
        say: called with lines: which network was chosen and why, the planned steps, or that there is no run to resume.
        clock: as for `train_run`.

    Returns:
        Whether the training has reached the last step of the last stage.

    Raises:
        ValueError: for an invalid config, a network that cannot change its lattice, or a config with data, which are
            configurations of a single lattice.
        FileExistsError: if the directory of a stage exists and `resume` is False.
    """
    check_out(out, resume=resume)
    requested = config_tree(config_path, overrides, values)
    if minutes is not None:
        check_minutes(minutes)
        check_no_steps(config_tree(None, overrides, values))
        requested = without_steps(requested)
    config, shapes = _checked(requested)
    runs = [out.with_name(f"{out.name}-{height}x{width}") for height, width in shapes[:-1]] + [out]
    if not resume:
        for path in runs:
            if path.exists():
                raise FileExistsError(f"{path} already exists; continue with --resume or name another --out")
    if resume and not any(path.exists() for path in runs):
        say(f"there was no run in {out} to resume: a new one begins")
    if config.choice is not None and not out.exists():
        say(str(config.choice))
    chosen = ("name", *MODELS[config.model["name"]].settled(shapes[-1], config.model))  # differ on a small lattice
    requested["model"] = requested.get("model", {}) | {key: config.model[key] for key in chosen}
    stage_trees = [_stage_tree(requested, config, k, shape) for k, shape in enumerate(shapes)]
    finished = [_is_finished(path, tree) for path, tree in zip(runs, stage_trees, strict=True)]
    first = max((k + 1 for k, done in enumerate(finished) if done), default=0)  # earlier stages are not needed any more
    shares = shares_of(len(runs))
    for k, path in list(enumerate(runs))[first:]:
        options: dict[str, Any] = {"resume": resume, "report": _with_size(report, shapes[k]), "clock": clock}
        options |= {"source": runs[k - 1]} if k else {}
        options |= {} if minutes is None else {"minutes": minutes * shares[k], "say": _with_size_said(say, shapes[k])}
        if not train_run(path, None, (), stage_trees[k], **options):
            return False
    return True


def _stage_tree(requested: dict[str, Any], config: RunConfig, k: int, shape: tuple[int, int]) -> dict[str, Any]:
    """The unchecked config of stage k."""
    tree = copy.deepcopy(requested)
    tree.setdefault("hamiltonian", {})["shape"] = list(shape)
    tree.setdefault("training", {}).update(stage_training(config.training, k))
    return tree


def stage_training(training: dict[str, Any], k: int) -> dict[str, Any]:
    """The training options of stage k that differ from those of the first stage.

    A lattice of twice the extents has four times as many sites, so that half as many configurations suffice for the
    gradient. The learning rate is smaller, since large steps would spoil the weights that have been learned.
    """
    if k == 0:
        return {}
    return {
        "batch_size": max(SMALLEST_BATCH, training["batch_size"] // 2**k),
        "learning_rate": training["learning_rate"] / 10,
    }


def stages(shape: tuple[int, int], cell: tuple[int, int] = SITE) -> list[tuple[int, int]]:
    """The shapes of all stages: the final shape, its half, and so on, as long as they consist of whole unit cells.

    Args:
        shape: shape (H, W) of the final lattice.
        cell: extents (y, x) of the unit cell in the multiscale order of the network.
    """
    shapes = [shape]
    while max(shapes[0]) > SMALLEST and not any(n % (2 * m) for n, m in zip(shapes[0], cell, strict=True)):
        shapes.insert(0, (shapes[0][0] // 2, shapes[0][1] // 2))
    return shapes


def _checked(tree: dict[str, Any]) -> tuple[RunConfig, list[tuple[int, int]]]:
    """The config of the last stage, and the shapes of all stages.

    Raises:
        ValueError: for an invalid config, or one with which the lattice cannot grow.
    """
    if "grid" in tree:
        raise ValueError("--grow needs a Hamiltonian, which is defined on lattices of any size; a [grid] is not")
    config = parse_config(tree, trains=True)
    if config.model["name"] != MultiscalePixelCNN.name:
        raise ValueError(
            f"--grow needs a network whose weights do not depend on the lattice size, model.name multiscale, "
            f"got {config.model['name']}"
        )
    if not config.model["translation_invariant"]:
        raise ValueError("--grow needs the same couplings everywhere, so that all sites can have the same weights")
    if config.training["data"]:
        raise ValueError("--grow draws configurations by Monte Carlo on each lattice; leave out --data")
    height, width = config.target.space.shape
    if len(stages((height, width))) == 1:
        raise ValueError(f"--grow needs an even lattice larger than {SMALLEST}, got {height}x{width}; leave it out")
    cell = cast(MultiscalePixelCNN, build_model(config)).cell  # the same in all stages, since the weights depend on it
    shapes = stages((height, width), cell)
    if len(shapes) == 1:
        raise ValueError(
            f"--grow needs a lattice whose half consists of whole unit cells of {cell[0]}x{cell[1]}, "
            f"got {height}x{width}; leave it out, or set model.cell to [1, 1]"
        )
    return config, shapes


def _is_finished(path: Path, tree: dict[str, Any]) -> bool:
    """Whether the training of a stage is complete.

    Args:
        path: run directory of the stage.
        tree: the unchecked config of the stage.

    Raises:
        ValueError: if the directory holds a run with a different config.
        FileNotFoundError: if the path exists but is not a run directory.
    """
    if not path.exists():
        return False
    try:
        run = RunDirectory(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; remove it to train this stage again") from error
    asked_config(tree, run)
    return "finished" in run.read_json("environment.json")


def _with_size_said(say: Say, shape: tuple[int, int]) -> Say:
    """A line of one stage, with the size of its lattice in front of the text."""
    return lambda text: say(f"{shape[0]}x{shape[1]}: {text}")


def _with_size(report: Report, shape: tuple[int, int]) -> Report:
    """Progress of one stage, with the size of its lattice in front of the text."""
    return lambda done, total, text: report(done, total, f"{shape[0]}x{shape[1]} {text}".rstrip())
