"""What must be true of every network, tried out: for the day a new one is written."""

from __future__ import annotations

import inspect
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
from latticear.contracts.samples import check_held, check_reference, check_sampler
from latticear.contracts.tried import peaked
from latticear.hamiltonians import Ising, Potts
from latticear.models import AbstractModel
from latticear.sampling.probe import probe_of
from latticear.sampling.receptive import ReceptiveFieldWarning

__all__ = ["check_model"]

MAX_OF_VARIANTS = 2**13
"""Configurations of a variant that are summed over: the logits of most are those of the model itself."""

CONDITIONS = ({"n_condition": 2}, {"n_condition_maps": 2}, {"n_condition": 1, "n_condition_maps": 1})
"""A vector, maps, and both."""


def check_model(model: AbstractModel, *, seed: int = 0) -> list[str]:
    """Judge a network by what must be true of any; the names of what was checked.

    - "shapes": rank, logits and log-probabilities have the shapes and types that everything relies on.
    - "alone": a log-probability depends on its configuration alone: no dropout that stays on, no batch statistics.
    - "causal": no site reads one of the same or a higher rank, by replacing tokens.
    - "normalised": the probabilities of all configurations sum to one.
    - "log_prob": it is that of the logits, and so is `model(tokens)`.
    - "sampler": samples come with the log-probability that the network states, and a stream may be cut anywhere.
    - "reference": the samples are, token for token, those of the plain loop over all ranks.
    - "held sites": tokens held fixed stay, and the rest is drawn given them.
    - "gradients": every parameter gets one.
    - "saved": description (`to_dict`) and weights rebuild the network.
    - "spin flip": the symmetry is exact.
    - "condition": each entry of a condition matters; normalised, causal and drawn rightly given any.
    - "known neighbours": normalised and drawn rightly with the bias of a Hamiltonian.
    - "components": normalised, causal and drawn rightly with two tokens a site.

    The last four are tried on networks of the same class, built anew, where `__init__` takes the options and the model
    does not have them already. They are left out where it does not take them, as "normalised" is for more than 2^17
    configurations. What is judged are copies, with random weights but for "gradients": the model is left as it is.

    Args:
        model: a small instance, 3x3 say, of any class derived from `AbstractModel`.
        seed: of weights, configurations and samples.

    Raises:
        AssertionError: for the first thing that is not so, with the numbers and what to do.
        ValueError: for what is no network.

    Example:
        >>> from latticear.models import PixelCNN
        >>> check_model(PixelCNN((2, 3), width=4, depth=2))[:4]
        ['shapes', 'alone', 'causal', 'normalised']
    """
    _check_is_network(model)
    with _left_alone(seed):
        clauses = _clauses(model, seed)
        return [name for name, check in clauses.items() if _tried(name, check)]


def _clauses(model: AbstractModel, seed: int) -> dict[str, Callable[[], bool | None]]:
    """What each does; it answers False where there is nothing to check."""
    fresh, judged = probe_of(model), peaked(model, seed=seed)
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
        **{name: partial(check, judged, seed=seed) for name, check in plain.items()},
        "gradients": partial(check_gradients, fresh, seed=seed, lenient=True),
        "saved": partial(check_saved, judged, seed=seed),
        "spin flip": lambda: _spin_flip(judged, seed),
        "condition": lambda: _condition(judged, seed),
        "known neighbours": lambda: _known_neighbours(judged, seed),
        "components": lambda: _components(judged, seed),
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


def _drawn_rightly(model: AbstractModel, seed: int) -> None:
    check_causal(model, seed=seed, n_trials=1)
    check_normalised(model, seed=seed, most=MAX_OF_VARIANTS)
    check_log_prob(model, seed=seed)
    check_sampler(model, seed=seed)
    check_reference(model, seed=seed)


def _variant(model: AbstractModel, seed: int, **options: Any) -> AbstractModel | None:
    """A network of the same class with other options; None if it does not take them, alone or with those it has."""
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
        raise ValueError(f"{kind} does not call super().__init__(shape, n_tokens), so it is no network yet")
    if not hasattr(model, "rank"):
        raise ValueError(f"{kind} has no order of its sites: call self._set_rank(rank) at the end of __init__")


@contextmanager
def _left_alone(seed: int) -> Iterator[None]:
    """What surrounds the check is not disturbed by it, nor it by that: random numbers, gradients, known warnings."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ReceptiveFieldWarning)
        torch.default_generator.manual_seed(seed)
        yield


def _tried(name: str, check: Callable[[], bool | None]) -> bool:
    try:
        return check() is not False
    except AssertionError:
        raise
    except Exception as error:
        error.add_note(
            f"check_model was at {name!r}, with a copy of the network in float64, which a constant tensor follows only "
            f"if it is a buffer (register_buffer)"
        )
        raise
