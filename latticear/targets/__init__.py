"""Targets: the distribution, or the family of distributions, that a model is trained to draw from."""

from __future__ import annotations

from latticear.targets.base import GROUP, AbstractTarget, Asked, Conditions, Setting
from latticear.targets.boltzmann import BoltzmannTarget
from latticear.targets.choice import TARGETS, target_of
from latticear.targets.disorder import DisorderTarget
from latticear.targets.grid import GridTarget
from latticear.targets.instance import InstanceTarget, for_a_network
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
    "InstanceTarget",
    "PointTarget",
    "Setting",
    "TemperatureRangeTarget",
    "default_model",
    "default_network",
    "for_a_network",
    "target_of",
]
