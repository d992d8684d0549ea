"""Observables that are measured when they are asked for by name, as in `observables=["structure_factor"]`."""

from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.choice import OBSERVABLES

__all__ = ["OBSERVABLES", "AbstractObservable"]
