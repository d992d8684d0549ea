"""Measurements of configurations: energies, magnetisations and the user's observables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.arguments import described
from latticear.arrays import Array
from latticear.estimation.exchanges import exchange_energies, exchange_pairs
from latticear.estimation.inputs import batches_of
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian
from latticear.observables import correlation, magnetization
from latticear.processes import ALONE, Processes
from latticear.samples import Samples
from latticear.threads import wait_passively

__all__ = ["Measurement", "Observable", "evaluate", "measurements"]

Observable = Callable[[Tensor], Tensor]

RESERVED = {
    *("temperature", "n", "method", "verdict", "reasons", "reliable", "warnings", "remarks", "diagnostics"),
    *("estimates", "seed", "checkpoint", "instance", "sha256"),
}
"""Keys of estimates.json that are no quantities."""

CHUNK = 2**18
"""Number of sites measured at a time: measuring makes float64 copies, which should fit into the cache."""


class Measurement(NamedTuple):
    """Measured values of a batch of B configurations.

    Attributes:
        energy: `(B,)`, extensive.
        m: `(B,)`, magnetisation per site.
        log_q: `(B,)`, log-probability as the sampler returned it; None for Monte Carlo.
        balance: `(B, n_temperatures)`, average energy change of one heat-bath step, summed over all sites; at fixed
            composition that of exchanges (`latticear.estimation.exchanges`). Its mean over the Boltzmann distribution
            is zero (Callen's identity); its mean over samples that miss part of the distribution is not.
        values: correlation function and the user's observables by name, each `(B,)` or `(B, k)`.
        asymmetry: for each of the user's observables, its value minus that after a flip of all spins, `(B,)` or
            `(B, k)`; empty where a flip changes the energy, or sites were held fixed. Its mean over the Boltzmann
            distribution is zero; its mean over chains that have never flipped is not.
        held: whether some sites were held fixed.

    References:
        H. B. Callen, Phys. Lett. 4 (1963) 161.
    """

    energy: Array
    m: Array
    log_q: Array | None
    balance: Array
    values: dict[str, Array]
    asymmetry: dict[str, Array]
    held: bool


def measurements(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    observables: Mapping[str, Observable] | None,
    *,
    chunk: int | None = CHUNK,
    made_at: float | None = None,
    processes: Processes = ALONE,
) -> Iterator[Measurement]:
    """Measure samples one batch after the other.

    Several processes measure their own batches, which were dealt out in turn, and get the measurements of all.

    Args:
        samples: one batch of samples or many.
        hamiltonian: Hamiltonian that gives energies and spins.
        temperatures: temperatures of the targets.
        observables: the user's observables by name: `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)` where a
            site has components, to `(B,)` or `(B, k)`.
        chunk: maximal number of sites measured at once (at least one configuration is); None does not split the
            batches.
        made_at: temperature at which samples must have been made if they state one; None if any will do.
        processes: processes that measure together.

    Raises:
        ValueError: for samples or a Hamiltonian that `batches_of` refuses, or an observable that is no function, has
            the name of a built-in quantity or of another key of estimates.json, or returns anything but finite real
            numbers of the right shape.
    """
    wait_passively()
    own = _checked(observables)

    def parts_of(batch: Samples) -> Iterator[Measurement]:
        size = max(1, len(batch) if chunk is None else chunk // hamiltonian.n_sites)
        for first in range(0, len(batch), size):
            yield _measure(batch[first : first + size], hamiltonian, temperatures, own)

    batches = batches_of(samples, hamiltonian, made_at)
    if processes.size == 1:
        for batch in batches:
            yield from parts_of(batch)
    else:
        for parts in processes.in_turn(list(parts_of(batch)) for batch in batches):
            yield from parts


def _checked(observables: Mapping[str, Observable] | None) -> dict[str, Observable]:
    """The user's observables by name, each of which is a function with a name of its own."""
    if observables is not None and not isinstance(observables, Mapping):
        raise ValueError(f'observables must be functions by name, {{"m": fn}}, got {described(observables)}')
    for name, fn in (observables or {}).items():
        if not isinstance(name, str):
            raise ValueError(f"the name of an observable must be text, got {described(name)}")
        if name in {*QUANTITIES, "ess", "pareto_k", "forward_ess", "correlation"}:
            raise ValueError(f"observable {name!r} has the name of a built-in quantity; give it another name")
        if name in RESERVED:
            raise ValueError(f"observable {name!r} has the name of another key of estimates.json; give it another name")
        if not callable(fn):
            raise ValueError(
                f"observable {name!r} must be a function of the spins that returns one number for each configuration, "
                f"got {described(fn)}"
            )
    return dict(observables or {})


def _measure(
    batch: Samples,
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    observables: Mapping[str, Observable],
) -> Measurement:
    spins = hamiltonian.spins(batch.tokens)
    vectors = hamiltonian.vectors_of(batch.tokens)
    own = {name: evaluate(name, fn, spins) for name, fn in observables.items()}
    asymmetry = {}
    if own and hamiltonian.spin_flip and batch.where is None:
        flipped = hamiltonian.spins(hamiltonian.n_tokens - 1 - batch.tokens)
        asymmetry = {name: own[name] - evaluate(name, fn, flipped) for name, fn in observables.items()}
    return Measurement(
        energy=hamiltonian.token_energy(batch.tokens).cpu().numpy(),
        m=magnetization(vectors).cpu().numpy(),
        log_q=None if batch.log_q is None else batch.log_q.cpu().numpy(),
        balance=_balance(batch, hamiltonian, temperatures),
        values={"correlation": correlation(vectors, hamiltonian.lattice).cpu().numpy()} | own,
        asymmetry=asymmetry,
        held=batch.where is not None,
    )


def _balance(batch: Samples, hamiltonian: AbstractHamiltonian, temperatures: Sequence[float]) -> Array:
    tokens = hamiltonian.join(batch.tokens)
    every = torch.arange(hamiltonian.n_sites, device=tokens.device)
    energies = hamiltonian.joint.conditional_energies(tokens, every)
    if hamiltonian.composition is not None:
        d_bp = exchange_energies(tokens.flatten(1), energies, exchange_pairs(hamiltonian))
        return torch.stack([(d_bp * torch.sigmoid(-d_bp / t)).sum(1) for t in temperatures], 1).cpu().numpy()
    now = energies.gather(2, tokens.flatten(1).long()[..., None])[..., 0]
    free: float | Tensor = 1.0
    if batch.where is not None:  # a site with a fixed token, or one fixed component, is not in equilibrium
        free = (~batch.where).view(len(tokens), -1, hamiltonian.n_sites).all(1).double()
    changes = [(((-energies / t).softmax(2) * energies).sum(2) - now) * free for t in temperatures]
    return torch.stack([change.sum(1) for change in changes], 1).cpu().numpy()


def evaluate(name: str, fn: Observable, spins: Tensor) -> Array:
    """The values of a user's observable: `(B,)` or `(B, k)`.

    Raises:
        ValueError: if they have a wrong shape, or are not finite real numbers.
    """
    returned = fn(spins.clone())  # the function may modify its argument
    try:
        values = torch.as_tensor(returned)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"observable {name!r} must return numbers, of shape (B,) or (B, k) for B = {len(spins)} configurations, "
            f"got {described(returned)}"
        ) from error
    if values.ndim not in (1, 2) or len(values) != len(spins):
        raise ValueError(
            f"observable {name!r} must return shape (B,) or (B, k) for B = {len(spins)} configurations, "
            f"got {tuple(values.shape)}"
        )
    if values.is_complex() or not values.isfinite().all():
        raise ValueError(f"observable {name!r} must have finite real values; give real and imaginary parts as columns")
    return values.detach().cpu().double().numpy()
