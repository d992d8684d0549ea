"""A fixed composition: how many sites have each token, kept exactly by the conditional probabilities of a network.

Sites are drawn one after the other, by rank and among sites of equal rank by number. The probability of token t is
`exp(logit_t) n_t / sum`, where n_t is how many of the sites that are still to be drawn must have token t. With equal
logits this is drawing without replacement, and all allowed configurations are equally probable.

Index suffixes of tensors: b configuration, n site, q token.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["Remaining", "draw_in_turn", "in_turn", "log_remaining", "log_remaining_of"]


def in_turn(rank: Tensor) -> Tensor:
    """The order in which sites are drawn, int64 `(N,)`: by rank, sites of equal rank by number."""
    return rank.flatten().argsort(stable=True)


def log_remaining(counts: Tensor) -> Tensor:
    """The logarithms of how often each token is still to be drawn; -inf for one that is used up.

    Args:
        counts: integers of any shape; negative ones count as 0.
    """
    return counts.double().clamp(min=0).log()


class Remaining(NamedTuple):
    """What is left of the composition while B configurations are drawn; both tensors change in place.

    Attributes:
        counts: int64 `(B, q)`, how many of the sites to come must have each token.
        held: int64 `(B, q)`, how many of these are held fixed at it.
    """

    counts: Tensor
    held: Tensor

    @classmethod
    def at_first(cls, composition: Tensor, n: int, tokens: Tensor | None = None, where: Tensor | None = None) -> Self:
        """Before the first site is drawn.

        Args:
            composition: int64 `(q,)`.
            n: B.
            tokens, where: `(B, N)`, the tokens that are held fixed and the mask of their sites; None if there are none.
        """
        counts = composition.repeat(n, 1)
        held = torch.zeros_like(counts)
        if tokens is not None and where is not None:
            held.scatter_add_(1, tokens, where.long())
        return cls(counts, held)


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


def draw_in_turn(
    logits: Tensor, u: Tensor, remaining: Remaining, dim: int, tokens: Tensor | None = None, where: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draw the sites of a front one after the other without repeating a token more often than the composition allows.

    A site that is drawn leaves the tokens that later sites are held fixed at.

    Args:
        logits: `(B, n, q)`, or `(n, B, q)` with dim = 0.
        u: float64 `(B, n)` or `(n, B)`, uniform in [0, 1).
        remaining: what is left, which is brought up to date.
        dim: the dimension of the sites.
        tokens, where: of the shape of u, the tokens that are held fixed and the mask of their sites, or None.

    Returns:
        tokens int64, of the shape of u, and the log-probability of each, float64.
    """
    found, log_p = [], []
    for k, (logits_bq, u_b) in enumerate(zip(logits.double().unbind(dim), u.unbind(dim), strict=True)):
        free_bq = remaining.counts - remaining.held
        held_b1 = None if where is None else where.select(dim, k)[:, None]
        left_bq = free_bq if held_b1 is None else torch.where(held_b1, remaining.counts, free_bq)
        log_p_bq = (logits_bq + log_remaining(left_bq)).log_softmax(-1)
        # a cumulative probability that is rounded to less than 1 must not give a token that is used up
        later_bq = left_bq.flip(-1).cumsum(-1).flip(-1)[:, 1:]
        cumulative_bq = log_p_bq.exp().cumsum(-1)[:, :-1].masked_fill(later_bq == 0, torch.inf)
        token_b1 = (u_b[:, None] >= cumulative_bq).sum(-1, keepdim=True)
        if held_b1 is not None and tokens is not None:
            token_b1 = torch.where(held_b1, tokens.select(dim, k)[:, None], token_b1)
            remaining.held.scatter_add_(-1, token_b1, -held_b1.long())
        remaining.counts.scatter_add_(-1, token_b1, torch.full_like(token_b1, -1))
        found.append(token_b1[:, 0])
        log_p.append(log_p_bq.gather(-1, token_b1)[:, 0])
    return torch.stack(found, dim), torch.stack(log_p, dim)
