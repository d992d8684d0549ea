"""Conditional probabilities in raster order, with the sum over all later sites."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.lookahead.environments import Environments

__all__ = ["Sweep"]

LEAST = 1e-10
"""Smallest share of a conditional probability that comes from the known neighbours alone."""


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

    Attributes:
        site: number of the current site in raster order.
    """

    def __init__(self, environments: Environments, n: int, *, spin_flip: bool = False) -> None:
        self._environments, self._weights = environments, environments.weights
        self.n, self.row, self.column, self.site = n, 0, 0, 0
        self._spin_flip = spin_flip
        self._turned, self._settled = torch.zeros(2, n, dtype=torch.bool, device=self._weights.site.device)
        self._tokens = torch.zeros(n, *self._weights.shape, dtype=torch.long, device=self._weights.site.device)
        self._each = torch.arange(n, device=self._tokens.device)
        self._summed: list[Tensor] = []
        self._left = self._above = self._row_bonds = self._weights.site.new_empty(0)
        self._matrices: list[Tensor] = []
        self._begin_row()

    @torch.no_grad()
    def logits(self) -> Tensor:
        """Logarithms of the conditional probabilities of the current site: float64 `(n, q)`."""
        x, summed = self.column, self._summed[self.column]  # (s, n, first, a)
        known = self._above[:, x]
        if x == 0:
            first = summed.diagonal(dim1=0, dim2=2) if summed.shape[2] > 1 else summed[:, :, 0].permute(1, 2, 0)
            share = torch.einsum("na,nas->ns", self._left, first)
        else:
            within = self._row_bonds[:, x - 1].expand(self.n, -1, -1)[self._each, self._tokens[:, self.row, x - 1]]
            share = torch.einsum("na,sna->ns", self._left, summed[:, :, 0]) * within
            known = known * within
        positive = share.clamp(min=0)
        negative = (positive - share).sum(1, keepdim=True)
        total = positive.sum(1, keepdim=True)
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
        x = self.column
        if self._spin_flip:
            flipped = self._weights.n_tokens - 1 - tokens
            self._turned |= ~self._settled & (tokens > flipped)
            self._settled |= tokens != flipped
            tokens = torch.where(self._turned, flipped, tokens)
        self._tokens[:, self.row, x] = tokens
        if x == 0:
            self._summed = [
                summed if summed.shape[2] == 1 else summed[:, self._each, tokens][:, :, None] for summed in self._summed
            ]
        self.site += 1
        self.column += 1
        if self.column == self._weights.shape[1]:
            self.row, self.column = self.row + 1, 0
            if self.row < self._weights.shape[0]:
                self._begin_row()
            return
        left = self._left.new_empty(self.n, self._matrices[x].shape[-1])
        for chosen, matrix in self._groups(x, tokens):
            left[chosen] = torch.einsum("na,nab->nb" if matrix.ndim == 3 else "na,ab->nb", self._left[chosen], matrix)
        self._left = left / left.abs().amax(1, keepdim=True)

    def _groups(self, x: int, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Configurations that share a matrix of column x, given their tokens, and that matrix."""
        matrices = self._matrices[x]  # (i, t, s, a, b)
        if len(matrices) > 1:
            return [(self._each, matrices[self._each, self._lower(x), tokens])]
        lower, groups = self._lower(x), []
        for t in range(matrices.shape[1]):
            for s in range(matrices.shape[2]):
                if len(chosen := ((lower == t) & (tokens == s)).nonzero()[:, 0]):
                    groups.append((chosen, matrices[0, t, s]))
        return groups

    def _lower(self, x: int) -> Tensor:
        """The tokens of the first row by which matrices are chosen; 0 if there is one matrix for all."""
        return self._tokens[:, 0, x] if self._matrices[x].shape[1] > 1 else torch.zeros_like(self._each)

    def _begin_row(self) -> None:
        """The sums over the tokens to the right of each column of the row, for each token and each first token."""
        weights, y, width = self._weights, self.row, self._weights.shape[1]
        self._row_bonds = weights.right[:, y]
        self._matrices = [self._chosen(tensor) for tensor in self._environments.rows[y]]
        self._above = self._known_above()
        self._left = weights.site.new_ones(self.n, 1)
        q = weights.n_tokens
        if weights.closed:
            sums = self._row_bonds[:, -1].permute(1, 0, 2).expand(q, self.n, q)[..., None].contiguous()  # (s, n, f, b)
        else:
            sums = weights.site.new_ones(q, self.n, 1, 1)
        self._summed = []
        for x in range(width - 1, -1, -1):
            summed = self._times_matrices(x, sums) * self._above[:, x].T[:, :, None, None]
            self._summed.insert(0, summed)
            if x:
                sums = torch.einsum("nps,snfa->pnfa", self._row_bonds[:, x - 1].expand(self.n, -1, -1), summed)
                sums = sums / sums.abs().amax((0, 2, 3))[:, None, None].clamp(min=1e-300)

    def _chosen(self, tensor: Tensor) -> Tensor:
        """A tensor `(i, a, s, t, b)` as matrices `(i, t, s, a, b)`, in the first row with t = s."""
        if self.row == 0 and tensor.shape[3] > 1:
            return tensor.diagonal(dim1=2, dim2=3).permute(0, 3, 1, 2)[:, None].contiguous()
        return tensor.permute(0, 3, 2, 1, 4).contiguous()

    def _times_matrices(self, x: int, sums: Tensor) -> Tensor:
        """Matrices of column x times sums `(s, n, f, b)`: `(s, n, f, a)`."""
        matrices = self._matrices[x]
        if len(matrices) > 1:
            return torch.einsum("nsab,snfb->snfa", matrices[self._each, self._lower(x)], sums)
        q, n, first, _ = sums.shape
        if matrices.shape[1] == 1:
            return torch.bmm(sums.flatten(1, 2), matrices[0, 0].mT).view(q, n, first, -1)
        out = sums.new_empty(q, n, first, matrices.shape[3])
        lower = self._lower(x)
        for t in range(matrices.shape[1]):
            if len(chosen := (lower == t).nonzero()[:, 0]):
                part = torch.bmm(sums[:, chosen].flatten(1, 2), matrices[0, t].mT)
                out[:, chosen] = part.view(q, len(chosen), first, -1)
        return out

    def _known_above(self) -> Tensor:
        """The weights of the sites of the row and of their bonds to the row above, by token: `(n, W, q)`."""
        weights, y = self._weights, self.row
        known = weights.site[:, y].expand(self.n, -1, -1)
        if y == 0:
            return known
        above, columns = self._tokens[:, y - 1], torch.arange(self._tokens.shape[2], device=self._tokens.device)
        for bonds, shift in ((weights.down, 0), (weights.down_right, 1), (weights.down_left, -1)):
            if bonds is None:
                continue
            instance = self._each[:, None] if len(bonds) > 1 else torch.zeros_like(self._each)[:, None]
            chosen = bonds[instance, y - 1, columns, above]
            known = known * chosen.roll(shift, 1)
        return known
