"""Observables by block updates, with errors from the autocorrelation of the chains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from latticear.estimation.block_updates import BlockUpdates, block_chains, n_chains_of
from latticear.estimation.chains import estimate_chains
from latticear.estimation.estimates import Estimates
from latticear.estimation.measurement import Observable
from latticear.estimation.simulated import Simulated, counted
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.samples import Samples

__all__ = ["block_mcmc", "estimate_blocks"]


def estimate_blocks(
    samples: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
) -> Estimates:
    """Observables from chains of block updates, with errors from their autocorrelation.

    Args:
        samples: the batches of `block_chains`.
        hamiltonian, temperature: those of the chains.
        observables, exact: as in `estimate`.

    Returns:
        As `neural_mcmc`, `tau_int` in sweeps. `diagnostics` has for each kind of moves ("all" sites of a window, or
        those "below" a level) the acceptance and the extent of the window.

    Raises:
        ValueError: for other samples.
    """
    temperature = check_temperature(temperature)
    source = "la.estimation.block_chains"
    chains = Simulated(samples, temperature, method=BlockUpdates.name, needs="window", source=source)
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
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Estimates:
    """Observables by chains that redraw windows of the lattice with the model: exact at any size, without Z.

    `block_chains`, then `estimate_blocks`. What the acceptance depends on is the quality of the model within a window,
    not on the lattice; what the autocorrelation time depends on is how large the windows are. Errors come from that
    time, as those of all chains.

    Args:
        model: one that draws in steps, such as `MultiscalePixelCNN`.
        hamiltonian, temperature: the target.
        n: measurements of all chains together, one a sweep; rounded down to a multiple of their number.
        n_chains: side by side; by default one for each 200 measurements, at most 256.
        thermalization: sweeps before the first measurement; by default a quarter of those after it, 100 at least. A
            mediocre model needs more: less than 20 `tau_int` makes the estimates unreliable, and they say so.
        seed: of all of it.
        device: where the model is moved to first; None leaves it where it is.
        condition: one row, of a model that has one.
        observables, exact: as in `estimate`.
        report: called with the number of measurements that are made and that of all.

    Returns:
        As `estimate_blocks`.

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
