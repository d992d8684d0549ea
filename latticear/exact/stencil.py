"""Thermodynamics from ln Z alone, at some temperatures and fields close to those that are asked for."""

from __future__ import annotations

import math

import numpy as np
import torch

from latticear.arrays import Array
from latticear.exact.result import ExactResult
from latticear.hamiltonians.base import AbstractHamiltonian

__all__ = ["Stencil", "central_derivatives"]

TEMPERATURES, FIELDS = 4, 5
"""Numbers of points on either side."""

STEP_OF_BETA, STEP_OF_FIELD = 0.2, 0.25
"""Steps of beta and of beta h, in units of beta / sqrt(N) and of the inverse of the root of <M^2>."""


def central_derivatives(values: Array, step: float) -> Array:
    """The derivatives 0 to 2 K at the point in the middle of 2 K + 1 points, from the polynomial through all of them.

    The error of the first and the second one is of the order `step^(2 K)`.

    Args:
        values: `(2 K + 1,)`, the function at `-K step, ..., K step`.
        step: distance of the points.

    Example:
        >>> central_derivatives(np.exp([-0.2, -0.1, 0.0, 0.1, 0.2]), 0.1)[:3].round(4).tolist()
        [1.0, 1.0, 1.0]
    """
    half = len(values) // 2
    orders = np.arange(2 * half + 1)
    factorials = np.array([math.factorial(k) for k in orders], dtype=np.float64)
    taylor = np.arange(-half, half + 1.0)[:, None] ** orders / factorials
    derivatives: Array = np.linalg.solve(taylor, values) / step**orders
    return derivatives


class Stencil:
    """The settings at which ln Z is needed: nine temperatures, and eleven fields if the magnetisation is a number.

    Energy and heat capacity are derivatives of ln Z in beta, <m^2> and <m^4> those of Z in a uniform field. A system
    that is unchanged when all spins are flipped needs no negative fields.

    Args:
        hamiltonian: a system with one token at each site.
        temperature: T.
        size: about the root of <M^2>, extensive; None to leave out the magnetisation.

    Attributes:
        factors: float64 `(n,)`, factors on 1/T.
        fields: float64 `(n, q)`, logarithms of weights of the tokens of all sites.
    """

    def __init__(self, hamiltonian: AbstractHamiltonian, temperature: float, size: float | None) -> None:
        self.n_sites, self.temperature = hamiltonian.n_sites, temperature
        self._step_of_beta = STEP_OF_BETA / math.sqrt(self.n_sites)
        factors = 1 + self._step_of_beta * torch.arange(-TEMPERATURES, TEMPERATURES + 1).double()
        spins = hamiltonian.vectors[:, 0]
        self._mirrored = is_odd(hamiltonian)
        self._step_of_field = 0.0 if size is None else STEP_OF_FIELD / max(size, math.sqrt(self.n_sites))
        steps = range(1, FIELDS + 1) if self._mirrored else [k for k in range(-FIELDS, FIELDS + 1) if k]
        tilts = torch.tensor([] if size is None else list(steps)).double() * self._step_of_field
        self.factors = torch.cat([factors, torch.ones_like(tilts)])
        self.fields = torch.cat([torch.zeros(len(factors)).double(), tilts])[:, None] * spins

    def __len__(self) -> int:
        return len(self.factors)

    def result(self, method: str, log_z: Array, fewer: int = 0) -> ExactResult:
        """The quantities that follow from ln Z at the settings.

        Args:
            method: name of the method.
            log_z: `(n,)`.
            fewer: number of points that are left out at either end.
        """
        of_beta, of_field = np.split(log_z, [2 * TEMPERATURES + 1])
        centre = float(of_beta[TEMPERATURES])
        inner = of_beta[fewer : len(of_beta) - fewer] - centre
        first, second = central_derivatives(inner, self._step_of_beta)[1:3]
        m2 = m4 = None
        if len(of_field):
            negative = of_field[::-1] if self._mirrored else of_field[:FIELDS]
            sums = np.exp(np.concatenate([negative, [centre], of_field[-FIELDS:]]) - centre)
            moments = central_derivatives(sums[fewer : len(sums) - fewer], self._step_of_field)
            m2, m4 = (float(moments[k] / self.n_sites**k) for k in (2, 4))
        return ExactResult(
            method=method,
            n_sites=self.n_sites,
            temperature=self.temperature,
            log_z=centre,
            energy_per_site=float(-self.temperature * first / self.n_sites),
            heat_capacity_per_site=float(second / self.n_sites),
            magnetization_squared=m2,
            magnetization_fourth=m4,
        )


def is_odd(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether flipping all spins changes the sign of the magnetisation and not the energy."""
    spins = hamiltonian.vectors
    return bool(hamiltonian.spin_flip and spins.shape[1] == 1 and torch.equal(spins, -spins.flip(0)))
