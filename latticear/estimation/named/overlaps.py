"""Overlaps of pairs of configurations, the order parameter of spin glasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from latticear.estimation.named.base import AbstractObservable, Function, Labels
from latticear.estimation.pairs.overlap import Overlap
from latticear.exact.overlaps import pair_average, takes_pairs
from latticear.exact.result import ExactResult
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = ["SUSCEPTIBILITIES", "Overlaps", "averages_by_name", "glass_binder", "glass_length"]

SUSCEPTIBILITIES = {"glass_susceptibility": "overlap_squared", "glass_susceptibility_k": "overlap_squared_k"}
"""What N times an average is."""

QUICK = 0.07
"""Share of the work of exact averages over pairs that nobody has asked for: 2^16 configurations of Ising spins."""


class Overlaps(AbstractObservable):
    """Averages over pairs of different configurations, of the overlap `q = (1/N) sum_i s_i . t_i` and its relatives.

    `overlap_distribution` is P(q), the probability of each level of q (for Ising spins -1, -1 + 2/N, ..., 1; 100 equal
    bins where a system has no levels), labelled by `q`; `overlap`, `overlap_squared`, `overlap_fourth` are <q>, <q^2>,
    <q^4>; `overlap_binder_cumulant` is `(3 - <q^4> / <q^2>^2) / 2`, which is 1 for a single pair of states and 0 for a
    normal distribution; `glass_susceptibility` is chi_SG = N <q^2>; `link_overlap` and `link_overlap_squared` are
    moments of `(1/n_bonds) sum_<ij> (s_i . s_j)(t_i . t_j)`. On square lattices that are periodic,
    `glass_susceptibility_k` is `(1/N) sum_ij <s_i s_j>^2 cos(k (r_i - r_j))` at the smallest wave vectors, averaged
    over the directions that have it, and `glass_correlation_length` the second-moment length of chi_SG,
    `sqrt(chi_SG / chi_SG(k) - 1) / (2 sin(k / 2))`.

    Spins are the vectors of the system (`hamiltonian.vectors`): numbers, or the unit vectors of Potts and clock states.
    Without a field these are the usual definitions; in a field nothing is subtracted.

    References:
        K. Binder and A. P. Young, Rev. Mod. Phys. 58 (1986) 801; H. G. Katzgraber, M. Koerner and A. P. Young, Phys.
        Rev. B 73 (2006) 224432, eqs. 4-9.
    """

    name: ClassVar[str] = "overlap"
    even: ClassVar[bool] = True
    of_pairs: ClassVar[bool] = True
    quantities = (
        *("overlap_distribution", "overlap", "overlap_squared", "overlap_fourth", "overlap_binder_cumulant"),
        *("glass_susceptibility", "link_overlap", "link_overlap_squared"),
        *("glass_susceptibility_k", "glass_correlation_length"),
    )

    def measure(self, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Tensor]:
        return {}

    def functions(self, hamiltonian: AbstractHamiltonian, temperature: float) -> Mapping[str, Function]:
        wave = Overlap(hamiltonian).wave
        return {"overlap_binder_cumulant": glass_binder} | (
            {} if wave is None else {"glass_correlation_length": lambda a: glass_length(a, wave)}
        )

    def exact(self, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult) -> Mapping[str, Any]:
        """The averages over all pairs of configurations, where there are at most 2^16 of Ising spins."""
        if not takes_pairs(hamiltonian, QUICK):
            return {}
        overlap = Overlap(hamiltonian.joint)
        one_hot = np.eye(len(overlap.levels))

        def values(a: Tensor, b: Tensor) -> tuple[np.ndarray, ...]:
            compared = overlap.compare(overlap.encode(a), overlap.encode(b))
            return one_hot[compared.level_ab[0]], compared.scalars[:, 0].T

        columns = np.concatenate(pair_average(hamiltonian, temperature, values))
        found = averages_by_name(overlap, overlap.completed(columns))
        return found | {name: fn(found) for name, fn in self.functions(hamiltonian, temperature).items()}

    def labels(self, hamiltonian: AbstractHamiltonian) -> Mapping[str, Labels]:
        return {"overlap_distribution": {"q": Overlap(hamiltonian).levels.tolist()}}


def averages_by_name(overlap: Overlap, values: np.ndarray) -> dict[str, Any]:
    """The quantities that are averages of what was measured of each pair, from `(..., K)`: levels, then scalars."""
    k = len(overlap.levels)
    found: dict[str, Any] = dict(zip(overlap.scalars, np.moveaxis(values[..., k:], -1, 0), strict=True))
    found |= {"overlap_distribution": values[..., :k]}
    found |= {name: overlap.n_sites * found[of] for name, of in SUSCEPTIBILITIES.items() if of in found}
    order = [name for name in Overlaps.quantities if name in found]
    return {name: found[name] if np.ndim(found[name]) else float(found[name]) for name in order}


def glass_binder(a: Mapping[str, Any]) -> Any:
    """The Binder cumulant of the overlap, `(3 - <q^4> / <q^2>^2) / 2`; nan where it was not measured."""
    return (3 - a["overlap_fourth"] / a["overlap_squared"] ** 2) / 2 if "overlap_fourth" in a else math.nan


def glass_length(a: Mapping[str, Any], wave: float) -> Any:
    """The second-moment correlation length of the overlap; nan where it was not measured."""
    if "glass_susceptibility_k" not in a:
        return math.nan
    return (a["glass_susceptibility"] / a["glass_susceptibility_k"] - 1) ** 0.5 / (2 * math.sin(wave / 2))
