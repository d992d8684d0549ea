"""From samples to estimates: importance sampling, neural MCMC, Monte Carlo chains.

Only three numbers of each configuration are kept (energy, magnetisation, log weight), so a million samples of any
lattice stream through in little memory; observables given as functions are summed as they pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latticear.autocorrelation import TauInt, mean_error
from latticear.estimate import Estimate, Estimates
from latticear.exact import ExactResult
from latticear.hamiltonians import AbstractHamiltonian, check_temperature
from latticear.models import AbstractModel
from latticear.moments import WeightedMoments
from latticear.observables import Thermodynamics, correlation, thermodynamics, thermodynamics_of_moments
from latticear.samples import Samples
from latticear.weights import diagnose, log_mean_exp

__all__ = ["Observable", "estimate", "estimate_chains", "forward_ess", "neural_mcmc", "reweight"]

Array = NDArray[np.float64]
Observable = Callable[[Tensor], Tensor]

N_BLOCKS = 100
_CHUNK = 4096


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
    the model, which only sets the error. ln Z is corrected for the bias of the logarithm. Errors are one standard
    deviation by the delta method; `jackknife_error` is a second opinion from 100 blocks. A warning is issued, and
    `reliable` is False, where the weights say that the error bars cannot be trusted.

    Args:
        samples: drawn from a model, or an iterator of batches of them (`model.sample_batches`).
        hamiltonian: the target.
        temperature: T > 0; it may differ from the one trained at (reweighting).
        observables: the user's own, by name: `fn(spins)` maps float64 `(B, H, W)` to `(B,)` or `(B, k)`.
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
    functions = _functions(hamiltonian, observables)
    moments = [{name: WeightedMoments() for name in functions} for _ in temperatures]
    columns: list[tuple[Array, Array, Array]] = []
    for batch in _chunks(samples):
        if batch.log_q is None:
            raise ValueError(
                "these samples have no log_q, so they cannot be weighed; for Monte Carlo use la.estimate_chains"
            )
        energy, m, spins = _measure(batch, hamiltonian)
        log_q = batch.log_q.cpu().numpy()
        columns.append((energy, m, log_q))
        for name, fn in functions.items():
            values = _evaluate(name, fn, spins)
            for temperature, of_this in zip(temperatures, moments, strict=True):
                of_this[name].add(values, -energy / temperature - log_q)
    if not columns:
        raise ValueError("there are no samples to estimate from")
    energy, m, log_q = (np.concatenate(column) for column in zip(*columns, strict=True))
    results = [
        _importance(energy, m, -energy / temperature - log_q, hamiltonian.n_sites, temperature, vectors, judge)
        for temperature, vectors, judge in zip(temperatures, moments, judges, strict=True)
    ]
    for result in results:
        result.warn()
    return results


def neural_mcmc(
    samples: Samples | Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    n_chains: int | None = None,
    seed: int = 0,
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
) -> Estimates:
    """Observables by Metropolis chains whose proposals are the model's samples: a route apart from the weights' sums.

    A proposal is accepted with probability `min(1, w' / w)`; the stationary distribution is exact. The first tenth of
    each chain is dropped. Errors come from the integrated autocorrelation time of each estimator's series.

    Args:
        samples: drawn from a model, or an iterator of batches; n of them give chains of n / n_chains steps.
        hamiltonian, temperature, observables, exact: as in `estimate`.
        n_chains: chains side by side; by default one for each 1000 samples, at most 64.
        seed: of the acceptances.

    Returns:
        As `estimate` without free energy, entropy and log_z; `tau_int` (1/2 for independent data) in each;
        `diagnostics` has the acceptance rate.

    Raises:
        ValueError: for samples without log_q, or too few for the chains.

    References:
        Nicoli et al. (2020), arXiv 1910.13496, section III.
    """
    temperature = check_temperature(temperature)
    functions = _functions(hamiltonian, observables)
    energies, ms, log_ws, values = [], [], [], {name: [] for name in functions}
    for batch in _chunks(samples):
        if batch.log_q is None:
            raise ValueError("these samples have no log_q: they cannot be proposals")
        energy, m, spins = _measure(batch, hamiltonian)
        energies.append(energy)
        ms.append(m)
        log_ws.append(-energy / temperature - batch.log_q.cpu().numpy())
        for name, fn in functions.items():
            values[name].append(_evaluate(name, fn, spins))
    n = sum(map(len, energies))
    n_chains = n_chains or max(1, min(64, n // 1000))
    length = n // n_chains
    if length < 20:
        raise ValueError(f"{n_chains} chains need at least {20 * n_chains} samples, got {n}")
    log_w = np.concatenate(log_ws)[: length * n_chains].reshape(length, n_chains)
    held, acceptance = _independence_metropolis(log_w, np.random.default_rng([seed, 0x6E6D63]))
    held = held[length // 10 :]
    series = {name: np.concatenate(parts)[held] for name, parts in values.items()}
    energy, m = np.concatenate(energies)[held], np.concatenate(ms)[held]
    return _chains(
        energy,
        m,
        series,
        hamiltonian.n_sites,
        temperature,
        exact,
        {"acceptance": acceptance, "ess": _ess(log_w)},
    )


def estimate_chains(
    batches: Iterable[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Mapping[str, Observable] | None = None,
    exact: ExactResult | None = None,
) -> Estimates:
    """Observables from Monte Carlo chains, with errors from their autocorrelation.

    Args:
        batches: one batch a measurement, holding one configuration of every chain (`monte_carlo` yields them); a
            trimmed last one is left out.
        hamiltonian, temperature, observables, exact: as in `estimate`.

    Returns:
        As `neural_mcmc`; `diagnostics` has `tau_int` of the energy and of |m|, in measurements.

    Raises:
        ValueError: if there are fewer than two measurements.
    """
    temperature = check_temperature(temperature)
    functions = _functions(hamiltonian, observables)
    energies: list[Array] = []
    ms: list[Array] = []
    values: dict[str, list[Array]] = {name: [] for name in functions}
    for batch in batches:
        if energies and len(batch) < len(energies[0]):
            break
        energy, m, spins = _measure(batch, hamiltonian)
        energies.append(energy)
        ms.append(m)
        for name, fn in functions.items():
            values[name].append(_evaluate(name, fn, spins))
    if len(energies) < 2:
        raise ValueError(f"chains need at least two measurements each, got {len(energies)}")
    series = {name: np.stack(parts) for name, parts in values.items()}
    return _chains(np.stack(energies), np.stack(ms), series, hamiltonian.n_sites, temperature, exact, {})


@torch.no_grad()
def forward_ess(model: AbstractModel, tokens: Tensor, hamiltonian: AbstractHamiltonian, temperature: float) -> Estimate:
    """ESS seen from the target: `1 / (<w>_p <1/w>_p)` over configurations of the Boltzmann distribution.

    A collapsed model has a high ESS on its own samples and a tiny one on these, because it misses part of them.

    Args:
        model: any model.
        tokens: `(n, H, W)`, independent configurations of the target, e.g. from Monte Carlo.
        hamiltonian, temperature: the target.

    References:
        Nicoli et al., "Estimation of thermodynamic observables in lattice field theories with deep generative
        models", Phys. Rev. Lett. 126 (2021) 032001; forward ESS: Nicoli et al., arXiv 2302.14082.
    """
    temperature = check_temperature(temperature)
    device = model.rank.device
    parts = []
    for part in tokens.split(_CHUNK):
        here = part.to(device)
        parts.append(-hamiltonian.token_energy(here) / temperature - model.eval().log_prob(here))
    log_w = torch.cat(parts).cpu().numpy()
    log_mean, log_inverse = log_mean_exp(log_w), log_mean_exp(-log_w)
    value = math.exp(-log_mean - log_inverse)
    influence = value * (2 - np.exp(log_w - log_mean) - np.exp(-log_w - log_inverse))
    return Estimate(value, _delta(influence), n=len(log_w), ess=value)


def _importance(
    energy: Array,
    m: Array,
    log_w: Array,
    n_sites: int,
    temperature: float,
    vectors: dict[str, WeightedMoments],
    judge: ExactResult | None,
) -> Estimates:
    n = len(log_w)
    health = diagnose(log_w)
    log_z = log_mean_exp(log_w)
    w = np.exp(log_w - log_z)
    quantities = thermodynamics(energy, m, w, temperature, n_sites)
    # ln of a mean is low by var / 2n: its first correction
    free = Thermodynamics(log_z + float(w.var()) / (2 * n), w - 1)
    u = quantities["energy_per_site"]
    quantities["log_z"] = free
    quantities["free_energy_per_site"] = Thermodynamics(
        -temperature * free.value / n_sites, -temperature * free.influence / n_sites
    )
    quantities["entropy_per_site"] = Thermodynamics(
        u.value / temperature + free.value / n_sites, u.influence / temperature + free.influence / n_sites
    )
    jackknife = _jackknife(energy, m, w, temperature, n_sites)
    known = {} if judge is None else judge.to_dict()
    common = {"n": n, "ess": health.ess, "reliable": not health.reasons}
    estimates = {
        name: Estimate(
            quantities[name].value,
            _delta(quantities[name].influence),
            exact=known.get(name),
            jackknife_error=jackknife.get(name),
            **common,
        )
        for name in _ORDER
    }
    estimates["ess"] = Estimate(health.ess, _ess_error(w), **common)
    estimates["pareto_k"] = Estimate(health.pareto_k, 0.0, **common)
    for name, sums in vectors.items():
        estimates[name] = Estimate(*sums.result(), **common)
    return Estimates(estimates, temperature=temperature, n=n, diagnostics=health.to_dict(), reasons=health.reasons)


_ORDER = (
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


def _chains(
    energy: Array,
    m: Array,
    series: dict[str, Array],
    n_sites: int,
    temperature: float,
    judge: ExactResult | None,
    diagnostics: dict[str, float],
) -> Estimates:
    """Estimates of chains from energies and magnetisations `(T, R)` and series `(T, R, ...)`."""
    quantities = thermodynamics(energy, m, np.ones_like(energy), temperature, n_sites)
    known = {} if judge is None else judge.to_dict()
    found: dict[str, tuple[float, TauInt]] = {}
    for name, quantity in quantities.items():
        _, error, tau = mean_error(quantity.influence)
        found[name] = error, tau
    moving = ("energy_per_site", "abs_magnetization")
    reasons = [
        f"the chains are too short for their autocorrelation ({name}: tau_int {found[name][1].tau:.3g} in "
        f"{energy.shape[0]} steps of {energy.shape[1]} chains)"
        for name in moving
        if not found[name][1].reliable and found[name][0] > 0
    ]
    n = energy.size
    estimates = {
        name: Estimate(
            quantity.value,
            found[name][0],
            n=n,
            ess=min(1.0, 0.5 / found[name][1].tau),
            exact=known.get(name),
            tau_int=found[name][1].tau,
            reliable=not reasons,
        )
        for name, quantity in quantities.items()
    }
    for name, values in series.items():
        estimates[name] = _vector_chain(values, n, not reasons)
    diagnostics = diagnostics | {
        "tau_int_energy": found[moving[0]][1].tau,
        "tau_int_abs_magnetization": found[moving[1]][1].tau,
    }
    result = Estimates(estimates, temperature=temperature, n=n, diagnostics=diagnostics, reasons=reasons)
    result.warn()
    return result


def _vector_chain(values: Array, n: int, reliable: bool) -> Estimate:
    columns = values.reshape(*values.shape[:2], -1)
    parts = [mean_error(columns[..., k]) for k in range(columns.shape[-1])]
    shape = values.shape[2:]
    means, errors = (np.array([part[i] for part in parts]).reshape(shape) for i in (0, 1))
    tau = max(part[2].tau for part in parts)
    ess = min(1.0, 0.5 / tau)
    if not shape:
        return Estimate(float(means), float(errors), n=n, ess=ess, tau_int=tau, reliable=reliable)
    return Estimate(means, errors, n=n, ess=ess, tau_int=tau, reliable=reliable)


def _independence_metropolis(log_w: Array, rng: np.random.Generator) -> tuple[NDArray[np.int64], float]:
    """Indices of the samples that each chain holds after each proposal, `(T, R)`, and the acceptance rate."""
    length, n_chains = log_w.shape
    log_u = np.log1p(-rng.random(log_w.shape))  # in (-inf, 0]
    proposals = np.arange(log_w.size).reshape(log_w.shape)
    held = proposals.copy()
    current, accepted = log_w[0].copy(), 0
    for t in range(1, length):
        accept = log_u[t] < log_w[t] - current
        current = np.where(accept, log_w[t], current)
        held[t] = np.where(accept, proposals[t], held[t - 1])
        accepted += int(accept.sum())
    return held, accepted / max(1, (length - 1) * n_chains)


def _jackknife(energy: Array, m: Array, w: Array, temperature: float, n_sites: int) -> dict[str, float]:
    """Errors from leaving out one of `N_BLOCKS` blocks at a time (Quenouille 1956, Tukey 1958)."""
    n_blocks = min(N_BLOCKS, len(w))
    shifted = energy - energy.mean()  # or the squares would cancel
    features = np.stack([np.ones_like(w), shifted, shifted**2, np.abs(m), m**2, m**4], axis=-1) * w[:, None]
    edges = np.linspace(0, len(w), n_blocks + 1).astype(int)
    sums = np.add.reduceat(features, edges[:-1])
    left = sums.sum(0) - sums
    sizes = len(w) - np.diff(edges)
    replicas = dict(thermodynamics_of_moments(left[:, 1:] / left[:, :1], temperature, n_sites))
    replicas["log_z"] = np.log(left[:, 0] / sizes)
    replicas["free_energy_per_site"] = -temperature * replicas["log_z"] / n_sites
    replicas["entropy_per_site"] = replicas["energy_per_site"] / temperature + replicas["log_z"] / n_sites
    scale = (n_blocks - 1) / n_blocks
    return {name: float(np.sqrt(scale * ((values - values.mean()) ** 2).sum())) for name, values in replicas.items()}


def _delta(influence: Array) -> float:
    return float(np.sqrt((influence**2).mean() / len(influence)))


def _ess(log_w: Array) -> float:
    return diagnose(log_w.ravel()).ess


def _ess_error(w: Array) -> float:
    """Delta method for `<w>^2 / <w^2>`, weights of mean one."""
    second = (w**2).mean()
    return _delta((2 * (w - 1) - (w**2 - second) / second) / second)


def _functions(hamiltonian: AbstractHamiltonian, observables: Mapping[str, Observable] | None) -> dict[str, Observable]:
    taken = {*_ORDER, "ess", "pareto_k", "correlation"}
    for name in observables or {}:
        if name in taken:
            raise ValueError(f"observable {name!r} would hide the built-in one; give it another name")
    return {"correlation": lambda spins: correlation(spins, hamiltonian.lattice), **(observables or {})}


def _chunks(samples: Samples | Iterable[Samples]) -> Iterator[Samples]:
    """Batches of at most `_CHUNK` configurations: measuring makes float64 copies."""
    for batch in [samples] if isinstance(samples, Samples) else samples:
        for first in range(0, len(batch), _CHUNK):
            yield batch[first : first + _CHUNK]


def _measure(batch: Samples, hamiltonian: AbstractHamiltonian) -> tuple[Array, Array, Tensor]:
    """Energies, magnetisations per site and spins of a batch."""
    if tuple(batch.tokens.shape[1:]) != hamiltonian.shape:
        raise ValueError(f"samples have shape {tuple(batch.tokens.shape[1:])}, the Hamiltonian {hamiltonian.shape}")
    spins = hamiltonian.spins(batch.tokens)
    energy = hamiltonian.token_energy(batch.tokens)
    return energy.cpu().numpy(), spins.mean((1, 2)).cpu().numpy(), spins


def _evaluate(name: str, fn: Observable, spins: Tensor) -> Array:
    values = torch.as_tensor(fn(spins))
    if values.ndim not in (1, 2) or len(values) != len(spins):
        raise ValueError(
            f"observable {name!r} must return shape (B,) or (B, k) for B = {len(spins)} configurations, "
            f"got {tuple(values.shape)}"
        )
    return values.detach().cpu().double().numpy()
