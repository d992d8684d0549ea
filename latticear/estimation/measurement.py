"""Measurements of configurations: energies, magnetisations and the user's observables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from latticear.arguments import described
from latticear.arrays import Array
from latticear.estimation.exchanges import exchange_energies, exchange_pairs
from latticear.estimation.inputs import batches_of
from latticear.estimation.named.base import AbstractObservable
from latticear.estimation.named.request import Observable, Observables, Request
from latticear.hamiltonians import AbstractHamiltonian
from latticear.observables import correlation, magnetization
from latticear.processes import ALONE, Processes
from latticear.samples import Samples
from latticear.threads import wait_passively

__all__ = ["Measurement", "Observable", "evaluate", "evaluate_named", "measurements", "observed"]

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
        values: correlation function and the observables that were asked for by name, each `(B,)` or `(B, k)`; without
            those whose values depend on the temperature.
        asymmetry: for each observable that was asked for, its value minus that after a flip of all spins, `(B,)` or
            `(B, k)`; empty where a flip changes the energy, or sites were held fixed. Its mean over the Boltzmann
            distribution is zero; its mean over chains that have never flipped is not.
        held: whether some sites were held fixed.
        thermal: for each temperature the values that depend on it, and their asymmetry.

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
    thermal: Sequence[tuple[dict[str, Array], dict[str, Array]]] = ()

    def values_at(self, k: int) -> dict[str, Array]:
        """All values by name, at temperature number k."""
        return self.values | self.thermal[k][0] if self.thermal else self.values

    def asymmetry_at(self, k: int) -> dict[str, Array]:
        """All asymmetries by name, at temperature number k."""
        return self.asymmetry | self.thermal[k][1] if self.thermal else self.asymmetry


def measurements(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    observables: Observables | None,
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
        observables: functions of the user by name, or names of `la.OBSERVABLES`: `fn(spins)` maps float64 `(B, H, W)`,
            or `(B, C, H, W)` where a site has components, to `(B,)` or `(B, k)`.
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
    request = Request.of(observables, hamiltonian)

    def parts_of(batch: Samples) -> Iterator[Measurement]:
        size = max(1, len(batch) if chunk is None else chunk // hamiltonian.n_sites)
        for first in range(0, len(batch), size):
            yield _measure(batch[first : first + size], hamiltonian, temperatures, request)

    batches = batches_of(samples, hamiltonian, made_at)
    if processes.size == 1:
        for batch in batches:
            yield from parts_of(batch)
    else:
        for parts in processes.in_turn(list(parts_of(batch)) for batch in batches):
            yield from parts


def observed(parts: Sequence[Measurement], k: int = 0) -> tuple[dict[str, list[Array]], dict[str, list[Array]]]:
    """The values and the asymmetries of all batches by name, at temperature number k."""
    values, asymmetry = [part.values_at(k) for part in parts], [part.asymmetry_at(k) for part in parts]
    return (
        {name: [each[name] for each in values] for name in values[0]},
        {name: [each[name] for each in asymmetry] for name in asymmetry[0]},
    )


def _measure(
    batch: Samples, hamiltonian: AbstractHamiltonian, temperatures: Sequence[float], request: Request
) -> Measurement:
    spins = hamiltonian.spins(batch.tokens)
    vectors = hamiltonian.vectors_of(batch.tokens)
    flipped = None
    if hamiltonian.spin_flip and batch.where is None:
        flipped = replace(batch, tokens=hamiltonian.n_tokens - 1 - batch.tokens)
    own = {name: evaluate(name, fn, spins) for name, fn in request.own.items()}
    asymmetry = {}
    if own and flipped is not None:
        turned = hamiltonian.spins(flipped.tokens)
        asymmetry = {name: own[name] - evaluate(name, fn, turned) for name, fn in request.own.items()}
    named, named_asymmetry = _named(batch, flipped, hamiltonian, temperatures[0], request.at_any_temperature)
    thermal = request.at_one_temperature
    return Measurement(
        energy=hamiltonian.token_energy(batch.tokens).cpu().numpy(),
        m=magnetization(vectors).cpu().numpy(),
        log_q=None if batch.log_q is None else batch.log_q.cpu().numpy(),
        balance=_balance(batch, hamiltonian, temperatures),
        values={"correlation": correlation(vectors, hamiltonian.lattice).cpu().numpy()} | own | named,
        asymmetry=asymmetry | named_asymmetry,
        held=batch.where is not None,
        thermal=[_named(batch, flipped, hamiltonian, t, thermal) for t in temperatures] if thermal else (),
    )


def _named(
    batch: Samples,
    flipped: Samples | None,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    observables: Sequence[AbstractObservable],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The values of observables, and their asymmetry if the flipped configurations are as probable."""
    values: dict[str, Array] = {}
    asymmetry: dict[str, Array] = {}
    for observable in observables:
        found = evaluate_named(observable, batch, hamiltonian, temperature)
        values |= found
        if flipped is not None and not observable.even:
            other = evaluate_named(observable, flipped, hamiltonian, temperature)
            asymmetry |= {name: found[name] - other[name] for name in found}
    return values, asymmetry


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
    return _numbers(name, fn(spins.clone()), len(spins))  # the function may modify its argument


def evaluate_named(
    observable: AbstractObservable, batch: Samples, hamiltonian: AbstractHamiltonian, temperature: float
) -> dict[str, Array]:
    """The values of an observable of `la.OBSERVABLES` by name, each `(B,)` or `(B, k)`.

    Raises:
        ValueError: if they have a wrong shape, or are not finite real numbers.
    """
    found = observable.measure(batch, hamiltonian, temperature)
    return {name: _numbers(name, values, len(batch)) for name, values in found.items()}


def _numbers(name: str, returned: object, n: int) -> Array:
    """The values of an observable in n configurations, checked."""
    try:
        values = torch.as_tensor(returned)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"observable {name!r} must return numbers, of shape (B,) or (B, k) for B = {n} configurations, "
            f"got {described(returned)}"
        ) from error
    if values.ndim not in (1, 2) or len(values) != n:
        raise ValueError(
            f"observable {name!r} must return shape (B,) or (B, k) for B = {n} configurations, "
            f"got {tuple(values.shape)}"
        )
    if values.is_complex() or not values.isfinite().all():
        raise ValueError(f"observable {name!r} must have finite real values; give real and imaginary parts as columns")
    return values.detach().cpu().double().numpy()
