"""The training options that suit a network and a target."""

from __future__ import annotations

from typing import Any

from latticear.models import AbstractModel

__all__ = ["suited_options"]


def suited_options(
    network: type[AbstractModel], objective: str | None, *, shares_weights: bool, has_data: bool
) -> dict[str, Any]:
    """The options of training to take unless a user gives others: those in which they differ from `TrainingOptions`.

    Args:
        network: the class of the model; its `training_defaults` come first.
        objective: the only objective that suits the target; None if all do.
        shares_weights: whether the network has the same weights at each site. A network with separate weights for each
            site overfits a data set, so without data of the user it has the objective reverse-kl.
        has_data: whether the user gives data; their likelihood is then part of the objective.
    """
    options = dict(network.training_defaults)
    if not shares_weights and not has_data:
        options |= {"objective": "reverse-kl", "learning_rate": 0.01}
    if objective is not None:
        options["objective"] = objective
    elif has_data:
        options.setdefault("objective", "forward-kl")
    return options
