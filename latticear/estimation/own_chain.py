"""Estimates from a user's own Markov chain, given as an array or a file, and whether it fits the Hamiltonian."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from latticear.arguments import check_integer
from latticear.data.loading import ConversionNote, Loaded, load
from latticear.data.values import Values
from latticear.estimation.chains import estimates_of_tokens
from latticear.estimation.consistency import Consistency, consistency
from latticear.estimation.estimates import JUDGED, Estimates
from latticear.estimation.measurement import Observable
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.hamiltonians import AbstractHamiltonian, check_temperature

__all__ = ["estimate_chain"]


def estimate_chain(
    chain: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n_chains: int | None = None,
    skip: int = 0,
    dataset: str | None = None,
    values: Values = None,
    observables: Mapping[str, Observable] | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Observables from a Markov chain of one's own, with errors from autocorrelation and a check of the chain.

    The check asks whether the chain fits the Hamiltonian and the temperature: whether every spin has, given its
    neighbours, the probabilities of a heat bath, and every direction the bond energies that follow from them
    (`latticear.estimation.consistency`). A chain that does not fit is marked as unreliable, and `warnings` says what
    would fit: another temperature, the later part of the chain, or nothing. Where the check finds nothing, an error
    that is as large as the error bars of the chain can remain, and so can a part of the distribution that it never
    reached.

    Args:
        chain: configurations in the order in which they were made, an array or a file: all that `load_configurations`
            takes. (T, n, H, W) are n chains of T measurements; everything else is one chain, whose first axis is time.
        hamiltonian: the Hamiltonian.
        temperature: T > 0, in units of the coupling.
        n_chains: number of chains whose configurations follow each other in turn along the first axis; by default what
            a file of `latticear mc` states, else 1.
        skip: number of measurements at the start of each chain that are left out, because they may depend on how the
            chain began.
        dataset, values: as in `load_configurations`.
        observables, exact: as in `estimate`.

    Returns:
        The quantities that `neural_mcmc` returns, such as `abs_magnetization`, each with its `tau_int` in units of the
        time between two measurements; `diagnostics` has `misfit`, the largest deviation from zero of an average that
        the check uses, in units of its error.

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
        ...     found = la.estimate_chain(chain, ising, 2.5)
        >>> found.reliable, abs(found["abs_magnetization"].value - 0.7) < 0.1
        (True, True)
    """
    temperature, skip = check_temperature(temperature), check_integer("skip", skip, least=0)
    loaded = load(chain, hamiltonian, dataset=dataset, values=values, temperature=temperature)
    if loaded.note:
        warnings.warn(loaded.note, ConversionNote, stacklevel=2)
    length, width = _extents(loaded, n_chains)
    if length - skip < 2:
        raise ValueError(f"a chain needs at least two measurements, got {length} of {width} chains and skip = {skip}")
    tokens = loaded.tokens[skip * width : length * width]
    found = consistency(tokens.view(-1, width, *hamiltonian.size), hamiltonian, temperature)
    misfit = _misfit(found, length, temperature)
    estimates = estimates_of_tokens(
        tokens,
        width,
        hamiltonian,
        temperature,
        observables=observables,
        exact=reference(exact, hamiltonian, temperature),
        diagnostics={"misfit": min(found.worst, 1e6)},
        misfit=misfit,
    )
    if not misfit:
        slowest = max(estimates[name].tau_int or 0.0 for name in JUDGED)
        estimates.remarks = (
            f"the chain fits this Hamiltonian at T = {temperature:g}: probabilities of spins are at most "
            f"{found.worst:.2g} errors off; tau_int {slowest:.3g}",
        )
    return estimates


def _misfit(found: Consistency, length: int, temperature: float) -> list[str]:
    """Why a chain does not fit the Hamiltonian at the temperature, and what would; empty if it does."""
    if found.early:
        skip = f"leave them out, for example by skip={(length + 1) // 2}"
        return [f"the first measurements are not in equilibrium ({found.worst:.3g} errors off): {skip}"]
    if found.problem:
        return [f"the chain does not fit this Hamiltonian at T = {temperature:g}: {found.why}"]
    return []


def _extents(loaded: Loaded, n_chains: int | None) -> tuple[int, int]:
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
