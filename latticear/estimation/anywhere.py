"""Observables in configurations of every kind, which tell what those among the samples do not show."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from latticear.arrays import Array, Bools
from latticear.estimation.measurement import Observable, measurements
from latticear.estimation.quantity import Value
from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import configuration_size
from latticear.random_numbers import generator
from latticear.samples import Samples

__all__ = ["Anywhere"]

N_RANDOM = 64


class Anywhere:
    """The correlation function and the user's observables in random configurations, all equally probable.

    A sample does not bound what an observable could be in a configuration that it lacks: `exp(E)` is small in all
    samples of a cold system, and enormous in the rare ones that decide about its average.

    Args:
        hamiltonian: the system.
        observables: the user's observables, as in `estimate`.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, observables: Mapping[str, Observable] | None) -> None:
        size = configuration_size(hamiltonian.shape, hamiltonian.n_components)
        drawn = generator(0, "anywhere").integers(hamiltonian.n_tokens, size=(N_RANDOM, *size))
        samples = Samples(torch.from_numpy(drawn.astype(np.uint8)), None, 0)
        self._values: dict[str, Array | None] = {}
        for name, fn in {"correlation": None, **(observables or {})}.items():
            self._values[name] = _values(samples, hamiltonian, name, fn)

    def reach(self, name: str, value: Value) -> Value:
        """Largest difference of an observable from a value; infinite if it is not defined in all configurations.

        It is 0 for what is not an observable, of which nothing is known.
        """
        values = self._values.get(name, np.asarray(value)[None])
        return np.full(np.shape(value), math.inf) if values is None else np.abs(values - value).max(0)

    def constant(self, name: str, value: Value) -> Bools:
        """Which entries of an observable have one value in all configurations, by definition."""
        values = self._values.get(name)
        same = np.zeros(np.shape(value), dtype=bool) if values is None else (np.abs(values - value) < 1e-12).all(0)
        return np.asarray(same)


def _values(
    samples: Samples, hamiltonian: AbstractHamiltonian, name: str, observable: Observable | None
) -> Array | None:
    """The values of an observable; None if it cannot be evaluated in some configuration, as the logarithm of m."""
    try:
        own = {} if observable is None else {name: observable}
        (found,) = measurements(samples, hamiltonian, [1.0], own, chunk=None)
    except Exception:  # whatever a user's function raises where the samples never were
        return None
    return found.values[name]
