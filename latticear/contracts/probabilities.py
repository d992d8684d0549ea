"""Checks of the log-probabilities of a network, one function for each property.

Each function takes a model in evaluation mode and float64, and raises AssertionError with the numbers and a remedy if
the property does not hold. The weights should make some configurations much more probable than others (`peaked`): a
nearly uniform model hides mistakes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latticear.contracts.samples import drawn_by
from latticear.contracts.tried import (
    MAX_ENUMERATED,
    TOLERANCE,
    conditions_for,
    difference,
    every_configuration,
    fail,
    log_prob_of,
    random_tokens,
    worst_pair,
)
from latticear.lattice import configuration_size
from latticear.models import AbstractModel, check_autoregressive

__all__ = [
    "check_alone",
    "check_causal",
    "check_condition",
    "check_flip",
    "check_log_prob",
    "check_normalised",
    "check_shapes",
]


_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def check_shapes(model: AbstractModel, *, seed: int = 0) -> None:
    """Check shapes and types of the rank, the logits and the log-probabilities."""
    rank, size, n = model.rank, configuration_size(model.shape, model.n_components), 6
    if tuple(rank.shape) != model.shape or rank.is_floating_point():
        found = f"{rank.dtype} of shape {tuple(rank.shape)}"
        fail(model, f"the rank must hold an integer for each site, of shape {model.shape}, got {found}: see _set_rank")
    tokens, condition = random_tokens(model, n, seed), conditions_for(model, n, seed)
    with torch.no_grad():
        logits = model.logits(tokens, condition)
    if tuple(logits.shape) != (n, model.n_tokens, *size):
        found = f"{(n, model.n_tokens, *size)}, got {tuple(logits.shape)}"
        fail(model, f"logits must have a channel for each token: for {n} configurations shape {found}")
    if logits.isnan().any() or (logits == math.inf).any():
        fail(model, "logits are nan or infinite for some weights: use softplus for values that must be positive")
    with torch.no_grad():
        log_prob = model.log_prob(tokens, condition)
    if tuple(log_prob.shape) != (n,) or log_prob.dtype != torch.float64:
        found = f"{log_prob.dtype} of shape {tuple(log_prob.shape)}"
        fail(model, f"log_prob must be a float64 number for each configuration: for {n} shape ({n},), got {found}")


def check_alone(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that the log-probability of a configuration depends neither on noise nor on the others in its batch.

    The dependence on the batch is checked in training mode too, with dropout off, which maximum-likelihood training
    may use.
    """
    training = copy.deepcopy(model).train()
    for module in training.modules():
        if isinstance(module, _DROPOUT):
            module.eval()
    tokens, condition = random_tokens(model, 8, seed), conditions_for(model, 8, seed)
    for network, mode in ((model, "evaluation"), (training, "training")):
        together, again = (log_prob_of(network, tokens, condition) for _ in range(2))
        apart = [log_prob_of(network, t, c) for t, c in zip(tokens.split(2), _pairs(condition), strict=True)]
        noise, others = difference(again, together), difference(torch.cat(apart), together)
        if noise > TOLERANCE and mode == "evaluation":
            fail(
                model,
                f"log_prob of the same configurations changes by {noise:.2g} from one call to the next: dropout and "
                f"noise must be off in evaluation mode, as nn.Dropout is; F.dropout needs training=self.training",
            )
        if others > TOLERANCE >= noise:
            fail(
                model,
                f"log_prob of a configuration changes by {others:.2g} with the others in its batch, in {mode} mode: "
                f"normalise over the channels of a site, never over a batch (BatchNorm)",
            )


def _pairs(condition: Tensor | None) -> Sequence[Tensor | None]:
    return [None] * 4 if condition is None else condition.split(2)


def check_causal(model: AbstractModel, *, n_trials: int = 3, seed: int = 0) -> None:
    """Check that no site's logits depend on a site of the same or a higher rank."""
    try:
        check_autoregressive(model, n_trials=n_trials, seed=seed)
    except ValueError as error:
        fail(
            model,
            f"{error}: mask that connection (a first MaskedConv2d is of type A), or give _set_rank the order in which "
            f"the network reads",
            error,
        )


def check_normalised(model: AbstractModel, *, seed: int = 0, most: int = MAX_ENUMERATED) -> bool:
    """Check that the probabilities of all configurations sum to one, given a random condition if the model takes one.

    Returns False, without a check, for more than `most` configurations.
    """
    tokens, condition = every_configuration(model, most), conditions_for(model, 1, seed)
    if tokens is None:
        return False
    log_sum = log_prob_of(model, tokens, condition).logsumexp(0).item()
    if not abs(log_sum) < TOLERANCE:
        fail(
            model,
            f"the probabilities of all {len(tokens)} configurations sum to exp({log_sum:.6g}), not to 1: log_prob must "
            f"be the sum over sites of log_softmax(logits) at the tokens, as AbstractModel.log_prob is",
        )
    return True


def check_log_prob(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that `log_prob` and `forward` are the sum over sites of the log-softmax of `logits`.

    At fixed composition, the logits of a site have the logarithm of how often each token is still to be drawn added.
    """
    tokens, condition = random_tokens(model, 64, seed), conditions_for(model, 64, seed)
    stated = log_prob_of(model, tokens, condition)
    with torch.no_grad():
        log_p = (model.logits(tokens, condition).double() + _log_remaining(model, tokens)).log_softmax(1)
        forward = model(tokens, condition)
    expected = log_p.gather(1, tokens.unsqueeze(1)).flatten(1).sum(1)
    if difference(stated, expected) > TOLERANCE:
        fail(
            model,
            f"log_prob is {worst_pair(stated, expected)}, the sum over sites of log_softmax(logits) at the tokens: the "
            f"sampler draws from logits, so both must agree",
        )
    if not isinstance(forward, Tensor) or forward.shape != stated.shape or difference(forward, stated) > TOLERANCE:
        fail(model, "model(tokens) must be model.log_prob(tokens): write no forward, or `forward = log_prob`")


def _log_remaining(model: AbstractModel, tokens: Tensor) -> Tensor | float:
    """Logarithms of how often tokens are still to be drawn at each site, `(B, q, H, W)`; 0 without composition."""
    if model.composition is None:
        return 0.0
    remaining = torch.tensor(model.composition).repeat(len(tokens), 1)
    log_bqs = torch.zeros(len(tokens), model.n_tokens, math.prod(model.shape), dtype=torch.float64)
    for site in sorted(range(math.prod(model.shape)), key=model.rank.flatten().tolist().__getitem__):
        log_bqs[:, :, site] = remaining.double().log()
        remaining.scatter_add_(1, tokens.flatten(1)[:, site, None], torch.full_like(remaining[:, :1], -1))
    return log_bqs.unflatten(2, model.shape)


def check_condition(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that the log-probabilities depend on every entry of the condition."""
    tokens, condition = random_tokens(model, 32, seed), conditions_for(model, 32, seed)
    assert condition is not None
    log_q, size = log_prob_of(model, tokens, condition), condition.shape[1]
    for entry in range(size):
        moved = condition.clone()
        moved[:, entry] += 1
        if torch.equal(log_prob_of(model, tokens, moved), log_q):
            fail(
                model,
                f"log_prob does not depend on entry {entry} of a condition of {size} numbers ({model.n_condition} of a "
                f"vector, then {model.n_condition_maps} maps): add self.conditioning.embedding(channels) to a layer in "
                f"_logits, or have __init__ take no n_condition and n_condition_maps",
            )


def check_flip(model: AbstractModel, *, seed: int = 0) -> None:
    """Check that the probability of a configuration does not change if every token t becomes q - 1 - t."""
    condition = conditions_for(model, 64, seed)
    drawn, _, _ = drawn_by(model, 32, seed=seed, condition=None if condition is None else condition[:32])
    tokens = torch.cat([drawn, random_tokens(model, 32, seed)])
    log_q, flipped = (log_prob_of(model, t, condition) for t in (tokens, model.n_tokens - 1 - tokens))
    if difference(flipped, log_q) > TOLERANCE / 10:
        fail(
            model,
            f"spin_flip_symmetric is set, but if every token t becomes q - 1 - t, log_prob is "
            f"{worst_pair(flipped, log_q)}: write _logits and leave logits, which has the symmetry, to AbstractModel",
        )
