"""Estimates from Markov chains; of one's own, given as an array or a file, with whether they fit the Hamiltonian."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from latticear.arguments import check_integer
from latticear.data.loading import ConversionNote, Loaded, load
from latticear.data.values import Values
from latticear.estimation.at_composition import at_composition
from latticear.estimation.chain_faults import faults_of
from latticear.estimation.chains import estimate_chains as estimate_batches, estimates_of_chains, series_of
from latticear.estimation.completion import complete
from latticear.estimation.consistency import Consistency, consistency
from latticear.estimation.estimates import JUDGED, Estimates
from latticear.estimation.goals import Wanted
from latticear.estimation.limits import Report, Until
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.pairs.listening import add_chain_pairs, chain_pairs
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.samples import Samples

__all__ = ["batches_or_source", "estimate_chain", "estimate_chains", "extents"]


def estimate_chains(
    chains: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n_chains: int | None = None,
    skip: int = 0,
    dataset: str | None = None,
    values: Values = None,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    thermalization: float | None = None,
    error: Wanted | None = None,
    n: float | None = None,
    minutes: float | None = None,
    report: Report | None = None,
) -> Estimates:
    """Observables from Markov chains, with errors from their autocorrelation; chains of one's own are checked.

    Chains of one's own are an array or a file. The check asks whether they fit the Hamiltonian and the temperature:
    whether every spin has, given its neighbours, the probabilities of a heat bath, and every direction the bond
    energies that follow from them (`latticear.estimation.consistency`); and whether they drift, disagree with each
    other, or have their axes exchanged. Chains that do not fit are marked as unreliable, and `warnings` says what would
    fit: another temperature, the later part of the chain, or nothing. Where the check finds nothing, an error that is
    as large as the error bars of the chain can remain, and so can a part of the distribution that it never reached.

    Args:
        chains: configurations in the order in which they were made, an array or a file: all that `load_configurations`
            takes. (T, n, H, W) are n chains of T measurements; everything else is one chain, whose first axis is time.
            Or the batches of `la.monte_carlo`, one for each measurement, which are not checked; a last batch that has
            fewer configurations is left out.
        hamiltonian: the Hamiltonian.
        temperature: T > 0, in units of the coupling.
        n_chains: number of chains whose configurations follow each other in turn along the first axis; by default what
            a file of `latticear mc` states, else 1.
        skip: number of measurements at the start of each chain that are left out, because they may depend on how the
            chain began.
        dataset, values: as in `load_configurations`.
        observables, exact: as in `estimate`.
        thermalization: time before the first measurement, in units of the time between two measurements. The estimates
            are marked as unreliable if it is shorter than 20 `tau_int` of the energy or of |m|; None skips this check.
        error: wanted errors by name, as in `la.estimate`: batches of `la.monte_carlo(..., n=10**9)` are taken until
            they are reached. None takes all of them.
        n, minutes, report: with `error`, the largest number of configurations, the largest time, and a function called
            with progress, as in `la.estimate`.

    Returns:
        The quantities that `neural_mcmc` returns, such as `abs_magnetization`, each with its `tau_int` in units of the
        time between two measurements. For chains of one's own, `diagnostics` has `misfit`, the largest deviation from
        zero of an average that the check uses, in units of its error.

    Raises:
        ValueError: for a source that cannot be read, or fewer than two measurements.
        OSError: if a file cannot be read.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4))
        >>> batches = la.monte_carlo(ising, 2.5, n=4000, n_chains=20, thinning=5, seed=0)
        >>> chain = np.stack([ising.spins(batch.tokens).numpy() for batch in batches])  # (T, n, H, W), -1 and 1
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", la.data.ConversionNote)  # it was read as 200 steps of 20 chains
        ...     found = la.estimate_chains(chain, ising, 2.5)
        >>> found.reliable, abs(found["abs_magnetization"].value - 0.7) < 0.1
        (True, True)
    """
    until = Until.of(error, n, minutes, report)
    batches, chains = batches_or_source(chains)
    if batches is not None:
        if n_chains is not None or dataset is not None or values is not None:
            raise ValueError("n_chains, dataset and values are for an array or a file, got batches of samples")
        used = itertools.islice(batches, check_integer("skip", skip, least=0), None)
        more: dict[str, Any] = {"observables": observables, "exact": exact, "thermalization": thermalization}
        return estimate_batches(used, hamiltonian, temperature, until=until, **more)
    if until is not None:
        raise ValueError(
            "error needs chains that go on, la.monte_carlo(hamiltonian, temperature, n=10**9); an array or a file has "
            "the errors that it has: leave error out"
        )
    check_is_hamiltonian(hamiltonian)
    temperature, skip = check_temperature(temperature), check_integer("skip", skip, least=0)
    loaded = load(chains, hamiltonian, dataset=dataset, values=values, temperature=temperature)
    if loaded.note:
        warnings.warn(loaded.note, ConversionNote, stacklevel=2)
    length, width = extents(loaded, n_chains)
    if length - skip < 2:
        raise ValueError(f"a chain needs at least two measurements, got {length} of {width} chains and skip = {skip}")
    tokens = loaded.tokens[skip * width : length * width]
    found = consistency(tokens.view(-1, width, *hamiltonian.size), hamiltonian, temperature)
    request = Request.of(observables, hamiltonian)
    series = series_of(tokens, width, hamiltonian, temperature, request)
    faults = faults_of(
        {"energy_per_site": series.energy / hamiltonian.n_sites, "|m|": np.abs(series.m)},
        axes=len(loaded.lead) == 2,
    )
    misfit = ([] if found.early else faults) + _misfit(found, length, temperature)
    known = reference(exact, hamiltonian, temperature)
    estimates = estimates_of_chains(
        *series,
        hamiltonian.n_sites,
        temperature,
        known,
        {"misfit": min(found.worst, 1e6)},
        misfit=misfit,
        thermalization=thermalization,
    )
    for pairs in chain_pairs(request, hamiltonian):
        for batch in tokens.split(width):
            pairs.add(batch)
        add_chain_pairs(estimates, pairs)
    complete(at_composition(estimates, hamiltonian), hamiltonian, request, known)
    if not found.problem:
        slowest = max(estimates[name].tau_int or 0.0 for name in JUDGED)
        estimates.remarks += (_verdict(found, temperature, slowest),)
    if width == 1:
        estimates.remarks += ("one chain does not show what it missed: run several that begin independently",)
    return estimates


estimate_chain = estimate_chains
"""The same by its old name."""


def batches_or_source(chains: Any) -> tuple[Iterator[Any] | None, Any]:
    """The batches of samples that are given in place of an array or a file, or None; and what is given else."""
    whole = isinstance(chains, Samples | str | os.PathLike) or hasattr(chains, "__array__")
    if whole or not isinstance(chains, Iterable):
        return None, chains
    rest = iter(chains)
    first = next(rest, None)
    together = itertools.chain([] if first is None else [first], rest)
    if isinstance(first, Samples):
        return together, None
    return None, chains if isinstance(chains, list | tuple) else list(together)


def _verdict(found: Consistency, temperature: float, slowest: float) -> str:
    """What is said of chains in which the check finds nothing that does not fit."""
    if not found.judged:
        return f"too few configurations, or too few independent ones, to check whether they fit T = {temperature:g}"
    balance = "" if found.balance is None else f"energy balance {found.balance:.1f} errors, "
    return (
        f"the chain fits this Hamiltonian at T = {temperature:g}: {balance}probabilities of spins are at most "
        f"{found.worst:.2g} errors off; tau_int {slowest:.3g}"
    )


def _misfit(found: Consistency, length: int, temperature: float) -> list[str]:
    """Why a chain does not fit the Hamiltonian at the temperature, and what would; empty if it does."""
    if found.early:
        skip = f"leave them out, for example by skip={(length + 1) // 2}"
        return [f"the first measurements are not in equilibrium ({found.worst:.3g} errors off): {skip}"]
    if found.problem:
        return [f"the chain does not fit this Hamiltonian at T = {temperature:g}: {found.why}"]
    return []


def extents(loaded: Loaded, n_chains: int | None) -> tuple[int, int]:
    """The number of measurements and of chains."""
    lead = loaded.lead or (1,)
    if len(lead) == 2:
        if n_chains not in (None, lead[1]):
            raise ValueError(f"the array has {lead[1]} chains, (T, n, H, W), got n_chains = {n_chains}: leave it out")
        return lead[0], lead[1]
    provenance = loaded.attributes.get("provenance")
    stated = provenance.get("n_chains") if isinstance(provenance, dict) else None
    width = check_integer("n_chains", n_chains, least=1, default=stated if isinstance(stated, int) else 1)
    return math.prod(lead) // width, width
