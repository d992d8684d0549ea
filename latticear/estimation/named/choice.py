"""The observables that there are by name."""

from __future__ import annotations

from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.distributions import (
    EnergyDistribution,
    JointDistribution,
    MagnetizationDistribution,
)
from latticear.estimation.named.profiles import EnergyProfile, MagnetizationProfile
from latticear.estimation.named.structure_factor import StructureFactor

__all__ = ["OBSERVABLES"]

_ALL: tuple[type[AbstractObservable], ...] = (
    StructureFactor,
    EnergyDistribution,
    EnergyProfile,
    MagnetizationDistribution,
    MagnetizationProfile,
    JointDistribution,
)

OBSERVABLES: dict[str, type[AbstractObservable]] = {each.name: each for each in _ALL}
"""The observables by name; each is built by `cls()`, and is measured when it is asked for."""
