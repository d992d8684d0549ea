"""The result of an exact method for a finite lattice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from latticear.tables import Table

__all__ = ["QUANTITIES", "ExactResult", "spread_of"]

QUANTITIES = (
    "free_energy_per_site",
    "energy_per_site",
    "entropy_per_site",
    "heat_capacity_per_site",
    "abs_magnetization",
    "magnetization_squared",
    "susceptibility",
    "binder_cumulant",
    "log_z",
)
"""Names of the quantities that are estimated and compared with exact results, in the order of printed tables."""

MAX_ERROR, MAX_RELATIVE_ERROR = 1e-4, 1e-3
"""Error of ln Z, and relative error of other quantities, up to which a result with errors counts as exact."""

_ATTRIBUTES = {
    "energy_per_site": "energy_per_site",
    "heat_capacity_per_site": "heat_capacity_per_site",
    "magnetization_squared": "magnetization_squared",
    "binder_cumulant": "magnetization_fourth",
}
"""The attribute from which a quantity follows."""


@dataclass(frozen=True)
class ExactResult:
    """Exact thermodynamics of a finite lattice, without statistical errors.

    Energies and the temperature share the unit of the couplings, k_B = 1, and m = M/N with M the sum of the
    spins. A quantity that the method does not give is None. Only `tensor_network` has `errors`; see `is_exact`.

    Attributes:
        method: name of the function that computed it.
        n_sites: N.
        temperature: T.
        log_z: ln Z, extensive.
        energy_per_site: <E>/N.
        heat_capacity_per_site: beta^2 var(E)/N.
        abs_magnetization: <|m|>.
        magnetization_squared: <m^2>.
        magnetization_fourth: <m^4>.
        digits: number of reliable decimal digits of Z, for a method in which large terms cancel: the rounding error of
            ln Z is about 10^-digits. None for methods without cancellation.
        bond_dimension: chi, for a method that cuts matrix products to it.
        errors: estimated errors by name of the quantity, for a method that has errors other than rounding.

    Example:
        >>> free = ExactResult("by hand", n_sites=4, temperature=2.0, log_z=2.0, energy_per_site=-0.5,
        ...                    heat_capacity_per_site=0.1)
        >>> free.free_energy_per_site, free.entropy_per_site
        (-1.0, 0.25)
    """

    method: str
    n_sites: int
    temperature: float
    log_z: float
    energy_per_site: float | None
    heat_capacity_per_site: float | None
    abs_magnetization: float | None = None
    magnetization_squared: float | None = None
    magnetization_fourth: float | None = None
    digits: float | None = None
    bond_dimension: int | None = None
    errors: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def is_exact(self) -> bool:
        """Whether there are no errors but rounding, or that of ln Z is at most 1e-4."""
        return not self.errors or self.errors["log_z"] <= MAX_ERROR

    @property
    def source(self) -> str:
        """The method, with its bond dimension if it has one."""
        return self.method if self.bond_dimension is None else f"{self.method}, bond dimension {self.bond_dimension}"

    def without_inaccurate(self) -> ExactResult:
        """The same without moments and derivatives of unknown error and, if ln Z is exact, of an error above 1e-3."""
        values = self.to_dict()
        limits = {
            name: MAX_RELATIVE_ERROR * (1 if name == "binder_cumulant" else abs(value)) if self.is_exact else math.inf
            for name, value in values.items()
        }
        inaccurate = [
            name
            for name in values.keys() & _ATTRIBUTES.keys()
            if not (self.errors[name] <= limits[name] and math.isfinite(self.errors[name]))
        ]
        dropped: dict[str, Any] = {_ATTRIBUTES[name]: None for name in inaccurate}
        kept = replace(self, **dropped)
        return replace(kept, errors={name: self.errors[name] for name in kept.to_dict()})

    def values_for(self, n_sites: int, temperature: float) -> dict[str, float]:
        """`to_dict`, to be put beside estimates of a system.

        Raises:
            ValueError: if this is the result of another temperature or number of sites, or is not exact.
        """
        if not self.is_exact:
            raise ValueError(
                f"the result of {self.source} is not exact: the error of ln Z, at most {MAX_ERROR:g}, is "
                f"{self.errors['log_z']:.1g}; raise the bond dimension"
            )
        if self.n_sites != n_sites or not math.isclose(self.temperature, temperature, rel_tol=1e-9):
            raise ValueError(
                f"the exact result is of {self.n_sites} sites at T = {self.temperature:g}, the estimates are of "
                f"{n_sites} sites at T = {temperature:g}; give exact_result(hamiltonian, temperature)"
            )
        return self.to_dict()

    @property
    def free_energy_per_site(self) -> float:
        """F/N = -T ln Z / N."""
        return -self.temperature * self.log_z / self.n_sites

    @property
    def entropy_per_site(self) -> float | None:
        """S/N = beta (U - F)/N."""
        if self.energy_per_site is None:
            return None
        return self.energy_per_site / self.temperature + self.log_z / self.n_sites

    @property
    def susceptibility(self) -> float | None:
        """beta N (<m^2> - <|m|>^2)."""
        if self.magnetization_squared is None or self.abs_magnetization is None:
            return None
        variance = self.magnetization_squared - self.abs_magnetization**2
        return self.n_sites * variance / self.temperature

    @property
    def binder_cumulant(self) -> float | None:
        """1 - <m^4> / (3 <m^2>^2)."""
        if self.magnetization_fourth is None or not self.magnetization_squared:
            return None
        return 1 - self.magnetization_fourth / (3 * self.magnetization_squared**2)

    def to_dict(self) -> dict[str, float]:
        """The quantities that are not None, under the keys of `estimates.json`, and `log_z`."""
        return {key: value for key in QUANTITIES if (value := getattr(self, key)) is not None}

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of a table of the quantities."""
        return ("quantity", "exact" if self.is_exact else "value", *(("error",) if self.errors else ()))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The quantities that are not None as text: name, value, and error if there are errors."""
        errors = {name: (f"{error:.1g}",) for name, error in self.errors.items()}
        return [(name, f"{value:.12g}", *errors.get(name, ())) for name, value in self.to_dict().items()]

    @property
    def notes(self) -> list[str]:
        """How accurate ln Z is, where that is not obvious: at most one line."""
        if self.digits is not None:
            return [f"ln Z has about {self.digits:.0f} reliable decimals"]
        if not self.errors:
            return []
        error = f"ln Z has an estimated error of {self.errors['log_z']:.1g}"
        return [error if self.is_exact else f"not exact: {error}, above {MAX_ERROR:g}; raise the bond dimension"]

    def table(self) -> Table:
        """The quantities that are not None as a table of text."""
        title = f"{self.source}: N = {self.n_sites}, T = {self.temperature:g}"
        return Table(title, self.headings, self.rows, self.notes)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def spread_of(name: str, value: Any, exact: Mapping[str, float], n_sites: int, temperature: float) -> float | None:
    """Standard deviation of a quantity in one configuration, by exact values; None where these do not tell it.

    For ln Z, which is no average over configurations, it is such that the deviation of `value` from the exact ln Z is
    `sqrt(n p)`, where p is the probability of the configurations that are missing in `value`: the square root of the
    number of them that n independent configurations should have had.

    Args:
        name: name of the quantity.
        value: its estimate.
        exact: exact values by name.
        n_sites: N.
        temperature: T.
    """
    m2 = exact.get("magnetization_squared")
    if name == "energy_per_site" and "heat_capacity_per_site" in exact:
        variance = temperature**2 * exact["heat_capacity_per_site"] / n_sites
    elif name == "abs_magnetization" and m2 is not None:
        variance = m2 - exact[name] ** 2
    elif name == "magnetization_squared" and "binder_cumulant" in exact:
        variance = 3 * exact[name] ** 2 * (1 - exact["binder_cumulant"]) - exact[name] ** 2
    elif name in ("log_z", "free_energy_per_site"):
        unit = 1.0 if name == "log_z" else temperature / n_sites
        gap = abs(value - exact[name]) / unit
        variance = (gap * unit) ** 2 / -math.expm1(-gap) if gap else 0.0
    else:
        return None
    return math.sqrt(max(variance, 0.0))
