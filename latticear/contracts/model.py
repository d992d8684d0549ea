"""Numerical checks of the properties that every network must have; run them on a new one."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from latticear.contracts.building import check_gradients, check_saved, rebuilt
from latticear.contracts.probabilities import (
    check_alone,
    check_causal,
    check_condition,
    check_flip,
    check_log_prob,
    check_normalised,
    check_shapes,
)
from latticear.contracts.samples import check_composition, check_held, check_reference, check_sampler
from latticear.contracts.tried import peaked
from latticear.hamiltonians import Ising, Potts
from latticear.models import AbstractModel
from latticear.sampling.probe import probe_of
from latticear.sampling.receptive import ReceptiveFieldWarning

__all__ = ["check_model"]

MAX_OF_VARIANTS = 2**13
"""Largest number of configurations summed over for a variant, since most variants repeat the logits of the model."""

CONDITIONS = ({"n_condition": 2}, {"n_condition_maps": 2}, {"n_condition": 1, "n_condition_maps": 1})
"""Options of the variants with a condition: a vector, maps, and both together."""


def check_model(model: AbstractModel, *, seed: int = 0) -> list[str]:
    """Check a network for the properties that every network must have; return the names of the checks made.

    - "shapes": rank, logits and log-probabilities have the right shapes and types.
    - "alone": a log-probability depends on its configuration alone: no dropout that stays on, no batch statistics.
    - "causal": no site's logits change when the token of a site of the same or a higher rank is replaced.
    - "normalised": the probabilities of all configurations sum to one.
    - "log_prob": `log_prob` and `model(tokens)` equal the sum over sites of the log-softmax of the logits.
    - "sampler": the `log_q` of samples is their `log_prob`, and a stream of samples may be drawn in pieces.
    - "reference": the samples are, token for token, those of the plain loop over all ranks.
    - "held sites": tokens held fixed stay unchanged, and the other sites are drawn given them.
    - "gradients": every parameter has a gradient.
    - "saved": `to_dict()` and the weights rebuild the network.
    - "spin flip": the spin-flip symmetry is exact.
    - "condition": the probability depends on each entry of the condition; for any condition the network is normalised
      and causal, and its samples are right.
    - "known neighbours": with the bias of a Hamiltonian the network is normalised and its samples are right.
    - "components": with two components at each site the network is normalised and causal, and its samples are right.
    - "composition": at fixed composition the network is normalised, and its samples are right and have no other.

    Where the model lacks the option of one of the last five checks, the check builds a variant: a network of the same
    class with that option. The check is left out if `__init__` does not take the option, and "normalised" is left out
    for more than 2^17 configurations. All checks use copies of the model, with random weights except in "gradients";
    the model itself is not changed.

    Args:
        model: a small instance, 3x3 for example, of any class derived from `AbstractModel`.
        seed: seed of the random weights, configurations and samples.

    Raises:
        AssertionError: at the first property that does not hold; the message states the numbers and a remedy.
        ValueError: if `model` is not a network.

    Example:
        >>> from latticear.models import PixelCNN
        >>> check_model(PixelCNN((2, 3), width=4, depth=2))[:4]
        ['shapes', 'alone', 'causal', 'normalised']
    """
    _check_is_network(model)
    with _isolated(seed):
        checks = _checks(model, seed)
        return [name for name, check in checks.items() if _applies(name, check)]


def _checks(model: AbstractModel, seed: int) -> dict[str, Callable[[], bool | None]]:
    """All checks by name; a check returns False if it does not apply to this model."""
    fresh, random = probe_of(model), peaked(model, seed=seed)
    plain: dict[str, Callable[..., bool | None]] = {
        "shapes": check_shapes,
        "alone": check_alone,
        "causal": check_causal,
        "normalised": check_normalised,
        "log_prob": check_log_prob,
        "sampler": check_sampler,
        "reference": check_reference,
        "held sites": check_held,
    }
    return {
        **{name: partial(check, random, seed=seed) for name, check in plain.items()},
        "gradients": partial(check_gradients, fresh, seed=seed, lenient=True),
        "saved": partial(check_saved, random, seed=seed),
        "spin flip": lambda: _spin_flip(random, seed),
        "condition": lambda: _condition(random, seed),
        "known neighbours": lambda: _known_neighbours(random, seed),
        "components": lambda: _components(random, seed),
        "composition": lambda: _composition(random, seed),
    }


def _spin_flip(model: AbstractModel, seed: int) -> bool:
    symmetric = model if model.spin_flip_symmetric else _variant(model, seed, spin_flip_symmetric=True)
    if symmetric is not None:
        check_flip(symmetric, seed=seed)
    return symmetric is not None


def _condition(model: AbstractModel, seed: int) -> bool:
    if model.conditioned:
        check_condition(model, seed=seed)
        return True
    variants = [variant for options in CONDITIONS if (variant := _variant(model, seed, **options)) is not None]
    for variant in variants:
        check_condition(variant, seed=seed)
        _drawn_rightly(variant, seed)
        check_gradients(rebuilt(variant).double().eval(), seed=seed, lenient=True)
    return bool(variants)


def _known_neighbours(model: AbstractModel, seed: int) -> bool:
    if model.bias is not None or model.n_components > 1:
        return model.bias is not None
    periodic = model.shape[0] > 1, model.shape[1] > 1
    q, shape = model.n_tokens, model.shape
    system = Ising(shape, periodic=periodic) if q == 2 else Potts(shape, q, periodic=periodic)
    variant = _variant(model, seed, bias=system.bias(2.0).to_dict())
    if variant is not None:
        _drawn_rightly(variant, seed)
    return variant is not None


def _components(model: AbstractModel, seed: int) -> bool:
    if model.n_components > 1:
        return True
    variant = _variant(model, seed, n_components=2)
    if variant is not None:
        _drawn_rightly(variant, seed)
        check_held(variant, seed=seed)
    return variant is not None


def _composition(model: AbstractModel, seed: int) -> bool:
    restricted: AbstractModel | None = model
    if model.composition is None:
        q, n = model.n_tokens, math.prod(model.shape)
        if model.n_components > 1 or (model.spin_flip_symmetric and n % q):
            return False
        counts = [n // q + (token < n % q) for token in range(q)]
        restricted = _variant(model, seed, composition=tuple(counts))
    if restricted is None:
        return False
    check_normalised(restricted, seed=seed, most=MAX_OF_VARIANTS)
    check_log_prob(restricted, seed=seed)
    check_sampler(restricted, seed=seed)
    check_reference(restricted, seed=seed)
    check_composition(restricted, seed=seed)
    return True


def _drawn_rightly(model: AbstractModel, seed: int) -> None:
    check_causal(model, seed=seed, n_trials=1)
    check_normalised(model, seed=seed, most=MAX_OF_VARIANTS)
    check_log_prob(model, seed=seed)
    check_sampler(model, seed=seed)
    check_reference(model, seed=seed)


def _variant(model: AbstractModel, seed: int, **options: Any) -> AbstractModel | None:
    """A network of the same class with these options besides its own; None if its `__init__` does not accept them."""
    if not options.keys() <= inspect.signature(type(model)).parameters.keys():
        return None
    try:
        return peaked(rebuilt(model, **options), seed=seed)
    except ValueError:
        return None


def _check_is_network(model: Any) -> None:
    if isinstance(model, type):
        raise ValueError(f"check_model takes a network, not a class: check_model({model.__name__}((3, 3), n_tokens=2))")
    kind = type(model).__name__
    if not isinstance(model, AbstractModel):
        raise ValueError(
            f"check_model takes a network of a class derived from latticear.models.AbstractModel, got {kind}"
        )
    if not hasattr(model, "conditioning"):
        raise ValueError(f"{kind} does not call super().__init__(shape, n_tokens), so it is not yet a network")
    if not hasattr(model, "rank"):
        raise ValueError(f"{kind} has no order of its sites: call self._set_rank(rank) at the end of __init__")


@contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """A context with its own random numbers, gradients enabled, and warnings of short receptive fields off."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ReceptiveFieldWarning)
        torch.default_generator.manual_seed(seed)
        yield


def _applies(name: str, check: Callable[[], bool | None]) -> bool:
    """Run a check; False if it does not apply. An exception other than AssertionError gets a note."""
    try:
        return check() is not False
    except AssertionError:
        raise
    except Exception as error:
        error.add_note(
            f"check_model was at {name!r}, with a copy of the network in float64: a constant tensor is converted to "
            f"float64 only if it is a buffer (register_buffer)"
        )
        raise
