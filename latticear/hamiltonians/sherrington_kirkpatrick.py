"""The Sherrington-Kirkpatrick spin glass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from latticear.arguments import check_seed
from latticear.hamiltonians.edwards_anderson import random_couplings
from latticear.hamiltonians.ising import SPINS
from latticear.hamiltonians.named import NamedHamiltonian
from latticear.hamiltonians.pair import Numbers, finite, numbers
from latticear.lattice import Bonds, Lattice

__all__ = ["SherringtonKirkpatrick"]


class SherringtonKirkpatrick(NamedHamiltonian):
    """`H = -sum_{i<j} J_ij s_i s_j - h sum_i s_i` with s = -1, +1, bonds between all pairs, J_ij of variance 1 / N.

    The sites are arranged on an open H x W grid, whose shape has no physical meaning.

    Args:
        shape: (H, W), N = H W.
        distribution: distribution of the couplings, "gaussian" (mean 0) or "pm1" (both signs with probability 1/2).
        seed: seed of the couplings.
        field: h, uniform.
        couplings: J, a symmetric matrix `(N, N)` with a zero diagonal, taken as it is (no factor 1 / sqrt(N)); sites
            are numbered y W + x, and `la.data.read_coupling_matrix` reads a file. None draws random couplings.

    Raises:
        ValueError: for a matrix of another shape, one that is not symmetric, or an unknown distribution.

    References:
        D. Sherrington and S. Kirkpatrick, Phys. Rev. Lett. 35 (1975) 1792.
    """

    name: ClassVar[str] = "sherrington_kirkpatrick"

    def __init__(
        self,
        shape: tuple[int, int],
        distribution: Literal["gaussian", "pm1"] = "gaussian",
        seed: int = 0,
        field: float = 0.0,
        couplings: Sequence[Sequence[float]] | None = None,
    ) -> None:
        grid = Lattice(shape, periodic=False)
        n = grid.n_sites
        self.distribution, self.seed, self.field = distribution, check_seed(seed), finite("field", field)
        self.couplings = None if couplings is None else _matrix(couplings, n)
        whole = random_couplings((n, n), distribution, seed)[0] / n**0.5 if self.couplings is None else self.couplings
        drawn = whole.triu(1)
        i, j = torch.triu_indices(n, n, 1)
        super().__init__(
            grid,
            SPINS,
            -torch.outer(SPINS, SPINS),
            field=self.field,
            couplings=drawn[i, j],
            bonds=Bonds(torch.stack([i, j], dim=1), torch.ones(len(i), dtype=torch.float64)),
        )
        self.matrix = drawn

    def token_energy(self, tokens: Tensor, couplings: Tensor | None = None) -> Tensor:
        if couplings is not None:
            return super().token_energy(tokens, couplings)
        spins = self.spins(tokens).flatten(1)
        return -((spins @ self._on(spins.device, "matrix")) * spins).sum(1) - self.field * spins.sum(1)


def _matrix(couplings: Numbers, n: int) -> Tensor:
    """The couplings of a user, float64 `(N, N)`; ValueError unless the matrix is symmetric with a zero diagonal."""
    matrix = numbers("couplings", couplings, (n, n))
    uneven = (matrix != matrix.T).nonzero()
    if len(uneven):
        i, j = uneven[0].tolist()
        raise ValueError(
            f"couplings must be symmetric, got J[{i}, {j}] = {matrix[i, j].item():g} and J[{j}, {i}] = "
            f"{matrix[j, i].item():g}; a triangle becomes symmetric by J + J.T"
        )
    if matrix.diagonal().any():
        i = int(matrix.diagonal().nonzero()[0])
        raise ValueError(f"couplings must be zero on the diagonal, got J[{i}, {i}] = {matrix[i, i].item():g}")
    return matrix
