"""Importance sampling: free energies and observables from samples whose probability is known.

Only a few numbers of each configuration are kept (energy, magnetisation, log-probability, and the energy change of a
heat bath), so a million samples of a lattice of any size need little memory; observables are summed batch by batch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.data import load_configurations
from latticear.estimation.data_check import examine
from latticear.estimation.estimates import MIN_EVENTS, Estimate, Estimates, Value, rarity_reasons
from latticear.estimation.measurement import CHUNK, Observable, measurements
from latticear.estimation.moments import WeightedMoments
from latticear.estimation.reference import AUTO, Exact, reference
from latticear.estimation.thermodynamics import Thermodynamics, rare_events, thermodynamics, thermodynamics_of_moments
from latticear.estimation.weights import diagnose, imbalance_of, log_mean_exp
from latticear.exact import ExactResult
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.lattice import configuration_size
from latticear.models import AbstractModel, check_is_model
from latticear.samples import Samples
from latticear.sampling.modes import evaluating

__all__ = ["delta_error", "estimate", "forward_ess", "reweight", "weighted_estimates"]


N_BLOCKS = 100
MIN_SAMPLES = 10


def estimate(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: Exact = AUTO,
) -> Estimates:
    """Free energy and observables of the Boltzmann distribution by importance sampling, with error bars.

    `Z = <w>_q` and `<O> = <w O>_q / <w>_q` with `w = exp(-beta E) / q`: these averages are asymptotically exact for any
    model; the quality of the model determines only the error. Samples with sites held fixed estimate the distribution
    with those sites fixed; samples with several different sets of fixed sites estimate the mixture of these
    distributions, each weighted by its Z. ln Z is corrected for the bias of the logarithm. Errors are one standard
    deviation by the delta method; `jackknife_error` is a second estimate of the error, from 100 blocks. If the
    weights show that the error bars cannot be trusted, a warning is issued and `reliable` is False.

    Args:
        samples: samples drawn from a model, or an iterator of batches of samples (`model.sample_batches`).
        hamiltonian: Hamiltonian of the target.
        temperature: temperature T > 0 of the target; it may differ from the temperature of training (reweighting).
        observables: the user's observables by name: `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)` where a
            site has components, to `(B,)` or `(B, k)`.
        exact: an exact result that is stored with the estimates for comparison. "auto" finds one if that takes half a
            second or less, once for each system and temperature, and no site was held fixed; None for no comparison.

    Returns:
        `free_energy_per_site, energy_per_site, entropy_per_site, heat_capacity_per_site, abs_magnetization,
        magnetization_squared, susceptibility, binder_cumulant, log_z, ess, pareto_k`, `correlation` (array over the
        distance) and the user's observables.

    Raises:
        ValueError: for samples without log_q, or if samples or the values of an observable have a wrong shape.

    References:
        Nicoli et al., "Asymptotically unbiased estimation of physical observables with neural samplers",
        Phys. Rev. E 101 (2020) 023304, arXiv 1910.13496.
    """
    return reweight(samples, hamiltonian, [temperature], observables=observables, exact=[exact])[0]


def reweight(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperatures: Sequence[float],
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: Sequence[Exact] | Literal["auto"] | None = AUTO,
) -> list[Estimates]:
    """Estimates at several temperatures from one pass over one set of samples.

    Only `log_p = -beta E` depends on the temperature; the ESS at a temperature shows whether the samples are still
    sufficient there. Arguments and results are as in `estimate`, with one result for each temperature; `exact` is
    "auto", None, or a list with one entry for each temperature.
    """
    if not isinstance(temperatures, Iterable):
        raise ValueError(f"temperatures must be a list of temperatures, got {temperatures!r}")
    temperatures = [check_temperature(t) for t in temperatures]
    references = [exact] * len(temperatures) if exact is None or exact == AUTO else exact
    if len(references) != len(temperatures):
        raise ValueError(
            f"exact must have one entry for each of {len(temperatures)} temperatures, got {len(references)}"
        )
    sums: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in temperatures]
    columns: list[tuple[Array, Array, Array, Array]] = []
    held = False
    for part in measurements(samples, hamiltonian, temperatures, observables):
        if part.log_q is None:
            raise ValueError(
                "these samples have no log_q and cannot be weighted; for samples of Monte Carlo use "
                "la.estimation.estimate_chains"
            )
        columns.append((part.energy, part.m, part.log_q, part.balance))
        held = held or part.held
        for temperature, moments in zip(temperatures, sums, strict=True):
            for name, values in part.values.items():
                moments[name].add(values, -part.energy / temperature - part.log_q)
    if not columns:
        raise ValueError("there are no samples to estimate from")
    energy, m, log_q, balance = (np.concatenate(column) for column in zip(*columns, strict=True))
    if len(energy) < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {len(energy)}")
    results = []
    for k, (temperature, given) in enumerate(zip(temperatures, references, strict=True)):
        log_w = -energy / temperature - log_q
        diagnostics = diagnose(log_w)
        results.append(
            weighted_estimates(
                energy[:, None],
                m[:, None],
                log_w[:, None],
                balance[:, k, None],
                {name: average.result() for name, average in sums[k].items()},
                hamiltonian.n_sites,
                temperature,
                reference(given, hamiltonian, temperature, held=held),
                method="is",
                ess=(diagnostics.ess, _ess_error(np.exp(log_w - log_mean_exp(log_w)))),
                pareto_k=diagnostics.pareto_k,
                diagnostics=diagnostics.to_dict(),
                reasons=diagnostics.reasons,
            )
        )
    for result in results:
        result.warn()
    return results


@torch.no_grad()
def forward_ess(
    model: AbstractModel,
    tokens: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    condition: Tensor | None = None,
    check_data: bool = True,
) -> Estimate:
    """ESS from configurations of the Boltzmann distribution p, `1 / (<w>_p <1/w>_p)`.

    A model that has collapsed to a part of the distribution has a high ESS on its own samples, but a tiny one on
    configurations of the target, some of which it almost never draws.

    Args:
        model: any model.
        tokens: independent configurations of the target, e.g. from Monte Carlo: an array or a file, all that
            `load_configurations` takes.
        hamiltonian, temperature: Hamiltonian and temperature of the target.
        condition: the condition, one row for all configurations, if the model has one.
        check_data: whether to examine if the configurations fit the Hamiltonian at the temperature. If they do not, the
            estimate is unreliable, and a `MisfitWarning` says what would fit.

    References:
        Nicoli et al., "Estimation of thermodynamic observables in lattice field theories with deep generative
        models", Phys. Rev. Lett. 126 (2021) 032001; forward ESS: Nicoli et al., arXiv 2302.14082.
    """
    check_is_model(model)
    check_is_hamiltonian(hamiltonian)
    temperature = check_temperature(temperature)
    size = configuration_size(model.shape, model.n_components)
    if (size, model.n_tokens) != (hamiltonian.size, hamiltonian.n_tokens):
        raise ValueError(
            f"forward_ess needs a model and a Hamiltonian of equal shape and number of tokens: the model has {size} "
            f"with {model.n_tokens} tokens, the Hamiltonian {hamiltonian.size} with {hamiltonian.n_tokens}"
        )
    tokens = load_configurations(tokens, hamiltonian, temperature=temperature)
    if len(tokens) < MIN_SAMPLES:
        raise ValueError(f"forward_ess needs at least {MIN_SAMPLES} configurations, got {len(tokens)}")
    found = examine(tokens, hamiltonian, temperature) if check_data else None
    if found is not None:
        found.warn()
    device, parts = model.rank.device, []
    with evaluating(model):
        for part in tokens.split(max(1, CHUNK // hamiltonian.n_sites)):
            on_device = part.to(device)
            rows = None if condition is None else condition.to(device).expand(len(part), -1)
            parts.append(-hamiltonian.token_energy(on_device) / temperature - model.log_prob(on_device, rows))
    log_w = torch.cat(parts).cpu().numpy()
    log_mean, log_inverse = log_mean_exp(log_w), log_mean_exp(-log_w)
    value = math.exp(-log_mean - log_inverse)
    influence = value * (2 - np.exp(log_w - log_mean) - np.exp(-log_w - log_inverse))
    fits = found is None or found.fits
    return Estimate(value, delta_error(influence[:, None]), n=len(log_w), ess=value, reliable=fits)


def weighted_estimates(
    energy: Array,
    m: Array,
    log_w: Array,
    balance: Array,
    vectors: Mapping[str, tuple[Value, Value]],
    n_sites: int,
    temperature: float,
    exact: ExactResult | None,
    *,
    method: str | None,
    ess: tuple[float, float],
    diagnostics: dict[str, float],
    reasons: list[str],
    pareto_k: float | None = None,
    related: float | None = None,
) -> Estimates:
    """All estimates from weighted configurations; islands are independent, configurations of one island need not be.

    Args:
        energy, m, log_w, balance: `(R, P)`, of P configurations on each of R islands; R of them alone if P = 1.
        vectors: value and error of other observables, by name.
        n_sites: N.
        temperature: T.
        exact: exact values that are stored with the estimates, or None.
        method: value of `Estimates.method`.
        ess: effective sample size as a fraction of all configurations, and its error.
        diagnostics, reasons: diagnostics of the weights and reasons for distrust, to which this function adds others.
        pareto_k: shape of the tail of the weights, as of `weights.pareto_k`; None if the method does not define it.
        related: number of configurations that descend from one ancestor and so count as one event, when the rare events
            are counted on which an error depends; None skips this check.
    """
    n = log_w.size
    log_z = log_mean_exp(log_w.ravel())
    w = np.exp(log_w - log_z)
    quantities = thermodynamics(energy, m, w, temperature, n_sites)
    # to first order, the logarithm of a mean is too low by var / 2n on average
    free = Thermodynamics(log_z + delta_error(w - 1) ** 2 / 2, w - 1)
    events = {
        name: rare_events(q.influence, n / related, q.value) for name, q in quantities.items() if related is not None
    }
    u = quantities["energy_per_site"]
    quantities["log_z"] = free
    quantities["free_energy_per_site"] = Thermodynamics(
        -temperature * free.value / n_sites, -temperature * free.influence / n_sites
    )
    quantities["entropy_per_site"] = Thermodynamics(
        u.value / temperature + free.value / n_sites, u.influence / temperature + free.influence / n_sites
    )
    jackknife = _jackknife(energy, m, w, temperature, n_sites)
    errors = {name: delta_error(quantities[name].influence) for name in QUANTITIES}
    scale = {name: abs(quantities[name].value) for name in QUANTITIES}
    change = float((w * balance).mean())
    imbalance = imbalance_of(change, delta_error(w * (balance - change)), n_sites, temperature, n * ess[0])
    reasons = reasons + _disagreement(errors, jackknife, scale) + imbalance.reasons + rarity_reasons(events)

    def made(value: Value, error: Value, name: str = "") -> Estimate:
        return Estimate(
            value,
            error,
            n=n,
            ess=ess[0],
            jackknife_error=jackknife.get(name),
            reliable=not reasons and events.get(name, math.inf) >= MIN_EVENTS,
        )

    estimates = {name: made(quantities[name].value, errors[name], name) for name in QUANTITIES}
    estimates["ess"] = made(*ess)
    if pareto_k is not None:
        estimates["pareto_k"] = made(pareto_k, 0.0)
    estimates |= {name: made(*value_and_error) for name, value_and_error in vectors.items()}
    diagnostics = diagnostics | {"imbalance": imbalance.size}
    result = Estimates(estimates, temperature=temperature, n=n, diagnostics=diagnostics, reasons=reasons, method=method)
    return result if exact is None else result.beside(exact.values_for(n_sites, temperature), n_sites)


def _disagreement(delta: dict[str, float], jackknife: dict[str, float], scale: dict[str, float]) -> list[str]:
    """A reason for distrust if the two errors of a quantity differ by more than half and exceed rounding errors."""
    off = [
        name
        for name in QUANTITIES
        if delta[name] > 1e-12 * scale[name] and not 0.67 < jackknife[name] / delta[name] < 1.5
    ]
    return [f"delta method and jackknife disagree on the error of {', '.join(off)}"] if off else []


def _jackknife(energy: Array, m: Array, w: Array, temperature: float, n_sites: int) -> dict[str, float]:
    """Errors from leaving out one of at most `N_BLOCKS` blocks of islands at a time (Quenouille 1956, Tukey 1958)."""
    n_blocks = min(N_BLOCKS, len(w))
    shifted = energy - energy.mean()  # avoids cancellation in the variance
    features = np.stack([np.ones_like(w), shifted, shifted**2, np.abs(m), m**2, m**4], axis=-1) * w[..., None]
    edges = np.linspace(0, len(w), n_blocks + 1).astype(int)
    sums = np.add.reduceat(features.mean(1), edges[:-1])
    left = sums.sum(0) - sums
    sizes = len(w) - np.diff(edges)
    replicas = dict(thermodynamics_of_moments(left[:, 1:] / left[:, :1], temperature, n_sites))
    replicas["log_z"] = np.log(left[:, 0] / sizes)
    replicas["free_energy_per_site"] = -temperature * replicas["log_z"] / n_sites
    replicas["entropy_per_site"] = replicas["energy_per_site"] / temperature + replicas["log_z"] / n_sites
    scale = (n_blocks - 1) / n_blocks
    return {name: float(np.sqrt(scale * ((values - values.mean()) ** 2).sum())) for name, values in replicas.items()}


def delta_error(influence: Array) -> float:
    """Standard deviation of an estimate by the delta method, from influences `(R, P)` whose rows are independent.

    The factor R - 1 corrects for the subtracted mean. With fewer than some thirty rows, `(value - exact) / error`
    follows Student's t distribution, which is broader than a normal one.
    """
    island = influence.mean(1)
    return float(np.sqrt((island**2).mean() / (len(island) - 1)))


def _ess_error(w: Array) -> float:
    """Error of the ESS `<w>^2 / <w^2>` by the delta method, from weights of mean one."""
    second = (w**2).mean()
    return delta_error(((2 * (w - 1) - (w**2 - second) / second) / second)[:, None])
