"""Multicanonical chains: weights of the energy that make all energies between two phases equally frequent."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latticear.arguments import check_integer, check_seed, described
from latticear.arrays import Array
from latticear.hamiltonians.base import (
    AbstractHamiltonian,
    check_is_hamiltonian,
    check_temperature,
    check_unrestricted,
)
from latticear.hamiltonians.levels import Levels, energy_levels
from latticear.kernels.library import library
from latticear.random_numbers import generator

__all__ = ["Multicanonical", "multicanonical"]

FIRST_STEP = 0.1
"""By how much a visit of one chain lowers the logarithmic weight of a level when the weights are learnt, at first; of
several chains all together, so that what they started from is forgotten before it leaves a mark."""

UNCHANGED, AT_ONCE = 20, 16
"""The step stays the same for a twentieth of the sweeps before, and for so many sweeps at most."""

CROSSINGS = 100
"""How often the chains must have gone from one end of the window to the other until the weights count as learnt."""

PHASE_CHAINS, PHASE_SWEEPS = 8, 500
"""Chains in one phase, and their sweeps, half of them measured, that find its mean energy."""


@dataclass(frozen=True, eq=False)
class Multicanonical:
    """Energies of multicanonical chains, and the weights with which they were drawn.

    A configuration has the probability `exp(log_weight[k]) / Z'`, where k is the level of its energy: the number of
    configurations with this energy is `g(E_k) ~ n_k exp(-log_weight[k])`, if n_k of the drawn ones have it.

    Attributes:
        energies: extensive energies, `(length, n_chains)`; neighbours in a chain are correlated.
        level: all levels of the energy, ascending, `(M,)`.
        log_weight: logarithm of the weight of each level, up to a constant, `(M,)`.
        window: the energies between which all levels are about equally frequent.
        temperatures: at which the weights go on beyond it, as those of Boltzmann.
        sweeps: sweeps of each chain in which the weights were learnt; those are not among `energies`.
    """

    energies: Array
    level: Array
    log_weight: Array
    window: tuple[float, float]
    temperatures: tuple[float, float]
    sweeps: int


def multicanonical(
    hamiltonian: AbstractHamiltonian,
    temperatures: tuple[float, float],
    *,
    n: int,
    n_chains: int = 8,
    thinning: int = 1,
    learning: int | None = None,
    seed: int = 0,
) -> Multicanonical:
    """Energies of chains that cross the valley between two phases as easily as they move within one.

    A configuration of energy E is drawn with a weight w(E) that is about `1 / g(E)` between the mean energies at the
    two temperatures, so that all energies there are equally frequent: those of the interfaces between two phases too,
    which at the temperature of a first-order transition come with a probability of `exp(-2 sigma L / T)`. Beyond these
    energies the weights are those of the lower and of the higher temperature. First w is learnt: each visit of a level
    lowers its weight, by less and less; then it is fixed, and the chains are those of a heat bath with exactly this
    weight. What they are for is `la.coexistence`, which takes the result.

    Even-numbered chains start from random configurations, odd-numbered ones from one of lowest energy. The same
    arguments give the same energies bit for bit.

    Args:
        hamiltonian: a system with bonds whose energies are equidistant (Ising, Potts, Blume-Capel, +-J glasses).
        temperatures: one below and one above the transition, each so far from it that it belongs to one phase alone: a
            few per cent.
        n: total number of energies.
        n_chains: number of chains.
        thinning: sweeps between energies, 1 or more.
        learning: sweeps of each chain in which the weights are learnt and the start is forgotten; by default until the
            chains have gone from one phase to the other 100 times, but no more sweeps than are measured.
        seed: seed of all random numbers.

    Raises:
        ValueError: when called, for a number out of range or a system without equidistant energies.

    References:
        B. A. Berg and T. Neuhaus, Phys. Rev. Lett. 68 (1992) 9 (the weights); F. Wang and D. P. Landau, Phys. Rev.
        Lett. 86 (2001) 2050, and R. E. Belardinelli and V. D. Pereyra, Phys. Rev. E 75 (2007) 046701 (how they are
        learnt).

    Example:
        >>> from latticear.hamiltonians import Potts
        >>> found = multicanonical(Potts((4, 4), q=10), (0.6, 0.9), n=1000, learning=200)
        >>> found.energies.shape, found.level.shape, found.log_weight.shape
        ((125, 8), (33,), (33,))
    """
    check_is_hamiltonian(hamiltonian)
    hamiltonian = hamiltonian.joint
    check_unrestricted(hamiltonian, "multicanonical", "chains of kawasaki")
    cold, hot = _pair(temperatures)
    n_chains = check_integer("n_chains", n_chains, least=1)
    n, thinning = check_integer("n", n, least=2 * n_chains), check_integer("thinning", thinning, least=1)
    chains = _Chains(hamiltonian, cold, hot, n_chains, generator(check_seed(seed), "multicanonical"))
    length = -(-n // n_chains)
    if learning is None:
        learning = chains.learn(length * thinning, CROSSINGS)
    else:
        chains.learn(check_integer("learning", learning, least=0))
    k = chains.measured(length, thinning)
    levels = chains.levels.values
    low, high = levels[list(chains.window)].tolist()
    return Multicanonical(levels[k], levels, chains.log_weights, (low, high), (cold, hot), learning)


def _pair(temperatures: object) -> tuple[float, float]:
    """The two temperatures."""
    pair = temperatures.tolist() if isinstance(temperatures, np.ndarray) else temperatures
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(f"temperatures must be two, the lower and the higher one, got {described(temperatures)}")
    cold, hot = map(check_temperature, pair)
    if cold >= hot:
        raise ValueError(f"temperatures must be the lower and the higher one, got {cold:g} and {hot:g}")
    return cold, hot


class _Chains:
    """The chains, with weights that may change.

    Attributes:
        levels: the levels of the energy.
        window: numbers of the first and the last level that are to be equally frequent.
    """

    def __init__(
        self, hamiltonian: AbstractHamiltonian, cold: float, hot: float, n_chains: int, rng: np.random.Generator
    ) -> None:
        levels = energy_levels(hamiltonian)
        if levels is None:
            raise ValueError(
                f"multicanonical chains need bonds and equidistant energies, which {hamiltonian!r} does not have; use "
                f"la.monte_carlo at several temperatures"
            )
        self.levels: Levels = levels
        self._rng = rng
        around = hamiltonian.neighbourhoods
        n_sites, degree, q, _ = around.energies.shape
        tables, kind = np.unique(around.energies.flatten(0, 1).numpy(), axis=0, return_inverse=True)
        self._table = np.ascontiguousarray(tables.swapaxes(1, 2)) / levels.spacing  # [kind, neighbour's token, token]
        self._kind = kind.reshape(n_sites, degree).astype(np.int32)
        self._around = np.ascontiguousarray(around.sites.numpy(), dtype=np.int32)
        self._field = np.ascontiguousarray(hamiltonian.site_energies.numpy()) / levels.spacing
        largest = np.ptp(self._table, axis=2).max(1, initial=0)[self._kind].sum(1) + np.ptp(self._field, axis=1)
        self._reach = math.ceil(largest.max() - 1e-6)
        self._tail, self._log_weight = np.zeros((2, levels.n))
        random = torch.from_numpy(rng.integers(q, size=(n_chains, *hamiltonian.shape)))
        uniform = torch.arange(q).view(-1, 1, 1).expand(-1, *hamiltonian.shape)
        lowest = uniform[hamiltonian.token_energy(uniform).argmin()]
        low, high = self._typical(hamiltonian, lowest[None], cold), self._typical(hamiltonian, random[:1], hot)
        self.window = self._set_window(low, high, (1 / cold, 1 / hot))
        random[1::2] = lowest
        self._begin(hamiltonian, random)

    @property
    def log_weights(self) -> Array:
        """The logarithm of the weight of each level, `(M,)`."""
        low, high = self.window
        return self._log_weight[np.clip(np.arange(self.levels.n), low, high)] + self._tail

    def learn(self, n_sweeps: int, crossings: float = math.inf) -> int:
        """Learn the weights, in so many sweeps or until the chains have crossed the window so often.

        The step is the number of levels divided by that of updates, and less at first. While it is large it drives the
        chains from phase to phase; when they have gone many times, most were by themselves.

        Returns:
            The number of sweeps.
        """
        low, high = self.window
        done, crossed, end = 0, 0, np.zeros(len(self._tokens), dtype=np.int64)
        while done < n_sweeps and crossed < crossings:
            step = min(FIRST_STEP / len(self._tokens), (high - low + 1) / max(1, done * self._tokens.size))
            sweeps = min(max(1, done // UNCHANGED), AT_ONCE, n_sweeps - done)
            self._sweep(sweeps, step)
            done += sweeps
            now = np.where(self._level <= low, -1, np.where(self._level >= high, 1, end))
            crossed += int((now * end < 0).sum())
            end = now
        return done

    def measured(self, length: int, thinning: int) -> NDArray[np.int64]:
        """Levels of the chains after every `thinning` sweeps: `(length, n_chains)`."""
        found = np.empty((length, len(self._tokens)), dtype=np.int64)
        for row in found:
            self._sweep(thinning, 0.0)
            row[:] = self._level
        return found

    def _typical(self, hamiltonian: AbstractHamiltonian, start: torch.Tensor, temperature: float) -> int:
        """The level that occurs nearest to the mean of the phase of a configuration at a temperature."""
        self.window = (0, 0)
        self._tail[:] = -self.levels.spacing / temperature * np.arange(self.levels.n)
        self._begin(hamiltonian, start.expand(PHASE_CHAINS, -1, -1))
        self._sweep(PHASE_SWEEPS // 2, 0.0)
        found = self.measured(PHASE_SWEEPS // 2, 1).ravel()
        return int(found[np.abs(found - found.mean()).argmin()])

    def _set_window(self, low: int, high: int, betas: tuple[float, float]) -> tuple[int, int]:
        """Set the tails of both temperatures, and weights whose slope goes evenly from one to the other."""
        if low >= high:
            raise ValueError(
                "the mean energies at the two temperatures are the same: take temperatures that lie farther apart"
            )
        k = np.arange(self.levels.n)
        cold, hot = (self.levels.spacing * beta for beta in betas)
        self._tail = np.where(k < low, cold * (low - k), np.where(k > high, hot * (high - k), 0.0))
        way = np.clip(k, low, high) - low
        self._log_weight = -cold * way + (cold - hot) * way**2 / (2 * (high - low))
        return low, high

    def _begin(self, hamiltonian: AbstractHamiltonian, tokens: torch.Tensor) -> None:
        self._tokens = np.ascontiguousarray(tokens.flatten(1).numpy(), dtype=np.int32)
        self._level = self.levels.index_of(hamiltonian.token_energy(tokens).numpy())

    def _sweep(self, n_sweeps: int, step: float) -> None:
        kernels = library()
        if kernels is None:
            self._sweep_in_python(n_sweeps, step)
            return
        n_sites, degree = self._kind.shape
        q, width = self._field.shape[1], 2 * self._reach + 1
        work = np.empty(q), np.empty(width), np.empty(width, dtype=np.int64)
        interface = self._rng.bit_generator.ctypes
        kernels.latticear_multicanonical(
            *(len(self._tokens), n_sites, q, degree, self._reach, *self.window, n_sweeps, step),
            *_pointers(self._around, self._kind, self._table, self._field, self._tail, self._log_weight),
            *(ctypes.cast(interface.next_double, ctypes.c_void_p).value, interface.state_address),
            *_pointers(*work, self._level, self._tokens),
        )

    def _sweep_in_python(self, n_sweeps: int, step: float) -> None:
        """What the kernel does, the numbers of each sum in the same order."""
        low, high = self.window
        reach, weight, tail = self._reach, self._log_weight, self._tail.tolist()
        around, kind, table = self._around.tolist(), self._kind.tolist(), self._table.tolist()
        for chain, start in enumerate(self._tokens.tolist()):
            tokens, here = start, int(self._level[chain])
            for _ in range(n_sweeps):
                for i, field in enumerate(self._field.tolist()):
                    local = field
                    for site, which in zip(around[i], kind[i], strict=True):
                        local = [a + b for a, b in zip(local, table[which][tokens[site]], strict=True)]
                    now, old = local[tokens[i]], weight[min(max(here, low), high)] + tail[here]
                    there = [here + int(energy - now + (reach + 0.5)) - reach for energy in local]
                    factor = [math.exp(weight[min(max(k, low), high)] + tail[k] - old) for k in there]
                    wanted, passed, drawn = self._rng.random() * _sum(factor), factor[0], 0
                    while passed <= wanted and drawn + 1 < len(factor):
                        drawn += 1
                        passed += factor[drawn]
                    tokens[i], here = drawn, there[drawn]
                    if step and low <= here <= high:
                        weight[here] -= step
            self._tokens[chain], self._level[chain] = tokens, here


def _sum(numbers: Sequence[float]) -> float:
    """The sum from left to right, without the corrections of Python's own."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def _pointers(*arrays: NDArray[Any]) -> list[int]:
    return [array.ctypes.data for array in arrays]
