"""Distributions of energy and magnetisation, as the share of the configurations in each bin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.bins import Asked, Bins, check_bins, energy_bins, magnetization_bins
from latticear.estimation.quantity import Estimate
from latticear.exact import ExactResult
from latticear.exact.distributions import known_energies, known_magnetizations
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = [
    "ENERGY",
    "MAGNETIZATION",
    "AbstractHistogram",
    "Axis",
    "EnergyDistribution",
    "JointDistribution",
    "MagnetizationDistribution",
    "bin_by_bin",
]

N_JOINT = 24
"""Number of bins of each of energy and magnetisation in their joint distribution."""

RARE = "the error depends on few rare events"


class AbstractBinned(AbstractObservable):
    """What follows from a histogram.

    Args:
        bins: number of bins or their edges; None for the levels, where they are equidistant and few.

    Raises:
        ValueError: for bins that are neither.
    """

    of_temperature = True  # so are the bins where there are no levels

    def __init__(self, bins: Asked = None) -> None:
        self.bins = check_bins(bins)


class Axis(NamedTuple):
    """A quantity that configurations are sorted by.

    Attributes:
        label: what its values are called.
        bins: its bins, from a system, T and what was asked for.
        values: its value in each configuration, from a system and tokens.
        known: exact values with their probabilities, from a system and T; None where they are not known.
    """

    label: str
    bins: Callable[[AbstractHamiltonian, float, Asked], Bins]
    values: Callable[[AbstractHamiltonian, Tensor], Tensor]
    known: Callable[[AbstractHamiltonian, float], tuple[Array, Array] | None]


ENERGY = Axis("energy", energy_bins, lambda system, tokens: system.token_energy(tokens), known_energies)
MAGNETIZATION = Axis("m", magnetization_bins, lambda system, tokens: system.magnetization(tokens), known_magnetizations)


class AbstractHistogram(AbstractBinned):
    """A histogram over one axis, or what follows from it: then it is the first of the `parts`."""

    axis: ClassVar[Axis]

    @property
    def histogram(self) -> str:
        """The name of what is measured."""
        return self.parts[0] if self.parts else self.name

    def bins_of(self, hamiltonian: AbstractHamiltonian, temperature: float) -> Bins:
        """The bins of a system."""
        return self.axis.bins(hamiltonian, temperature, self.bins)

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        bins = self.bins_of(hamiltonian, temperature)
        index = bins.index_of(self.axis.values(hamiltonian, batch.tokens))
        return {self.histogram: torch.nn.functional.one_hot(index, len(bins)).double()}

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        found = self.axis.known(hamiltonian, temperature)
        return {} if found is None else {self.histogram: self.bins_of(hamiltonian, temperature).sums(*found)}

    def finish(self, estimates: Estimates, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        labels = self.bins_of(hamiltonian, temperature).labels(self.axis.label)
        estimates[self.name] = bin_by_bin(estimates[self.name], labels)


class EnergyDistribution(AbstractHistogram):
    """P(E): the probability of each level of the extensive energy, or of each bin.

    Where energies are equidistant and there are at most 300 levels, each has its own probability, also those that no
    configuration has. Elsewhere there are bins around the energies that a short simulation at this temperature visits;
    the first and the last one contain what lies beyond. Probabilities add up to 1: they are no densities. Levels that
    no configuration hit have the value 0, and no error (nan).
    """

    name: ClassVar[str] = "energy_distribution"
    even: ClassVar[bool] = True
    axis: ClassVar[Axis] = ENERGY


class MagnetizationDistribution(AbstractHistogram):
    """P(m): the probability of each value of the magnetisation per site, or of each bin.

    m is what `abs_magnetization` is the mean modulus of: the mean spin with its sign, and for spins that are vectors
    (Potts, clock) the length of the mean vector, whose values have 50 bins from 0 to 1. Levels, bins and errors are as
    in `EnergyDistribution`.
    """

    name: ClassVar[str] = "magnetization_distribution"
    axis: ClassVar[Axis] = MAGNETIZATION


class JointDistribution(AbstractBinned):
    """P(E, m): the probability of energy and magnetisation together, in 24 bins of each at most.

    The entries are in the order of the energies, and for each energy of the magnetisations; the labels `energy` and `m`
    have both for each entry.
    """

    name: ClassVar[str] = "energy_magnetization_distribution"

    def __init__(self, bins: int = N_JOINT) -> None:
        if not isinstance(bins, int):
            raise ValueError(f"bins must be a number of bins for each of energy and magnetisation, got {bins!r}")
        super().__init__(bins)

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        of_energy, of_m = self._both(hamiltonian, temperature)
        e = of_energy.index_of(hamiltonian.token_energy(batch.tokens))
        m = of_m.index_of(hamiltonian.magnetization(batch.tokens))
        cells = torch.nn.functional.one_hot(e * len(of_m) + m, len(of_energy) * len(of_m))
        return {self.name: cells.double()}

    def finish(self, estimates: Estimates, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        of_energy, of_m = self._both(hamiltonian, temperature)
        labels = {name: np.repeat(each, len(of_m)) for name, each in of_energy.labels("energy").items()}
        labels |= {name: np.tile(each, len(of_energy)) for name, each in of_m.labels("m").items()}
        estimates[self.name] = bin_by_bin(estimates[self.name], labels)

    def _both(self, hamiltonian: AbstractHamiltonian, temperature: float) -> tuple[Bins, Bins]:
        of_energy, of_m = (axis.bins(hamiltonian, temperature, self.bins) for axis in (ENERGY, MAGNETIZATION))
        return of_energy, of_m


def bin_by_bin(estimate: Estimate, labels: Mapping[str, Any]) -> Estimate:
    """A measured histogram whose entries are each judged by their own error.

    An entry has no error where nothing was found. That the rarest entry depends on few configurations is no doubt about
    the others; its own error is large. Where the exact probability is known, an error is not taken for smaller than the
    one that as many configurations should have: see `Estimate.deviation`.
    """
    value = np.asarray(estimate.value)
    error = np.where(value > 0, estimate.error, np.nan)
    exact, spread = estimate.exact, None
    if exact is not None:
        exact = np.clip(exact, 0.0, 1.0)
        spread = np.sqrt(exact * (1 - exact))
    return replace(
        estimate,
        error=error,
        exact=exact,
        exact_spread=spread,
        doubts=tuple(doubt for doubt in estimate.doubts if not doubt.startswith(RARE)),
        labels={name: np.asarray(each, dtype=np.float64) for name, each in labels.items()},
    )
