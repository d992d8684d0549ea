"""Weights carried from one network to another."""

from __future__ import annotations

import torch

from latticear.models.base import AbstractModel

__all__ = ["transfer_weights"]


@torch.no_grad()
def transfer_weights(model: AbstractModel, source: AbstractModel) -> int:
    """Take over the weights of a network for another lattice or another temperature, as far as they fit.

    A parameter takes the value of its counterpart of the same size; what has none keeps its own.

    Args:
        model: takes the weights.
        source: gives them; a network of the same class.

    Returns:
        How many parameters were taken, of `len(list(model.parameters()))`.

    Raises:
        ValueError: for another class or number of tokens, or if nothing fits.
    """
    if type(model) is not type(source) or model.n_tokens != source.n_tokens:
        raise ValueError(
            f"weights go from one {model.name} with {model.n_tokens} tokens to another, "
            f"got a {source.name} with {source.n_tokens}"
        )
    given = dict(source.named_parameters())
    taken = 0
    for name, parameter in model.named_parameters():
        fits = (other for other in model.counterparts(name) if other in given)
        counterpart = next((given[other] for other in fits if given[other].shape == parameter.shape), None)
        if counterpart is not None:
            parameter.copy_(counterpart)
            taken += 1
    if not taken:
        raise ValueError(f"no parameter of this {model.name} has the size of its counterpart; keep its width and depth")
    return taken
