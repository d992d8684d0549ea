"""Sums over all rows below a row, as matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from latticear.lookahead.product import Legs, apply_and_cut
from latticear.lookahead.transfer import transfer
from latticear.lookahead.weights import RowWeights
from latticear.threads import thread_count

__all__ = ["Environments"]

LEAST = 1e-3
"""Singular values of the bonds below this fraction of the largest one do not enter the metric."""

UNDERFLOW = (
    "the Boltzmann weights differ too much for sums over later sites in double precision; use a higher temperature, or "
    "a network without them"
)

LARGE = 2**28
"""Products of fewer multiply-adds are computed by one thread, since decompositions hardly gain from another one."""


class Environments:
    """For each row y, the sum `E_y[s, t]` of the weights of all later rows, given the tokens s of row y.

    The sum is over the tokens of the rows y + 1 to H - 1; its terms are the weights of the sites and bonds in these
    rows and of the bonds between them and to row y. On a lattice whose rows are cyclic the bonds from the last row to
    the first one are included, and t are the tokens of the first row; otherwise t takes one value. Each sum is a matrix
    product over the columns, computed from the last row upwards and cut after each row.

    Cutting minimises the error of `V_y^(-1/2) E_y V_(H-1)^(-1/2)`, where V are the vertical bonds: it is the power
    of the symmetric transfer matrix `V^(1/2) D V^(1/2)`, in which both ends of the sum count equally.

    Args:
        weights: the lattice.
        bond_dimension: chi, the largest bond dimension that is kept.
        progress: called after each row with the number of rows that are done and of all rows.

    Attributes:
        weights, bond_dimension: as given.
        rows: for each row the tensors `(I, a, s, t, b)` of its columns, up to a common factor.
        which: int64 `(n,)`, the instance of each of n configurations; None for one of all, or one for each.
        lost: float64 `(I,)`, largest share of the squared norm of a matrix product that was cut at one bond.
        log_scale: float64 `(I,)`, logarithm of the factors that are left out of the first row's product.

    Raises:
        ValueError: where weights underflow, far below all energies.

    References:
        Murg, Verstraete, Cirac, "Variational study of hard-core bosons in a two-dimensional optical lattice using
        projected entangled pair states" (2007), for boundary matrix products; Frias-Perez, Marien, Perez Garcia,
        Banuls, Iblisdir, "Collective Monte Carlo updates through tensor network renormalization" (2023), arXiv
        2104.13264, for drawing from them.
    """

    def __init__(
        self, weights: RowWeights, bond_dimension: int, progress: Callable[[int, int], object] | None = None
    ) -> None:
        self.weights, self.bond_dimension = weights, bond_dimension
        self.which: Tensor | None = None
        height, width = weights.shape
        n, q, ones = weights.n_instances, weights.n_tokens, weights.site.new_ones
        if weights.cyclic:
            product = transfer(weights, height - 1, bonds_only=True)
            lower = [_legs(weights.down[:, -1, x].mT) for x in range(width)]
        else:
            product = [ones(n, 1, q, 1, 1)] * width
            lower = [Legs(ones(n, 1, 1), ones(n, 1, 1))] * width
        rows = [product]
        self.lost, self.log_scale = weights.site.new_zeros(2, n)
        carried = q**2 if weights.closed else q
        is_small = (carried * bond_dimension) ** 3 < LARGE
        with thread_count(1 if is_small else torch.get_num_threads()):
            precise: Tensor | None = None
            for y in range(height - 2, -1, -1):
                upper = [_legs(weights.down[:, y, x]) for x in range(width)]
                operator = transfer(weights, y)
                try:
                    cut = apply_and_cut(operator, rows[-1], upper, lower, bond_dimension, precise)
                except torch.linalg.LinAlgError as error:
                    raise ValueError(UNDERFLOW) from error
                rows.append(cut.tensors)
                precise = cut.precise
                self.lost = torch.maximum(self.lost, cut.lost)
                self.log_scale = self.log_scale + cut.log_scale
                if progress is not None:
                    progress(len(rows), height)
        self.rows = rows[::-1]

    @property
    def device(self) -> torch.device:
        """Where the matrix products are."""
        return self.rows[0][0].device

    @property
    def n_bytes(self) -> int:
        """Memory of the matrix products."""
        return sum(tensor.nbytes for row in self.rows for tensor in row)

    def matrices(self, y: int) -> list[Tensor]:
        """The tensors of row y as matrices `(I, t, s, a, b)`; in the first row, where t is s, `(I, 1, s, a, b)`."""
        return [
            tensor.diagonal(dim1=2, dim2=3).permute(0, 3, 1, 2)[:, None]
            if y == 0 and tensor.shape[3] > 1
            else tensor.permute(0, 3, 2, 1, 4)
            for tensor in self.rows[y]
        ]

    def to(self, device: torch.device) -> Environments:
        """The same on another device."""
        rows = [[tensor.to(device) for tensor in row] for row in self.rows]
        which = None if self.which is None else self.which.to(device)
        lost, log_scale = self.lost.to(device), self.log_scale.to(device)
        return self._with(rows=rows, weights=self.weights.to(device), which=which, lost=lost, log_scale=log_scale)

    def of_each(self, which: Tensor) -> Environments:
        """The same for a `Sweep` through n configurations, each with one of the instances: int64 `(n,)`."""
        return self._with(which=which)

    def instances(self, n: int) -> Tensor:
        """The instance of each of n configurations: int64 `(n,)`."""
        device = self.weights.site.device
        if self.which is not None:
            return self.which
        if self.weights.n_instances > 1:
            return torch.arange(n, device=device)
        return torch.zeros(n, dtype=torch.long, device=device)

    def _with(self, **changes: Any) -> Environments:
        changed = object.__new__(Environments)
        changed.__dict__ = self.__dict__ | changes
        return changed


def _legs(bonds: Tensor) -> Legs:
    """`|V|^(-1/2)` on the first index of bonds V, `(I, q, q)`, and its inverse."""
    left, values, _ = torch.linalg.svd(bonds)
    values = torch.maximum(values, LEAST * values[:, :1])
    return Legs(*(left * values[:, None] ** power @ left.mT for power in (-0.5, 0.5)))
