"""Checks of the samples of a network, one function for each property.

As in `latticear.contracts.probabilities`, each function takes a model in evaluation mode and float64, and raises
AssertionError with the numbers and a remedy if the property does not hold.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latticear.contracts.tried import (
    TOLERANCE,
    conditions_for,
    difference,
    fail,
    log_prob_of,
    random_tokens,
    worst_pair,
)
from latticear.models import AbstractModel
from latticear.random_numbers import uniforms
from latticear.samples import Samples
from latticear.sampling.reference import draw_reference

__all__ = ["check_composition", "check_held", "check_reference", "check_sampler", "drawn_by"]

N_DRAWN = 150
"""Number of samples in a check, not a multiple of the numbers that the engines draw at a time."""


def drawn_by(model: AbstractModel, n: int, **options: Any) -> tuple[Tensor, Tensor, Samples]:
    """Draw n samples: their tokens as int64, their log_q, and the `Samples`; a ValueError becomes a failed check."""
    try:
        samples = model.sample(n, **options)
    except ValueError as error:
        fail(model, f"sample fails: {error}", error)
    if samples.log_q is None:
        fail(model, "sample(...).log_q is None, which every weight needs: leave sampling to AbstractModel")
    return samples.tokens.long(), samples.log_q, samples


def check_sampler(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that `log_q` of samples is their `log_prob`, and that a sample does not depend on where a call starts."""
    condition = conditions_for(model, N_DRAWN, seed)
    tokens, log_q, _ = drawn_by(model, N_DRAWN, seed=seed, condition=condition)
    stated = log_prob_of(model, tokens, condition)
    if (off := difference(log_q, stated)) > TOLERANCE:
        fail(
            model,
            f"sample(...).log_q is not log_prob of the sample, {worst_pair(log_q, stated)} (off by {off:.2g}): weights "
            f"would be wrong; leave sampling to AbstractModel, or have draw_block use draw_front",
        )
    start = 2 * N_DRAWN // 5
    later = None if condition is None else condition[start:]
    rest, log_q_rest, _ = drawn_by(model, N_DRAWN - start, seed=seed, start=start, condition=later)
    if not (torch.equal(rest, tokens[start:]) and torch.equal(log_q_rest, log_q[start:])):
        fail(
            model,
            f"sample({N_DRAWN - start}, start={start}) is not the end of sample({N_DRAWN}): sample i of a seed must "
            f"not depend on how many samples are drawn; draw_block must use no random numbers except u",
        )


def check_reference(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that the sampler draws the tokens of the plain loop, which passes the whole network for each rank."""
    condition = conditions_for(model, N_DRAWN, seed)
    tokens, _, _ = drawn_by(model, N_DRAWN, seed=seed, condition=condition)
    u = uniforms(seed, 0, N_DRAWN, model.n_components * math.prod(model.shape))
    wrong = (tokens != draw_reference(model, u, condition).tokens).flatten(1).any(1)
    if wrong.any():
        fail(
            model,
            f"{int(wrong.sum())} of {N_DRAWN} samples are not what the plain loop over ranks draws from the same "
            f"uniform numbers, so they do not follow log_prob: leave sampling to AbstractModel, or have draw_block "
            f"take the token of site i from u[:, i] by draw_front",
        )


def check_composition(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that all samples of a model of fixed composition have that composition."""
    tokens, _, _ = drawn_by(model, N_DRAWN, seed=seed, condition=conditions_for(model, N_DRAWN, seed))
    counts = torch.stack([(tokens == token).flatten(1).sum(1) for token in range(model.n_tokens)], 1)
    if (wrong := (counts != torch.tensor(model.composition)).any(1)).any():
        fail(
            model,
            f"{int(wrong.sum())} of {N_DRAWN} samples do not have the composition {model.composition}: leave sampling "
            f"to AbstractModel",
        )


def check_held(model: AbstractModel, *, seed: int = 0) -> None:
    """Check samples with tokens held fixed.

    These tokens must stay unchanged, both methods must draw the same other tokens, and log_q and log_q_given must add
    up to log_prob.
    At fixed composition they do not add up, since the drawn sites leave what later sites are held at.
    """
    given, condition = random_tokens(model, N_DRAWN, seed), conditions_for(model, N_DRAWN, seed)
    where = torch.rand(given.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    options: dict[str, Any] = {"seed": seed, "given": given, "where": where, "condition": condition}
    tokens, log_q, samples = drawn_by(model, N_DRAWN, **options)
    slow, log_q_slow, _ = drawn_by(model, N_DRAWN, method="reference", **options)
    if not torch.equal(tokens[where], given[where]):
        fail(model, "tokens held fixed by given and where are changed in the samples: let draw_front keep them")
    if not torch.equal(tokens, slow) or difference(log_q, log_q_slow) > TOLERANCE:
        fail(
            model,
            "with tokens held fixed, sample draws other tokens than method='reference' does: draw_block must pass "
            "`given` on to draw_front",
        )
    if model.composition is not None:
        return
    both = log_q if samples.log_q_given is None else log_q + samples.log_q_given
    stated = log_prob_of(model, tokens, condition)
    if (off := difference(both, stated)) > TOLERANCE:
        fail(
            model,
            f"log_q of the drawn sites and log_q_given of the held ones must add up to log_prob, {off:.2g} is missing: "
            f"draw_front returns both",
        )
