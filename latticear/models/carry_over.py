"""Weights carried from one network to another."""

from __future__ import annotations

import torch

from latticear.models.base import AbstractModel

__all__ = ["transfer_weights"]


_OF_THE_LATTICE = {"shape", "bias", "periodic", "translation_invariant"}
"""Options that weights may be carried across."""


@torch.no_grad()
def transfer_weights(model: AbstractModel, source: AbstractModel) -> int:
    """Take over the weights of a network for another lattice or another temperature.

    A parameter takes the value of its counterpart; what has none, as on a level that the other does not have, keeps its
    own.

    Args:
        model: takes the weights.
        source: gives them; a network of the same class.

    Returns:
        How many parameters were taken, of `len(list(model.parameters()))`.

    Raises:
        ValueError: for another class, number of tokens or option of the network, a counterpart of another size, or none
            for most of the parameters.
    """
    if type(model) is not type(source) or model.n_tokens != source.n_tokens:
        raise ValueError(
            f"weights go from one {model.name} with {model.n_tokens} tokens to another, "
            f"got a {source.name} with {source.n_tokens}"
        )
    here, there = (
        {key: value for key, value in network.to_dict().items() if key not in _OF_THE_LATTICE}
        for network in (model, source)
    )
    for key, value in here.items():
        if value != there[key]:
            raise ValueError(
                f"the weights do not fit: {key} is {value} here and {there[key]} there; keep the options of the network"
            )
    given, wanted = dict(source.named_parameters()), len(list(model.parameters()))
    pairs = []
    for name, parameter in model.named_parameters():
        other = next((other for other in model.counterparts(name) if other in given), None)
        if other is None:
            continue
        if given[other].shape != parameter.shape:
            raise ValueError(
                f"the weights do not fit: {name} has size {tuple(parameter.shape)} here and "
                f"{tuple(given[other].shape)} there; keep the options of the network"
            )
        pairs.append((parameter, given[other]))
    if len(pairs) < wanted / 2:
        raise ValueError(f"the weights do not fit: {wanted - len(pairs)} of {wanted} have no counterpart")
    for parameter, value in pairs:
        parameter.copy_(value)
    return len(pairs)
