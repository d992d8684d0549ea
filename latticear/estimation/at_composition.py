"""Quantities that a fixed composition determines."""

from __future__ import annotations

from dataclasses import replace

import torch

from latticear.estimation.estimates import Estimates
from latticear.hamiltonians import AbstractHamiltonian

__all__ = ["at_composition"]


def at_composition(estimates: Estimates, hamiltonian: AbstractHamiltonian) -> Estimates:
    """Mark the quantities that a fixed composition determines, if it is fixed; returns the estimates.

    These are the magnetisation and what follows from it. They are the same in all configurations: that nothing varied
    says nothing of the samples.
    """
    if hamiltonian.composition is None:
        return estimates
    counts = torch.tensor(hamiltonian.composition)
    one = torch.repeat_interleave(torch.arange(len(counts)), counts).view(1, *hamiltonian.shape)
    m = abs(float(hamiltonian.magnetization(one)))
    values = {"abs_magnetization": m, "magnetization_squared": m**2, "susceptibility": 0.0, "binder_cumulant": 2 / 3}
    for name in values.keys() & estimates.keys():
        value = values[name]  # without rounding errors, which would be taken for errors
        estimates[name] = replace(
            estimates[name], value=value, exact=value, error=0.0, jackknife_error=None, doubts=(), fixed=True
        )
    if m == 0:
        estimates.pop("binder_cumulant", None)
    return estimates
