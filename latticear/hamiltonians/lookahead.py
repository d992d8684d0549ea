"""The known-neighbour term with the sum over all later sites, for networks in raster order."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor

from latticear.hamiltonians.bias import BoltzmannBias, Strengths
from latticear.lookahead import Environments, RowWeights, Sweep
from latticear.tables import brief

__all__ = ["LookaheadBias"]


class LookaheadBias(BoltzmannBias):
    """Adds to the logits what is known exactly of earlier sites, and the sum over all later ones by matrix products.

    Each term is the logarithm of a normalised conditional probability, whatever the bond dimension, which sets how well
    it agrees with that of the Boltzmann distribution. A network that has this bias learns the rest; without a network
    it is a sampler by itself (`TensorNetwork`). The sums are computed once, in double precision, when they are first
    needed.

    `hamiltonian.bias(temperature, bond_dimension=16)` builds this module.

    Args:
        around, field, temperature, shape, spin_flip, hamiltonian: as for `BoltzmannBias`.
        weights: the Boltzmann weights of the lattice.
        bond_dimension: chi, the largest bond dimension of the matrix products.

    References:
        Frias-Perez et al., "Collective Monte Carlo updates through tensor network renormalization" (2023), arXiv
        2104.13264, who draw configurations from boundary matrix products.
    """

    in_raster_order = True

    def __init__(self, *common: Any, weights: RowWeights, bond_dimension: int, **named: Any) -> None:
        super().__init__(*common, **named)
        self.weights, self.bond_dimension = weights, bond_dimension
        self._dtype = torch.float64
        self._state = _State()

    def with_products_in(self, dtype: torch.dtype) -> LookaheadBias:
        """The same, with another number type of the matrix products within a row; the sums over rows are shared."""
        if dtype == self._dtype:
            return self
        other = deepcopy(self)
        other._dtype = dtype
        return other

    def attach(self, rank: Tensor) -> None:
        """Keep only the bonds to sites of lower rank.

        Raises:
            ValueError: unless the ranks `(H, W)` are those of raster order.
        """
        if not torch.equal(rank.flatten().cpu(), torch.arange(rank.numel())):
            raise ValueError(
                "bond_dimension needs a network that draws the sites one after the other in raster order, such as "
                "pixelcnn or tensor_network"
            )
        super().attach(rank)

    def environments(
        self, device: torch.device | str = "cpu", progress: Callable[[int, int], object] | None = None
    ) -> Environments:
        """The sums over later rows, computed in the first call, with progress as `Environments` reports it."""
        state, device = self._state, torch.device(device)
        if state.environments is None:
            state.environments = Environments(self.weights, self.bond_dimension, progress)
        if state.environments.device != device:
            state.environments = state.environments.to(device)
        return state.environments

    def tells(self, sites: Tensor) -> bool:
        return True

    def sweep(self, n: int, device: torch.device | str = "cpu", couplings: Tensor | None = None) -> Sweep:
        """The conditional probabilities of n configurations, site by site, given the couplings of their `strengths`."""
        return Sweep(self.environments(device), n, spin_flip=self.spin_flip, dtype=self._dtype)

    def forward(self, tokens: Tensor, condition: Tensor | None = None) -> Tensor:
        """The term to add to the logits, float64 `(B, q, H, W)`, for tokens `(B, H, W)`."""
        couplings = self.strengths(len(tokens), condition).couplings
        swept = self.sweep(len(tokens), tokens.device, couplings).run(tokens=tokens, with_logits=True)
        return cast(Tensor, swept.logits).movedim(3, 1)

    def at(self, tokens: Tensor, sites: Tensor, strengths: Strengths) -> Tensor:
        """The term at one site: float64 `(B, 1, q)`, for tokens `(B, N)`; fast if sites follow one another."""
        (site,), state = sites.tolist(), self._state
        sweep = state.sweep
        if sweep is None or sweep.n != len(tokens) or not 0 < sweep.site <= site:
            sweep = state.sweep = self.sweep(len(tokens), tokens.device, strengths.couplings)
        while sweep.site < site:
            sweep.take(tokens[:, sweep.site].long())
        return sweep.logits()[:, None]

    def __str__(self) -> str:
        return f"{super().__str__()}, with the sum over later sites at bond dimension {brief(self.bond_dimension)}"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the Hamiltonian, the temperature and the bond dimension."""
        return super().to_dict() | {"bond_dimension": self.bond_dimension}


class _State:
    """What is computed on demand; copies of a bias share the sums, which never change."""

    __slots__ = ("environments", "sweep")

    def __init__(self, environments: Environments | None = None) -> None:
        self.environments = environments
        self.sweep: Sweep | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _State:
        return _State(self.environments)
