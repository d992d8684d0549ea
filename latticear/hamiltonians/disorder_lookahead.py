"""The sum over all later sites for each configuration's own couplings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from latticear.hamiltonians.lookahead import LookaheadBias
from latticear.lookahead import Environments, RowWeights, Sweep

__all__ = ["DisorderLookahead"]

MOST_SETS, MOST_BYTES = 8, 2**28
"""Of how many sets of couplings the sums are kept, and in how much memory; those of the last one always are."""


class DisorderLookahead(LookaheadBias):
    """A `LookaheadBias` for configurations each with couplings of its own, which are their condition.

    The sums are computed for all instances of a batch together, each once, when they are first needed, and kept for the
    last sets of couplings. No gradient goes through them.

    `disorder.bias(temperature, bond_dimension=8)` builds this module.

    Args:
        common: as for `BoltzmannBias`, with a temperature and with `couplings`.
        unit: the bonds, int64 `(n_bonds, 2)`, their energies with couplings of 1, float64 `(n_bonds, q, q)`, and those
            of the sites, float64 `(N, q)`.
        bond_dimension: chi, the largest bond dimension of the matrix products.
    """

    def __init__(
        self, *common: Any, unit: tuple[Tensor, Tensor, Tensor], couplings: Tensor, bond_dimension: int, **named: Any
    ) -> None:
        temperature = common[2]
        weights = RowWeights.of_bonds(named["shape"], *unit, temperature)
        super().__init__(*common, weights=weights, bond_dimension=bond_dimension, couplings=couplings, **named)
        self._bonds, self._bond_energies, self._site_energies = unit
        self._places, self._kept = couplings, _Kept()

    def environments(
        self, device: torch.device | str = "cpu", progress: Callable[[int, int], object] | None = None
    ) -> Environments:
        """Not defined, because the couplings differ from configuration to configuration; see `environments_given`.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"the sums over later sites of {self.description['name']} need the couplings of an instance")

    def sweep(self, n: int, device: torch.device | str = "cpu", couplings: Tensor | None = None) -> Sweep:
        if couplings is None:
            return super().sweep(n, device)
        return Sweep(self.environments_given(couplings, device), n, spin_flip=self.spin_flip, dtype=self._dtype)

    def environments_given(self, couplings: Tensor, device: torch.device | str = "cpu") -> Environments:
        """The sums over later rows: of one instance if all configurations have the same couplings, else of each.

        Args:
            couplings: `(B, 2 H W)`, the maps of the couplings of each configuration.
            device: their device.
        """
        of_bonds = couplings.detach().cpu()[:, self._places].double()
        if bool((of_bonds == of_bonds[0]).all()):
            return self._of(of_bonds[:1], torch.device(device))
        distinct, which = of_bonds.unique(dim=0, return_inverse=True)
        return self._of(distinct, torch.device(device)).of_each(which.to(device))

    @torch.no_grad()
    def _of(self, instances: Tensor, device: torch.device) -> Environments:
        """The sums of instances with couplings `(I, n_bonds)`; those that were used last are not computed again."""
        key = (str(device), instances.numpy().tobytes())
        environments = self._kept.get(key)
        if environments is None:
            unit = self._bonds, self._bond_energies, self._site_energies
            weights = RowWeights.of_bonds(self.shape, *unit, self._at, instances).to(device)
            environments = Environments(weights, self.bond_dimension)
            self._kept.put(key, environments)
        return environments

    @property
    def _at(self) -> float:
        assert self.temperature is not None
        return self.temperature


class _Kept:
    """The sums that were used last; copies of a bias share them, since they never change."""

    __slots__ = ("_sets",)  # without attributes that a sampler would take for changes of the network

    def __init__(self) -> None:
        self._sets: OrderedDict[tuple[str, bytes], Environments] = OrderedDict()

    def get(self, key: tuple[str, bytes]) -> Environments | None:
        if key in self._sets:
            self._sets.move_to_end(key)
        return self._sets.get(key)

    def put(self, key: tuple[str, bytes], environments: Environments) -> None:
        self._sets[key] = environments
        while len(self._sets) > 1 and (len(self._sets) > MOST_SETS or self._bytes > MOST_BYTES):
            self._sets.popitem(last=False)

    @property
    def _bytes(self) -> int:
        return sum(environments.n_bytes for environments in self._sets.values())

    def __deepcopy__(self, memo: dict[int, Any]) -> _Kept:
        return self
