"""The figures of a run on a grid, which compare its samples with its data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from latticear.arrays import Array
from latticear.data.configurations import Configurations
from latticear.models import AbstractModel
from latticear.plotting import (
    Drawing,
    completions,
    draw_figures,
    likelihood_curve,
    receptive_field,
    sample_grid,
    value_legend,
)
from latticear.runs.directory import RunDirectory
from latticear.sampling.receptive import field_of
from latticear.spaces import ConfigurationSpace
from latticear.workflows.trained import Trained

__all__ = ["panels", "report_grid"]

SHOWN, COMPLETED, DRAWN = 36, 8, 6
"""Numbers of samples and of data shown; of configurations that are completed; of completions of each of them."""


def report_grid(loaded: Trained, run: RunDirectory, *, seed: int = 0) -> Iterator[Path]:
    """Write the figures of a run on a grid into `figures/`; yields the path of each figure when it is written.

    The figures show the likelihood during training; samples and data with the same conditions; data whose lower half is
    drawn by the model; and the receptive field of a network whose layers read sites at fixed offsets. The data shown
    are the last ones, which are the held-out data.

    Args:
        loaded: the run and its network.
        run: the directory of the run.
        seed: seed of the samples.
    """
    (config, model), grid = loaded, loaded.target.space
    data = loaded.target.read_data(config.training["data"], **config.reading)
    last = data.part(slice(-SHOWN, None))
    samples = model.sample(len(last.tokens), seed=seed, condition=_for_model(model, last.condition))

    def draw_samples(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        columns = max(1, round(len(last.tokens) ** 0.5))
        shown = len(last.tokens) // columns * columns
        states = grid.states.numpy()
        sample_grid(left, panels(grid, samples.tokens[:shown]), columns, "model", states)
        sample_grid(right, panels(grid, last.tokens[:shown]), columns, "data", states)
        value_legend(figure, [left, right], states, "value")

    figures: dict[str, Drawing] = {
        "training": ((7, 4), lambda f: likelihood_curve(f.subplots(), run.metrics())),
        "samples": ((9, 4.8), draw_samples),
        "completions": ((7, 7), lambda f: _draw_completions(f, model, grid, data, seed)),
    }
    if field_of(model, (0, 0)) is not None:
        figures["receptive_field"] = ((5, 6), lambda f: receptive_field(f.subplots(), model))
    title = f"grid {grid.shape[0]}x{grid.shape[1]}, {grid.n_tokens} levels"
    yield from draw_figures(run.figures, figures, title)


def panels(grid: ConfigurationSpace, tokens: Tensor) -> Array:
    """Values of configurations as images `(n, H, W)`; C > 1 components are placed side by side, `(n, H, C W)`."""
    return _side_by_side(grid.spins(tokens.cpu()).numpy())


def _side_by_side(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.ndim == 3 else values.transpose(0, 2, 1, 3).reshape(len(values), values.shape[2], -1)


def _draw_completions(
    figure: Figure, model: AbstractModel, grid: ConfigurationSpace, data: Configurations, seed: int
) -> None:
    """Draw the last configurations of the data, and completions of their upper half by the model."""
    tokens, condition, _ = data.part(slice(-COMPLETED, None))
    where = torch.zeros(tokens.shape, dtype=torch.bool)
    where[..., : grid.shape[0] // 2, :] = True
    repeated = [None if part is None else part.repeat_interleave(DRAWN, 0) for part in (tokens, where, condition)]
    given, held = repeated[:2]
    conditions = _for_model(model, repeated[2])
    samples = model.sample(len(tokens) * DRAWN, seed=seed, given=given, where=held, condition=conditions)
    drawn = panels(grid, samples.tokens).reshape(len(tokens), DRAWN, grid.shape[0], -1)
    states, ax = grid.states.numpy(), figure.subplots()
    completions(ax, panels(grid, tokens), _side_by_side(where.numpy()), drawn, "lower half by the model", states)
    value_legend(figure, [ax], states, "value")


def _for_model(model: AbstractModel, condition: Tensor | None) -> Tensor | None:
    """A condition on the device and in the precision of a model."""
    return None if condition is None else condition.to(model.rank.device, next(model.parameters()).dtype)
