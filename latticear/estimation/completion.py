"""Observables that were asked for by name: exact values, the quantities that follow from averages, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from latticear.arrays import Array, Bools
from latticear.estimation.derivation import CANCELLING, propagated
from latticear.estimation.estimates import Estimates
from latticear.estimation.measurement import evaluate_named
from latticear.estimation.named.base import Function
from latticear.estimation.named.request import Observables, Request
from latticear.estimation.propagation import Key
from latticear.estimation.quantity import Estimate, Value
from latticear.exact import ExactResult
from latticear.exact.tabulated import Tabulated, can_tabulate
from latticear.hamiltonians import AbstractHamiltonian
from latticear.samples import Samples

__all__ = ["complete", "summed"]


def complete(
    estimates: Estimates, hamiltonian: AbstractHamiltonian, observables: Observables | None, known: ExactResult | None
) -> Estimates:
    """Finish the estimates of the observables that were asked for by name; returns the estimates.

    Args:
        estimates: the estimates, with the averages of what the observables measure, and their replicates.
        hamiltonian: the system.
        observables: as in `estimate`.
        known: the exact result that the estimates are compared with; None for no comparison.
    """
    request = Request.of(observables, hamiltonian)
    if not request.named:
        return estimates
    temperature = estimates.temperature
    exact, spreads = _exact(request, hamiltonian, temperature, known)
    for name in exact.keys() & estimates.keys():
        estimates[name] = replace(estimates[name], exact=exact[name], exact_spread=spreads.get(name))
    for observable in request.named.values():
        for name, fn in observable.functions(hamiltonian, temperature).items():
            known_value = exact.get(name)
            finite = known_value is not None and bool(np.isfinite(known_value).all())
            estimates[name] = _derived(estimates, name, fn, known_value if finite else None, observable.undefined)
        for name, labels in observable.labels(hamiltonian).items():
            numbers = {label: np.array(each, dtype=np.float64) for label, each in labels.items()}
            estimates[name] = replace(estimates[name], labels=numbers)
        observable.finish(estimates, hamiltonian, temperature)
    return _shown(estimates, request)


def summed(observables: Observables | None, table: Tabulated) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exact values of all that named observables measure and derive, and the spread of what they measure, by name.

    Args:
        observables: as in `estimate`.
        table: the Boltzmann distribution of the system.
    """
    hamiltonian, temperature = table.hamiltonian, table.temperature
    request = Request.of(observables, hamiltonian)
    p = np.exp(table.log_p)
    values: dict[str, Any] = {}
    spreads: dict[str, Any] = {}
    for observable in request.named.values():
        batch = Samples(table.tokens, None, 0)
        for name, each in evaluate_named(observable, batch, hamiltonian, temperature).items():
            values[name] = _plain(p @ each)
            spreads[name] = _plain(np.sqrt(p @ (each - values[name]) ** 2))
    for name, fn in _functions(request, hamiltonian, temperature).items():
        values[name] = _plain(_called(fn, values))
    return values, spreads


def _functions(request: Request, hamiltonian: AbstractHamiltonian, temperature: float) -> dict[str, Function]:
    found: dict[str, Function] = {}
    for observable in request.named.values():
        found |= observable.functions(hamiltonian, temperature)
    return found


def _exact(
    request: Request, hamiltonian: AbstractHamiltonian, temperature: float, known: ExactResult | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exact values by name, and exact spreads of single configurations; empty where there is no comparison."""
    if known is None:
        return {}, {}
    values: dict[str, Any] = {}
    for observable in request.named.values():
        values |= observable.exact(hamiltonian, temperature, known)
    if not can_tabulate(hamiltonian):
        return values, {}
    found, spreads = summed(request, Tabulated(hamiltonian, temperature))
    return found | values, spreads


def _derived(estimates: Estimates, name: str, fn: Function, exact: Any, undefined: str) -> Estimate:
    """A function of the averages, whose replicates are kept; nan, with a reason, where it is not defined."""
    replicates = estimates.replicates
    assert replicates is not None
    value = _called(fn, {key: estimates[key].value for key in replicates.values if key in estimates})
    shape, defined = value.shape, np.isfinite(value.ravel())
    known = None if exact is None else np.ravel(exact)
    while defined.any():
        found = propagated([estimates], _part(fn, defined), exact=None if known is None else known[defined])
        if (finite := np.isfinite(found.left).all(0)).all():
            break
        defined[defined] = finite
    else:
        nothing = np.full(shape, np.nan)[()]
        return Estimate(nothing, nothing, n=estimates.n, ess=1.0, doubts=(undefined,))
    left = np.full((replicates.n_blocks, len(defined)), np.nan)
    left[:, defined] = found.left
    estimates.replicates = replicates.with_values(name, left.reshape(-1, *shape))
    estimate = found.estimate
    if CANCELLING in estimate.doubts:  # what agrees with the averages says nothing, a check of this quantity does
        doubts = tuple(each for each in estimate.doubts if each != CANCELLING)
        estimate = replace(estimate, doubts=doubts, evidence=())
    reach = _reach(estimates, found.gradients)
    whole: dict[str, Any] = {}
    for key in ("value", "error", "jackknife_error", "delta_error"):
        whole[key] = _spread_out(getattr(estimate, key), defined, shape)
    return replace(estimate, **whole, reach=None if reach is None else _spread_out(reach, defined, shape), exact=exact)


def _called(fn: Function, averages: Mapping[str, Any]) -> Array:
    """A function of averages as float64, whether it is made of operations of torch or of NumPy."""
    numbers = {
        name: np.float64(value) if np.ndim(value) == 0 else np.asarray(value) for name, value in averages.items()
    }
    with np.errstate(all="ignore"):
        return np.asarray(fn(numbers), dtype=np.float64)


def _part(fn: Function, defined: Bools) -> Function:
    """The entries of a function that are defined, as a vector."""

    def part(averages: Mapping[str, Any]) -> Any:
        found = fn(averages)
        if isinstance(found, torch.Tensor):
            return found.reshape(-1)[torch.from_numpy(defined)]
        return np.ravel(found)[defined]

    return part


def _spread_out(values: Any, defined: Bools, shape: tuple[int, ...]) -> Any:
    """Numbers of the defined entries among nan for the others, in the shape of the function."""
    full = np.full(len(defined), np.nan)
    full[defined] = values
    return _plain(full.reshape(shape))


def _reach(estimates: Estimates, gradients: Mapping[Key, Array]) -> Array | None:
    """The largest change of a function that one configuration makes, to first order; None if that is not known."""
    total: Any = 0.0
    for (_, name), gradient in gradients.items():
        reach: Value | None = estimates[name].reach
        if reach is None:
            return None
        total = total + np.abs(gradient) @ np.ravel(reach)
    return np.asarray(total)


def _shown(estimates: Estimates, request: Request) -> Estimates:
    """The estimates without what was measured or derived for other quantities only."""
    named = request.named.values()
    parts = {name for observable in named for name in observable.parts}
    for name in parts - {name for observable in named for name in observable.quantities}:
        estimates.pop(name, None)
    return estimates


def _plain(values: Array) -> Any:
    return float(values) if values.ndim == 0 else values
