"""Importance sampling: free energies and observables from samples whose probability is known.

Only three numbers of each configuration are kept (energy, magnetisation, log weight), so a million samples of any
lattice stream through in little memory; vector observables are summed as they pass.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from latticear.arrays import Array
from latticear.estimation.estimates import MIN_EVENTS, Estimate, Estimates, Value, rarity_reasons
from latticear.estimation.measurement import CHUNK, Observable, measurements
from latticear.estimation.moments import WeightedMoments
from latticear.estimation.thermodynamics import Thermodynamics, rare_events, thermodynamics, thermodynamics_of_moments
from latticear.estimation.weights import balance_reasons, diagnose, imbalance_of, log_mean_exp
from latticear.exact import ExactResult
from latticear.exact.result import QUANTITIES
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.lattice import configuration_size
from latticear.models import AbstractModel
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
    exact: ExactResult | None = None,
) -> Estimates:
    """Free energy and observables of the Boltzmann distribution by importance sampling, with error bars.

    `Z = <w>_q` and `<O> = <w O>_q / <w>_q` with `w = exp(-beta E) / q`: asymptotically exact whatever the quality of
    the model, which only sets the error. Samples with sites held fixed estimate the distribution with those sites fixed
    (with several different sets of them, their mixture, each weighted by its Z). ln Z is corrected for the bias of the
    logarithm. Errors are one standard deviation by the delta method; `jackknife_error` is a second opinion from 100
    blocks. A warning is issued, and `reliable` is False, where the weights say that the error bars cannot be trusted.

    Args:
        samples: drawn from a model, or an iterator of batches of them (`model.sample_batches`).
        hamiltonian: the target.
        temperature: T > 0; it may differ from the one trained at (reweighting).
        observables: the user's own, by name: `fn(spins)` maps float64 `(B, H, W)`, or `(B, C, H, W)` where a site has
            components, to `(B,)` or `(B, k)`.
        exact: exact values to stand beside the estimates.

    Returns:
        `free_energy_per_site, energy_per_site, entropy_per_site, heat_capacity_per_site, abs_magnetization,
        magnetization_squared, susceptibility, binder_cumulant, log_z, ess, pareto_k`, `correlation` (array over the
        distance) and the user's own.

    Raises:
        ValueError: for samples without log_q, of another shape, or an observable of another shape.

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
    exact: Sequence[ExactResult | None] | None = None,
) -> list[Estimates]:
    """Estimates at several temperatures from one pass over one set of samples.

    Only `log_p = -beta E` changes from one temperature to the next; the ESS of each says how far this may go.
    Arguments and results as in `estimate`, one for each temperature.
    """
    temperatures = [check_temperature(t) for t in temperatures]
    judges = [None] * len(temperatures) if exact is None else exact
    if len(judges) != len(temperatures):
        raise ValueError(f"exact must have one entry for each of {len(temperatures)} temperatures, got {len(judges)}")
    sums: list[dict[str, WeightedMoments]] = [defaultdict(WeightedMoments) for _ in temperatures]
    columns: list[tuple[Array, Array, Array, Array]] = []
    for part in measurements(samples, hamiltonian, temperatures, observables):
        if part.log_q is None:
            raise ValueError(
                "these samples have no log_q and cannot be weighed; for Monte Carlo use la.estimation.estimate_chains"
            )
        columns.append((part.energy, part.m, part.log_q, part.balance))
        for temperature, of_this in zip(temperatures, sums, strict=True):
            for name, values in part.values.items():
                of_this[name].add(values, -part.energy / temperature - part.log_q)
    if not columns:
        raise ValueError("there are no samples to estimate from")
    energy, m, log_q, balance = (np.concatenate(column) for column in zip(*columns, strict=True))
    if len(energy) < MIN_SAMPLES:
        raise ValueError(f"an error bar needs at least {MIN_SAMPLES} samples, got {len(energy)}")
    results = []
    for k, (temperature, judge) in enumerate(zip(temperatures, judges, strict=True)):
        log_w = -energy / temperature - log_q
        health = diagnose(log_w)
        results.append(
            weighted_estimates(
                energy[:, None],
                m[:, None],
                log_w[:, None],
                balance[:, k, None],
                {name: moments.result() for name, moments in sums[k].items()},
                hamiltonian.n_sites,
                temperature,
                judge,
                method="is",
                ess=(health.ess, _ess_error(np.exp(log_w - log_mean_exp(log_w)))),
                pareto_k=health.pareto_k,
                diagnostics=health.to_dict(),
                reasons=health.reasons,
            )
        )
    for result in results:
        result.warn()
    return results


@torch.no_grad()
def forward_ess(
    model: AbstractModel,
    tokens: Tensor,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    condition: Tensor | None = None,
) -> Estimate:
    """ESS seen from the target: `1 / (<w>_p <1/w>_p)` over configurations of the Boltzmann distribution.

    A collapsed model has a high ESS on its own samples and a tiny one on these, because it misses part of them.

    Args:
        model: any model.
        tokens: `(n, H, W)` or `(n, C, H, W)`, independent configurations of the target, e.g. from Monte Carlo.
        hamiltonian, temperature: the target.
        condition: one row for all, of a model that has one.

    References:
        Nicoli et al., "Estimation of thermodynamic observables in lattice field theories with deep generative
        models", Phys. Rev. Lett. 126 (2021) 032001; forward ESS: Nicoli et al., arXiv 2302.14082.
    """
    temperature = check_temperature(temperature)
    size = configuration_size(model.shape, model.n_components)
    if {tuple(tokens.shape[1:]), size} != {hamiltonian.size} or model.n_tokens != hamiltonian.n_tokens:
        raise ValueError(
            f"forward_ess needs configurations of one system: tokens have shape {tuple(tokens.shape)}, the model "
            f"{size} with {model.n_tokens} tokens, the Hamiltonian {hamiltonian.size} with {hamiltonian.n_tokens}"
        )
    if len(tokens) < MIN_SAMPLES:
        raise ValueError(f"forward_ess needs at least {MIN_SAMPLES} configurations, got {len(tokens)}")
    device, parts = model.rank.device, []
    with evaluating(model):
        for part in tokens.split(max(1, CHUNK // hamiltonian.n_sites)):
            here = part.to(device)
            given = None if condition is None else condition.to(device).expand(len(here), -1)
            parts.append(-hamiltonian.token_energy(here) / temperature - model.log_prob(here, given))
    log_w = torch.cat(parts).cpu().numpy()
    log_mean, log_inverse = log_mean_exp(log_w), log_mean_exp(-log_w)
    value = math.exp(-log_mean - log_inverse)
    influence = value * (2 - np.exp(log_w - log_mean) - np.exp(-log_w - log_inverse))
    return Estimate(value, delta_error(influence[:, None]), n=len(log_w), ess=value)


def weighted_estimates(
    energy: Array,
    m: Array,
    log_w: Array,
    balance: Array,
    vectors: Mapping[str, tuple[Value, Value]],
    n_sites: int,
    temperature: float,
    judge: ExactResult | None,
    *,
    method: str | None,
    ess: tuple[float, float],
    diagnostics: dict[str, float],
    reasons: list[str],
    pareto_k: float | None = None,
    related: float | None = None,
) -> Estimates:
    """All estimates from weighted configurations that are independent from island to island, not within one.

    Args:
        energy, m, log_w, balance: `(R, P)`, of P configurations on each of R islands; R of them alone if P = 1.
        vectors: value and error of other observables, by name.
        n_sites: N.
        temperature: T.
        judge: exact values to stand beside the estimates, or None.
        method: what `Estimates.method` is to say.
        ess: effective fraction of all configurations, and its error.
        diagnostics, reasons: what is known of the weights, to which more is added.
        pareto_k: of the weights; None where it means nothing.
        related: how many configurations are one event, because they descend from one, in judging how many rare events
            make an error; None to leave that unjudged.
    """
    n = log_w.size
    log_z = log_mean_exp(log_w.ravel())
    w = np.exp(log_w - log_z)
    quantities = thermodynamics(energy, m, w, temperature, n_sites)
    # ln of a mean is low by var / 2n: its first correction
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
    moved = float((w * balance).mean())
    imbalance = imbalance_of(moved, delta_error(w * (balance - moved)), n_sites)
    reasons = reasons + _disagreement(errors, jackknife, scale) + balance_reasons(imbalance) + rarity_reasons(events)
    known = {} if judge is None else judge.to_dict()

    def told(value: Value, error: Value, name: str = "") -> Estimate:
        return Estimate(
            value,
            error,
            n=n,
            ess=ess[0],
            exact=known.get(name),
            jackknife_error=jackknife.get(name),
            reliable=not reasons and events.get(name, math.inf) >= MIN_EVENTS,
        )

    estimates = {name: told(quantities[name].value, errors[name], name) for name in QUANTITIES}
    estimates["ess"] = told(*ess)
    if pareto_k is not None:
        estimates["pareto_k"] = told(pareto_k, 0.0)
    estimates |= {name: told(*found) for name, found in vectors.items()}
    diagnostics = diagnostics | {"imbalance": imbalance}
    return Estimates(estimates, temperature=temperature, n=n, diagnostics=diagnostics, reasons=reasons, method=method)


def _disagreement(delta: dict[str, float], jackknife: dict[str, float], scale: dict[str, float]) -> list[str]:
    """A reason for distrust where the two errors of a quantity differ by more than half (and are not rounding)."""
    off = [
        name
        for name in QUANTITIES
        if delta[name] > 1e-12 * scale[name] and not 0.67 < jackknife[name] / delta[name] < 1.5
    ]
    return [f"delta method and jackknife disagree on the error of {', '.join(off)}"] if off else []


def _jackknife(energy: Array, m: Array, w: Array, temperature: float, n_sites: int) -> dict[str, float]:
    """Errors from leaving out one of at most `N_BLOCKS` blocks of islands at a time (Quenouille 1956, Tukey 1958)."""
    n_blocks = min(N_BLOCKS, len(w))
    shifted = energy - energy.mean()  # or the squares would cancel
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
    """The delta method's standard deviation, from influences `(R, P)` that are independent from row to row.

    With R - 1 for the mean that was subtracted; fewer than some thirty rows make `(value - exact) / error` vary more
    than a normal variable, by Student's t.
    """
    island = influence.mean(1)
    return float(np.sqrt((island**2).mean() / (len(island) - 1)))


def _ess_error(w: Array) -> float:
    """Delta method for `<w>^2 / <w^2>`, weights of mean one."""
    second = (w**2).mean()
    return delta_error(((2 * (w - 1) - (w**2 - second) / second) / second)[:, None])
