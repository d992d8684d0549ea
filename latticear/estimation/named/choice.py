"""The observables that there are by name."""

from __future__ import annotations

from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.correlation_length import (
    CorrelationLength,
    CorrelationLengthPerSize,
    StaggeredCorrelationLength,
    StaggeredCorrelationLengthPerSize,
)
from latticear.estimation.named.distributions import (
    EnergyDistribution,
    JointDistribution,
    MagnetizationDistribution,
)
from latticear.estimation.named.heat_bath import (
    HeatBathCorrelation,
    HeatBathEnergy,
    HeatBathMagnetization,
    HeatBathMagnetizationSquared,
    HeatBathNeighbourCorrelation,
)
from latticear.estimation.named.overlaps import Overlaps
from latticear.estimation.named.pair_correlations import DiagonalCorrelation, NeighbourCorrelation
from latticear.estimation.named.profiles import EnergyProfile, MagnetizationProfile
from latticear.estimation.named.slopes import (
    AbsMagnetizationSlope,
    BinderCumulantSlope,
    EnergyCumulant,
    EnergySkewness,
    HeatCapacitySlope,
    LogAbsMagnetizationSlope,
)
from latticear.estimation.named.structure_factor import StructureFactor

__all__ = ["OBSERVABLES"]

_ALL: tuple[type[AbstractObservable], ...] = (
    StructureFactor,
    Overlaps,
    CorrelationLength,
    CorrelationLengthPerSize,
    StaggeredCorrelationLength,
    StaggeredCorrelationLengthPerSize,
    NeighbourCorrelation,
    DiagonalCorrelation,
    HeatCapacitySlope,
    EnergySkewness,
    EnergyCumulant,
    AbsMagnetizationSlope,
    LogAbsMagnetizationSlope,
    BinderCumulantSlope,
    HeatBathEnergy,
    HeatBathMagnetization,
    HeatBathMagnetizationSquared,
    HeatBathNeighbourCorrelation,
    HeatBathCorrelation,
    EnergyDistribution,
    EnergyProfile,
    MagnetizationDistribution,
    MagnetizationProfile,
    JointDistribution,
)

OBSERVABLES: dict[str, type[AbstractObservable]] = {each.name: each for each in _ALL}
"""The observables by name; each is built by `cls()`, and is measured when it is asked for."""
