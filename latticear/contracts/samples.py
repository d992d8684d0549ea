"""What must be true of the samples of every network, a function for each clause, as in `probabilities`."""

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

__all__ = ["check_held", "check_reference", "check_sampler", "drawn_by"]

N_DRAWN = 150
"""Samples: no multiple of what the engines draw at a time."""


def drawn_by(model: AbstractModel, n: int, **options: Any) -> tuple[Tensor, Tensor, Samples]:
    """Tokens as int64, log_q, and the samples that they are of; what the sampler refuses is a fault of the network."""
    try:
        samples = model.sample(n, **options)
    except ValueError as error:
        fail(model, f"sample fails: {error}", error)
    if samples.log_q is None:
        fail(model, "sample(...).log_q is None, which every weight needs: leave sampling to AbstractModel")
    return samples.tokens.long(), samples.log_q, samples


def check_sampler(model: AbstractModel, *, seed: int = 0) -> None:
    """The sampler states the log-probability it drew with, the network's; a stream of samples may be cut anywhere."""
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
            f"not depend on how many are drawn; have draw_block use no random numbers but u",
        )


def check_reference(model: AbstractModel, *, seed: int = 0) -> None:
    """The sampler draws the tokens of the plain loop, a pass of the whole network for each rank."""
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


def check_held(model: AbstractModel, *, seed: int = 0) -> None:
    """Tokens held fixed stay, whatever method draws the rest, and both parts of log_q add up."""
    given, condition = random_tokens(model, N_DRAWN, seed), conditions_for(model, N_DRAWN, seed)
    where = torch.rand(given.shape, generator=torch.Generator().manual_seed(seed)) < 0.4
    options: dict[str, Any] = {"seed": seed, "given": given, "where": where, "condition": condition}
    tokens, log_q, samples = drawn_by(model, N_DRAWN, **options)
    slow, log_q_slow, _ = drawn_by(model, N_DRAWN, method="reference", **options)
    if not torch.equal(tokens[where], given[where]):
        fail(model, "tokens held fixed by given and where are others in the samples: draw_front takes them as they are")
    if not torch.equal(tokens, slow) or difference(log_q, log_q_slow) > TOLERANCE:
        fail(
            model,
            "with tokens held fixed, sample draws others than method='reference' does: draw_block must hand given on "
            "to draw_front",
        )
    both = log_q if samples.log_q_given is None else log_q + samples.log_q_given
    stated = log_prob_of(model, tokens, condition)
    if (off := difference(both, stated)) > TOLERANCE:
        fail(
            model,
            f"log_q of the drawn sites and log_q_given of the held ones must add up to log_prob, {off:.2g} is missing: "
            f"draw_front returns both",
        )
