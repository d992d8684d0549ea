"""Targets: the distribution, or the family of distributions, that a model is trained to draw from."""

from __future__ import annotations

from latticear.targets.base import GROUP, AbstractTarget, Asked, Conditions, Setting
from latticear.targets.boltzmann import BoltzmannTarget
from latticear.targets.choice import TARGETS, target_of
from latticear.targets.disorder import DisorderTarget
from latticear.targets.grid import GridTarget
from latticear.targets.networks import default_model, default_network
from latticear.targets.point import PointTarget
from latticear.targets.temperature_range import TemperatureRangeTarget

__all__ = [
    "GROUP",
    "TARGETS",
    "AbstractTarget",
    "Asked",
    "BoltzmannTarget",
    "Conditions",
    "DisorderTarget",
    "GridTarget",
    "PointTarget",
    "Setting",
    "TemperatureRangeTarget",
    "default_model",
    "default_network",
    "target_of",
]
