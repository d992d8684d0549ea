"""Functions of measured averages, with errors that know how the averages vary together."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from latticear.arguments import described
from latticear.arrays import Array
from latticear.estimation.estimates import Estimates
from latticear.estimation.numbers import ROUNDING
from latticear.estimation.propagation import Function, Key, Propagation
from latticear.estimation.quantity import Estimate, Value
from latticear.estimation.replicates import APART, Replicates
from latticear.estimation.verdict import ALONE, NOT_TRUSTED, TRUSTED

__all__ = ["CANCELLING", "Propagated", "derived", "propagated"]

FACTOR = 1.5
"""Ratio of the errors by jackknife and delta method from which neither is trusted."""
BLOCKS_APART = 2.0
"""Ratio of the error of an average from blocks and its own error from which the blocks are in doubt."""
CANCELLED = 3.0
"""Factor by which the error is smaller than that of uncorrelated averages, from which their evidence does not count."""
CANCELLING = "the errors of its averages cancel, so that what agrees with them says nothing of errors as small as this"
CORRELATED = 4.0
"""Correlation of different sets over n blocks, in units of 1 / sqrt(n), that is no accident."""


def derived(estimates: Estimates | Sequence[Estimates], fn: Function, *, exact: Value | None = None) -> Estimate:
    """Any smooth function of measured averages, with its error; covariances of the averages are kept.

    The error is that of a jackknife: the function is computed again without each of some hundred blocks of the
    configurations. Estimates that were made from the same configurations, such as those of `reweight` at several
    temperatures, leave out the same blocks, so that their common fluctuations cancel or add up as they do; independent
    ones add in quadrature. Blocks of Markov chains are longer than the autocorrelation time. `delta_error` is the error
    by the delta method, from the gradient of the function (by automatic differentiation if it consists of operations of
    torch, by differences otherwise) and the covariance of the averages. The value is the function of the averages; its
    bias is of the order of the squared errors, and is not corrected.

    The verdict follows from those of the averages that the function uses: not trusted if one of them is not, trusted if
    all are. It is not trusted if the two errors differ by more than a factor of 1.5: the function is then not smooth
    on the scale of the errors.

    Args:
        estimates: the estimates of one set of configurations, or of several: other seeds, temperatures or systems.
        fn: function that gets a mapping from names to averages for each of the estimates, and returns a number or an
            array of numbers. Averages are scalars or arrays of torch or NumPy.
        exact: the exact value, if it is known.

    Raises:
        ValueError: if estimates were read from a file, and so have no covariances; if `fn` asks for a quantity that
            there is not; or if it returns anything but finite real numbers.

    References:
        B. Efron and C. Stein, Ann. Stat. 9 (1981) 586; F. M. T. A. Busing, E. Meijer, R. van der Leeden, Stat. Comput.
        9 (1999) 3 (blocks of unequal size).

    Example:
        >>> import latticear as la
        >>> ising = la.Ising((4, 4))
        >>> model = la.TensorNetwork((4, 4), bias=ising.bias(2.5))
        >>> estimates = la.estimate(model.sample(1000), ising, 2.5)
        >>> ratio = la.derived(estimates, lambda a: a["magnetization_squared"] / a["abs_magnetization"] ** 2)
        >>> square, m = estimates["magnetization_squared"], estimates["abs_magnetization"]
        >>> ratio.error < 0.5 * square.error / m.value**2  # most of the fluctuations cancel
        True
    """
    sets = _checked(estimates)
    _check_function(fn, len(sets))
    return propagated(sets, fn, exact=exact).estimate


class Propagated(NamedTuple):
    """A function of averages with what its errors follow from.

    Attributes:
        estimate: its value and error.
        left: `(n_blocks, ...)`, its values without one block of the configurations of the first of the sets.
        gradients: its derivative by each average, `(K, k)`, for K numbers of the function and k in the average.
    """

    estimate: Estimate
    left: Array
    gradients: Mapping[Key, Array]


def propagated(sets: Sequence[Estimates], fn: Function, *, exact: Value | None = None) -> Propagated:
    """What `derived` does, for checked arguments."""
    replicates = [_replicates_of(each) for each in sets]
    propagation = Propagation(sets, replicates, fn)
    gradients = propagation.gradients()
    left, full, linear = [], [], []
    for members in _groups(replicates, {i for i, _ in propagation.used}):
        left.append(propagation.varied(members))
        full.append(_deviations(left[-1]))
        parts = [
            _deviations(replicates[i].values[name]) @ gradients[i, name].T
            for i, name in propagation.used
            if i in members
        ]
        linear.append(np.sum(parts, axis=0))
    full, linear = _joined(full, full), _joined(linear, full)
    jackknife, delta = (np.sqrt(np.sum([(part**2).sum(0) for part in parts], axis=0)) for parts in (full, linear))
    alone = sum((gradients[key] ** 2 @ propagation.error_of(key).ravel() ** 2 for key in propagation.used), 0.0)
    reasons = _reasons(sets, propagation, exact is not None)
    flat = propagation.value.ravel()
    _judge(reasons, jackknife, delta, np.sqrt(alone), np.abs(flat), exact is not None)
    used = [sets[i][name] for i, name in propagation.used]
    shape = propagation.value.shape
    value, error, by_gradient = (
        each.reshape(shape) if shape else float(each[0])
        for each in (flat, np.where(np.isfinite(jackknife), jackknife, math.inf), delta)
    )
    estimate = Estimate(
        value,
        error,
        n=min(estimate.n for estimate in used),
        ess=min(estimate.ess for estimate in used),
        exact=exact,
        jackknife_error=error,
        delta_error=by_gradient,
        objections=tuple(dict.fromkeys(reasons["objections"])),
        doubts=tuple(dict.fromkeys(reasons["doubts"])),
        evidence=tuple(dict.fromkeys(reasons["evidence"])),
    )
    return Propagated(estimate, left[0], gradients)


def _checked(estimates: Estimates | Sequence[Estimates]) -> list[Estimates]:
    sets = [estimates] if isinstance(estimates, Mapping) or not isinstance(estimates, Iterable) else list(estimates)
    for each in sets:
        if not isinstance(each, Estimates):
            raise ValueError(
                f"estimates must be what la.estimate or another estimator returns, or a list of these, "
                f"got {described(each)}"
            )
    if not sets:
        raise ValueError("estimates must be one set of estimates or several, got an empty list")
    return sets


def _check_function(fn: Function, n_sets: int) -> None:
    if not callable(fn):
        raise ValueError(f"fn must be a function of the averages, got {described(fn)}")
    signature = None
    with contextlib.suppress(ValueError, TypeError):  # some functions written in C tell none
        signature = inspect.signature(fn)
    if signature is None:
        return
    try:
        signature.bind(*range(n_sets))
    except TypeError as error:
        raise ValueError(
            f"fn must take one argument for each of the estimates, {n_sets} in all; its own are {signature}"
        ) from error


def _replicates_of(estimates: Estimates) -> Replicates:
    if estimates.replicates is None:
        raise ValueError(
            "these estimates have no covariances, which are not stored in files: make them again from the samples, "
            "with la.estimate or la.estimate_chains"
        )
    return estimates.replicates


def _groups(replicates: Sequence[Replicates], used: set[int]) -> list[list[int]]:
    """The positions of sets that were made from the same configurations."""
    groups: dict[bytes, list[int]] = {}
    for i, each in enumerate(replicates):
        if i in used:
            groups.setdefault(each.source, []).append(i)
    for members in groups.values():
        if any(not np.array_equal(replicates[i].edges, replicates[members[0]].edges) for i in members):
            raise ValueError(
                "two of the estimates were made from the same chains with different observables: estimate all of them "
                "in one call"
            )
    return list(groups.values())


def _deviations(values: Array) -> Array:
    """Replicates as deviations `(n_blocks, K)` whose sum of squares is the squared error."""
    rows = values.reshape(len(values), -1)
    return np.asarray((rows - rows.mean(0)) * math.sqrt((len(rows) - 1) / len(rows)))


def _joined(parts: Sequence[Array], like: Sequence[Array]) -> list[Array]:
    """The deviations of sets that are independent; those that visibly vary together are added.

    Simulations with one seed draw the same random numbers.

    Args:
        parts: deviations of each set.
        like: the deviations that decide.
    """
    found: list[Array] = []
    shown: list[Array] = []
    for part, seen in zip(parts, like, strict=True):
        for j, other in enumerate(shown):
            if len(other) == len(seen) and _correlation(other, seen) > CORRELATED / math.sqrt(len(seen)):
                found[j], shown[j] = found[j] + part, other + seen
                break
        else:
            found.append(part)
            shown.append(seen)
    return found


def _correlation(a: Array, b: Array) -> float:
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return float(np.max(np.abs((a * b).sum(0)) / np.where(size > 0, size, 1.0), initial=0.0))


def _reasons(sets: Sequence[Estimates], propagation: Propagation, known: bool) -> dict[str, list[str]]:
    """What the verdicts of the averages say of a function of them."""
    reasons: dict[str, list[str]] = {"objections": [], "doubts": [], "evidence": []}
    for key in propagation.used:
        i, name = key
        estimate, label = sets[i][name], _label(key, len(sets))
        verdict = estimate.verdict
        kind = {NOT_TRUSTED: "objections", TRUSTED: "evidence"}.get(str(verdict), "doubts")
        texts = [text for text in verdict.reasons if not (known and text.startswith(ALONE))]
        reasons[kind] += [f"{label}: {text}" for text in texts]
        if kind == "objections" and not texts:
            reasons[kind].append(f"{label}: {NOT_TRUSTED}")
        own, blocks = np.asarray(estimate.error), propagation.error_of(key)
        varied = (own > ROUNDING * np.abs(estimate.value)) & (blocks > ROUNDING * np.abs(estimate.value))
        ratio = np.where(varied, blocks / np.where(varied, own, 1.0), 1.0)
        if not ((ratio > 1 / BLOCKS_APART) & (ratio < BLOCKS_APART)).all():
            reasons["doubts"].append(f"{label}: its error from blocks differs from its own by a factor of two")
    return reasons


def _label(key: Key, n_sets: int) -> str:
    return key[1] if n_sets == 1 else f"{key[1]} of estimates[{key[0]}]"


def _judge(
    reasons: dict[str, list[str]], jackknife: Array, delta: Array, alone: Array, size: Array, known: bool
) -> None:
    """Add what the errors themselves say."""
    if not np.isfinite(jackknife).all():
        reasons["objections"].append("the function is not finite if a block of the configurations is left out")
        return
    real = np.maximum(jackknife, delta) > 1e-12 * np.maximum(size, 1e-300)
    ratio = np.where(real, jackknife / np.where(delta > 0, delta, 1e-300), 1.0)
    if not ((ratio > 1 / FACTOR) & (ratio < FACTOR)).all():
        worst = int(np.argmax(np.abs(np.log(np.maximum(ratio, 1e-300)))))
        reasons["objections"].append(f"{APART}: {delta[worst]:.2g} and {jackknife[worst]:.2g}")
    if not known and (real & (CANCELLED * jackknife < alone)).any():
        reasons["doubts"].append(CANCELLING)
