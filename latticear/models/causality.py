"""Whether the logits of a model depend on earlier sites alone, checked by replacing tokens."""

from __future__ import annotations

import math

import torch

from latticear.models.base import AbstractModel, check_is_model
from latticear.sampling.receptive import dependences

__all__ = ["check_autoregressive"]


def check_autoregressive(model: AbstractModel, *, n_trials: int = 3, seed: int = 0) -> None:
    """Check by replacing tokens that the logits of no site depend on a site of the same or a higher rank.

    With components, the logits of component c may depend on the components before c of the same site, but on no other
    token there. Every site in turn takes every other token, in random configurations and a float64 copy of the network
    with random weights (a zero weight would hide a connection).

    Args:
        model: any model; it is not changed.
        n_trials: number of random configurations, each with its own random weights.
        seed: seed of the configurations and weights.

    Raises:
        ValueError: if the order is violated; names the first site that is read and the site whose logits depend on it.
    """
    check_is_model(model)
    moved = dependences(model, n_trials=n_trials, seed=seed)
    rank, n_sites = model.rank.cpu().flatten().repeat(model.n_components), math.prod(model.shape)
    component = torch.arange(len(rank)) // n_sites
    site = torch.arange(len(rank)) % n_sites
    precedes = rank < rank[:, None]  # [reader, source]
    precedes |= (site == site[:, None]) & (component < component[:, None])
    wrong = moved & ~precedes
    if wrong.any():
        source, reader = wrong.T.nonzero()[0].tolist()
        raise ValueError(
            f"not autoregressive: the logits of {_site(reader, model)} (rank {int(rank[reader])}) depend "
            f"on the token of {_site(source, model)} (rank {int(rank[source])})"
        )


def _site(index: int, model: AbstractModel) -> str:
    """The site (and component) of an entry of `dependences`, in words for an error message."""
    component, site = divmod(index, math.prod(model.shape))
    place = f"site {divmod(site, model.shape[1])}"
    return place if model.n_components == 1 else f"component {component} of {place}"
