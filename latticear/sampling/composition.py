"""A fixed composition: how many sites have each token, kept exactly by the conditional probabilities of a network.

Sites are drawn one after the other, by rank and among sites of equal rank by number. The probability of token t is
`exp(logit_t) n_t / sum`, where n_t is how many of the sites that are still to be drawn must have token t. With equal
logits this is drawing without replacement, and all allowed configurations are equally probable.

Index suffixes of tensors: b configuration, n site, q token.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw_in_turn", "in_turn", "log_remaining", "log_remaining_of", "remaining_at_first"]


def in_turn(rank: Tensor) -> Tensor:
    """The order in which sites are drawn, int64 `(N,)`: by rank, sites of equal rank by number."""
    return rank.flatten().argsort(stable=True)


def log_remaining(counts: Tensor) -> Tensor:
    """The logarithms of how often each token is still to be drawn; -inf for one that is used up.

    Args:
        counts: integers of any shape; negative ones count as 0.
    """
    return counts.double().clamp(min=0).log()


def remaining_at_first(composition: tuple[int, ...], u: Tensor) -> Tensor:
    """How often each token is to be drawn in each of B configurations: int64 `(B, q)`, on the device of u `(B, N)`."""
    return torch.tensor(composition, device=u.device).repeat(len(u), 1)


def log_remaining_of(tokens: Tensor, counts: Tensor, order: Tensor) -> Tensor:
    """`log_remaining` at each site of complete configurations: float64 `(B, N, q)`.

    Args:
        tokens: `(B, N)`.
        counts: int64 `(q,)`, the composition.
        order: the order in which sites are drawn, from `in_turn`.
    """
    hot_bnq = tokens[:, order, None] == torch.arange(len(counts), device=tokens.device)
    drawn_bnq = hot_bnq.long().cumsum(1) - hot_bnq.long()
    in_order_bnq = log_remaining(counts - drawn_bnq)
    return torch.empty_like(in_order_bnq).index_copy_(1, order, in_order_bnq)


def draw_in_turn(logits: Tensor, u: Tensor, remaining: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Draw the sites of a front one after the other without repeating a token more often than the composition allows.

    Args:
        logits: `(B, n, q)`, or `(n, B, q)` with dim = 0.
        u: float64 `(B, n)` or `(n, B)`, uniform in [0, 1).
        remaining: int64 `(B, q)`, how often each token is still to be drawn; the tokens that are drawn are taken off.
        dim: the dimension of the sites.

    Returns:
        tokens int64, of the shape of u, and the log-probability of each, float64.
    """
    tokens, log_p = [], []
    for logits_bq, u_b in zip(logits.double().unbind(dim), u.unbind(dim), strict=True):
        log_p_bq = (logits_bq + log_remaining(remaining)).log_softmax(-1)
        # a cumulative probability that is rounded to less than 1 must not give a token that is used up
        later_bq = remaining.flip(-1).cumsum(-1).flip(-1)[:, 1:]
        cumulative_bq = log_p_bq.exp().cumsum(-1)[:, :-1].masked_fill(later_bq == 0, torch.inf)
        token_b = (u_b[:, None] >= cumulative_bq).sum(-1, keepdim=True)
        remaining.scatter_add_(-1, token_b, torch.full_like(token_b, -1))
        tokens.append(token_b[:, 0])
        log_p.append(log_p_bq.gather(-1, token_b)[:, 0])
    return torch.stack(tokens, dim), torch.stack(log_p, dim)
