"""The density of states on the energies that were measured, with replicas of a bootstrap over blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from latticear.arguments import described
from latticear.arrays import Array, Ints
from latticear.estimation.autocorrelation import integrated_autocorrelation_time
from latticear.estimation.inputs import batches_of
from latticear.estimation.weights import diagnose
from latticear.hamiltonians import AbstractHamiltonian
from latticear.hamiltonians.levels import energy_levels
from latticear.montecarlo.multicanonical_chains import Multicanonical
from latticear.samples import Samples
from latticear.scaling.blocks import Blocks
from latticear.scaling.free_energies import free_energies

__all__ = ["Density", "density_of_chains", "density_of_multicanonical", "density_of_samples"]

MAX_LEVELS = 1000
"""Number of levels beyond which neighbouring ones are joined."""

N_BLOCKS = 100
"""Number of blocks of independent samples."""

TAUS, LEAST_BLOCKS = 10, 20
"""Length of the blocks of chains in autocorrelation times, and the number of them that an error needs."""


class Density(ABC):
    """ln g(E) up to a constant.

    Attributes:
        level: energies, ascending, `(M,)`: those that occur, or their means in bins where there are many.
        warnings: reasons not to trust it.
    """

    level: Array
    warnings: tuple[str, ...] = ()

    @abstractmethod
    def entropy(self, times: Array | None = None) -> tuple[Array, Array]:
        """ln g, and the effective number of configurations of each level, if blocks count so many times."""

    @abstractmethod
    def drawn(self, rng: np.random.Generator) -> Array:
        """How many times each block counts in a replica."""

    def changes(self, low: float, high: float) -> int | None:
        """How often chains went from below the lower energy to above the other, or back; None without chains."""
        return None

    def distrust(self, beta: float) -> list[str]:
        """What speaks against the density at an inverse temperature."""
        return []

    def replicas(self, n: int, seed: int) -> Iterator[tuple[Array, Array]]:
        """ln g and counts of bootstrap replicas."""
        rng = np.random.default_rng(seed)
        for _ in range(n):
            yield self.entropy(self.drawn(rng))


class _OfSamples(Density):
    """From weighted samples: `g(E)` is the mean of 1/q over the samples with this energy."""

    def __init__(self, energy: Array, log_q: Array) -> None:
        self._energy, self._log_q = energy, log_q
        self.level, where = _levels(energy)
        n_blocks = min(N_BLOCKS, len(energy))
        block = np.arange(len(energy)) * n_blocks // len(energy)
        self._top = np.full(len(self.level), -np.inf)
        np.maximum.at(self._top, where, -log_q)
        w = np.exp(-log_q - self._top[where])  # at most one in each level
        cell, shape = where * n_blocks + block, (len(self.level), n_blocks)
        self._first, self._second = (np.bincount(cell, w**k, np.prod(shape)).reshape(shape) for k in (1, 2))

    def entropy(self, times: Array | None = None) -> tuple[Array, Array]:
        times = np.ones(self._first.shape[1]) if times is None else times
        first, second = self._first @ times, self._second @ times
        with np.errstate(divide="ignore"):
            return np.log(first) + self._top, first**2 / np.where(second > 0, second, 1.0)

    def drawn(self, rng: np.random.Generator) -> Array:
        n = self._first.shape[1]
        return np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)

    def distrust(self, beta: float) -> list[str]:
        return list(diagnose(-beta * self._energy - self._log_q).reasons)


class _OfChains(Density):
    """From chains whose configurations of energy E come in proportion to `g(E) D(E)`, with D known or estimated."""

    def __init__(self, chains: list[Array], names: list[str]) -> None:
        self._chains = chains
        lengths, warnings = [], []
        for energies, name in zip(chains, names, strict=True):
            length = int(np.ceil(TAUS * integrated_autocorrelation_time(energies).tau))
            if energies.size < LEAST_BLOCKS * length:
                warnings.append(
                    f"{name}: {energies.size:,} configurations are {energies.size / length:.0f} independent blocks; "
                    f"errors need {LEAST_BLOCKS}"
                )
            lengths.append(max(1, min(length, energies.size // LEAST_BLOCKS)))
        self._data, self.warnings = Blocks.of({"energy": chains}, lengths), tuple(warnings)
        self.level, self._joined = _levels(self._data.level, self._data.counts(np.ones(self._data.n)))

    @abstractmethod
    def _log_denominator(self, counts: Array, weights: Array) -> Array:
        """ln D of each level of the data, which has so many configurations, if each counts so many times."""

    def entropy(self, times: Array | None = None) -> tuple[Array, Array]:
        weights = np.ones(self._data.n) if times is None else times[self._data.block]
        counts = self._data.counts(weights)
        log_denominator = self._log_denominator(counts, weights)
        top = np.full(len(self.level), -np.inf)
        np.maximum.at(top, self._joined, -log_denominator)
        g = np.bincount(self._joined, counts * np.exp(-log_denominator - top[self._joined]))
        with np.errstate(divide="ignore"):
            return np.log(g) + top, np.bincount(self._joined, counts).astype(np.float64)

    def drawn(self, rng: np.random.Generator) -> Array:
        parts = [
            np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
            for n in np.diff(self._data.first).tolist()
        ]
        return np.concatenate(parts)

    def changes(self, low: float, high: float) -> int | None:
        return sum(_crossings(chain, low, high) for chains in self._chains for chain in chains.T)


class _AtTemperatures(_OfChains):
    """At one or several temperatures: D is the sum of their Boltzmann factors, by multiple histograms."""

    def __init__(self, chains: list[Array], temperatures: Array) -> None:
        super().__init__(chains, [f"T = {t:g}" for t in temperatures.tolist()])
        self._betas = 1 / temperatures
        self._start: Array | None = None
        ones = np.ones(self._data.n)
        self._start, _ = self._free_energies(self._data.counts(ones), ones)

    def _log_denominator(self, counts: Array, weights: Array) -> Array:
        return self._free_energies(counts, weights)[1]

    def _free_energies(self, counts: Array, weights: Array) -> tuple[Array, Array]:
        return free_energies(self._data.level, counts, self._betas, self._data.numbers(weights), start=self._start)


class _OfMulticanonical(_OfChains):
    """From multicanonical chains: D is their weight."""

    def __init__(self, drawn: Multicanonical) -> None:
        super().__init__([drawn.energies], ["multicanonical chains"])
        self._log_weight = drawn.log_weight[np.abs(drawn.level - self._data.level[:, None]).argmin(1)]

    def _log_denominator(self, counts: Array, weights: Array) -> Array:
        return self._log_weight


def density_of_samples(data: object, hamiltonian: AbstractHamiltonian) -> Density:
    """The density of states from samples of a model with `log_q`, in batches or not."""
    if not isinstance(data, Samples) and not isinstance(data, Iterable):
        raise ValueError(
            f"data must be samples of a model, or for chains energies with their temperatures, got {described(data)}"
        )
    energies, log_q = [], []
    for batch in batches_of(data, hamiltonian, None):
        if batch.log_q is None:
            raise ValueError(
                "these samples have no log_q: for chains give the energies of each temperature, and temperatures"
            )
        energies.append(hamiltonian.token_energy(batch.tokens).cpu().numpy())
        log_q.append(batch.log_q.cpu().numpy())
    if sum(map(len, energies)) < N_BLOCKS:
        raise ValueError(f"the errors need at least {N_BLOCKS} samples, got {sum(map(len, energies))}")
    return _OfSamples(np.concatenate(energies), np.concatenate(log_q))


def density_of_chains(data: object, temperatures: Sequence[float]) -> Density:
    """The density of states from the energies of chains."""
    if isinstance(data, Samples) or not isinstance(data, Sequence | np.ndarray):
        raise ValueError(
            f"with temperatures, data must be a list with the energies of the chains at each, got {described(data)}; "
            f"samples of a model need no temperature"
        )
    t = np.asarray(temperatures, dtype=np.float64)
    if t.ndim != 1 or not len(t):
        raise ValueError(f"temperatures must be a list with one or more of them, got {described(temperatures)}")
    if len(t) != len(data):
        raise ValueError(f"there must be one array of energies for each temperature, got {len(data)} and {t.size}")
    if not (np.isfinite(t).all() and (t > 0).all()) or len(np.unique(t)) < len(t):
        raise ValueError(f"temperatures must be positive and different, got {t.tolist()}")
    return _AtTemperatures([_chains(each, k) for k, each in zip(t.tolist(), data, strict=True)], t)


def density_of_multicanonical(drawn: Multicanonical, hamiltonian: AbstractHamiltonian) -> Density:
    """The density of states from multicanonical chains."""
    levels = energy_levels(hamiltonian)
    if levels is None or not np.array_equal(levels.values, drawn.level):
        raise ValueError(f"the energies were drawn for another system than {hamiltonian!r}: their levels differ")
    return _OfMulticanonical(drawn)


def _chains(energies: ArrayLike, temperature: float) -> Array:
    """The energies of one temperature, `(length, n_chains)`."""
    array = np.asarray(energies, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise ValueError(
            f"T = {temperature:g}: energies must be finite, of shape (length,) or (length, n_chains) with length >= 2, "
            f"got {described(array)}"
        )
    return array


def _crossings(chain: Array, low: float, high: float) -> int:
    """How often a chain goes from at or below `low` to at or above `high`, or back."""
    phase = np.where(chain <= low, -1, np.where(chain >= high, 1, 0))
    visited = phase[phase != 0]
    return int((np.diff(visited) != 0).sum())


def _levels(energy: Array, count: Array | None = None) -> tuple[Array, Ints]:
    """The different energies, or means of bins where there are many, and the number of that of each entry."""
    rounded = np.round(energy / (np.abs(energy).max() or 1.0), 12)
    _, first, where = np.unique(rounded, return_index=True, return_inverse=True)
    where, level = np.asarray(where.ravel(), dtype=np.int64), np.asarray(energy[first])
    if len(level) > MAX_LEVELS:
        wide = (energy - energy.min()) / np.ptp(energy) * MAX_LEVELS
        _, where = np.unique(np.minimum(wide.astype(int), MAX_LEVELS - 1), return_inverse=True)
        n = np.ones(len(energy)) if count is None else count
        level = np.bincount(where.ravel(), energy * n) / np.bincount(where.ravel(), n)
    return np.asarray(level, dtype=np.float64), np.asarray(where.ravel(), dtype=np.int64)
