"""Observables that are measured when they are asked for by name, as in `observables=["structure_factor"]`."""

from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.choice import OBSERVABLES
from latticear.estimation.named.distributions import (
    EnergyDistribution,
    JointDistribution,
    MagnetizationDistribution,
)
from latticear.estimation.named.profiles import EnergyProfile, MagnetizationProfile
from latticear.estimation.named.structure_factor import StructureFactor

__all__ = [
    "OBSERVABLES",
    "AbstractObservable",
    "EnergyDistribution",
    "EnergyProfile",
    "JointDistribution",
    "MagnetizationDistribution",
    "MagnetizationProfile",
    "StructureFactor",
]
