"""Measurements of configurations: energies, magnetisations and the user's observables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian
from latticear.observables import correlation, magnetization
from latticear.samples import Samples

__all__ = ["Measurement", "Observable", "measurements"]

Observable = Callable[[Tensor], Tensor]

CHUNK = 2**18
"""Number of sites measured at a time: measuring makes float64 copies, which should fit into the cache."""


class Measurement(NamedTuple):
    """Measured values of a batch of B configurations.

    Attributes:
        energy: `(B,)`, extensive.
        m: `(B,)`, magnetisation per site.
        log_q: `(B,)`, log-probability as the sampler returned it; None for Monte Carlo.
        balance: `(B, n_temperatures)`, average energy change of one heat-bath step, summed over all sites. Its mean
            over the Boltzmann distribution is zero (Callen's identity); its mean over samples that miss part of the
            distribution is not.
        values: correlation function and the user's observables by name, each `(B,)` or `(B, k)`.

    References:
        H. B. Callen, Phys. Lett. 4 (1963) 161.
    """

    energy: Array
    m: Array
    log_q: Array | None
    balance: Array
    values: dict[str, Array]


def measurements(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    observables: Mapping[str, Observable] | None,
    *,
    chunk: int | None = CHUNK,
) -> Iterator[Measurement]:
    """Measure samples one batch after the other.

    Args:
        samples: one batch of samples or many.
        hamiltonian: Hamiltonian that gives energies and spins.
        temperatures: temperatures of the targets.
        observables: the user's observables by name: `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)` where a
            site has components, to `(B,)` or `(B, k)`.
        chunk: maximal number of sites measured at once (at least one configuration is); None does not split the
            batches.

    Raises:
        ValueError: for samples with another shape or other tokens than the Hamiltonian's, or an observable that has the
            name of a built-in quantity or returns a wrong shape or values that are not finite real numbers.
    """
    own: dict[str, Observable] = {}
    for name, fn in (observables or {}).items():
        if name in {*QUANTITIES, "ess", "pareto_k", "forward_ess", "correlation"}:
            raise ValueError(f"observable {name!r} has the name of a built-in quantity; give it another name")
        own[name] = fn
    for batch in _batches(samples):
        if tuple(batch.tokens.shape[1:]) != hamiltonian.size:
            raise ValueError(f"samples have shape {tuple(batch.tokens.shape[1:])}, the Hamiltonian {hamiltonian.size}")
        if len(batch) and int(batch.tokens.max()) >= hamiltonian.n_tokens:
            raise ValueError(
                f"samples hold token {int(batch.tokens.max())}, the Hamiltonian has {hamiltonian.n_tokens}"
            )
        size = max(1, len(batch) if chunk is None else chunk // hamiltonian.n_sites)
        for first in range(0, len(batch), size):
            yield _measure(batch[first : first + size], hamiltonian, temperatures, own)


def _batches(samples: Any) -> Iterator[Samples]:
    """Batches of samples; ValueError for anything else."""
    is_file = isinstance(samples, str | os.PathLike)
    for batch in [samples] if isinstance(samples, Samples) or is_file or hasattr(samples, "__array__") else samples:
        if not isinstance(batch, Samples):
            what = "a file" if is_file else f"{type(batch).__name__} of shape {tuple(getattr(batch, 'shape', ()))}"
            raise ValueError(
                f"samples of a model are needed (model.sample), got {what}: for configurations of a Markov chain use "
                f"la.estimate_chain(array_or_file, hamiltonian, temperature)"
            )
        yield batch


def _measure(
    batch: Samples,
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    observables: Mapping[str, Observable],
) -> Measurement:
    spins = hamiltonian.spins(batch.tokens)
    vectors = hamiltonian.vectors_of(batch.tokens)
    values = {"correlation": correlation(vectors, hamiltonian.lattice).cpu().numpy()}
    return Measurement(
        energy=hamiltonian.token_energy(batch.tokens).cpu().numpy(),
        m=magnetization(vectors).cpu().numpy(),
        log_q=None if batch.log_q is None else batch.log_q.cpu().numpy(),
        balance=_balance(batch, hamiltonian, temperatures),
        values=values | {name: _evaluate(name, fn, spins) for name, fn in observables.items()},
    )


def _balance(batch: Samples, hamiltonian: AbstractHamiltonian, temperatures: Sequence[float]) -> Array:
    tokens = hamiltonian.join(batch.tokens)
    every = torch.arange(hamiltonian.n_sites, device=tokens.device)
    energies = hamiltonian.joint.conditional_energies(tokens, every)
    now = energies.gather(2, tokens.flatten(1).long()[..., None])[..., 0]
    free: float | Tensor = 1.0
    if batch.where is not None:  # a site with a fixed token, or one fixed component, is not in equilibrium
        free = (~batch.where).view(len(tokens), -1, hamiltonian.n_sites).all(1).double()
    changes = [(((-energies / t).softmax(2) * energies).sum(2) - now) * free for t in temperatures]
    return torch.stack([change.sum(1) for change in changes], 1).cpu().numpy()


def _evaluate(name: str, fn: Observable, spins: Tensor) -> Array:
    values = torch.as_tensor(fn(spins.clone()))  # the function may modify its argument
    if values.ndim not in (1, 2) or len(values) != len(spins):
        raise ValueError(
            f"observable {name!r} must return shape (B,) or (B, k) for B = {len(spins)} configurations, "
            f"got {tuple(values.shape)}"
        )
    if values.is_complex() or not values.isfinite().all():
        raise ValueError(f"observable {name!r} must have finite real values; give real and imaginary parts as columns")
    return values.detach().cpu().double().numpy()
