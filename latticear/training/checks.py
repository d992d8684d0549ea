"""Checks that a model, a target, data and training options fit together."""

from __future__ import annotations

from typing import Any

from latticear.arguments import check_seed
from latticear.models import AbstractModel
from latticear.processes import Processes
from latticear.spaces import ConfigurationSpace
from latticear.targets import AbstractTarget
from latticear.training.options import TrainingOptions

__all__ = ["check_fit", "check_processes"]


def check_fit(
    model: AbstractModel,
    target: AbstractTarget,
    options: TrainingOptions,
    seed: int,
    data: Any,
    condition: Any,
) -> None:
    """Check the arguments of `fit` against one another.

    Raises:
        ValueError: names the first argument that does not fit.
    """
    target.check(model, options.objective, condition)
    check_seed(seed)
    trained, needed = _described(model), _described(target.space)
    if trained != needed:
        raise ValueError(f"the model is for {trained}, the {target.space.kind.capitalize()} for {needed}")
    if data is not None and options.objective == "reverse-kl":
        raise ValueError("data is for maximum likelihood; objective 'reverse-kl' uses no data: leave objective out")
    if data is None and target.covers_range and options.objective == "forward-kl":
        raise ValueError(
            f"objective 'forward-kl' for {target.noun} needs data at many temperatures, which state them as "
            f"/temperature: give data (--data FILE), or leave objective out"
        )
    if data is None and not target.has_energy:
        raise ValueError("data must be given: a Grid has no energy to draw configurations with")


def check_processes(processes: Processes, options: TrainingOptions) -> None:
    """Check that each process has something to do.

    Raises:
        ValueError: if a batch has fewer configurations than there are processes.
    """
    if options.batch_size < processes.size:
        raise ValueError(
            f"batch_size must be at least {processes.size}, one configuration for each process, got "
            f"{options.batch_size}"
        )


def _described(what: AbstractModel | ConfigurationSpace) -> str:
    components = f" and {what.n_components} components" if what.n_components > 1 else ""
    return f"shape {what.shape} with {what.n_tokens} tokens{components}"
