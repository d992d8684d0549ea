"""The training options that suit a network and a target."""

from __future__ import annotations

from typing import Any

from latticear.hamiltonians import AbstractHamiltonian
from latticear.models import AbstractModel
from latticear.montecarlo import clusters_suit

__all__ = ["ADDED_LATER", "suited_options"]

ADDED_LATER: dict[str, Any] = {"heated_share": 0.0, "monte_carlo": "default"}
"""Options that configs written by earlier versions lack, with the values that describe their training."""

_BEGINNING_NEAR = {"anneal": 0.0}

_KEEPING_MODES = {"objective": "forward-reverse-kl", "heated_share": 0.5, "monte_carlo": "tempering"}


def suited_options(
    network: type[AbstractModel],
    objective: str | None,
    *,
    shares_weights: bool,
    has_data: bool,
    system: AbstractHamiltonian | None = None,
    looks_ahead: bool = False,
) -> dict[str, Any]:
    """The options of training to take unless a user gives others: those in which they differ from `TrainingOptions`.

    The variational free energy alone can leave a network in one of several phases. Unless the phases are those that a
    flip of all spins exchanges, the batches therefore hold configurations that the network has not drawn.

    Args:
        network: the class of the model; its `training_defaults` come first.
        objective: the only objective that suits the target; None if all do.
        shares_weights: whether the network has the same weights at each site. A network with separate weights for each
            site overfits a data set if it maximises the likelihood, so without data of the user it does not.
        has_data: whether the user gives data; their likelihood is then part of the objective.
        system: the Hamiltonian of a target of one system at one temperature; None for any other target.
        looks_ahead: whether the logits contain the sum over later sites, so that the training begins near the target.
    """
    options = dict(network.training_defaults)
    if not shares_weights and not has_data:
        options |= {"objective": "reverse-kl", "learning_rate": 0.01}
    if looks_ahead and network.has_weights:
        options |= _BEGINNING_NEAR
    if objective is not None:
        options["objective"] = objective
    elif has_data:
        options.setdefault("objective", "forward-kl")
    elif network.holds_phases and system is not None and _has_phases(system):
        options |= _KEEPING_MODES | ({} if shares_weights else {"forward_share": 0.0})
    return options


def _has_phases(system: AbstractHamiltonian) -> bool:
    """Whether there may be phases that no symmetry of the networks exchanges: more than two states, or frustration."""
    return system.n_tokens > 2 or not clusters_suit(system)
