"""Configurations that a training draws itself: Monte Carlo, and the same configurations heated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.montecarlo import clusters_suit, monte_carlo_data
from latticear.montecarlo.heatbath import heat_bath
from latticear.montecarlo.kawasaki import Kawasaki
from latticear.montecarlo.replicas import ParallelTempering
from latticear.processes import ALONE, Processes
from latticear.random_numbers import generator
from latticear.targets import AbstractTarget
from latticear.training.options import TrainingOptions

__all__ = ["drawn_data", "heated"]

FACTORS = (1.5, 2.0, 3.0)
"""Temperatures of `heated`, in units of that of the configurations."""
SWEEPS = 10
"""Heat-bath sweeps of `heated`."""


def drawn_data(target: AbstractTarget, options: TrainingOptions, seed: int, processes: Processes = ALONE) -> Tensor:
    """The Monte Carlo configurations of a training without data: tokens `(n, H, W)` or `(n, C, H, W)`.

    Args:
        target: a target of one system at one temperature.
        options: the training options; `monte_carlo` says by which method, `n_monte_carlo` how many.
        seed: seed of the training.
        processes: the processes that divide the Markov chains; each gets all configurations.
    """
    setting = target.single
    how: dict[str, Any] = {"processes": processes}
    if options.monte_carlo == "tempering" and setting.system.composition is None and not clusters_suit(setting.system):
        extent = max(setting.system.shape)
        how |= {
            "method": ParallelTempering.name,
            "thermalization": max(256, 4 * extent**2),
            "thinning": max(2, extent**2 // 32),
        }
    return monte_carlo_data(setting.system, setting.temperature, options.n_monte_carlo, seed, "training", **how)


def heated(
    hamiltonian: AbstractHamiltonian, temperature: float, tokens: Tensor, seed: int, processes: Processes = ALONE
) -> Tensor:
    """Configurations after 10 heat-bath sweeps at 1.5, 2 or 3 times the temperature, chosen at random for each.

    At fixed composition they are sweeps of exchanges.

    They are typical of no temperature, and need not be: they are configurations that the target has rarely, with
    energies between those that it has often and those of chance. The processes divide them; each gets all.
    """
    system, rng, share = hamiltonian.joint, generator(seed, "heated"), processes.share(len(tokens))
    if system.composition is not None:
        exchanges = Kawasaki(system, temperature * _factors(len(tokens), rng)[:, None], tokens.clone(), rng)
        for _ in range(SWEEPS):
            exchanges.sweep()
        return exchanges.tokens
    bath = heat_bath(system, hamiltonian.join(tokens[share.rows]), rng, share)
    factors = _factors(len(tokens), rng)
    for _ in range(SWEEPS):
        bath.sweep(1 / (temperature * factors[share.rows]))
    return hamiltonian.split(share.joined(bath.tokens()))


def _factors(n: int, rng: np.random.Generator) -> Tensor:
    """One of `FACTORS` at random for each of n configurations: float64 `(n,)`."""
    return torch.tensor(FACTORS, dtype=torch.float64)[torch.from_numpy(rng.integers(len(FACTORS), size=n))]
