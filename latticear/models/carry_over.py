"""Transfer of weights from one network to another."""

from __future__ import annotations

import torch

from latticear.models.base import AbstractModel, check_is_model

__all__ = ["transfer_weights"]


_OF_THE_LATTICE = {"shape", "bias", "periodic", "translation_invariant"}
"""Options in which the two networks may differ."""


@torch.no_grad()
def transfer_weights(model: AbstractModel, source: AbstractModel) -> int:
    """Copy the weights of a network for another lattice or another temperature into a model.

    Each parameter takes the value of its counterpart in the source. A parameter without counterpart, such as one of a
    level (length scale) that the source does not have, keeps its value.

    Args:
        model: the network whose weights are set.
        source: the network from which weights are copied, of the same class.

    Returns:
        The number of parameters that were copied, of `len(list(model.parameters()))`.

    Raises:
        ValueError: if the networks differ in their class, number of tokens or other options, if a counterpart has
            another size, or if most of the parameters have no counterpart.
    """
    check_is_model(model)
    check_is_model(source)
    if type(model) is not type(source) or model.n_tokens != source.n_tokens:
        raise ValueError(
            f"a {model.name} with {model.n_tokens} tokens takes weights only from another, "
            f"got a {source.name} with {source.n_tokens}"
        )
    if not type(model).has_weights:
        return 0
    of_model, of_source = (
        {key: value for key, value in network.to_dict().items() if key not in _OF_THE_LATTICE}
        for network in (model, source)
    )
    for key, value in of_model.items():
        if value != of_source[key]:
            raise ValueError(
                f"the weights do not fit: {key} is {value} in the model and {of_source[key]} in the source of the "
                "weights; use the same options of the network"
            )
    given, wanted = dict(source.named_parameters()), len(list(model.parameters()))
    pairs = []
    for name, parameter in model.named_parameters():
        other = next((other for other in model.counterparts(name) if other in given), None)
        if other is None:
            continue
        if given[other].shape != parameter.shape:
            raise ValueError(
                f"the weights do not fit: {name} has size {tuple(parameter.shape)} in the model and "
                f"{tuple(given[other].shape)} in the source of the weights; use the same options of the network"
            )
        pairs.append((parameter, given[other]))
    if len(pairs) < wanted / 2:
        raise ValueError(
            f"the weights do not fit: {wanted - len(pairs)} of {wanted} parameters have no counterpart in the source"
        )
    for parameter, value in pairs:
        parameter.copy_(value)
    return len(pairs)
