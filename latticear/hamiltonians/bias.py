"""The known-neighbour term: what a Hamiltonian gives a network for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["BoltzmannBias", "local_energies"]


class BoltzmannBias(nn.Module):
    """Adds to each site's logits `-beta` times the energy of its field and of its bonds to sites of lower rank.

    A bond belongs to its end of higher rank, periodic wrap bonds included, so a network has to learn only what summing
    over the later sites adds. The term reads lower ranks alone: the product stays normalised and exact.

    Args:
        hamiltonian: gives the bonds and their energies.
        temperature: T; it stays this one while training anneals beta.
    """

    energies: Tensor
    sites: Tensor
    field: Tensor

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.description = hamiltonian.to_dict()
        self.shape, self.n_tokens = hamiltonian.shape, hamiltonian.n_tokens
        self.spin_flip = hamiltonian.spin_flip
        around = hamiltonian.neighbourhoods
        self.register_buffer("sites", around.sites, persistent=False)
        # the neighbour's token first, then the site's own
        self.register_buffer("energies", around.energies.transpose(-1, -2).contiguous(), persistent=False)
        self.register_buffer("field", hamiltonian.site_energies.clone(), persistent=False)

    def attach(self, rank: Tensor) -> None:
        """Keep only the bonds to sites of lower rank, `rank` being that of the model, `(H, W)`."""
        flat = rank.flatten()
        lower = flat[self.sites] < flat[:, None]
        self.energies *= lower[..., None, None]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits to add, float64 `(B, q, H, W)`, for tokens `(B, H, W)`."""
        every = torch.arange(len(self.sites), device=tokens.device)
        return self.at(tokens.flatten(1), every).transpose(1, 2).unflatten(2, self.shape)

    def at(self, tokens: Tensor, sites: Tensor) -> Tensor:
        """The same for some sites: float64 `(B, n, q)`, for tokens `(B, N)` and sites `(n,)`."""
        energies = local_energies(tokens, self.sites[sites], self.energies[sites], self.field[sites])
        return energies / -self.temperature

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the Hamiltonian and the temperature."""
        return {"hamiltonian": self.description, "temperature": self.temperature}

    def _apply(self, fn: Any, recurse: bool = True) -> BoltzmannBias:
        """Move with the model, but stay float64: these are exact energies, not weights."""
        exact = self.energies, self.field
        super()._apply(fn, recurse)
        self.energies, self.field = (t.to(self.sites.device) for t in exact)
        return self


def local_energies(tokens: Tensor, neighbours: Tensor, tables: Tensor, field: Tensor) -> Tensor:
    """Energy of each value that some sites could take, their neighbours as they are: float64 `(B, n, q)`.

    Args:
        tokens: `(B, N)`.
        neighbours: int64 `(n, K)`, sites.
        tables: float64 `(n, K, q, q)`, energies of the bonds; the neighbour's token comes first.
        field: float64 `(n, q)`.
    """
    n, degree, q, _ = tables.shape
    table_rq = tables.reshape(-1, q)  # row (s, k, neighbour's token)
    rows = tokens.index_select(1, neighbours.flatten()).long()
    rows = (rows + q * torch.arange(n * degree, device=tokens.device)).view(-1, n, degree)
    energies = field.repeat(len(tokens), 1, 1)
    for k in range(degree):  # selecting whole rows, slot by slot, is three times faster than one gather
        energies += table_rq.index_select(0, rows[:, :, k].flatten()).view(-1, n, q)
    return energies
