"""Observables by block updates, with errors from the autocorrelation of the chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from latticear.estimation.block_updates import BlockUpdates, block_chains, n_chains_of
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import Estimates
from latticear.estimation.named.request import Observables
from latticear.estimation.reference import AUTO, Exact
from latticear.estimation.simulated import Simulated, counted
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.samples import Samples

__all__ = ["block_mcmc", "estimate_blocks"]


def estimate_blocks(
    samples: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Observables from chains of block updates, with errors from their autocorrelation.

    Args:
        samples: the batches of samples that `block_chains` yields.
        hamiltonian, temperature: Hamiltonian and temperature with which the chains were simulated.
        observables, exact: as in `estimate`.

    Returns:
        The quantities that `neural_mcmc` returns, with `tau_int` in sweeps. For each kind of move, `diagnostics` has
        the acceptance and the extent of the window; the kind "all" redraws all sites of a window, the kind "below_k"
        those of levels below k.

    Raises:
        ValueError: if the samples were made by another method.
    """
    temperature = check_temperature(temperature)
    source = "la.estimation.block_chains"
    chains = Simulated(samples, hamiltonian, temperature, method=BlockUpdates.name, needs="window", source=source)
    thermalization = chains.provenance["thermalization"] / chains.provenance["thinning"]
    more: dict[str, Any] = {"observables": observables, "exact": exact, "thermalization": thermalization}
    result = estimate_chains(chains, hamiltonian, temperature, **more)
    result.method = "mcmc"
    for kind, accepted in chains.provenance["acceptance"].items():
        result.diagnostics[f"acceptance_{kind}"] = accepted
        result.diagnostics[f"window_{kind}"] = chains.provenance["window"][kind]
    return result


def block_mcmc(
    model: AbstractModel,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n: int,
    n_chains: int | None = None,
    thermalization: int | None = None,
    seed: int = 0,
    device: str | None = None,
    condition: Tensor | None = None,
    observables: Observables | None = None,
    exact: Exact = AUTO,
    report: Callable[[int, int], None] | None = None,
) -> Estimates:
    """Observables from Markov chains that redraw windows of the lattice with the model; Z is not estimated.

    The stationary distribution is the target exactly, at any lattice size. Calls `block_chains` and then
    `estimate_blocks`. The acceptance depends on the quality of the model within a window, not on the size of the
    lattice; the autocorrelation time depends on the size of the windows. Errors come from the autocorrelation time, as
    for all Markov chains.

    Args:
        model: a model that draws in steps, such as `MultiscalePixelCNN`.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        n: total number of measurements, one per chain and sweep; rounded down to a multiple of the number of chains.
        n_chains: number of chains; by default one for each 200 measurements, at most 256.
        thermalization: sweeps before the first measurement; by default a quarter of the sweeps after it, at least 100.
            A mediocre model needs more: estimates are marked as unreliable if this is less than 20 `tau_int`.
        seed: seed of all random numbers of the simulation.
        device: device to which the model is moved first; None leaves it where it is.
        condition: the condition, one row for all chains, if the model has one.
        observables, exact: as in `estimate`.
        report: function called after each sweep with the number of measurements made and their total number.

    Returns:
        Estimates as `estimate_blocks` returns them.

    Raises:
        ValueError: as `block_chains`.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4))
        >>> model = la.MultiscalePixelCNN((4, 4), bias=ising.bias(2.269))
        >>> estimates = la.block_mcmc(model, ising, 2.269, n=4000)
        >>> exact = la.exact.enumerate_states(ising, 2.269).energy_per_site
        >>> abs(estimates["energy_per_site"].value - exact) < 4 * estimates["energy_per_site"].error
        True
    """
    if device is not None:
        model.to(device)
    options: dict[str, Any] = {"n_chains": n_chains, "thermalization": thermalization, "condition": condition}
    chains = block_chains(model, hamiltonian, temperature, n=n, seed=seed, **options)
    batches = counted(chains, n - n % n_chains_of(n, n_chains), report)
    return estimate_blocks(batches, hamiltonian, temperature, observables=observables, exact=exact)
