"""Logits of the configurations that were drawn last, for a training that asks for them again."""

from __future__ import annotations

from collections import deque
from functools import cache

import torch
from torch import Tensor

__all__ = ["Remembered"]

ROOM = 2**26
"""Largest number of bytes of logits that are kept, unless a single block has more."""

MULTIPLIER = 6364136223846793005
"""Of the linear congruential generator whose powers weigh the sites in the key of a configuration."""


class Remembered:
    """The logits of the blocks of configurations that were drawn last, found by their tokens and couplings.

    The logits of a site depend on the tokens before it alone, so the token of the last site does not matter.
    """

    def __init__(self) -> None:
        self._blocks: deque[tuple[Tensor, Tensor, Tensor]] = deque()  # keys (n,), given (n, M), logits (n, N, q)
        self._drawn: list[Tensor] = []

    def note(self, site: int, tokens: Tensor, logits: Tensor, couplings: Tensor | None = None) -> None:
        """Note the logits `(n, q)` with which a site of n configurations is drawn, whose tokens are `(n, N)`.

        A block is kept once all its sites have been noted in their order.

        Args:
            site: number of the site.
            tokens: the configurations, drawn before this site.
            logits: those of the site.
            couplings: float64 `(n, m)`, if each configuration has couplings of its own.
        """
        if site != len(self._drawn) or (site and self._drawn[-1].shape != logits.shape):
            self._drawn = []
        if site == len(self._drawn):
            self._drawn.append(logits)
        if len(self._drawn) == tokens.shape[1]:
            block = torch.stack(self._drawn, 1)
            self._drawn = []
            while self._blocks and block.nbytes + sum(kept.nbytes for *_, kept in self._blocks) > ROOM:
                self._blocks.popleft()
            given = _given(tokens, couplings)
            self._blocks.append((_keys(given), given, block))

    def find(self, tokens: Tensor, couplings: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Which of the configurations `(n, N)` are known, bool `(n,)`, and the logits of these; None if none are."""
        given = _given(tokens, couplings)
        logits, known, keys = None, torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device), _keys(given)
        for of_block, drawn, kept in self._blocks:
            if kept.device != tokens.device or drawn.shape[1] != given.shape[1]:
                continue
            ordered, order = of_block.sort()
            place = order[torch.searchsorted(ordered, keys).clamp(max=len(order) - 1)]
            same = (drawn[place, :-1] == given[:, :-1]).all(1)
            if not same.any():
                continue
            logits = kept.new_zeros(len(tokens), *kept.shape[1:]) if logits is None else logits
            logits[same], known = kept[place[same]], known | same
        return None if logits is None else (known, logits[known])


def _given(tokens: Tensor, couplings: Tensor | None) -> Tensor:
    """What the logits of configurations depend on, as integers `(n, M)`: the bits of the couplings, then the tokens."""
    return tokens if couplings is None else torch.cat([couplings.contiguous().view(torch.long), tokens], 1)


def _keys(given: Tensor) -> Tensor:
    """A number for each configuration `(n, M)` that does not depend on its last token: int64 `(n,)`."""
    weights = torch.tensor(_weights(given.shape[1] - 1), dtype=torch.long, device=given.device)
    return (given[:, :-1] * weights).sum(1)


@cache
def _weights(n: int) -> list[int]:
    """n 64-bit numbers without pattern."""
    weights, each = [], 1
    for _ in range(n):
        each = each * MULTIPLIER % 2**64
        weights.append(each - 2**64 if each >= 2**63 else each)
    return weights
