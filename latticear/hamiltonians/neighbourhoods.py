"""The bonds as each site sees them, and the energies that follow for it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbourhoods", "local_energies"]


class Neighbourhoods(NamedTuple):
    """The bonds seen from each site, padded to the largest number of neighbours K.

    Attributes:
        sites: int64 `(N, K)`; `sites[s, k]` is the k-th neighbour of s.
        energies: float64 `(N, K, q, q)`; `energies[s, k, a, b]` is the energy of that bond when s holds token a and
            the neighbour token b; zero in padded slots.
        bonds: int64 `(N, K)`; `bonds[s, k]` is which of the Hamiltonian's bonds that is; 0 in padded slots.
    """

    sites: Tensor
    energies: Tensor
    bonds: Tensor


def local_energies(
    tokens: Tensor, neighbours: Tensor, tables: Tensor, field: Tensor, factors: Tensor | None = None
) -> Tensor:
    """Energy of each value that some sites could take, their neighbours as they are: float64 `(B, n, q)`.

    Args:
        tokens: `(B, N)`.
        neighbours: int64 `(n, K)`, sites.
        tables: float64 `(n, K, q, q)`, energies of the bonds; the neighbour's token comes first.
        field: float64 `(n, q)`.
        factors: float64 `(B, n, K)`, of the energy of each bond in each configuration; None for 1.
    """
    n, degree, q, _ = tables.shape
    table_rq = tables.reshape(-1, q)  # row (s, k, neighbour's token)
    rows = tokens.index_select(1, neighbours.flatten()).long()
    rows = (rows + q * torch.arange(n * degree, device=tokens.device)).view(len(tokens), n, degree)
    energies = field.repeat(len(tokens), 1, 1)
    for k in range(degree):  # selecting whole rows, slot by slot, is three times faster than one gather
        of_bond = table_rq.index_select(0, rows[:, :, k].flatten()).view(len(tokens), n, q)
        energies += of_bond if factors is None else of_bond * factors[:, :, k, None]
    return energies
