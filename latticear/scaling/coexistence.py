"""First-order transitions: where two phases coexist, their latent heat, and the tension of the interface."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from latticear.arguments import check_integer, check_seed
from latticear.arrays import Array
from latticear.estimation.numbers import with_error
from latticear.hamiltonians import AbstractHamiltonian
from latticear.hamiltonians.base import check_is_hamiltonian
from latticear.montecarlo.multicanonical_chains import Multicanonical
from latticear.samples import Samples
from latticear.scaling.densities import Density, density_of_chains, density_of_multicanonical, density_of_samples
from latticear.scaling.double_tangent import DoubleTangent, LocalParabolas, double_tangent
from latticear.tables import Table

__all__ = ["Coexistence", "coexistence"]

WIDTH = 0.2
"""Half the width of the windows of smoothing, as a fraction of the distance of the two maxima."""

LEAST_VISITS = 10
"""Number of changes of phase in chains below which the share of the phases rests on few events."""

LOST = 0.05
"""Share of bootstrap replicas without two maxima from which the errors are in doubt."""

LEAST_SUPPORT = 100.0
"""Effective number of configurations at the temperature of equal weight that an error needs."""

DEEP = 4.0
"""Depth of the minimum of P(E), in its errors, that noise alone does not make: it digs a minimum in any curve."""

FEW_LEVELS = 20
"""Number of levels between the maxima below which the gaps of a small system look like the minimum of P(E)."""

NUMBERS = {
    "temperature": "T, equal weight",
    "temperature_equal_height": "T, equal height",
    "latent_heat_per_site": "latent heat / N",
    "energy_ordered": "E/N of the ordered phase",
    "energy_disordered": "E/N of the disordered phase",
    "barrier": "ln(P_max / P_min)",
    "interface_tension": "interface tension",
}
"""The results, with what a table calls them."""


@dataclass(frozen=True, eq=False)
class Coexistence:
    """Two phases at a first-order transition of a finite system.

    Attributes:
        values: by name (`NUMBERS`): `temperature`, at which the ordered phase weighs `ratio` times the disordered one;
            `temperature_equal_height`, at which the two maxima of P(E) have one height; `latent_heat_per_site`, the
            difference of `energy_disordered` and `energy_ordered`, the mean energies per site on either side of the
            valley at `temperature`; `barrier`, `ln(P_max / P_min)` at equal heights, and `interface_tension`, that
            times T divided by the length of the interfaces.
        errors: by the same names, one standard deviation by a bootstrap over blocks.
        ratio: weight of the ordered phase divided by that of the disordered one.
        interface: length of the interfaces between the phases, in lattice spacings: on a torus twice the shorter
            extent.
        energy: levels of the extensive energy, `(M,)`.
        probability: P(E) on them at `temperature_equal_height`, `(M,)`.
        smooth: the same from the smoothed entropy, in which maxima and minimum were found.
        maxima, minimum: their energies, extensive: (ordered, disordered), and the valley.
        changes: how often chains went from one maximum to the other; None for weighted samples.
        warnings: reasons not to trust the values.
    """

    values: dict[str, float]
    errors: dict[str, float]
    ratio: float
    interface: float
    energy: Array
    probability: Array
    smooth: Array
    maxima: tuple[float, float]
    minimum: float
    changes: int | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {
            **{name: {"value": self.values[name], "error": self.errors[name]} for name in NUMBERS},
            "ratio": self.ratio,
            "interface": self.interface,
            "maxima": list(self.maxima),
            "minimum": self.minimum,
            "changes": self.changes,
            "warnings": list(self.warnings),
        }

    def table(self) -> Table:
        """The numbers as a table of text."""
        rows = [(text, with_error(self.values[name], self.errors[name])) for name, text in NUMBERS.items()]
        notes = [f"equal weight: the ordered phase weighs {self.ratio:g} times the disordered one"]
        if self.changes is not None:
            notes.append(f"the chains changed phase {self.changes:,} times")
        return Table("coexistence of two phases", ("quantity", "value"), rows, notes, self.warnings)

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def coexistence(
    data: Samples | Iterable[Samples] | Sequence[ArrayLike] | Multicanonical,
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float] | None = None,
    *,
    ratio: float = 1.0,
    n_bootstrap: int = 100,
    seed: int = 0,
) -> Coexistence:
    """Transition temperature, latent heat and interface tension from the distribution of the energy near a transition.

    Samples of a model, chains at one or several temperatures and multicanonical chains give the entropy
    `S(E) = ln g(E)` up to a constant, and with it P(E) at every temperature near theirs. Where two phases coexist S(E)
    is not concave, and P(E) has two maxima: they have one height where 1/T is the slope of the double tangent of S, and
    its depth is `ln(P_max / P_min)`. Configurations of the minimum are strips of one phase in the other, and so
    `T ln(P_max / P_min)` divided by the length of their interfaces, 2 L on a torus, is the interface tension, up to
    corrections of the order of `ln L / L` and those of lattices that are not much larger than the correlation length.
    S is smoothed by parabolas over a fifth of the distance of the maxima before they are found; latent heat and equal
    weight need no smoothing.

    Errors are those of a bootstrap over blocks, of ten autocorrelation times of chains; they contain no corrections of
    finite size.

    Args:
        data: samples of a model, with `log_q`, or an iterator of batches of them; or what `la.multicanonical` returns;
            or for chains the extensive energies of each temperature, `(length,)` or `(length, n_chains)`.
        hamiltonian: the system.
        temperatures: T of each array of chains; None for samples of a model and for multicanonical chains, whose
            weights know no temperature.
        ratio: how many times the disordered phase the ordered one weighs at `temperature`: the number of ordered
            phases, q for Potts, makes its corrections exponentially small in L (Borgs and Kotecky).
        n_bootstrap: number of replicas.
        seed: seed of the replicas.

    Raises:
        ValueError: for data of other shapes, samples without log_q, or if P(E) has one maximum at every temperature.

    References:
        J. Lee and J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137; K. Binder, Phys. Rev. A 25 (1982) 1699; C. Borgs
        and R. Kotecky, J. Stat. Phys. 61 (1990) 79; W. Janke, Phys. Rev. B 47 (1993) 14757 (the ratio of weights).
    """
    check_is_hamiltonian(hamiltonian)
    if not (isinstance(ratio, int | float) and math.isfinite(ratio) and ratio > 0):
        raise ValueError(f"ratio must be a positive number, got {ratio!r}")
    n_bootstrap, seed = check_integer("n_bootstrap", n_bootstrap, least=20), check_seed(seed)
    if temperatures is not None:
        density = density_of_chains(data, temperatures)
    elif isinstance(data, Multicanonical):
        density = density_of_multicanonical(data, hamiltonian)
    else:
        density = density_of_samples(data, hamiltonian)
    found = _Analysis(density, hamiltonian, float(ratio))
    return found.result(n_bootstrap, seed)


class _Analysis:
    """The two phases of one set of data, and of its replicas."""

    def __init__(self, density: Density, hamiltonian: AbstractHamiltonian, ratio: float) -> None:
        self.density, self.hamiltonian, self.ratio = density, hamiltonian, ratio
        self.level = density.level
        if len(self.level) == 1:
            raise ValueError(f"all energies are {self.level[0]:g}: two phases differ in their energies")
        log_g, count = density.entropy()
        self.log_g, self.count = log_g, count
        span = float(self.level[-1] - self.level[0])
        rough = self._tangent(log_g, count, span / 8)
        width = WIDTH * (rough.high - rough.low) if rough else 0.0
        tangent = self._tangent(log_g, count, width) if rough else None
        if tangent is None:
            raise ValueError(
                "P(E) has one maximum at every temperature: no two phases coexist in these data. Give those at a "
                "first-order transition, where both phases occur, and lattices larger than the correlation length"
            )
        self.tangent, self.width = tangent, width
        self.smooth = LocalParabolas(self.level, width)(*_finite(log_g, count))

    def _tangent(self, log_g: Array, count: Array, width: float) -> DoubleTangent | None:
        """The double tangent of the smoothed entropy, where enough configurations are."""
        parabolas = LocalParabolas(self.level, width)
        curve = parabolas(*_finite(log_g, count))
        inside = _inside(count)
        return double_tangent(self.level[inside], curve[inside])

    def result(self, n_bootstrap: int, seed: int) -> Coexistence:
        values = self._numbers(self.log_g, self.tangent)
        replicas, lost = [], 0
        parabolas = LocalParabolas(self.level, self.width)
        for log_g, count in self.density.replicas(n_bootstrap, seed):
            inside = _inside(count)
            tangent = double_tangent(self.level[inside], parabolas(*_finite(log_g, count))[inside])
            if tangent is None:
                lost += 1
            else:
                replicas.append(self._numbers(log_g, tangent))
        errors = {
            name: float(np.std([each[name] for each in replicas], ddof=1)) if len(replicas) > 1 else math.nan
            for name in values
        }
        beta = self.tangent.slope
        return Coexistence(
            values=values,
            errors=errors,
            ratio=self.ratio,
            interface=_interface(self.hamiltonian),
            energy=self.level,
            probability=_normalized(self.log_g - beta * self.level),
            smooth=_normalized(self.smooth - beta * self.level),
            maxima=(self.tangent.low, self.tangent.high),
            minimum=self.tangent.valley,
            changes=self.density.changes(self.tangent.low, self.tangent.high),
            warnings=self._warnings(values, errors, lost / n_bootstrap),
        )

    def _numbers(self, log_g: Array, tangent: DoubleTangent) -> dict[str, float]:
        """All results of one entropy."""
        below = self.level <= tangent.valley  # of each replica: where the phases are divided has an error too
        scale = 1 / max(tangent.high - tangent.low, 1e-300)

        def excess(shift: float) -> float:
            log_p = log_g - (tangent.slope + shift * scale) * self.level
            return _log_sum(log_p[below]) - _log_sum(log_p[~below]) - math.log(self.ratio)

        beta = tangent.slope + scale * brentq(excess, *_bracket(excess))
        p = _normalized(log_g - beta * self.level)
        n = self.hamiltonian.n_sites
        low, high = (float(p[part] @ self.level[part] / p[part].sum()) / n for part in (below, ~below))
        t_height = 1 / tangent.slope
        return {
            "temperature": 1 / beta,
            "temperature_equal_height": t_height,
            "latent_heat_per_site": high - low,
            "energy_ordered": low,
            "energy_disordered": high,
            "barrier": tangent.depth,
            "interface_tension": t_height * tangent.depth / _interface(self.hamiltonian),
        }

    def _warnings(self, values: dict[str, float], errors: dict[str, float], lost: float) -> tuple[str, ...]:
        warnings = list(self.density.warnings)
        changes = self.density.changes(self.tangent.low, self.tangent.high)
        if changes is not None and changes < LEAST_VISITS:
            warnings.append(
                f"the chains changed phase {changes} times: how the phases share the weight rests on few events"
            )
        if lost > LOST:
            warnings.append(f"{lost:.0%} of the bootstrap replicas have one maximum: P(E) may have no two phases")
        elif values["barrier"] < DEEP * errors["barrier"]:
            warnings.append(
                f"the minimum of P(E) between the maxima, ln(P_max / P_min) = {values['barrier']:.2g}, is less than "
                f"{DEEP:g} errors deep: P(E) may have no two phases"
            )
        n_levels = int(np.count_nonzero((self.level >= self.tangent.low) & (self.level <= self.tangent.high)))
        if n_levels < FEW_LEVELS:
            warnings.append(
                f"only {n_levels} levels of the energy lie between the maxima, and gaps between levels look like two "
                f"phases: take a larger lattice"
            )
        warnings += self.density.distrust(1 / values["temperature_equal_height"])
        p = _normalized(self.log_g - self.level / values["temperature"])
        support = 1 / float((p**2 / np.maximum(self.count, 1.0)).sum())
        if support < LEAST_SUPPORT:
            warnings.append(
                f"T = {values['temperature']:.4g}, of equal weight, rests on {support:.0f} configurations: add some "
                f"that were drawn near it"
            )
        return tuple(warnings)


def _interface(hamiltonian: AbstractHamiltonian) -> float:
    """Length of the shortest interfaces between two phases that each fill half of the lattice."""
    height, width = hamiltonian.shape
    periodic = hamiltonian.lattice.periodic
    return float(min(height * (1 + periodic[1]), width * (1 + periodic[0])))


def _inside(count: Array) -> Array:
    """Which levels lie between the outermost ones that have ten or more configurations."""
    often = np.flatnonzero(count >= min(10.0, count.max()))
    inside = np.zeros(len(count), dtype=bool)
    inside[often[0] : often[-1] + 1] = True
    return inside


def _finite(log_g: Array, count: Array) -> tuple[Array, Array]:
    """The entropy with 0 for levels without configurations, which have no weight."""
    return np.where(count > 0, log_g, 0.0), count


def _bracket(excess: Any) -> tuple[float, float]:
    """Where a falling or rising function has both signs."""
    reach = 1.0
    while excess(-reach) * excess(reach) > 0:
        reach *= 2
        if reach > 1e6:
            raise ArithmeticError("one of the two phases has no weight")
    return -reach, reach


def _log_sum(values: Array) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))


def _normalized(log_p: Array) -> Array:
    return np.asarray(np.exp(log_p - _log_sum(log_p)))
