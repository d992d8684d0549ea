"""The bins of distributions: exact levels where energies or magnetisations are equidistant, and intervals elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from latticear.arguments import described
from latticear.arrays import Array
from latticear.hamiltonians import AbstractHamiltonian
from latticear.hamiltonians.levels import Levels, energy_levels, magnetization_levels
from latticear.montecarlo import monte_carlo

__all__ = ["Asked", "Bins", "check_bins", "energy_bins", "magnetization_bins"]

MAX_LEVELS = 300
"""Number of levels up to which each of them is a bin: the energies of 16x16 Ising spins are 257."""

N_BINS = 100
"""Number of bins elsewhere."""

N_CHAINS, N_SWEEPS = 32, 40
"""Chains and sweeps of the short simulation that shows where the values lie."""

MARGIN = 1.5
"""How far bins reach beyond the values that this simulation has seen, in their standard deviations."""

Asked = int | Sequence[float] | None
"""What a user may ask for: a number of bins, their edges, or None for levels where there are some."""

_seen: WeakKeyDictionary[AbstractHamiltonian, dict[float, tuple[Array, Array]]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Bins:
    """Neighbouring intervals; what lies outside belongs to the first or the last of them.

    Attributes:
        edges: `(K + 1,)`, ascending.
        centres: `(K,)`, the values of the levels, or the middles of the intervals.
        are_levels: whether each bin is a single level.
    """

    edges: Array
    centres: Array
    are_levels: bool

    def __len__(self) -> int:
        return len(self.centres)

    def index_of(self, values: Tensor) -> Tensor:
        """The number of the bin of each value, int64 `(B,)`."""
        inner = torch.from_numpy(self.edges[1:-1]).to(values.device)
        return torch.bucketize(values.double().contiguous(), inner, right=True)

    def labels(self, name: str) -> dict[str, list[float]]:
        """The centres under a name, and of intervals also the edges, `NAME_from` and `NAME_to`."""
        centres = {name: self.centres.tolist()}
        if self.are_levels:
            return centres
        return centres | {f"{name}_from": self.edges[:-1].tolist(), f"{name}_to": self.edges[1:].tolist()}

    def sums(self, values: Array, weights: Array) -> Array:
        """The weight of each bin, `(K,)`, from values with weights."""
        index = self.index_of(torch.from_numpy(values)).numpy()
        return np.asarray(np.bincount(index, weights, len(self)), dtype=np.float64)


def check_bins(bins: object) -> Asked:
    """What a user asks for; ValueError unless it is None, a number of 2 or more, or ascending finite edges."""
    if bins is None or (isinstance(bins, int) and not isinstance(bins, bool) and bins >= 2):
        return bins
    if isinstance(bins, int | float | str):
        raise ValueError(f"bins must be a number of bins, 2 or more, or a list of their edges, got {described(bins)}")
    try:
        edges = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if edges.ndim != 1 or len(edges) < 3 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError(f"the edges of bins must be three or more ascending numbers, got {described(bins)}")
    return edges.tolist()


def energy_bins(hamiltonian: AbstractHamiltonian, temperature: float, asked: Asked = None) -> Bins:
    """The bins of the extensive energy.

    They are the levels where these are equidistant and few; otherwise intervals around the energies that a short
    simulation at this temperature visits, which begins with random and with uniform configurations.

    Args:
        hamiltonian: the system.
        temperature: T.
        asked: as in `Asked`.
    """
    return _bins(energy_levels(hamiltonian), asked, lambda: _visited(hamiltonian, temperature)[0], symmetric=False)


def magnetization_bins(hamiltonian: AbstractHamiltonian, temperature: float, asked: Asked = None) -> Bins:
    """The bins of the magnetisation per site: levels as for the energy; lengths of vectors have intervals of [0, 1]."""
    vectors = hamiltonian.vectors
    if vectors.shape[1] > 1 and not isinstance(asked, Sequence):
        longest = float(vectors.norm(dim=1).max())
        return _intervals(np.linspace(0.0, longest, (asked or N_BINS // 2) + 1))
    levels = magnetization_levels(hamiltonian)
    return _bins(levels, asked, lambda: _visited(hamiltonian, temperature)[1], symmetric=hamiltonian.spin_flip)


def _bins(levels: Levels | None, asked: Asked, seen: Callable[[], Array], *, symmetric: bool) -> Bins:
    if isinstance(asked, Sequence):
        return _intervals(asked)
    if levels is not None and levels.n <= (asked or MAX_LEVELS):
        values = levels.values
        edges = np.append(values, values[-1] + levels.spacing) - levels.spacing / 2
        return Bins(edges, values, are_levels=True)
    values = seen()
    margin = MARGIN * values.std()
    low, high = float(values.min() - margin), float(values.max() + margin)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    n = asked or N_BINS
    if levels is None:
        return _intervals(np.linspace(low, high, n + 1))
    return _joined(levels, low, high, n)


def _joined(levels: Levels, low: float, high: float, n: int) -> Bins:
    """Intervals of equally many levels, with edges halfway between levels, so that none of them counts more."""
    first, last = (min(max(int(k), 0), levels.n - 1) for k in levels.index_of(np.array([low, high])))
    covered = last - first + 1
    each = math.ceil(covered / n) | 1
    count = math.ceil(covered / each)
    count += (count * each - covered) % 2  # as many levels beyond one end as beyond the other
    start = first - (count * each - covered) // 2
    return _intervals(levels.first + levels.spacing * (start - 0.5 + each * np.arange(count + 1)))


def _intervals(edges: ArrayLike) -> Bins:
    edges = np.asarray(edges, dtype=np.float64)
    return Bins(edges, (edges[1:] + edges[:-1]) / 2, are_levels=False)


def _visited(hamiltonian: AbstractHamiltonian, temperature: float) -> tuple[Array, Array]:
    """Energies and magnetisations of a short simulation, which is the same in every process."""
    by_temperature = _seen.setdefault(hamiltonian, {})
    if temperature not in by_temperature:
        method = None if hamiltonian.composition is not None else "heat-bath"
        batches = monte_carlo(
            hamiltonian,
            temperature,
            n=N_CHAINS * N_SWEEPS // 2,
            method=method,
            n_chains=N_CHAINS,
            thermalization=N_SWEEPS // 2,
            thinning=1,
        )
        tokens = torch.cat([batch.tokens for batch in batches])
        by_temperature[temperature] = (
            hamiltonian.token_energy(tokens).numpy(),
            hamiltonian.magnetization(tokens).numpy(),
        )
    return by_temperature[temperature]
