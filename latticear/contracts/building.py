"""Checks that a network can be saved and built again, and that it can be trained."""

from __future__ import annotations

import copy
import json
from typing import Any

import torch

from latticear.contracts.tried import conditions_for, fail, log_prob_of, peaked, random_tokens, worst_pair
from latticear.models import MODELS, AbstractModel, model_from_dict

__all__ = ["check_gradients", "check_saved", "rebuilt"]

SEED = 0x726562756974
"""Seed of the weights of rebuilt networks."""


def rebuilt(model: AbstractModel, **changes: Any) -> AbstractModel:
    """A network of the same class, built from JSON, after `changes` to some of the arguments.

    Its weights are fresh, from a seed that `model` hardly has: nothing may agree by the seed alone.
    """
    registered = MODELS.get(model.name)
    if registered not in (None, type(model)):
        fail(
            model,
            f"its name {model.name!r} is that of {registered.__name__}, so a saved run would be loaded as that class: "
            f"give the class a `name` of its own",
        )
    try:
        text = json.dumps(model.to_dict())
    except AttributeError as error:
        fail(model, f"to_dict() fails ({error}): store each argument of __init__ under its own name", error)
    except TypeError as error:
        fail(
            model,
            f"to_dict() cannot be written as JSON ({error}): arguments of __init__ must be numbers, texts or lists",
            error,
        )
    build = type(model).from_dict if registered is None else model_from_dict
    return build({"seed": SEED} | json.loads(text) | changes)


def check_saved(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that `to_dict()` and `state_dict()` rebuild a model with exactly the same log-probabilities."""
    try:
        again = rebuilt(model)
        again.load_state_dict(model.state_dict())
    except (ValueError, RuntimeError) as error:
        fail(model, f"it cannot be rebuilt from to_dict() and state_dict(): {error}", error)
    again = again.double().eval()
    again.load_state_dict(model.state_dict())
    tokens, condition = random_tokens(model, 64, seed), conditions_for(model, 64, seed)
    found, expected = (log_prob_of(network, tokens, condition) for network in (again, model))
    if not torch.equal(found, expected):
        fail(
            model,
            f"rebuilt from to_dict() and state_dict() log_prob is {worst_pair(found, expected)}: every value that "
            f"log_prob depends on must be an argument of __init__, a parameter or a persistent buffer",
        )


def check_gradients(model: AbstractModel, *, seed: int = 0, lenient: bool = False) -> None:
    """Check that every parameter with `requires_grad` has a gradient of log_prob that is finite and not zero.

    Args:
        model: a network with fresh weights, which is not changed.
        seed: seed of the random configurations and conditions.
        lenient: accept a zero gradient in two cases that are no mistake of the network: if it is not zero once all
            weights are random (layers before one whose weights begin at zero), and in a network with spin-flip
            symmetry, where constants cancel.
    """
    network = copy.deepcopy(model)
    with torch.enable_grad():
        log_q = network.log_prob(random_tokens(model, 64, seed), conditions_for(model, 64, seed))
        wanted = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        gradients = torch.autograd.grad(log_q.sum(), list(wanted.values()), allow_unused=True) if wanted else ()
    by_name = dict(zip(wanted, gradients, strict=True))
    for name, gradient in by_name.items():
        if gradient is None:
            fail(model, f"log_prob does not depend on the parameter {name!r}: use it in _logits, or leave it out")
        if not gradient.isfinite().all():
            fail(model, f"the gradient of log_prob by the parameter {name!r} is not finite")
    zero = [name for name, gradient in by_name.items() if gradient is not None and not gradient.any()]
    if zero and lenient and not model.spin_flip_symmetric:
        check_gradients(peaked(model, seed=seed), seed=seed)
    elif zero and not lenient:
        fail(model, f"the gradient of log_prob by the parameter {zero[0]!r} is zero: it could not be trained")
