"""Averages over the instances of a disorder, with errors that hold the spread of the instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from latticear.arguments import described
from latticear.arrays import Array
from latticear.estimation.estimates import DIAGNOSTICS, Estimates
from latticear.estimation.named.overlaps import glass_binder
from latticear.estimation.quantity import Estimate
from latticear.estimation.replicates import Replicates, jackknife_error, source_of
from latticear.estimation.verdict import NOT_TRUSTED, TRUSTED

__all__ = ["disorder_average"]

FEWEST = 10
"""Smallest number of instances whose scatter tells an error to better than a quarter."""


def disorder_average(estimates: Iterable[Estimates]) -> Estimates:
    """Averages [O] over the instances of a disorder, from the estimates of each instance.

    The error is the standard deviation of the values of the instances over `sqrt(n)`. It holds both the spread of the
    instances and the error of each of them, since the latter is part of the scatter that is seen, as long as the
    instances were estimated independently. `thermal_error` beside it is the error of the average over these very
    instances, `sqrt(sum of squared errors) / n`: if it is not much smaller, longer runs help, otherwise only more
    instances do.

    `overlap_binder_cumulant` is the ratio of averages, `(3 - [q^4] / [q^2]^2) / 2`, and `glass_correlation_length`
    follows from averaged susceptibilities, both with a jackknife over instances, which keeps the covariances. The
    result has replicates without one instance each, so that `la.derived(average, fn)` gives any function of averages.

    Args:
        estimates: estimates of at least two instances at one temperature, each an `Estimates` as the estimators return
            them or `la.load_run` reads them.

    Returns:
        Estimates of all quantities that every instance has; `n` is the number of instances.

    Raises:
        ValueError: for fewer than two instances, other objects, or estimates at several temperatures.

    Example:
        >>> import latticear as la
        >>> glasses = [la.EdwardsAnderson((3, 3), seed=seed) for seed in range(4)]
        >>> each = [la.estimate(la.TensorNetwork((3, 3), bias=g.bias(1.0)).sample(200), g, 1.0) for g in glasses]
        >>> average = la.disorder_average(each)
        >>> average.n, average["energy_per_site"].thermal_error < average["energy_per_site"].error
        (4, True)
    """
    sets = _checked(estimates)
    names = [name for name in sets[0] if all(name in each for each in sets)]
    values = {name: np.stack([np.asarray(each[name].value, dtype=float) for each in sets]) for name in names}
    n = len(sets)
    left = {name: (array.sum(0) - array) / (n - 1) for name, array in values.items()}
    found: dict[str, Estimate] = {}
    for name, array in values.items():
        errors = np.stack([np.asarray(each[name].error, dtype=float) for each in sets])
        thermal = np.sqrt((errors**2).sum(0)) / n
        found[name] = _estimate(array.mean(0), array.std(0, ddof=1) / math.sqrt(n), n, thermal)
    _add_ratios(found, left, values)
    sources = [np.frombuffer(_source(each), dtype=np.uint8).astype(np.float64) for each in sets]
    result = Estimates(
        {name: _with_reasons(name, found[name], sets) for name in found},
        temperature=sets[0].temperature,
        n=n,
        diagnostics={},
        method=None,
        remarks=[f"averages over {n} instances; errors hold their spread"],
    )
    result.replicates = Replicates(
        {name: array for name, array in left.items() if name in found and name not in DIAGNOSTICS},
        source_of(*sources),
        np.arange(n + 1),
    )
    if n < FEWEST:
        result.doubt(f"{n} instances tell the spread of the instances to {100 / math.sqrt(2 * (n - 1)):.0f} % only")
    return result


def _checked(estimates: Iterable[Estimates]) -> list[Estimates]:
    wanted = "disorder_average takes the estimates of several instances, as la.estimate returns them"
    if isinstance(estimates, Mapping) or not isinstance(estimates, Iterable):
        raise ValueError(f"{wanted}, in a list, got {described(estimates)}")
    sets = list(estimates)
    for k, each in enumerate(sets):
        if not isinstance(each, Estimates):
            raise ValueError(f"{wanted}, got {described(each)} for instance {k}")
        if not math.isclose(each.temperature, sets[0].temperature, rel_tol=1e-9):
            raise ValueError(
                f"the instances must have one temperature, got {sets[0].temperature:g} and {each.temperature:g}"
            )
    if len(sets) < 2:
        raise ValueError(f"{wanted}: an error over instances needs two or more, got {len(sets)}")
    for name in sets[0]:
        shapes = {np.shape(each[name].value) for each in sets if name in each}
        if len(shapes) > 1:
            raise ValueError(f"the instances must have one size, got {name} of the shapes {sorted(shapes)}")
    return sets


def _source(estimates: Estimates) -> bytes:
    """What identifies the configurations of an instance."""
    if estimates.replicates is not None:
        return estimates.replicates.source
    return source_of(np.array([float(np.sum(estimate.value)) for estimate in estimates.values()]))


def _estimate(value: Array, error: Array, n: int, thermal: Array | None) -> Estimate:
    numbers: dict[str, Any] = {"value": value, "error": error, "thermal_error": thermal}
    numbers = {key: each if each is None or np.ndim(each) else float(each) for key, each in numbers.items()}
    return Estimate(**numbers, n=n, ess=1.0)


def _add_ratios(found: dict[str, Estimate], left: dict[str, Array], values: Mapping[str, Array]) -> None:
    """Replace averages of ratios by ratios of averages, of one instance less for each replicate."""
    whole = {name: np.asarray(each.value) for name, each in found.items()}
    functions: dict[str, Callable[[Mapping[str, Array]], Array]] = {"overlap_binder_cumulant": glass_binder}
    length = "glass_correlation_length"
    with np.errstate(divide="ignore", invalid="ignore"):
        if length in found:  # the unit follows from any instance: that length is not linear in the susceptibilities
            unit = np.nanmedian(values[length] / _reduced(values))
            functions[length] = lambda a: unit * _reduced(a)
        for name, fn in functions.items():
            if name in found:
                left[name] = np.asarray(fn(left))
                n = len(left[name])
                found[name] = _estimate(np.asarray(fn(whole)), jackknife_error(left[name]), n, None)


def _reduced(a: Mapping[str, Array]) -> Array:
    """The correlation length of the overlap in units of 1 / (2 sin(k / 2))."""
    return np.asarray(np.sqrt(a["glass_susceptibility"] / a["glass_susceptibility_k"] - 1))


def _with_reasons(name: str, estimate: Estimate, sets: list[Estimates]) -> Estimate:
    """The average with what the verdicts of the instances say."""
    verdicts = [each[name].verdict if name in each else each.verdict for each in sets]
    wrong = [k for k, verdict in enumerate(verdicts) if verdict == NOT_TRUSTED]
    if wrong:
        some = ", ".join(map(str, wrong[:8])) + (", ..." if len(wrong) > 8 else "")
        return estimate.object_to([f"{len(wrong)} of {len(sets)} instances are not trusted (numbers {some})"])
    if all(verdict == TRUSTED for verdict in verdicts):
        reasons = dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons)
        return replace(estimate, evidence=(f"each of the instances agrees with {' and '.join(reasons)}",))
    n = sum(verdict == TRUSTED for verdict in verdicts)
    return estimate.doubt([f"{n} of {len(sets)} instances are trusted, the others unchecked"]) if n else estimate
