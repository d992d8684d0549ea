"""Conditional probabilities in raster order, with the sum over all later sites."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from latticear.kernels.library import library_for
from latticear.lookahead.environments import Environments
from latticear.lookahead.native_row import Choice, NativeRow
from latticear.lookahead.torch_row import TorchRow
from latticear.random_numbers import categorical

__all__ = ["Sweep", "Swept"]

LEAST = 1e-10
"""Smallest share of a conditional probability that comes from the known neighbours alone."""


class Swept(NamedTuple):
    """Configurations of which all sites are known.

    Attributes:
        tokens: int64 `(n, H, W)`.
        log_q, log_q_given: float64 `(n,)`, log-probabilities of the sites that were drawn and of those held fixed.
        logits: float64 `(n, H, W, q)`, logarithms of the conditional probabilities; None if they were not asked for.
    """

    tokens: Tensor
    log_q: Tensor
    log_q_given: Tensor
    logits: Tensor | None


class Sweep:
    """Goes through the sites of n configurations in raster order, and gives the logits of each given the earlier ones.

    Where cutting has left a negative weight, the conditional probability is mixed with that of the known neighbours, by
    twice the share of what is negative. So all probabilities are positive, and normalised whatever the error of the
    sums over later sites.

    With `spin_flip` all configurations are turned so that the first token that changes under token -> q - 1 - token is
    the smaller one, and until it is drawn both have equal probability: the probabilities are then exactly symmetric,
    although a sum that was cut is not.

    Args:
        environments: the sums over later rows, of one instance for all configurations or of one instance for each.
        n: number of configurations.
        spin_flip: whether the weights are unchanged by token -> q - 1 - token at all sites.
        dtype: number type of the products within a row.

    Attributes:
        n: as given.
        site: number of the current site in raster order.
    """

    def __init__(
        self, environments: Environments, n: int, *, spin_flip: bool = False, dtype: torch.dtype = torch.float64
    ) -> None:
        self._weights = environments.weights
        device, shape = self._weights.site.device, self._weights.shape
        self.n, self.site, self._spin_flip = n, 0, spin_flip
        self._turned, self._settled = torch.zeros(2, n, dtype=torch.bool, device=device)
        self._tokens = torch.zeros(n, *shape, dtype=torch.long, device=device)
        self._instances = environments.instances(n)
        self._known, self._begun = self._weights.site.new_empty(0), -1
        self._row = (TorchRow if library_for(device) is None else NativeRow)(environments, self._tokens, dtype)

    @torch.no_grad()
    def run(
        self,
        u: Tensor | None = None,
        tokens: Tensor | None = None,
        where: Tensor | None = None,
        *,
        with_logits: bool = False,
    ) -> Swept:
        """Go through all sites, from the first one.

        Args:
            u: float64 `(n, H, W)`, uniform in [0, 1), with which tokens are drawn; None: all are given.
            tokens: int64 `(n, H, W)`, given tokens; arbitrary where one is drawn.
            where: bool `(n, H, W)`, which sites are held fixed if some are drawn; None: none.
            with_logits: whether to keep the conditional probabilities.

        Raises:
            ValueError: for given tokens that are not 0..q-1.
        """
        chosen = torch.zeros_like(self._tokens)
        held = torch.full_like(chosen, u is None, dtype=torch.bool) if u is None or where is None else where
        if tokens is not None:
            chosen.copy_(tokens)
            given = chosen[held]
            if bool(((given < 0) | (given >= self._weights.n_tokens)).any()):
                raise ValueError(f"tokens must be 0..{self._weights.n_tokens - 1}")
        log_q, log_q_given = torch.zeros(2, self.n, dtype=torch.float64, device=chosen.device)
        logits = log_q.new_empty(*chosen.shape, self._weights.n_tokens) if with_logits else None
        u = None if u is None else u.contiguous()
        where = None if where is None else where.contiguous()
        choice = Choice(
            self._spin_flip, LEAST, u, where, chosen, self._turned, self._settled, logits, log_q, log_q_given
        )
        for y in range(chosen.shape[1]):
            if isinstance(self._row, NativeRow):
                self._row.draw(y, self._known_above(y), choice)
            else:
                self._draw_row(y, choice, held)
        return Swept(chosen, log_q, log_q_given, logits)

    def _draw_row(self, y: int, choice: Choice, held_nyx: Tensor) -> None:
        for x in range(choice.tokens.shape[2]):
            logits, given, held = self.logits(), choice.tokens[:, y, x], held_nyx[:, y, x]
            drawn, log_p = categorical(
                logits, torch.zeros_like(choice.log_q) if choice.u is None else choice.u[:, y, x]
            )
            token = torch.where(held, given, drawn)
            chosen = log_p.gather(1, token[:, None])[:, 0]
            choice.log_q.add_(torch.where(held, 0, chosen))
            choice.log_q_given.add_(torch.where(held, chosen, 0))
            choice.tokens[:, y, x] = token
            if choice.logits is not None:
                choice.logits[:, y, x] = log_p
            self.take(token)

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Logarithms of the conditional probabilities of the current site: float64 `(n, q)`."""
        y, x = self._begin()
        share, known = self._row.shares(x), self._known[:, x]
        if x:
            known = known * self._weights.right[self._instances, y, x - 1, self._tokens[:, y, x - 1]]
        positive = share.clamp(min=0)
        total = positive.sum(1, keepdim=True)
        negative = total - share.sum(1, keepdim=True)
        doubt = (2 * negative / (negative + total).clamp(min=1e-300)).clamp(LEAST, 1)
        doubt = torch.where(total > 0, doubt, 1.0)
        p = (1 - doubt) * positive / total.clamp(min=1e-300) + doubt * known / known.sum(1, keepdim=True)
        if self._spin_flip:
            p = torch.where(self._settled[:, None], p, (p + p.flip(1)) / 2)
            p = torch.where(self._turned[:, None], p.flip(1), p)
        return p.log()

    @torch.no_grad()
    def take(self, tokens: Tensor) -> None:
        """Choose the tokens `(n,)` of the current site, and go to the next one."""
        y, x = self._begin()
        if self._spin_flip:
            flipped = self._weights.n_tokens - 1 - tokens
            self._turned |= ~self._settled & (tokens > flipped)
            self._settled |= tokens != flipped
            tokens = torch.where(self._turned, flipped, tokens)
        self._tokens[:, y, x] = tokens
        self.site += 1
        if x + 1 < self._weights.shape[1]:
            self._row.advance(x)

    def _begin(self) -> tuple[int, int]:
        """Row and column of the current site; begins the row if that has not been done."""
        y, x = divmod(self.site, self._weights.shape[1])
        if self._begun < y:
            self._begun, self._known = y, self._known_above(y)
            self._row.begin(y, self._known)
        return y, x

    def _known_above(self, y: int) -> Tensor:
        """The weights of the sites of the row and of their bonds to the row above, by token: `(n, W, q)`."""
        weights = self._weights
        known = weights.site[self._instances, y]
        if y == 0:
            return known
        above, columns = self._tokens[:, y - 1], torch.arange(self._tokens.shape[2], device=self._tokens.device)
        for bonds, shift in ((weights.down, 0), (weights.down_right, 1), (weights.down_left, -1)):
            if bonds is None:
                continue
            chosen = bonds[self._instances[:, None], y - 1, columns, above]
            known = known * chosen.roll(shift, 1)
        return known
