"""Weights of tokens within a row in PyTorch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from latticear.lookahead.environments import Environments

__all__ = ["TorchRow"]


class TorchRow:
    """The weights of the tokens of one row after another, for n configurations.

    A row begins with the sums over all tokens to the right of each column, for each token of it and, where the columns
    are closed, each first token of the row. Then the columns are passed from left to right.

    Args:
        environments: the sums over later rows, of one instance for all configurations or of one instance for each.
        tokens: int64 `(n, H, W)`, filled by the caller as they become known.
        dtype: number type of the products.
    """

    def __init__(self, environments: Environments, tokens: Tensor, dtype: torch.dtype = torch.float64) -> None:
        self._environments, self._tokens, self._dtype = environments, tokens, dtype
        self._n, self._y = len(tokens), 0
        self._each, self._instances = torch.arange(self._n, device=tokens.device), environments.instances(self._n)
        self._bonds = self._left = tokens.new_empty(0, dtype=dtype)
        self._matrices: list[Tensor] = []
        self._sums: list[Tensor] = []

    def begin(self, y: int, known: Tensor) -> None:
        """Begin row y, where `known` `(n, W, q)` are the weights of its tokens given the rows above."""
        weights, n, self._y = self._environments.weights, self._n, y
        q, width = weights.n_tokens, weights.shape[1]
        self._bonds = weights.right[self._instances, y].to(self._dtype)
        self._matrices = [matrix.to(self._dtype).contiguous() for matrix in self._environments.matrices(y)]
        self._left = self._bonds.new_ones(n, 1)
        known = known.to(self._dtype)
        if weights.closed:
            right = self._bonds[:, -1].permute(1, 0, 2)[..., None].contiguous()  # (s, n, first, b)
        else:
            right = self._bonds.new_ones(q, n, 1, 1)
        self._sums = []
        for x in range(width - 1, -1, -1):
            sums = self._times_matrices(x, right) * known[:, x].T[:, :, None, None]  # (s, n, first, a)
            self._sums.insert(0, sums)
            if x:
                right = torch.einsum("nps,snfa->pnfa", self._bonds[:, x - 1], sums)
                right = right / right.abs().amax((0, 2, 3))[:, None, None].clamp(min=torch.finfo(self._dtype).tiny)

    def shares(self, x: int) -> Tensor:
        """Weights of the tokens of column x given all earlier ones, up to a factor: float64 `(n, q)`."""
        sums = self._sums[x]
        if x == 0:
            first = sums.diagonal(dim1=0, dim2=2) if sums.shape[2] > 1 else sums[:, :, 0].permute(1, 2, 0)
            return torch.einsum("na,nas->ns", self._left, first).double()
        within = self._bonds[self._each, x - 1, self._tokens[:, self._y, x - 1]]
        return (torch.einsum("na,sna->ns", self._left, sums[:, :, 0]) * within).double()

    def advance(self, x: int) -> None:
        """Take the tokens of column x, and go to the next one."""
        tokens = self._tokens[:, self._y, x]
        if x == 0:
            self._sums = [
                sums if sums.shape[2] == 1 else sums[:, self._each, tokens][:, :, None] for sums in self._sums
            ]
        left = self._left.new_empty(self._n, self._matrices[x].shape[-1])
        for chosen, matrix in self._groups(x, tokens):
            left[chosen] = torch.einsum("na,nab->nb" if matrix.ndim == 3 else "na,ab->nb", self._left[chosen], matrix)
        self._left = left / left.abs().amax(1, keepdim=True).clamp(min=torch.finfo(self._dtype).tiny)

    def _groups(self, x: int, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Configurations that share a matrix of column x, given their tokens, and that matrix."""
        matrices = self._matrices[x]  # (i, t, s, a, b)
        if self._takes_each(matrices):
            return [(self._each, matrices[self._instances, self._lower(x), tokens])]
        lower, groups = self._lower(x), []
        for t in range(matrices.shape[1]):
            for s in range(matrices.shape[2]):
                if len(chosen := ((lower == t) & (tokens == s)).nonzero()[:, 0]):
                    groups.append((chosen, matrices[0, t, s]))
        return groups

    def _takes_each(self, matrices: Tensor) -> bool:
        """Whether each configuration takes a matrix of its own.

        On a CPU those that share a matrix of a single instance are looked for, and multiplied by it together; another
        device would have to be waited for at each site.
        """
        return len(matrices) > 1 or matrices.device.type != "cpu"

    def _lower(self, x: int) -> Tensor:
        """The tokens of the first row by which matrices are chosen; 0 if there is one matrix for all."""
        return self._tokens[:, 0, x] if self._matrices[x].shape[1] > 1 else torch.zeros_like(self._each)

    def _times_matrices(self, x: int, right: Tensor) -> Tensor:
        """Matrices of column x times sums to the right `(s, n, f, b)`: `(s, n, f, a)`."""
        matrices = self._matrices[x]
        q, n, first, _ = right.shape
        if matrices.shape[:2] == (1, 1):
            return torch.bmm(right.flatten(1, 2), matrices[0, 0].mT).view(q, n, first, -1)
        if self._takes_each(matrices):
            return torch.einsum("nsab,snfb->snfa", matrices[self._instances, self._lower(x)], right)
        out = right.new_empty(q, n, first, matrices.shape[3])
        lower = self._lower(x)
        for t in range(matrices.shape[1]):
            if len(chosen := (lower == t).nonzero()[:, 0]):
                part = torch.bmm(right[:, chosen].flatten(1, 2), matrices[0, t].mT)
                out[:, chosen] = part.view(q, len(chosen), first, -1)
        return out
