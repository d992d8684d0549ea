"""The kinds of targets, and the one that describes a system."""

from __future__ import annotations

from typing import Any

from latticear.arguments import described
from latticear.spaces import ConfigurationSpace
from latticear.targets.base import AbstractTarget
from latticear.targets.disorder import DisorderTarget
from latticear.targets.grid import GridTarget
from latticear.targets.point import PointTarget
from latticear.targets.temperature_range import TemperatureRangeTarget

__all__ = ["TARGETS", "target_of"]

TARGETS: list[type[AbstractTarget]] = [GridTarget, DisorderTarget, TemperatureRangeTarget, PointTarget]
"""All classes of targets; a config is given the first one whose `suits` returns True."""


def target_of(space: ConfigurationSpace | AbstractTarget, **place: Any) -> AbstractTarget:
    """Build the target of a system, a disorder or a grid; a target is returned as it is.

    Args:
        space: a Hamiltonian, a disorder or a grid; or a target.
        place: values for the `keys` of the target, such as `temperature`, a number or (low, high); None counts as not
            given.

    Raises:
        ValueError: if a value is missing, or is given that this kind of target does not take.

    Example:
        >>> from latticear.hamiltonians import Ising
        >>> target_of(Ising((4, 4)), temperature=(1.5, 3.5)).shown_as
        'at T = 2.5'
    """
    if not isinstance(space, ConfigurationSpace | AbstractTarget):
        raise ValueError(f"a Hamiltonian, a Grid or a target is needed, got {described(space)}")
    given = {key: value for key, value in place.items() if value is not None}
    if isinstance(space, AbstractTarget):
        for key, value in given.items():
            raise ValueError(f"the target has its own {key}: {space}; got {key} = {value!r} besides, leave it out")
        return space
    kind: Any = next(kind for kind in TARGETS if kind.suits(space, given))
    for key, value in given.items():
        if key not in kind.keys:
            raise ValueError(f"{kind.noun} has no {key}, got {value!r}; leave it out")
    for key in kind.keys:
        if key not in given:
            raise ValueError(f"{key} must be given: the target is {space!r} at a {key}")
    return kind(space, **given)
