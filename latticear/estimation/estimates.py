"""Values with error bars, and whether they can be trusted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "JUDGED",
    "MIN_EVENTS",
    "Estimate",
    "Estimates",
    "UnreliableEstimateWarning",
    "Value",
    "rarity_reasons",
    "with_error",
]

Value = float | NDArray[np.float64]

MIN_EVENTS = 10
"""Smallest number of rare events on which a reliable error bar depends: of values with fewer than three such events
one in five deviates by more than three errors, of values with ten or more one in two hundred."""
JUDGED = ("energy_per_site", "abs_magnetization")
"""Quantities whose errors decide about all others: if one of these errors cannot be trusted, all are unreliable."""


class UnreliableEstimateWarning(UserWarning):
    """The diagnostics of weights or chains show that error bars cannot be trusted."""


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar; value and error are scalars, or arrays of one shape.

    Attributes:
        value: the estimate.
        error: one standard deviation, by the delta method, which assumes that the weights have a finite variance.
        n: number of configurations used.
        ess: effective sample size as a fraction of n, in [1/n, 1].
        exact: the exact value; None where it is not known.
        jackknife_error: one standard deviation by a jackknife over blocks; None where it is not computed.
        tau_int: integrated autocorrelation time (1/2 for independent data) in steps of a chain; None without chains.
        reliable: False if the error bar cannot be trusted, because the diagnostics reject all error bars or because
            this one depends on fewer than ten rare events (`rare_events`).
    """

    value: Value
    error: Value
    n: int
    ess: float
    exact: Value | None = None
    jackknife_error: Value | None = None
    tau_int: float | None = None
    reliable: bool = True

    @property
    def deviation(self) -> Value | None:
        """`(value - exact) / error`; 0 where value and exact agree up to rounding, None without an exact value.

        An error below the rounding error, 1e-13 of the exact value, is replaced by the rounding error.
        """
        if self.exact is None:
            return None
        gap, rounding = self.value - self.exact, 1e-13 * np.abs(self.exact)
        return np.where(np.abs(gap) <= 100 * rounding, 0.0, gap / np.maximum(self.error, np.maximum(rounding, 1e-300)))[
            ()
        ]

    def __str__(self) -> str:
        if np.ndim(self.value):
            pairs = zip(np.ravel(self.value), np.ravel(self.error), strict=True)
            return "[" + ", ".join(with_error(v, e) for v, e in pairs) + "]"
        mark = "" if self.reliable else " (unreliable)"
        return with_error(float(self.value), float(self.error)) + mark

    def to_dict(self) -> dict[str, Any]:
        """`value`, `error`, `exact` and the other attributes that are not None, as JSON values."""
        fields = {
            "value": self.value,
            "error": self.error,
            "exact": self.exact,
            "jackknife_error": self.jackknife_error,
            "tau_int": self.tau_int,
        }
        present = {key: _json(value) for key, value in fields.items() if value is not None}
        return present if self.reliable else present | {"reliable": False}


class Estimates(dict[str, Estimate]):
    """Estimates by name, with diagnostics of their reliability.

    Attributes:
        temperature: temperature T of the target.
        n: number of configurations used.
        diagnostics: scalars by name, from which the warnings were derived.
        warnings: reasons not to trust any of the error bars; usually empty. A single estimate may be unreliable even
            if there are no such reasons.
        method: method by which a model gave the estimates, "is", "smc" or "mcmc"; None if no model was used.
    """

    def __init__(
        self,
        values: dict[str, Estimate],
        *,
        temperature: float,
        n: int,
        diagnostics: dict[str, float],
        reasons: Iterable[str] = (),
        method: str | None = None,
    ) -> None:
        super().__init__(values)
        self.temperature, self.n = temperature, n
        self.diagnostics, self.method = diagnostics, method
        self.warnings = tuple(reasons)

    @property
    def reliable(self) -> bool:
        """Whether there is no reason to distrust all error bars."""
        return not self.warnings

    def check_collapse(self) -> None:
        """Add a warning if `forward_ess` is less than half the ESS of the model's own samples (0 if not computed)."""
        own, target = self.diagnostics.get("ess", 0.0), self["forward_ess"].value
        if target < own / 2:
            self.distrust(
                f"the model misses part of the distribution: ESS {own:.2g} on its own samples, {target:.2g} on "
                f"configurations of the target"
            )

    def distrust(self, reason: str) -> None:
        """Add a reason not to trust any of the error bars."""
        self.warnings += (reason,)
        self.update({name: replace(estimate, reliable=False) for name, estimate in self.items()})

    def warn(self) -> None:
        """Issue an `UnreliableEstimateWarning` if there is a reason for one."""
        if self.warnings:
            reasons = "; ".join(self.warnings)
            warnings.warn(f"these error bars cannot be trusted: {reasons}", UnreliableEstimateWarning, stacklevel=4)

    def to_dict(self) -> dict[str, Any]:
        """The contents of estimates.json."""
        return {
            **{name: estimate.to_dict() for name, estimate in self.items()},
            **({} if self.method is None else {"method": self.method}),
            "temperature": self.temperature,
            "n": self.n,
            "reliable": self.reliable,
            "warnings": list(self.warnings),
            "diagnostics": {key: _json(value) for key, value in self.diagnostics.items()},
        }

    def __str__(self) -> str:
        lines = []
        for name, estimate in self.items():
            exact, sigma = estimate.exact, estimate.deviation
            beside = f"  exact {exact:.8g}" if isinstance(exact, float) else ""
            off = f"  {sigma:+.1f} sigma" if isinstance(sigma, float) else ""
            lines.append(f"{name:26s} {estimate}{beside}{off}")
        return "\n".join([*lines, *(f"WARNING: {reason}" for reason in self.warnings)])


def rarity_reasons(events: Mapping[str, float]) -> list[str]:
    """A reason for distrust if the error of the energy or of |m| depends on too few rare events.

    Args:
        events: number of rare events on which the error of each quantity depends, by the name of the quantity.
    """
    few = {name: events[name] for name in JUDGED if events.get(name, MIN_EVENTS) < MIN_EVENTS}
    if not few:
        return []
    fewest = min(few.values())
    return [f"the error of {' and '.join(few)} depends on few rare events, about {fewest:.2g}: use more configurations"]


def with_error(value: float, error: float) -> str:
    """A number with its error in brackets, in units of the last digit shown.

    The error has one digit, or two if its first digit is 1.

    Example:
        >>> with_error(-2.116364, 0.000041), with_error(12.3456, 1.23), with_error(1234.5, 40.0)
        ('-2.11636(4)', '12.3(1.2)', '1230(40)')
    """
    if not (math.isfinite(value) and math.isfinite(error)):
        return f"{value:.6g}({error:.2g})"
    if error <= 1e-13 * abs(value):
        return f"{value:.10g}(0)"
    leading, exponent = f"{error:.0e}".split("e")  # the leading digit after rounding: 0.0096 becomes 0.01
    decimals = (1 if leading == "1" else 0) - int(exponent)
    if decimals <= 0:
        return f"{round(value, decimals):.0f}({round(error, decimals):.0f})"
    if round(error, decimals) >= 1:
        return f"{value:.{decimals}f}({error:.{decimals}f})"
    return f"{value:.{decimals}f}({round(error * 10**decimals)})"


def _json(value: Any) -> Any:
    if value is None:
        return None
    if np.ndim(value):
        return [_json(v) for v in value]
    number = float(value)
    return number if math.isfinite(number) else None
