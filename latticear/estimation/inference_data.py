"""Configurations as ArviZ reads them: the series of energy, magnetisation and observables by chain and draw."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from latticear.arguments import check_integer, needed_package
from latticear.arrays import Array
from latticear.data.loading import load
from latticear.estimation.chains import ChainSeries, series_of
from latticear.estimation.measurement import Measurement, measurements, observed
from latticear.estimation.named.request import Observables
from latticear.estimation.own_chain import batches_or_source, extents
from latticear.hamiltonians import AbstractHamiltonian, check_is_hamiltonian, check_temperature
from latticear.samples import Samples

__all__ = ["to_arviz"]

HOW_TO_WEIGH = (
    "the draws are independent samples of a model, not of the target: weigh them by "
    "w = exp(log_weight - log_weight.max()), for example posterior.energy_per_site.weighted(w).mean()"
)


def to_arviz(
    samples: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    *,
    observables: Observables | None = None,
    n_chains: int | None = None,
    skip: int = 0,
) -> Any:
    """Monte Carlo chains, or weighted samples of a model, as ArviZ InferenceData with the dimensions chain and draw.

    The group `posterior` has `energy_per_site`, `magnetization` (with its sign) and the observables; `sample_stats`
    has `lp`, the logarithm of the target without ln Z, `-energy / temperature`. For samples of a model there is one
    chain, and `sample_stats` has `log_q` and `log_weight = lp - log_q` too. ArviZ knows nothing of these weights: its
    summaries of such samples describe the model, not the target. Weigh them yourself:

        w = np.exp(data.sample_stats.log_weight - data.sample_stats.log_weight.max())
        data.posterior.energy_per_site.weighted(w).mean()

    Args:
        samples: the batches of `la.monte_carlo`, one for each measurement (a last batch that has fewer configurations
            is left out); an array or a file of configurations, as `la.estimate_chains` takes them; or samples drawn
            from a model, or an iterator of batches of them.
        hamiltonian: the Hamiltonian.
        temperature: T > 0, in units of the coupling.
        observables: as in `la.estimate`; of those of `la.OBSERVABLES` there is what they measure.
        n_chains: of an array or a file, the number of chains, as in `la.estimate_chains`.
        skip: number of measurements at the start of each chain that are left out.

    Returns:
        `arviz.InferenceData`; from ArviZ 1.0 on an `xarray.DataTree` with the same groups.

    Raises:
        ImportError: if arviz is not installed; says how to install it.
        ValueError: for a source that cannot be read, or that has no draws left.

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4))
        >>> chains = la.monte_carlo(ising, 2.5, n=4000, n_chains=4, seed=0)
        >>> data = la.to_arviz(chains, ising, 2.5)                              # doctest: +SKIP
        >>> arviz.rhat(data), arviz.ess(data)                                   # doctest: +SKIP
    """
    arviz, xarray = needed_package("arviz", "to_arviz"), needed_package("xarray", "to_arviz")
    check_is_hamiltonian(hamiltonian)
    temperature, skip = check_temperature(temperature), check_integer("skip", skip, least=0)
    weighted = isinstance(samples, Samples) and samples.log_q is not None
    batches, source = batches_or_source([samples] if weighted else samples)
    log_q = None
    if batches is None:
        series = _of_source(source, hamiltonian, temperature, observables, n_chains)
    elif n_chains is not None:
        raise ValueError(f"n_chains is for an array or a file, got n_chains = {n_chains} with batches of samples")
    else:
        series, log_q = _of_batches(batches, hamiltonian, temperature, observables)
    if len(series.energy) <= skip:
        raise ValueError(f"no draws are left: got {len(series.energy)} of each chain and skip = {skip}")
    own = {name: values for name, values in series.values.items() if name != "correlation"}
    posterior = {"energy_per_site": series.energy / hamiltonian.n_sites, "magnetization": series.m, **own}
    stats = {"lp": -series.energy / temperature}
    if log_q is not None:
        stats |= {"log_q": log_q, "log_weight": stats["lp"] - log_q}
    about: dict[str, Any] = {
        "inference_library": "latticear",
        "inference_library_version": version("latticear"),
        "hamiltonian": json.dumps(hamiltonian.to_dict()),
        "temperature": temperature,
    }
    about |= {} if log_q is None else {"weights": HOW_TO_WEIGH}
    groups = {
        name: xarray.Dataset({key: _by_chain(values[skip:], key) for key, values in group.items()}, attrs=about)
        for name, group in (("posterior", posterior), ("sample_stats", stats))
    }
    groups = {name: _numbered(group) for name, group in groups.items()}
    if hasattr(arviz, "InferenceData"):
        return arviz.InferenceData(**groups)
    return xarray.DataTree.from_dict(groups)


def _by_chain(values: Array, name: str) -> tuple[tuple[str, ...], Array]:
    """Values `(T, R, ...)` as the dimensions and values of a variable, chains first."""
    more = tuple(f"{name}_dim_{k}" for k in range(values.ndim - 2))
    return ("chain", "draw", *more), values.swapaxes(0, 1)


def _numbered(group: Any) -> Any:
    """A data set with the numbers along its dimensions as coordinates."""
    return group.assign_coords({name: np.arange(size) for name, size in group.sizes.items()})


def _of_source(
    source: Any,
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    observables: Observables | None,
    n_chains: int | None,
) -> ChainSeries:
    """The series of an array or a file."""
    loaded = load(source, hamiltonian, temperature=temperature)
    length, width = extents(loaded, n_chains)
    return series_of(loaded.tokens[: length * width], width, hamiltonian, temperature, observables)


def _of_batches(
    batches: Iterator[Samples],
    hamiltonian: AbstractHamiltonian,
    temperature: float,
    observables: Observables | None,
) -> tuple[ChainSeries, Array | None]:
    """The series of batches of samples, and `log_q` `(T, 1)` if they have it: then all are in one chain."""
    first = next(batches)
    batches = itertools.chain([first], batches)
    if first.log_q is None:
        parts = list(measurements(batches, hamiltonian, [temperature], observables, chunk=None, made_at=temperature))
        whole = list(itertools.takewhile(lambda part: len(part.energy) == len(parts[0].energy), parts))
        return _joined(whole, lambda arrays: np.stack(list(arrays))), None
    parts = list(measurements(batches, hamiltonian, [temperature], observables))
    log_q = np.concatenate([part.log_q for part in parts if part.log_q is not None])
    return _joined(parts, lambda arrays: np.concatenate(list(arrays))[:, None]), log_q[:, None]


def _joined(parts: Iterable[Measurement], join: Any) -> ChainSeries:
    parts = list(parts)
    return ChainSeries(
        join(part.energy for part in parts),
        join(part.m for part in parts),
        join(part.balance[:, 0] for part in parts),
        {name: join(each) for name, each in observed(parts)[0].items()},
        {},
    )
