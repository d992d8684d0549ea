"""Estimates are compared with something independent, and each quantity gets what follows for its verdict."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from latticear.arguments import described
from latticear.arrays import Bools
from latticear.estimation.anywhere import Anywhere
from latticear.estimation.autocorrelation import mean_error
from latticear.estimation.check import FEWEST, Check, independent_check, size_of_check
from latticear.estimation.estimates import DIAGNOSTICS, KEY, Estimates
from latticear.estimation.named.request import Observables
from latticear.estimation.quantity import NEAR, Estimate, still
from latticear.estimation.verdict import TRUSTED, UNCHECKED
from latticear.estimation.weights import ROUNDING
from latticear.hamiltonians import AbstractHamiltonian, same_temperature
from latticear.models import AbstractModel

__all__ = ["Asked", "asked_check", "has_weights", "infer", "judge"]

Asked = AbstractModel | Check | bool | None
"""What a user may give as a check of estimates."""

UNSEEN = 3.0
"""Expected number of configurations of which n independent ones contain none in 5 % of the cases."""

HARM = 1.0
"""What a part of the distribution that a check cannot exclude may change, in errors, for the check to count."""

COARSE = 1.5
"""Error of a check, in errors of the estimate, above which agreement of two values alone does not count: a model has
weights to tell what its samples lack, chains have not."""

MOVING = 0.5
"""ESS of the proposals of a chain above which it hardly ever holds a configuration for long."""

LIMIT = 4.5
"""Difference from a check, in errors of both, from which an estimate is not trusted."""

PARTS = {"free_energy_per_site": ("log_z",), "entropy_per_site": ("log_z", "energy_per_site")}
"""Quantities that are sums of others, with which they are judged."""


def judge(estimates: Estimates, check: Check) -> Estimates:
    """Compare estimates with a check, and add what follows to the verdict of each quantity; returns the estimates.

    Two questions are asked of each quantity. Does it agree with the value of the check, within the errors of both? And
    does the check reach as far as the error bar: would a part of the distribution that its m independent configurations
    may lack, of probability 3 / m, change the quantity by less than its error? For chains without a model nothing but
    the two values speaks: they must lie within the errors of the chain alone, and the check must be nearly as accurate.
    For a model the first question is also asked of ln Z, by the average of q / p over the check, and the second one
    counts the configurations of the check whose weights exceed those of all samples, because no sample represents them.
    Data of a user can speak against a quantity, but not for it (`Check.decides`).

    Args:
        estimates: the estimates, which are modified.
        check: the check, of the same system and temperature. An exact value says more; what has one is left as it is.

    Raises:
        ValueError: for anything but estimates and a check, or a check at another temperature or of another system.
    """
    _check_comparable(estimates, check)
    own, source = check.estimates, check.source
    if check.log_w is not None and "forward_ess" not in estimates:
        estimates["forward_ess"] = check.forward_ess.object_to(estimates.warnings)
    if own.warnings:
        estimates.doubt(f"{source} are no evidence themselves: {'; '.join(own.warnings)}")
        return estimates
    least, missing = _missing(estimates, check)
    of_model = check.log_w is not None and has_weights(estimates) and _independent(estimates)
    deviations = {name: found for name in estimates if (found := _deviation(name, estimates, check)) is not None}
    for name, parts in PARTS.items():
        if name in estimates and all(part in deviations for part in parts):
            deviations[name] = max(deviations[part] for part in parts)
            if math.isfinite(check.n_independent) and any(_is_still(estimates[part]) for part in parts):
                estimates[name] = estimates[name].doubt([f"{' or '.join(parts)} did not vary"])
    known = [name for name in deviations if estimates[name].largest_deviation is not None]
    deviations = {name: deviation for name, deviation in deviations.items() if name not in known}
    for name, deviation in deviations.items():
        error, other = _error(estimates[name]), own.get(name)
        constant = _constant(name, estimates[name], check)
        reach = _reach(name, estimates[name], check.anywhere, other)
        compared = _Compared(
            deviation,
            still=bool((still(estimates[name].value, estimates[name].error) & ~constant).any()),
            harm=float(np.max(np.where(constant, 0.0, missing * reach / error))),
            coarse=0.0 if of_model or other is None else float(np.max(np.where(constant, 0.0, other.error / error))),
            doubts=() if other is None else _weak(other, check),
        )
        estimates[name] = _judged(estimates[name], compared, missing, check)
    for name, parts in PARTS.items():
        unsure = [part for part in parts if name in deviations and estimates[part].verdict == UNCHECKED]
        if unsure and not estimates[name].doubts:
            estimates[name] = estimates[name].doubt([f"unchecked as {' and '.join(unsure)}"])
    if wrong := [name for name in KEY if name in deviations and any(source in o for o in estimates[name].objections)]:
        estimates.distrust(f"{', '.join(wrong)} {'differs' if len(wrong) == 1 else 'differ'} from {source}")
    if "log_z" in deviations and least > LIMIT * estimates["log_z"].error:
        estimates.distrust(f"the samples lack a part of probability {missing:.1g} that occurs in {source}")
    if estimates.verdict == TRUSTED:
        estimates.update({name: estimates[name].support([source]) for name in DIAGNOSTICS if name in estimates})
    return estimates


def _check_comparable(estimates: Any, check: Any) -> None:
    """Raise ValueError unless estimates and check can be of one system at one temperature."""
    if not isinstance(check, Check):
        raise ValueError(
            f"judge compares estimates with a Check, as la.independent_check(hamiltonian, temperature) returns it, got "
            f"{described(check)}"
        )
    if not isinstance(estimates, Estimates):
        raise ValueError(f"judge takes the Estimates of la.estimate, then the check, got {described(estimates)}")
    own, again = check.estimates, "make the check with the Hamiltonian and the temperature of the estimates"
    if not same_temperature(own.temperature, estimates.temperature):
        raise ValueError(
            f"the check is at temperature {own.temperature:g}, the estimates at {estimates.temperature:g}: {again}"
        )
    for name in estimates.keys() & own.keys():
        shapes = [np.shape(each[name].value) for each in (own, estimates)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{name} has shape {shapes[0]} in the check and {shapes[1]} in the estimates: {again}, and "
                f"with the same observables"
            )


def has_weights(estimates: Estimates) -> bool:
    """Whether estimates rest on weights of a model, so that its weights of other configurations can be compared."""
    return "largest_log_w" in estimates.diagnostics


def asked_check(
    asked: Asked, estimates: Estimates, hamiltonian: AbstractHamiltonian, observables: Observables | None
) -> Check | None:
    """The check that a user asks for.

    Raises:
        ValueError: for anything but a model, a check, True, False or None.
    """
    if asked is None or asked is False or isinstance(asked, Check):
        return asked or None
    if asked is not True and not isinstance(asked, AbstractModel):
        raise ValueError(
            f"check must be the model that drew the samples, True, a Check of la.independent_check or None, got "
            f"{described(asked)}"
        )
    model = asked if isinstance(asked, AbstractModel) else None
    n = size_of_check(estimates, hamiltonian) or FEWEST
    return independent_check(hamiltonian, estimates.temperature, n=n, model=model, observables=observables)


def infer(estimates: Estimates, anywhere: Anywhere) -> Estimates:
    """Let the exact ln Z count for quantities without an exact value; returns the estimates.

    A part of the distribution of probability p that weighted samples lack makes their ln Z too low by p. If the exact
    ln Z is known, p is known to the error of ln Z, and it changes an average by no more than p times the reach.
    """
    log_z = estimates.get("log_z")
    if log_z is None or log_z.exact is None or estimates.method not in ("is", "smc"):
        return estimates
    missing = max(0.0, float(log_z.exact - log_z.value)) + 2 * math.hypot(float(log_z.error), log_z.exact_error or 0.0)
    for name, estimate in list(estimates.items()):
        if estimate.exact is not None or name in DIAGNOSTICS or estimate.reach is None:
            continue
        constant = anywhere.constant(name, estimate.value)
        if bool((still(estimate.value, estimate.error) & ~constant).any()):
            continue
        harm = np.where(constant, 0.0, missing * _reach(name, estimate, anywhere) / _error(estimate))
        if (log_z.largest_deviation or 0.0) <= NEAR and np.max(harm) <= HARM:
            estimates[name] = estimate.support(["the exact value of ln Z"])
    return estimates


def _independent(estimates: Estimates) -> bool:
    """Whether errors do not depend on how long chains hold a configuration: no chains, or most proposals taken."""
    return estimates.method == "is" or estimates.diagnostics.get("ess", 0.0) > MOVING


class _Compared(NamedTuple):
    """A quantity beside that of a check.

    Attributes:
        deviation: their difference, in errors of both.
        still: whether the value, or one of an array, did not vary, although in other configurations it would.
        harm: what a part that the check may lack would change, in errors of the estimate.
        coarse: error of the check, in errors of the estimate; 0 where weights tell what the samples lack.
        doubts: doubts about the error of the check.
    """

    deviation: float
    still: bool
    harm: float
    coarse: float
    doubts: tuple[str, ...]


def _weak(estimate: Estimate, check: Check) -> tuple[str, ...]:
    """Why the error of a quantity of a check is none."""
    if math.isfinite(check.n_independent) and _is_still(estimate):
        return ("which did not vary",)
    return estimate.doubts


def _judged(estimate: Estimate, compared: _Compared, missing: float, check: Check) -> Estimate:
    (deviation, is_still, harm, coarse, doubts), source = compared, check.source
    if deviation > LIMIT:
        far = [f"{min(deviation, 1e6):.3g} errors away from the value of {source}"]
        return estimate.doubt([*far, *doubts]) if doubts else estimate.object_to(far)
    if coarse > COARSE and not estimate.evidence:
        return estimate.doubt([f"the error of {source} is {coarse:.2g} times as large"])
    if (gap := deviation * math.hypot(1, coarse)) > NEAR:
        return estimate.doubt([f"{gap:.2g} errors away from the value of {source}"])
    if estimate.evidence or not check.decides:
        return estimate
    if is_still and missing:
        return estimate.doubt([f"it did not vary, and {source} may lack a part of probability {missing:.1g}"])
    if harm > HARM:
        size = f"{harm:.2g} errors" if harm < 1000 else "many errors"
        return estimate.doubt([f"{source} may lack a part of probability {missing:.1g}, which would be {size}"])
    return estimate.support([source])


def _deviation(name: str, estimates: Estimates, check: Check) -> float | None:
    """The difference from the value of the check in errors, of an array the largest; None if there is no such value."""
    estimate, other = estimates[name], check.estimates.get(name)
    if name in DIAGNOSTICS or name in PARTS:
        return None
    if name == "log_z" and check.log_w is not None and not (other and other.error == 0):
        # the average of q / p over configurations of p is one, with Z from the samples of q
        inverse = np.exp(float(estimate.value) - check.log_w).reshape(-1, check.n_chains)
        mean, error, _ = mean_error(inverse)
        return abs(mean - 1) / max(math.hypot(error, float(estimate.error)), ROUNDING)
    if other is None:
        return None
    gap, n = np.abs(np.asarray(estimate.value) - other.value), estimate.n * estimate.ess
    if name == "log_z" and _is_still(estimate):  # as many of the missing configurations were expected among n
        return float(np.sqrt(n * -np.expm1(-gap)))
    # what did not vary has the error that as many configurations should have had
    of_one = other.error * math.sqrt(other.n * other.ess) if other.exact_spread is None else other.exact_spread
    unseen = np.where(still(estimate.value, estimate.error), of_one / math.sqrt(n), 0.0)
    spread = np.hypot(np.hypot(estimate.error, other.error), unseen)
    return float(np.max(gap / np.maximum(spread, 1e-7 * np.maximum(np.abs(other.value), 1e-3))))


def _missing(estimates: Estimates, check: Check) -> tuple[float, float]:
    """Lower and upper bound of the probability of what the samples lack.

    A configuration of the check whose weight w exceeds that of every sample would not have been drawn; since others
    were drawn in its place, the share of Z that is missing is its probability times `1 - 1 / w`.
    """
    n, largest = check.n_independent, estimates.diagnostics.get("largest_log_w")
    if math.isinf(n):  # a sum over all configurations
        return 0.0, 0.0
    if check.log_w is None or largest is None:
        return 0.0, UNSEEN / n
    beyond = check.log_w > largest + ROUNDING
    share = np.where(beyond, np.maximum(-np.expm1(_log_z(estimates) - check.log_w), 0), 0.0)
    lost, spread = float(share.mean()), 2 * math.sqrt(float((share**2).mean()) / n)
    return max(0.0, lost - spread), lost + spread + UNSEEN / n


def _log_z(estimates: Estimates) -> float:
    """ln Z by which the weights of the samples are normalised."""
    return float(estimates["log_z"].value if "log_z" in estimates else estimates.diagnostics["log_z_of_proposals"])


def _reach(name: str, estimate: Estimate, anywhere: Anywhere | None, other: Estimate | None = None) -> Any:
    known = [np.asarray(each.reach) for each in (estimate, other) if each is not None and each.reach is not None]
    if known and anywhere is not None:
        known.append(np.asarray(anywhere.reach(name, estimate.value)))
    return np.maximum.reduce(known) if known else math.inf


def _constant(name: str, estimate: Estimate, check: Check) -> Bools:
    """Which entries of a quantity are constant by definition."""
    if check.anywhere is None:
        return np.zeros(np.shape(estimate.value), dtype=bool)
    return check.anywhere.constant(name, estimate.value)


def _is_still(estimate: Estimate) -> bool:
    """Whether the value, or one of an array, did not vary, so that nothing is known of what would change it."""
    return bool(still(estimate.value, estimate.error).any())


def _error(estimate: Estimate) -> Any:
    return np.maximum(np.asarray(estimate.error), 1e-300)
