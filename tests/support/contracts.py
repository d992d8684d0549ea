"""What every model must satisfy; `check_model` is the whole contract, run by test_models.py for each architecture."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from latticear.exact import all_configurations
from latticear.hamiltonians import Ising
from latticear.models import AbstractModel, check_autoregressive, model_from_dict

__all__ = ["check_components", "check_model", "every_configuration", "peaked", "size_of"]

SHAPES = {2: ((3, 3), (2, 5), (4, 3)), 3: ((2, 4), (3, 2)), 8: ((2, 2), (2, 3))}
"""Of the lattices that a network must serve, for each number of tokens."""

CONDITIONS = ({"n_condition": 2}, {"n_condition_maps": 2}, {"n_condition": 1, "n_condition_maps": 1})

SUMMED = 2**16
"""Configurations that are summed at most: all of SHAPES but 2x3 with eight tokens."""


def peaked(model: AbstractModel, scale: float = 1.0, seed: int = 0) -> AbstractModel:
    """A float64 copy with large random weights: a nearly uniform model would hide every mistake."""
    generator = torch.Generator().manual_seed(seed)
    model = model_from_dict(model.to_dict()).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            fan_in = weight[0].numel() if weight.ndim > 1 else 1
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale * (2 / fan_in) ** 0.5)
    return model


def size_of(model: AbstractModel) -> tuple[int, ...]:
    """The shape of a configuration's tokens."""
    return model.shape if model.n_components == 1 else (model.n_components, *model.shape)


def every_configuration(model: AbstractModel, most: int = 2**20) -> Tensor | None:
    """All configurations of a model, components included; None if there are too many."""
    if model.n_tokens ** math.prod(size_of(model)) > most:
        return None
    height, width = model.shape
    return all_configurations((model.n_components * height, width), model.n_tokens).view(-1, *size_of(model))


def check_model(build: Callable[..., AbstractModel], n_tokens: int = 2) -> None:
    """Check every clause of the contract for `build(shape, n_tokens, **options)`."""
    for shape in SHAPES[n_tokens]:
        check_plain(build, shape, n_tokens)
    if n_tokens > 2:
        check_variants(build, (2, 3), n_tokens, CONDITIONS[2:])
    else:
        check_variants(build, (3, 3), n_tokens, CONDITIONS)
        biased = peaked(build((3, 4), 2, spin_flip_symmetric=True, bias=Ising((3, 4)).bias(2.0)))
        check_normalised(biased)
        check_sampler(biased)
        many = build((3, 3), 2, spin_flip_symmetric=True, bias=Ising((3, 3)).bias(), n_condition=1, n_condition_maps=1)
        check_condition(peaked(many))


def check_components(build: Callable[..., AbstractModel], shape: tuple[int, int], n_tokens: int, n_components: int):
    """The same clauses with several tokens a site: `build(shape, n_tokens, n_components=n_components, **options)`."""
    build = functools.partial(build, n_components=n_components)
    check_plain(build, shape, n_tokens)
    check_held(peaked(build(shape, n_tokens)))
    check_variants(build, shape, n_tokens, CONDITIONS[2:])


def check_plain(build: Callable[..., AbstractModel], shape: tuple[int, int], n_tokens: int) -> None:
    """What holds without options."""
    model = peaked(build(shape, n_tokens))
    if n_tokens ** math.prod(size_of(model)) <= SUMMED:
        check_normalised(model)
    check_autoregressive(model)
    check_sampler(model)
    check_saved(model)
    check_gradients(build(shape, n_tokens))


def check_variants(
    build: Callable[..., AbstractModel], shape: tuple[int, int], n_tokens: int, conditions: Sequence[dict]
) -> None:
    """What holds with a symmetry and with a condition."""
    check_flip(peaked(build(shape, n_tokens, spin_flip_symmetric=True)))
    for options in conditions:
        check_condition(peaked(build(shape, n_tokens, **options)))
        check_gradients(build(shape, n_tokens, **options))


def check_normalised(model: AbstractModel) -> None:
    """The probabilities of all configurations sum to one."""
    tokens = every_configuration(model)
    assert tokens is not None
    with torch.no_grad():
        log_q = torch.cat([model.log_prob(part) for part in tokens.split(8192)])
    assert abs(log_q.logsumexp(0).item()) < 1e-10
    assert (log_q.max() - log_q.min()).item() > 2  # peaked, or the test would see little


def check_sampler(model: AbstractModel) -> None:
    """The reference's tokens; log_q of the sampler is the teacher-forced one; a stream may be cut anywhere."""
    samples, slow = model.sample(150, seed=3), model.sample(150, seed=3, method="reference")
    assert torch.equal(samples.tokens, slow.tokens)
    with torch.no_grad():
        assert (model.log_prob(samples.tokens) - samples.log_q).abs().max() < 1e-10
    rest = model.sample(90, seed=3, start=60)
    assert torch.equal(samples.tokens[60:], rest.tokens)
    assert torch.equal(samples.log_q[60:], rest.log_q)


def check_held(model: AbstractModel) -> None:
    """Tokens held fixed stay, whatever method draws the rest, and both parts of log_q add up."""
    generator = torch.Generator().manual_seed(5)
    given = torch.randint(model.n_tokens, (100, *size_of(model)), generator=generator)
    where = torch.rand(given.shape, generator=generator) < 0.4
    fast, slow = (
        model.sample(100, seed=4, given=given, where=where, method=method) for method in ("wavefront", "reference")
    )
    assert torch.equal(fast.tokens, slow.tokens)
    assert torch.equal(fast.tokens[where].long(), given[where])
    assert (fast.log_q - slow.log_q).abs().max() < 1e-10
    with torch.no_grad():
        assert (model.log_prob(fast.tokens) - fast.log_q - fast.log_q_given).abs().max() < 1e-10


def check_condition(model: AbstractModel) -> None:
    """One for each configuration: normalised given any, each entry matters, the order is kept, samples follow it."""
    size = model.conditioning.size
    conditions = 0.5 + torch.rand(150, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tokens = every_configuration(model, SUMMED)
    check_autoregressive(model, n_trials=1)
    with torch.no_grad():
        if tokens is not None:
            log_q = torch.cat([model.log_prob(t, conditions[:1].expand(len(t), -1)) for t in tokens.split(8192)])
            assert abs(log_q.logsumexp(0).item()) < 1e-10
        samples = model.sample(150, seed=3, condition=conditions)
        slow = model.sample(150, seed=3, condition=conditions, method="reference")
        assert torch.equal(samples.tokens, slow.tokens)
        assert (model.log_prob(samples.tokens, conditions) - samples.log_q).abs().max() < 1e-10
        for entry in range(size):
            moved = conditions.clone()
            moved[:, entry] += 1
            assert (model.log_prob(samples.tokens, moved) - samples.log_q).abs().max() > 0, entry


def check_saved(model: AbstractModel) -> None:
    """Description and weights rebuild the model."""
    again = model_from_dict(model.to_dict()).double()
    again.load_state_dict(model.state_dict())
    tokens = model.sample(8, seed=1).tokens
    with torch.no_grad():
        assert torch.equal(again.log_prob(tokens), model.log_prob(tokens))


def check_gradients(model: AbstractModel) -> None:
    """A fresh model gives every parameter a gradient."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.n_tokens, (64, *size_of(model)), generator=generator)
    condition = 0.5 + torch.rand(64, model.conditioning.size, generator=generator) if model.conditioned else None
    model.log_prob(tokens, condition).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def check_flip(model: AbstractModel) -> None:
    """Spin-flip symmetry is exact, and not because the model is trivial."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.cat(
        [model.sample(32, seed=2).tokens, torch.randint(model.n_tokens, (32, *size_of(model)), generator=generator)]
    )
    with torch.no_grad():
        log_q, flipped = model.log_prob(tokens), model.log_prob(model.n_tokens - 1 - tokens)
    assert ((log_q - flipped) / (1 + log_q.abs())).abs().max() < 1e-11
    assert log_q.std() > 0.1
