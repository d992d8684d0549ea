"""One quantity with its error bar, and whether to trust it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from latticear.estimation.numbers import ROUNDING, unseen_probability, with_error
from latticear.estimation.verdict import ALONE, NOT_TRUSTED, TRUSTED, UNCHECKED, Verdict

__all__ = ["MAX_DEVIATION", "NEAR", "UNVARIED", "Estimate", "Value", "as_json", "still"]

Value = float | NDArray[np.float64]

MAX_DEVIATION = 4.0
"""Deviation from the exact value, in errors, from which an estimate is not trusted."""

NEAR = 3.0
"""Deviation up to which the exact value is evidence for an estimate; between the two limits nothing is decided."""

SHORT_OF_EVENTS = "too few rare events are among the configurations, and so its error is smaller than follows from"
"""Why an exact value that is many errors away is no objection: see `Estimate.is_short_of_events`."""

UNVARIED = "no variation"
"""In place of a deviation where nothing varied."""


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar; value and error are scalars, or arrays of one shape.

    Attributes:
        value: the estimate.
        error: one standard deviation, by the delta method, which assumes that the weights have a finite variance; by a
            jackknife where `delta_error` is given.
        n: number of configurations used.
        ess: effective sample size as a fraction of n, in [1/n, 1].
        exact: the exact value; None where it is not known.
        jackknife_error: one standard deviation by a jackknife over blocks; None where it is not computed.
        tau_int: integrated autocorrelation time (1/2 for independent data) in steps of a chain; None without chains.
        objections: reasons not to trust value or error, other than a deviation from the exact value.
        doubts: what is missing before independent evidence counts.
        evidence: what agrees with the value, other than the exact value.
        exact_error: error of the exact value, where that is not exact to all digits; it is part of the deviation.
        reach: largest change that one of the configurations makes to the average of which this is the result, in units
            of the quantity; a part of probability p that is missing can change the value by about p times this. None
            where it is not known.
        thermal_error: of an average over instances of a disorder, the error for these very instances; `error` holds
            their spread.
        labels: what the entries of an array stand for, one number for each of them by name; None where they are known
            by their index alone.
        delta_error: one standard deviation by the delta method, of a derived quantity (`la.derived`).
        exact_spread: exact standard deviation of this quantity in one configuration; None where it is not known. It
            takes the place of an error that is zero because nothing varied.
        fixed: whether the value is the same in all configurations by definition, as |m| is at fixed composition.
        wanted: the error that was asked for (`latticear.estimation.precision`); None if none was.
        reached: whether the error is as small as it was wanted, and can be trusted; None if none was asked for.
    """

    value: Value
    error: Value
    n: int
    ess: float
    exact: Value | None = None
    jackknife_error: Value | None = None
    tau_int: float | None = None
    objections: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    exact_spread: Value | None = None
    exact_error: float | None = None
    reach: Value | None = None
    fixed: bool = False
    delta_error: Value | None = None
    wanted: float | None = None
    reached: bool | None = None
    labels: Mapping[str, NDArray[np.float64]] | None = None
    thermal_error: Value | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether to trust the value with its error: "trusted", "unchecked" or "not trusted", with `reasons`."""
        of_exact: dict[str, tuple[str, ...]] = {}
        off = self.largest_deviation
        if off is not None and self.is_short_of_events:
            of_exact["doubts"] = (f"{SHORT_OF_EVENTS} what is known exactly",)
        elif off is not None:
            kind = "objections" if off > MAX_DEVIATION else "doubts" if off > NEAR else "evidence"
            by = "" if off <= NEAR else f"{off:.1f} errors away from " if off < 1000 else "far away from "
            of_exact[kind] = (f"{by}the exact value",)
        elif self.exact is not None and not self.evidence:
            of_exact["doubts"] = ("it did not vary, and has no error by which to compare it with the exact value",)
        given = {"objections": self.objections, "doubts": self.doubts, "evidence": self.evidence}
        verdict = Verdict.of(**{kind: (*reasons, *of_exact.get(kind, ())) for kind, reasons in given.items()})
        return Verdict(UNCHECKED, (f"{ALONE}{self._unseen}",)) if verdict.reasons == (ALONE,) else verdict

    @property
    def _unseen(self) -> str:
        """What the configurations may all lack, if that would change the value by more than its error."""
        if self.reach is None or self.unvaried:
            return ""
        p = unseen_probability(self.n * self.ess)
        reach, error = np.broadcast_arrays(self.reach, self.error)
        varied = error > 0  # the first entry of a correlation function is 1 in every configuration
        harm = float(np.max(p * reach[varied] / error[varied], initial=0.0))
        if not 1 < harm < math.inf:
            return ""
        size = f"{harm:.2g} errors" if harm < 1000 else "many errors"
        return f", and {self.n:,} configurations may lack a part of probability {p:.1g}, which would be {size}"

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against the value and its error; it may still be unchecked."""
        return self.verdict.reliable

    @property
    def largest_deviation(self) -> float | None:
        """The absolute deviation from the exact value; of an array, the largest; None without an exact value."""
        deviation = self.deviation
        if deviation is None:
            return None
        finite = np.abs(np.ravel(deviation))[np.isfinite(np.ravel(deviation))]
        return float(finite.max()) if len(finite) else None

    @property
    def is_short_of_events(self) -> bool:
        """Whether the exact value is many errors away but is not by the error that as many configurations should have.

        The few rare events that make most of the error were not among them, or there was one too many.
        """
        off = self.largest_deviation
        if off is None or off <= NEAR or np.ndim(self.value) or not self.exact_spread or self.unvaried:
            return False
        error = np.hypot(self.exact_spread / math.sqrt(self.n * self.ess), self.exact_error or 0.0)
        return bool(np.all(np.abs(self.value - np.asarray(self.exact)) <= NEAR * error))

    def object_to(self, reasons: Iterable[str]) -> Self:
        """The same estimate with more reasons not to trust it."""
        return replace(self, objections=(*self.objections, *reasons))

    def doubt(self, reasons: Iterable[str]) -> Self:
        """The same estimate with more reasons why evidence does not count."""
        return replace(self, doubts=(*self.doubts, *reasons))

    def support(self, reasons: Iterable[str]) -> Self:
        """The same estimate with more evidence for it."""
        return replace(self, evidence=(*self.evidence, *reasons))

    @property
    def unvaried(self) -> bool:
        """Whether the value, a scalar, was the same up to rounding in every configuration, so that the error is zero.

        This is no proof that the value is exact: see `unseen_probability`.
        """
        return not self.fixed and np.ndim(self.value) == 0 and bool(np.all(still(self.value, self.error)))

    @property
    def unseen_probability(self) -> float | None:
        """Where nothing varied: what could change the value has at most this probability, with 95 % confidence.

        It is 3 / n for n independent configurations (rule of three), with n times `ess` in place of n. None if the
        value varied; its error then tells how accurate it is.
        """
        return unseen_probability(self.n * self.ess) if self.unvaried else None

    @property
    def deviation(self) -> Value | None:
        """`(value - exact) / error`; 0 where value and exact agree up to rounding, None without an exact value.

        The error of the exact value is added in quadrature if it has one.
        An error that is zero because nothing varied is replaced by the error that as many configurations should have
        had, from the exact variance; the deviation is None if that is not known. In an array, whose entries may each
        depend on few configurations, the larger of both errors counts where the exact variance is known.
        """
        if self.exact is None:
            return None
        gap, rounding = self.value - self.exact, ROUNDING * np.abs(self.exact)
        agree = np.abs(gap) <= 100 * rounding
        error, of_exact = self.error, self.exact_error or 0.0
        if self.unvaried and not agree:
            if not (self.exact_spread or of_exact):
                return None
            error = (self.exact_spread or 0.0) / math.sqrt(self.n * self.ess)
        if np.ndim(self.value) and self.exact_spread is not None:  # the error of rare entries may be far too small
            error = np.fmax(error, np.asarray(self.exact_spread) / math.sqrt(self.n * self.ess))
        return np.where(agree, 0.0, gap / np.maximum(np.hypot(error, of_exact), np.maximum(rounding, 1e-300)))[()]

    @property
    def contradicted(self) -> bool:
        """Whether nothing varied although, by the exact result, something should have."""
        return self.unvaried and abs(float(self.deviation or 0.0)) > MAX_DEVIATION

    def __str__(self) -> str:
        return self.bracketed + ("" if self.reliable or np.ndim(self.value) else f" ({NOT_TRUSTED})")

    @property
    def bracketed(self) -> str:
        """The value with its error in brackets, whether it is reliable or not; an array as a list of them."""
        numbers = [with_error(v, e) for v, e in zip(np.ravel(self.value), np.ravel(self.error), strict=True)]
        return f"[{', '.join(numbers)}]" if np.ndim(self.value) else numbers[0]

    def __repr__(self) -> str:
        parts = [str(self)]
        if self.exact is not None and not np.ndim(self.exact):
            parts += [f"exact {self.exact:.8g}", self.shown_deviation]
        elif self.unvaried:
            parts += [UNVARIED]
        return f"Estimate({', '.join([*parts, f'n = {self.n:,}'])})"

    @property
    def shown_deviation(self) -> str:
        """The deviation of a scalar as text; what is known instead where nothing varied; empty without an exact value.

        A value that came out the same in every configuration "differs" if the exact result excludes that.
        """
        deviation = self.deviation
        if self.contradicted:
            return "differs"
        if self.fixed:
            return "fixed"
        if self.unvaried and deviation != 0:
            return UNVARIED
        if deviation is None or np.ndim(deviation):
            return ""
        return "differs" if np.abs(deviation) >= 1000 else f"{deviation:+.1f} sigma"

    def to_dict(self) -> dict[str, Any]:
        """`value`, `error`, `exact` and the other attributes that are not None, as JSON values.

        Where nothing varied, `unvaried_in` is the number of independent configurations in which it did not.
        """
        fields = {
            "value": self.value,
            "error": self.error,
            "exact": self.exact,
            "exact_error": self.exact_error,
            "jackknife_error": self.jackknife_error,
            "thermal_error": self.thermal_error,
            "tau_int": self.tau_int,
            "unvaried_in": round(self.n * self.ess, 6) if self.unvaried else None,
            "fixed": True if self.fixed else None,
            "wanted": self.wanted,
            "reached": self.reached,
        }
        present = {
            key: value if isinstance(value, bool) else as_json(value)
            for key, value in fields.items()
            if value is not None
        }
        verdict = self.verdict
        if self.labels:
            present["labels"] = {name: as_json(values) for name, values in self.labels.items()}
        present |= {"verdict": str(verdict), "reasons": list(verdict.reasons)}
        return present if verdict.reliable else present | {"reliable": False}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], n: int, ess: float = 1.0) -> Self:
        """The estimate that `to_dict` described.

        Args:
            content: JSON values.
            n: number of configurations.
            ess: effective sample size as a fraction of n, if the content does not tell it.
        """
        tau, unvaried_in = content.get("tau_int"), content.get("unvaried_in")
        if unvaried_in is not None:
            ess = unvaried_in / n
        elif tau is not None:
            ess = min(1.0, 0.5 / tau)
        verdict = Verdict.from_dict(content)
        reasons = tuple(reason for reason in verdict.reasons if reason != ALONE)
        return cls(
            _number(content["value"]),
            _number(content["error"]),
            n=n,
            ess=ess,
            exact=None if content.get("exact") is None else _number(content["exact"]),
            exact_error=content.get("exact_error"),
            jackknife_error=content.get("jackknife_error"),
            thermal_error=None if content.get("thermal_error") is None else _number(content["thermal_error"]),
            tau_int=tau,
            objections=reasons or ("as an earlier version found",) if verdict == NOT_TRUSTED else (),
            doubts=reasons if verdict == UNCHECKED else (),
            evidence=reasons if verdict == TRUSTED else (),
            fixed=bool(content.get("fixed", False)),
            wanted=content.get("wanted"),
            reached=content.get("reached"),
            labels={name: np.array(each, float) for name, each in content["labels"].items()}
            if content.get("labels")
            else None,
        )


def still(value: Value, error: Value) -> NDArray[np.bool_]:
    """Whether values have not varied but for rounding errors; numbers below 1e-3 are compared with 1e-3."""
    return np.asarray(np.less_equal(error, ROUNDING * np.maximum(np.abs(value), 1e-3)))


def as_json(value: Any) -> Any:
    """A number or an array as a JSON value, with null for what is not finite."""
    if value is None:
        return None
    if np.ndim(value):
        return [as_json(v) for v in value]
    number = float(value)
    return number if math.isfinite(number) else None


def _number(value: Any) -> Value:
    """A number or an array from JSON, in which null stands for nan."""
    values = np.array(value, dtype=np.float64)
    return values if values.ndim else float(values)
