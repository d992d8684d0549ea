"""The neighbours and bonds of each site, and the energies of single sites computed from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbourhoods", "local_energies"]


class Neighbourhoods(NamedTuple):
    """The neighbours and bonds of each site, padded to the largest number of neighbours K.

    Attributes:
        sites: int64 `(N, K)`; `sites[s, k]` is the k-th neighbour of site s; 0 in padded slots.
        energies: float64 `(N, K, q, q)`; `energies[s, k, a, b]` is the energy of the bond between s and its k-th
            neighbour if s has token a and the neighbour token b; zero in padded slots.
        bonds: int64 `(N, K)`; `bonds[s, k]` is the number of this bond in the Hamiltonian's list; 0 in padded slots.
    """

    sites: Tensor
    energies: Tensor
    bonds: Tensor


def local_energies(
    tokens: Tensor, neighbours: Tensor, tables: Tensor, field: Tensor, factors: Tensor | None = None
) -> Tensor:
    """Energy of each value that n sites could take while their neighbours stay unchanged: float64 `(B, n, q)`.

    Args:
        tokens: `(B, N)`, the configurations.
        neighbours: int64 `(n, K)`, the neighbours of each of the n sites.
        tables: float64 `(n, K, q, q)`, energies of the bonds; the first token index is the neighbour's.
        field: float64 `(n, q)`, single-site energies.
        factors: float64 `(B, n, K)`, factors on the energy of each bond in each configuration; None for factors of 1.
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
