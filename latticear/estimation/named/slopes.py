"""Derivatives of averages by the temperature, and the shape of the distribution of energies.

They follow from averages at one temperature: the derivative of <f> by beta is <f><E> - <f E>.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable, Function
from latticear.exact.result import ExactResult
from latticear.exact.slopes import exact_slopes
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = [
    "AbsMagnetizationSlope",
    "BinderCumulantSlope",
    "EnergyCumulant",
    "EnergySkewness",
    "HeatCapacitySlope",
    "LogAbsMagnetizationSlope",
]

Averages = Mapping[str, Any]


class AbstractMoments(AbstractObservable):
    """A function of averages of products of the energy e and the magnetisation m, both per site."""

    even: ClassVar[bool] = True

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        e = hamiltonian.token_energy(batch.tokens) / hamiltonian.n_sites
        a = hamiltonian.magnetization(batch.tokens).abs()
        factors = {"e": e, "|m|": a, "m^2": a**2, "m^4": a**4, "e^2": e**2, "e^3": e**3, "e^4": e**4}
        return {part: torch.stack([factors[each] for each in part.split()]).prod(0) for part in self.parts}

    def functions(self, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Function]:
        return {self.name: lambda a: self.of(a, 1 / temperature, hamiltonian.n_sites)}

    @abstractmethod
    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        """The quantity, from averages of the parts."""


class HeatCapacitySlope(AbstractMoments):
    """`dC/dT / N = (beta^4 <dE^3> - 2 beta^3 <dE^2>) / N` with dE = E - <E>, by the third cumulant of the energy."""

    name: ClassVar[str] = "heat_capacity_slope"
    parts = ("e", "e^2", "e^3")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        second, third = _cumulants(a)
        return beta**4 * n_sites**2 * third - 2 * beta**3 * n_sites * second

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        slope = exact_slopes(hamiltonian, temperature).get("heat_capacity_per_site")
        return {} if slope is None else {self.name: slope}


class EnergySkewness(AbstractMoments):
    """`<dE^3> / <dE^2>^(3/2)` with dE = E - <E>: 0 for a normal distribution of energies."""

    name: ClassVar[str] = "energy_skewness"
    parts = ("e", "e^2", "e^3")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        second, third = _cumulants(a)
        return third / second**1.5

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        slope, c = exact_slopes(hamiltonian, temperature).get("heat_capacity_per_site"), known.heat_capacity_per_site
        if slope is None or not c:
            return {}
        third = temperature**4 * slope + 2 * temperature**3 * c
        return {self.name: third / (temperature**2 * c) ** 1.5 / hamiltonian.n_sites**0.5}


class EnergyCumulant(AbstractMoments):
    """`1 - <E^4> / (3 <E^2>^2)`, whose minimum over T tends to less than 2/3 at a transition of first order.

    References:
        M. S. S. Challa, D. P. Landau, K. Binder, Phys. Rev. B 34 (1986) 1841.
    """

    name: ClassVar[str] = "energy_cumulant"
    parts = ("e^2", "e^4")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        return 1 - a["e^4"] / (3 * a["e^2"] ** 2)


class AbstractMagneticSlope(AbstractMoments):
    """A derivative of a moment of the magnetisation."""

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        if hamiltonian.composition is not None:
            raise ValueError(f"{self.name}: at fixed composition the magnetisation does not depend on the temperature")


class AbsMagnetizationSlope(AbstractMagneticSlope):
    """`d<|m|>/dT`."""

    name: ClassVar[str] = "abs_magnetization_slope"
    parts = ("e", "|m|", "|m| e")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        return beta**2 * n_sites * (a["|m| e"] - a["|m|"] * a["e"])

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        slope = exact_slopes(hamiltonian, temperature).get("abs_magnetization")
        return {} if slope is None else {self.name: slope}


class LogAbsMagnetizationSlope(AbstractMagneticSlope):
    """`d ln <|m|> / d beta = <E> - <|m| E> / <|m|>`, whose maximum over T grows like L^(1/nu); extensive.

    References:
        A. M. Ferrenberg and D. P. Landau, Phys. Rev. B 44 (1991) 5081, eq. 7.
    """

    name: ClassVar[str] = "log_abs_magnetization_slope"
    parts = ("e", "|m|", "|m| e")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        return n_sites * (a["e"] - a["|m| e"] / a["|m|"])

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        slope = exact_slopes(hamiltonian, temperature).get("abs_magnetization")
        if slope is None or not known.abs_magnetization:
            return {}
        return {self.name: -(temperature**2) * slope / known.abs_magnetization}


class BinderCumulantSlope(AbstractMagneticSlope):
    """`dU4/dT` of Binder's cumulant `1 - <m^4> / (3 <m^2>^2)`; at T_c it grows like L^(1/nu)."""

    name: ClassVar[str] = "binder_cumulant_slope"
    parts = ("e", "m^2", "m^4", "m^2 e", "m^4 e")

    def of(self, a: Averages, beta: float, n_sites: int) -> Any:
        second, fourth = (a[f"{m} e"] - a[m] * a["e"] for m in ("m^2", "m^4"))
        of_temperature = beta**2 * n_sites
        return of_temperature * (2 * a["m^4"] * second / a["m^2"] - fourth) / (3 * a["m^2"] ** 2)

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        slope = exact_slopes(hamiltonian, temperature).get("binder_cumulant")
        return {} if slope is None else {self.name: slope}


def _cumulants(a: Averages) -> tuple[Any, Any]:
    """The second and the third cumulant of the energy per site."""
    e, e2, e3 = a["e"], a["e^2"], a["e^3"]
    return e2 - e**2, e3 - 3 * e * e2 + 2 * e**3
