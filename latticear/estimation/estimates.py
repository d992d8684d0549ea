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
"""Rare ones, behind an error bar: of values with fewer than three one in five is off by more than three errors, of
those with ten or more one in two hundred."""
JUDGED = ("energy_per_site", "abs_magnetization")
"""Where the errors of these cannot be trusted none is."""


class UnreliableEstimateWarning(UserWarning):
    """The weights, or the autocorrelation, say that error bars cannot be trusted."""


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar; scalars, or arrays of one shape.

    Attributes:
        value: the estimate.
        error: one standard deviation, by the delta method; it assumes that the weights have a variance.
        n: configurations that went in.
        ess: effective fraction of them, in [1/n, 1].
        exact: what it should be, where that is known.
        jackknife_error: the same error by a jackknife over blocks; None where it is not computed.
        tau_int: integrated autocorrelation time (1/2 for independent data) in steps of a chain; None without chains.
        reliable: False where the diagnostics say that the error bar cannot be trusted, of all quantities or of this one
            alone: fewer than ten events that are rare (`rare_events`) have made it.
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
        """`(value - exact) / error`; 0 where the value is right to rounding, None where nothing exact is known.

        An error smaller than rounding, 1e-13 of the value, counts as rounding.
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
        """`{"value", "error", "exact"}` and what else is known, as JSON values."""
        fields = {
            "value": self.value,
            "error": self.error,
            "exact": self.exact,
            "jackknife_error": self.jackknife_error,
            "tau_int": self.tau_int,
        }
        known = {key: _json(value) for key, value in fields.items() if value is not None}
        return known if self.reliable else known | {"reliable": False}


class Estimates(dict[str, Estimate]):
    """Estimates by name, with what the diagnostics say about all of them.

    Attributes:
        temperature: T of the target.
        n: configurations that went in.
        diagnostics: scalars by name: what the warnings were derived from.
        warnings: reasons not to trust the error bars; empty when there are none. Single estimates may be unreliable
            beside them.
        method: "is", "smc" or "mcmc": how they were made from a model; None for those without one.
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
        return not self.warnings

    def check_collapse(self) -> None:
        """Compare the ESS on the model's own samples, where known, with the `forward_ess`; say so if they disagree."""
        own, target = self.diagnostics.get("ess", 0.0), self["forward_ess"].value
        if target < own / 2:
            self.distrust(
                f"the model misses part of the distribution: ESS {own:.2g} on its own samples, {target:.2g} on "
                f"those of the target"
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
    """A reason for distrust where too few rare events make the error of energy or |m|, given how many make each."""
    few = {name: events[name] for name in JUDGED if events.get(name, MIN_EVENTS) < MIN_EVENTS}
    if not few:
        return []
    fewest = min(few.values())
    return [f"the error of {' and '.join(few)} rests on few rare events, about {fewest:.2g}: more configurations"]


def with_error(value: float, error: float) -> str:
    """A number with its error in brackets, in units of the last digit shown.

    One digit of the error, two if it begins with 1.

    Example:
        >>> with_error(-2.116364, 0.000041), with_error(12.3456, 1.23), with_error(1234.5, 40.0)
        ('-2.11636(4)', '12.3(1.2)', '1230(40)')
    """
    if not (math.isfinite(value) and math.isfinite(error)):
        return f"{value:.6g}({error:.2g})"
    if error <= 1e-13 * abs(value):
        return f"{value:.10g}(0)"
    leading, exponent = f"{error:.0e}".split("e")  # rounded: 0.0096 counts as 0.01
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
