"""Measuring configurations: energies, magnetisations and the observables asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latticear.hamiltonians import AbstractHamiltonian
from latticear.observables import correlation
from latticear.samples import Samples

__all__ = ["BUILT_IN", "Measurement", "Observable", "measurements"]

Array = NDArray[np.float64]
Observable = Callable[[Tensor], Tensor]

BUILT_IN = (
    "free_energy_per_site",
    "energy_per_site",
    "entropy_per_site",
    "heat_capacity_per_site",
    "abs_magnetization",
    "magnetization_squared",
    "susceptibility",
    "binder_cumulant",
    "log_z",
)
"""Names of the scalar estimates, in the order of the tables."""

CHUNK = 4096
"""Configurations measured at a time: measuring makes float64 copies."""


class Measurement(NamedTuple):
    """What was measured of a batch of B configurations.

    Attributes:
        energy: `(B,)`, extensive.
        m: `(B,)`, magnetisation per site.
        log_q: `(B,)`, the sampler's own; None for Monte Carlo.
        values: of the correlation function and the user's observables, `(B,)` or `(B, k)`, by name.
    """

    energy: Array
    m: Array
    log_q: Array | None
    values: dict[str, Array]


def measurements(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    observables: Mapping[str, Observable] | None,
    *,
    chunk: int | None = CHUNK,
) -> Iterator[Measurement]:
    """Measure samples as they stream past.

    Args:
        samples: one batch or many.
        hamiltonian: gives energies and spins.
        observables: the user's own: `fn(spins)` maps float64 `(B, H, W)` to `(B,)` or `(B, k)`.
        chunk: largest batch measured at once; None keeps the batches as they come.

    Raises:
        ValueError: for samples of another shape, or an observable of another shape or with the name of a built-in one.
    """
    wanted: dict[str, Observable] = {"correlation": lambda spins: correlation(spins, hamiltonian.lattice)}
    for name, fn in (observables or {}).items():
        if name in {*BUILT_IN, "ess", "pareto_k", "forward_ess", "correlation"}:
            raise ValueError(f"observable {name!r} would hide the built-in one; give it another name")
        wanted[name] = fn
    for batch in [samples] if isinstance(samples, Samples) else samples:
        if tuple(batch.tokens.shape[1:]) != hamiltonian.shape:
            raise ValueError(f"samples have shape {tuple(batch.tokens.shape[1:])}, the Hamiltonian {hamiltonian.shape}")
        for first in range(0, len(batch), chunk or len(batch)):
            yield _measure(batch[first : first + (chunk or len(batch))], hamiltonian, wanted)


def _measure(batch: Samples, hamiltonian: AbstractHamiltonian, wanted: Mapping[str, Observable]) -> Measurement:
    spins = hamiltonian.spins(batch.tokens)
    return Measurement(
        energy=hamiltonian.token_energy(batch.tokens).cpu().numpy(),
        m=spins.mean((1, 2)).cpu().numpy(),
        log_q=None if batch.log_q is None else batch.log_q.cpu().numpy(),
        values={name: _evaluate(name, fn, spins) for name, fn in wanted.items()},
    )


def _evaluate(name: str, fn: Observable, spins: Tensor) -> Array:
    values = torch.as_tensor(fn(spins))
    if values.ndim not in (1, 2) or len(values) != len(spins):
        raise ValueError(
            f"observable {name!r} must return shape (B,) or (B, k) for B = {len(spins)} configurations, "
            f"got {tuple(values.shape)}"
        )
    return values.detach().cpu().double().numpy()
