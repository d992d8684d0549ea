"""Derivatives of exact results by the temperature."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from latticear.exact.dispatch import QUICK, exact_result
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["exact_slopes"]

STEP = 1e-3
"""Largest step of the differences, as a part of the temperature."""

WIDTH = 0.04
"""Largest step in units of 1 / L, the width of a transition of L sites."""

_found: WeakKeyDictionary[AbstractHamiltonian, dict[float, dict[str, float]]] = WeakKeyDictionary()


def exact_slopes(hamiltonian: AbstractHamiltonian, temperature: float) -> dict[str, float]:
    """d/dT of the quantities that an exact method gives in a fraction of a second, by name; stored.

    They are differences of fourth order of results that are exact to rounding, and right to about six digits.

    Args:
        hamiltonian: any system.
        temperature: T.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> t = 2.5
        >>> found = exact_slopes(Ising((4, 4)), t)
        >>> exact = exact_result(Ising((4, 4)), t)
        >>> abs(found["energy_per_site"] - exact.heat_capacity_per_site) < 1e-8
        True
    """
    stored = _found.setdefault(hamiltonian, {})
    if temperature not in stored:
        stored[temperature] = _differences(hamiltonian, temperature)
    return stored[temperature]


def _differences(hamiltonian: AbstractHamiltonian, temperature: float) -> dict[str, float]:
    h = temperature * min(STEP, WIDTH / max(hamiltonian.shape))
    points = []
    for k in (-2, -1, 1, 2):
        result = exact_result(hamiltonian, temperature + k * h, seconds=QUICK, closed_form=True)
        if result is None:
            return {}
        points.append(result.to_dict())
    shared = set.intersection(*(set(point) for point in points))
    low2, low, high, high2 = points
    return {name: (8 * (high[name] - low[name]) - (high2[name] - low2[name])) / (12 * h) for name in sorted(shared)}
