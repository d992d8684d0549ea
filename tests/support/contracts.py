"""The contract of networks over several shapes, numbers of tokens and options; its clauses are those of the package."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

import latticear as la
from latticear.contracts import probabilities, samples
from latticear.contracts.building import check_gradients, check_saved
from latticear.contracts.model import CONDITIONS
from latticear.contracts.samples import check_held
from latticear.contracts.tried import every_configuration, log_prob_of, peaked, random_tokens
from latticear.hamiltonians import BlumeCapel, Ising, Potts
from latticear.models import MODELS, AbstractModel, TensorNetwork

__all__ = [
    "ALWAYS",
    "check_components",
    "check_condition",
    "check_flip",
    "check_gradients",
    "check_held",
    "check_lookahead",
    "check_model",
    "check_normalised",
    "check_sampler",
    "check_saved",
    "every_configuration",
    "peaked",
]

TRAINED = sorted(name for name, network in MODELS.items() if list(network((2, 2)).parameters()))
"""The networks that have weights."""

IN_RASTER_ORDER = [name for name in TRAINED if MODELS[name].draws_in_raster_order]
"""Those of them whose logits may contain the sum over later sites."""

ALWAYS = {"shapes", "alone", "causal", "log_prob", "sampler", "reference", "held sites", "gradients", "saved"}
"""What every network is judged by; the rest depends on its size and on the options that it takes."""

OPTIONAL = {"spin flip", "condition", "known neighbours"}
"""Of the options that each of ours takes; some take components besides, and some a composition."""

SHAPES = {2: ((2, 3), (4, 3)), 3: ((2, 2), (2, 4)), 8: ((2, 2), (2, 3))}
"""Of the lattices that a network must serve, for each number of tokens; on the first with all options."""


def check_model(build: Callable[..., AbstractModel], n_tokens: int = 2) -> None:
    """Judge `build(shape, n_tokens, **options)`; for two tokens its variants and many options at once."""
    first, *others = SHAPES[n_tokens]
    if n_tokens > 2:
        check_plain(build, first, n_tokens)
        check_flip(peaked(build(first, n_tokens, spin_flip_symmetric=True)))
        check_sampler(peaked(build(first, n_tokens, bias=Potts(first, n_tokens).bias(2.0))))
    else:
        check_two_tokens(build, first)
    for shape in others:
        check_plain(build, shape, n_tokens)


def check_two_tokens(build: Callable[..., AbstractModel], shape: tuple[int, int]) -> None:
    """With every option, alone and together."""
    passed = set(la.check_model(build(shape, 2)))
    assert passed - {"components", "composition"} == ALWAYS | OPTIONAL | {"normalised"}
    check_normalised(peaked(build(shape, 2)))
    for options in ({}, *CONDITIONS):
        check_gradients(build(shape, 2, **options))
    biased = peaked(build((3, 4), 2, spin_flip_symmetric=True, bias=Ising((3, 4)).bias(2.0)))
    check_normalised(biased)
    check_sampler(biased)
    check_flip(biased)
    check_held(biased)
    many = build(shape, 2, spin_flip_symmetric=True, bias=Ising(shape).bias(), n_condition=1, n_condition_maps=1)
    check_condition(peaked(many))


def check_lookahead(build: Callable[..., AbstractModel], n_tokens: int) -> None:
    """With the sum over later sites: the tensor network before training, and a network like any other after it."""
    shape, options = ((3, 4), {"spin_flip_symmetric": True}) if n_tokens == 2 else ((2, 3), {})
    system = Ising(shape) if n_tokens == 2 else BlumeCapel(shape, crystal_field=1.9, field=0.3)
    bias = system.bias(2.0, bond_dimension=1)
    fresh, alone = (
        build(shape, n_tokens, bias=bias, **options),
        TensorNetwork(shape, n_tokens, bias=bias, bond_dimension=1),
    )
    tokens = random_tokens(fresh, 100)
    assert torch.equal(fresh.log_prob(tokens), alone.log_prob(tokens))
    assert torch.equal(fresh.sample(100, seed=1).tokens, alone.sample(100, seed=1).tokens)
    check_gradients(fresh, lenient=True)
    model = peaked(fresh)
    check_normalised(model)
    probabilities.check_causal(model, n_trials=1)
    check_sampler(model)
    check_held(model)
    check_saved(model)
    if options:
        check_flip(model)


def check_components(build: Callable[..., AbstractModel], shape: tuple[int, int], n_tokens: int, n_components: int):
    """The same with several tokens a site: `build(shape, n_tokens, n_components=n_components, **options)`."""
    build = functools.partial(build, n_components=n_components)
    passed = set(la.check_model(build(shape, n_tokens)))
    assert passed - {"normalised"} == ALWAYS | {"spin flip", "condition", "components"}
    check_plain(build, shape, n_tokens)
    for options in CONDITIONS:
        check_gradients(build(shape, n_tokens, **options))


def check_plain(build: Callable[..., AbstractModel], shape: tuple[int, int], n_tokens: int) -> None:
    """What holds without options; gradients at once with the weights that the network begins with."""
    model = peaked(build(shape, n_tokens))
    if every_configuration(model, most=2**16) is not None:
        check_normalised(model)
    probabilities.check_causal(model)
    check_sampler(model)
    check_saved(model)
    check_gradients(build(shape, n_tokens))


def check_normalised(model: AbstractModel) -> None:
    """The probabilities of all configurations sum to one, and differ enough for that to be a test."""
    assert probabilities.check_normalised(model, most=2**20)
    log_q = log_prob_of(model, random_tokens(model, 1000), probabilities.conditions_for(model, 1))
    assert log_q.max() - log_q.min() > 2


def check_sampler(model: AbstractModel) -> None:
    """The reference's tokens; log_q of the sampler is the teacher-forced one; a stream may be cut anywhere."""
    samples.check_sampler(model, seed=3)
    samples.check_reference(model, seed=3)


def check_condition(model: AbstractModel) -> None:
    """One for each configuration: normalised given any, each entry matters, the order is kept, samples follow it."""
    probabilities.check_causal(model, n_trials=1)
    probabilities.check_normalised(model, most=2**16)
    probabilities.check_condition(model)
    check_sampler(model)


def check_flip(model: AbstractModel) -> None:
    """Spin-flip symmetry is exact, and not because the model is trivial."""
    probabilities.check_flip(model)
    condition = probabilities.conditions_for(model, 1)
    assert log_prob_of(model, random_tokens(model, 32), condition).std() > 0.1
