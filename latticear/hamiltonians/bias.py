"""The known-neighbour term: exact energies of bonds to earlier sites, added to the logits of a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latticear.hamiltonians.neighbourhoods import Neighbourhoods, local_energies
from latticear.lattice import configuration_size

__all__ = ["BoltzmannBias", "Strengths"]


class Strengths(NamedTuple):
    """The temperature and the couplings of each of B configurations.

    Attributes:
        temperatures: T, float64 `(B,)`.
        couplings: float64 `(B, n)`, factors on the energies of bonds, if each configuration has couplings of its own;
            None if all configurations have the couplings of the Hamiltonian.
    """

    temperatures: Tensor
    couplings: Tensor | None

    def of(self, places: Tensor) -> Tensor | None:
        """The factors `couplings[:, places]`: `(B, ...)`; None if all factors are 1."""
        return None if self.couplings is None else self.couplings[:, places]

    def copy_(self, other: Strengths) -> None:
        """Copy the values of `other` into these tensors, in place."""
        self.temperatures.copy_(other.temperatures)
        if self.couplings is not None and other.couplings is not None:
            self.couplings.copy_(other.couplings)


class BoltzmannBias(nn.Module):
    """Adds to each site's logits `-beta` times the energy of its field and of its bonds to sites of lower rank.

    The rank of a site is its position in the autoregressive order of the model. A bond, including one across a periodic
    boundary, is counted at its end of higher rank, so the network has to learn only the effect of the sum over the
    later sites. The term depends on sites of lower rank only: the product of the conditional probabilities stays
    normalised and exact.

    `hamiltonian.bias(temperature)` builds this module.

    Args:
        around: the bonds of each of the N = H W sites.
        field: float64 `(N, q)`, single-site energy of each token.
        temperature: T; it does not change while training anneals beta. None if the first entry of each configuration's
            condition is its temperature.
        shape: (H, W).
        spin_flip: whether the energies are unchanged when all spins are flipped.
        hamiltonian: JSON values that describe the Hamiltonian, from its `to_dict`.
        couplings: int64 `(n_bonds,)`, which entry of the flattened condition maps is the factor on the energy of each
            bond; None if the energies do not depend on the condition.
    """

    energies: Tensor
    sites: Tensor
    field: Tensor
    couplings: Tensor | None
    n_components: int = 1
    in_raster_order: bool = False
    """Whether the term needs sites that are drawn one after the other in raster order."""

    def __init__(
        self,
        around: Neighbourhoods,
        field: Tensor,
        temperature: float | None,
        *,
        shape: tuple[int, int],
        spin_flip: bool,
        hamiltonian: dict[str, Any],
        couplings: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.temperature, self.description = temperature, hamiltonian
        self.shape, self.n_tokens, self.spin_flip = shape, field.shape[1], spin_flip
        self.register_buffer("sites", around.sites, persistent=False)
        # the neighbour's token first, then the site's own
        self.register_buffer("energies", around.energies.transpose(-1, -2).contiguous(), persistent=False)
        self.register_buffer("field", field.clone(memory_format=torch.contiguous_format), persistent=False)
        of_slots = None if couplings is None else couplings[around.bonds]  # (N, K)
        self.register_buffer("couplings", of_slots, persistent=False)

    def attach(self, rank: Tensor) -> None:
        """Keep only the bonds to sites of lower rank, given the ranks of all sites in the model's order, `(H, W)`."""
        flat = rank.flatten()
        lower = flat[self.sites] < flat[:, None]
        self.energies *= lower[..., None, None]

    def tells(self, sites: Tensor) -> bool:
        """Whether the term is different from zero at any of these sites, `(n,)`."""
        return bool(self.energies[sites].any() or self.field[sites].any())

    def forward(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """The term to add to the logits, float64 `(B, q, H, W)`, for tokens `(B, H, W)` and their conditions.

        If sites have components, `(B, q, C, H, W)` for tokens `(B, C, H, W)`.
        """
        every = torch.arange(self.n_components * len(self.sites), device=tokens.device)
        strengths = self.strengths(len(tokens), condition)
        size = configuration_size(self.shape, self.n_components)
        return self.at(tokens.flatten(1), every, strengths).transpose(1, 2).unflatten(2, size)

    def at(self, tokens: Tensor, sites: Tensor, strengths: Strengths) -> Tensor:
        """The term at some sites only: float64 `(B, n, q)`, for tokens `(B, N)` and sites `(n,)`."""
        factors = None if self.couplings is None else strengths.of(self.couplings[sites])
        energies = local_energies(tokens, self.sites[sites], self.energies[sites], self.field[sites], factors)
        return energies / -strengths.temperatures[:, None, None]

    @property
    def n_maps(self) -> int:
        """Number of condition maps that contain couplings, the last ones: 2, or 0 if couplings are not conditions."""
        return 0 if self.couplings is None else 2

    def strengths(self, n: int, condition: Tensor | None) -> Strengths:
        """Temperature and couplings of n configurations, given their conditions."""
        if self.temperature is not None:
            temperatures = self.field.new_full((n,), self.temperature)
        else:
            assert condition is not None
            temperatures = condition[:, 0].double()
        if not self.n_maps:
            return Strengths(temperatures, None)
        assert condition is not None
        return Strengths(temperatures, condition[:, -self.n_maps * len(self.sites) :].double())

    def check(self, condition: Tensor) -> None:
        """Raise ValueError if the first entry of the condition is to be a temperature and is not positive."""
        if self.temperature is None and condition.numel() and not (condition[..., 0] > 0).all():
            raise ValueError(
                f"the first entry of the condition is the temperature and must be positive, got "
                f"{condition[..., 0].min().item():g}"
            )

    def __str__(self) -> str:
        place = "any temperature" if self.temperature is None else f"T = {self.temperature:g}"
        return f"known-neighbour term of {self.description['name']} at {place}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the Hamiltonian and the temperature."""
        return {"hamiltonian": self.description, "temperature": self.temperature}

    def _apply(self, fn: Any, recurse: bool = True) -> BoltzmannBias:
        """Follow the model to another device but keep float64, because energies, unlike weights, are exact."""
        exact = self.energies, self.field
        super()._apply(fn, recurse)
        self.energies, self.field = (t.to(self.sites.device) for t in exact)
        return self
