"""Observables in configurations of every kind, which tell what those among the samples do not show."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array, Bools
from latticear.estimation.measurement import evaluate, evaluate_named
from latticear.estimation.named.request import CORRELATION, Observables, Request
from latticear.estimation.quantity import Value
from latticear.hamiltonians import AbstractHamiltonian
from latticear.lattice import configuration_size
from latticear.observables import correlation
from latticear.random_numbers import generator
from latticear.samples import Samples

__all__ = ["Anywhere"]

N_RANDOM = 64


class Anywhere:
    """The correlation function and the observables that were asked for in random configurations, all equally probable.

    A sample does not bound what an observable could be in a configuration that it lacks: `exp(E)` is small in all
    samples of a cold system, and enormous in the rare ones that decide about its average. Each observable is evaluated
    when it is first asked for.

    Args:
        hamiltonian: the system.
        temperature: T, on which some observables depend.
        observables: as in `estimate`.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float, observables: Observables | None) -> None:
        self._hamiltonian, self._temperature = hamiltonian, temperature
        self._request = Request.of(observables, hamiltonian)
        self._values: dict[str, Array | None] = {}

    def reach(self, name: str, value: Value) -> Value:
        """Largest difference of an observable from a value; infinite if it is not defined in all configurations.

        It is 0 for what is not an observable, of which nothing is known.
        """
        if not self._measures(name):
            return np.zeros(np.shape(value))
        values = self._of(name)
        return np.full(np.shape(value), math.inf) if values is None else np.abs(values - value).max(0)

    def constant(self, name: str, value: Value) -> Bools:
        """Which entries of an observable have one value in all configurations, by definition."""
        values = self._of(name) if self._measures(name) else None
        same = np.zeros(np.shape(value), dtype=bool) if values is None else (np.abs(values - value) < 1e-12).all(0)
        return np.asarray(same)

    def _measures(self, name: str) -> bool:
        return name == CORRELATION or name in self._request.own or name in self._named

    def _of(self, name: str) -> Array | None:
        """The values of an observable; None if it cannot be evaluated in some configuration, as the logarithm of m."""
        if name not in self._values:
            self._values[name] = self._evaluated(name)
        return self._values[name]

    def _evaluated(self, name: str) -> Array | None:
        system = self._hamiltonian
        if name == CORRELATION:
            return correlation(system.vectors_of(self._tokens), system.lattice).numpy()
        try:
            if name in self._named:
                return self._named[name]
            return evaluate(name, self._request.own[name], system.spins(self._tokens))
        except Exception:  # whatever a user's function raises where the samples never were
            return None

    @cached_property
    def _named(self) -> dict[str, Array]:
        """The values of the observables that were asked for by name."""
        found: dict[str, Array] = {}
        for observable in self._request.named.values():
            found |= evaluate_named(observable, Samples(self._tokens, None, 0), self._hamiltonian, self._temperature)
        return found

    @cached_property
    def _tokens(self) -> Tensor:
        size = configuration_size(self._hamiltonian.shape, self._hamiltonian.n_components)
        rng, composition = generator(0, "anywhere"), self._hamiltonian.composition
        if composition is None:
            drawn = rng.integers(self._hamiltonian.n_tokens, size=(N_RANDOM, *size))
        else:
            rows = np.tile(np.repeat(np.arange(len(composition)), composition), (N_RANDOM, 1))
            drawn = rng.permuted(rows, axis=1).reshape(N_RANDOM, *size)
        return torch.from_numpy(drawn.astype(np.uint8))
