"""Free-energy profiles: minus T times the logarithms of distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.named.distributions import ENERGY, MAGNETIZATION, AbstractHistogram, Axis, bin_by_bin
from latticear.estimation.quantity import Estimate
from latticear.estimation.replicates import jackknife_error
from latticear.exact.energies import is_listed
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["EnergyProfile", "MagnetizationProfile"]

RESOLVED = 1e-11
"""Probability below which exact distributions are those of rounding errors."""

AGREE = 1.5
"""Ratio of the errors by jackknife and delta method up to which the jackknife's is taken."""


class MagnetizationProfile(AbstractHistogram):
    """The free energy as a function of the magnetisation, extensive.

    `magnetization_profile` is `-T ln P(m) = F(m) - F`. Where ln Z is estimated, `magnetization_free_energy` is the
    absolute `F(m) = -T ln Z_m`, with Z_m the sum over the configurations of this magnetisation: the canonical free
    energy of `FixedComposition`. The bins are those of `MagnetizationDistribution`. Bins that fewer than two blocks of
    the configurations have hit are nan.
    """

    name: ClassVar[str] = "magnetization_profile"
    quantities = ("magnetization_profile", "magnetization_free_energy")
    parts = ("magnetization_profile_histogram",)
    axis: ClassVar[Axis] = MAGNETIZATION

    def finish(self, estimates: Estimates, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        bins = self.bins_of(hamiltonian, temperature)
        profile = _Profile(estimates, self.histogram, bins.labels(self.axis.label))
        profile.add(self.quantities[0], -temperature)
        profile.add(self.quantities[1], -temperature, of_z=True)
        profile.remark(self.name, 0.0)


class EnergyProfile(AbstractHistogram):
    """The free energy as a function of the energy, and the density of states.

    `energy_profile` is `-T ln P(E) = F(E) - F`, extensive, with `F(E) = E - T S(E)`. Where ln Z is estimated,
    `log_density_of_states` is `S(E) = ln g(E) = ln P(E) + ln Z + E / T`, the logarithm of the number of configurations
    with this energy (of a bin: their number at the energy of its middle). The bins are those of `EnergyDistribution`;
    bins that fewer than two blocks of the configurations have hit are nan.
    """

    name: ClassVar[str] = "energy_profile"
    quantities = ("energy_profile", "log_density_of_states")
    parts = ("energy_profile_histogram",)
    even: ClassVar[bool] = True
    axis: ClassVar[Axis] = ENERGY

    def finish(self, estimates: Estimates, hamiltonian: AbstractHamiltonian, temperature: float) -> None:
        bins = self.bins_of(hamiltonian, temperature)
        profile = _Profile(estimates, self.histogram, bins.labels(self.axis.label))
        profile.add(self.quantities[0], -temperature)
        profile.add(self.quantities[1], 1.0, of_z=True, shift=bins.centres / temperature)
        profile.remark(self.name, 0.0 if is_listed(hamiltonian) else RESOLVED)


class _Profile:
    """Logarithms of a histogram that was measured, with errors bin by bin; they are added to its estimates."""

    def __init__(self, estimates: Estimates, part: str, labels: Mapping[str, Any]) -> None:
        assert estimates.replicates is not None
        self._estimates, self._replicates = estimates, estimates.replicates
        self._histogram = bin_by_bin(estimates[part], labels)
        self._p = np.asarray(self._histogram.value)
        self._left = self._replicates.values[part]
        self._defined = (self._p > 0) & (self._left > 0).all(0)

    def add(self, name: str, factor: float, *, of_z: bool = False, shift: Array | float = 0.0) -> None:
        """Add `factor (ln P + ln Z) + shift`, or without ln Z, as an estimate; nothing if ln Z was not estimated."""
        estimates, replicates, p = self._estimates, self._replicates, self._p
        log_z, log_z_left = 0.0, np.zeros((len(self._left), 1))
        log_z_exact: Any = None if of_z else 0.0
        if of_z:
            if "log_z" not in estimates or "log_z" not in replicates.values:
                return
            log_z, log_z_left = float(estimates["log_z"].value), replicates.values["log_z"][:, None]
            log_z_exact = estimates["log_z"].exact
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(self._defined, factor * (np.log(p) + log_z) + shift, np.nan)
            left = np.where(self._defined, factor * (np.log(self._left) + log_z_left) + shift, np.nan)
            linear = np.where(self._defined, factor * (self._left / p + log_z_left), np.nan)
        jackknife, delta = jackknife_error(left), jackknife_error(linear)
        apart = ~((jackknife < AGREE * delta) & (delta < AGREE * jackknife))
        exact, spread = self._exact(factor, log_z_exact, shift)
        histogram = self._histogram
        estimates[name] = Estimate(
            value,
            np.where(apart, np.maximum(jackknife, delta), jackknife),
            n=histogram.n,
            ess=histogram.ess,
            exact=exact,
            exact_spread=spread,
            jackknife_error=jackknife,
            delta_error=delta,
            objections=histogram.objections,
            doubts=histogram.doubts,
            evidence=histogram.evidence,
            labels=histogram.labels,
        )
        estimates.replicates = self._replicates = replicates.with_values(name, left)

    def _exact(self, factor: float, log_z: Any, shift: Array | float) -> tuple[Array | None, Array | None]:
        """The exact logarithms and the spread of a single configuration, nan where nothing is known."""
        if self._histogram.exact is None or log_z is None:
            return None, None
        p = np.asarray(self._histogram.exact)
        with np.errstate(divide="ignore", invalid="ignore"):
            known = np.where(p > RESOLVED, factor * (np.log(p) + log_z) + shift, np.nan)
            return known, np.where(p > RESOLVED, abs(factor) * np.sqrt((1 - p) / p), np.nan)

    def remark(self, name: str, least: float) -> None:
        """Say how many bins are nan, of those that configurations can be in, as far as that is known.

        Args:
            name: of the profile.
            least: exact probability above which a bin is known to be one of them.
        """
        exact = self._histogram.exact
        occupied = np.ones(len(self._p), dtype=bool) if exact is None else (np.asarray(exact) > least) | (self._p > 0)
        missing = int((occupied & ~self._defined).sum())
        if missing:
            text = f"{name}: {missing} of {occupied.sum()} bins are nan, as too few configurations are in them"
            self._estimates.remarks = tuple(dict.fromkeys((*self._estimates.remarks, text)))
