"""Values with error bars, and whether they can be trusted."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from latticear.arguments import did_you_mean, needed_package
from latticear.estimation.numbers import ROUNDING, unseen_probability, with_error
from latticear.exact.result import spread_of
from latticear.tables import Table

if TYPE_CHECKING:
    import pandas as pd

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
DIAGNOSTICS = ("ess", "pareto_k", "forward_ess")
"""Estimates that describe the sample rather than the system."""
MAX_DEVIATION = 4.0
"""Where nothing varied: deviation from the exact value, in its standard errors, from which the two are called
different."""


UNVARIED = "no variation"
"""In place of a deviation where nothing varied."""


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
        exact_spread: exact standard deviation of this quantity in one configuration; None where it is not known. It
            takes the place of an error that is zero because nothing varied.
    """

    value: Value
    error: Value
    n: int
    ess: float
    exact: Value | None = None
    jackknife_error: Value | None = None
    tau_int: float | None = None
    reliable: bool = True
    exact_spread: float | None = None

    @property
    def unvaried(self) -> bool:
        """Whether the value, a scalar, was the same up to rounding in every configuration, so that the error is zero.

        This is no proof that the value is exact: see `unseen_probability`.
        """
        return np.ndim(self.value) == 0 and bool(np.less_equal(self.error, ROUNDING * np.abs(self.value)))

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

        An error that is zero because nothing varied is replaced by the error that as many configurations should have
        had, from the exact variance; the deviation is None if that is not known.
        """
        if self.exact is None:
            return None
        gap, rounding = self.value - self.exact, ROUNDING * np.abs(self.exact)
        agree = np.abs(gap) <= 100 * rounding
        if self.unvaried and not agree:
            return None if not self.exact_spread else float(gap * math.sqrt(self.n * self.ess) / self.exact_spread)
        return np.where(agree, 0.0, gap / np.maximum(self.error, np.maximum(rounding, 1e-300)))[()]

    @property
    def contradicted(self) -> bool:
        """Whether nothing varied although, by the exact result, something should have."""
        return self.unvaried and abs(float(self.deviation or 0.0)) > MAX_DEVIATION

    def __str__(self) -> str:
        return self.bracketed + ("" if self.reliable or np.ndim(self.value) else " (unreliable)")

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
            "jackknife_error": self.jackknife_error,
            "tau_int": self.tau_int,
            "unvaried_in": round(self.n * self.ess, 6) if self.unvaried else None,
        }
        present = {key: _json(value) for key, value in fields.items() if value is not None}
        return present if self.reliable else present | {"reliable": False}

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
        return cls(
            _number(content["value"]),
            _number(content["error"]),
            n=n,
            ess=ess,
            exact=None if content.get("exact") is None else _number(content["exact"]),
            jackknife_error=content.get("jackknife_error"),
            tau_int=tau,
            reliable=content.get("reliable", True),
        )


class Estimates(dict[str, Estimate]):
    """Estimates by name, with diagnostics of their reliability.

    Attributes:
        temperature: temperature T of the target.
        n: number of configurations used.
        diagnostics: scalars by name, from which the warnings were derived.
        warnings: reasons not to trust any of the error bars; usually empty. A single estimate may be unreliable even
            if there are no such reasons.
        method: method by which a model gave the estimates, "is", "smc" or "mcmc"; None if no model was used.
        remarks: what else there is to say of them, one line each.
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
        remarks: Iterable[str] = (),
    ) -> None:
        super().__init__(values)
        self.temperature, self.n = temperature, n
        self.diagnostics, self.method = diagnostics, method
        self.warnings = tuple(reasons)
        self.remarks = tuple(remarks)

    def __missing__(self, name: str) -> Estimate:
        raise KeyError(f"there is no estimate {name!r}{did_you_mean(name, self) or f'; there are {list(self)}'}")

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

    def beside(self, exact: Mapping[str, float], n_sites: int) -> Self:
        """Put exact values beside the estimates of the same names; returns the estimates.

        Args:
            exact: exact values by name; empty if there are none.
            n_sites: N.
        """
        for name in self.keys() & exact.keys():
            spread = spread_of(name, self[name].value, exact, n_sites, self.temperature)
            self[name] = replace(self[name], exact=exact[name], exact_spread=spread)
        return self

    def to_dict(self) -> dict[str, Any]:
        """The contents of estimates.json."""
        entries = {name: estimate.to_dict() for name, estimate in self.items()}
        for name in DIAGNOSTICS:
            entries.get(name, {}).pop("unvaried_in", None)
        return {
            **entries,
            **({} if self.method is None else {"method": self.method}),
            "temperature": self.temperature,
            "n": self.n,
            "reliable": self.reliable,
            "warnings": list(self.warnings),
            "diagnostics": {key: _json(value) for key, value in self.diagnostics.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], n_sites: int) -> Self:
        """The estimates that `to_dict` described.

        Args:
            content: the contents of estimates.json.
            n_sites: N, from which follows what the exact values say of a quantity that has not varied.
        """
        n = content["n"]
        entries = {name: entry for name, entry in content.items() if isinstance(entry, dict) and "value" in entry}
        ess = entries.get("ess", {}).get("value") or 1.0
        estimates = cls(
            {name: Estimate.from_dict(entry, n, ess) for name, entry in entries.items()},
            temperature=content["temperature"],
            n=n,
            diagnostics=dict(content.get("diagnostics", {})),
            reasons=content.get("warnings", ()),
            method=content.get("method"),
        )
        known = {name: estimate.exact for name, estimate in estimates.items() if isinstance(estimate.exact, float)}
        return estimates.beside(known, n_sites)

    def to_dataframe(self) -> pd.DataFrame:
        """A pandas table with one row for each number: those of an array have the index `name[k]`.

        The columns are value, error, exact, deviation, reliable, n, ess and tau_int; nan stands for what is not known.

        Raises:
            ImportError: if pandas is not installed; says how to install it.
        """
        pandas = needed_package("pandas", "to_dataframe")
        rows = {}
        for name, estimate in self.items():
            shared: dict[str, Any] = {"reliable": estimate.reliable, "n": estimate.n, "ess": estimate.ess}
            shared["tau_int"] = math.nan if estimate.tau_int is None else estimate.tau_int
            columns = [estimate.value, estimate.error, estimate.exact, estimate.deviation]
            shape = np.shape(estimate.value)
            full = [np.broadcast_to(math.nan if column is None else column, shape) for column in columns]
            for place in np.ndindex(shape):
                label = name + (f"[{', '.join(map(str, place))}]" if place else "")
                numbers = (float(column[place]) for column in full)
                rows[label] = dict(zip(("value", "error", "exact", "deviation"), numbers, strict=True)) | shared
        return pandas.DataFrame.from_dict(rows, orient="index")

    def table(self) -> Table:
        """The scalars as a table of text: value with error, exact value, deviation, and whether to trust them."""
        rows, arrays = [], []
        for name, estimate in self.items():
            if np.ndim(estimate.value):
                arrays.append(f"{name} ({' x '.join(map(str, np.shape(estimate.value)))} values)")
                continue
            value = f"{estimate.value:.2f}" if name == "pareto_k" else estimate.bracketed
            exact = "" if estimate.exact is None else f"{estimate.exact:.8g}"
            shown = "" if name in DIAGNOSTICS else estimate.shown_deviation
            trusted = "yes" if estimate.reliable and not estimate.contradicted else "no"
            rows.append((name, value, exact, shown, trusted))
        notes = [*([f"also: {', '.join(arrays)}"] if arrays else []), *self.unvaried_notes, *self.remarks]
        title = f"T = {self.temperature:g}, n = {self.n}"
        return Table(title, ("quantity", "value", "exact", "deviation", "trusted"), rows, notes, self.warnings)

    @property
    def unvaried_notes(self) -> list[str]:
        """Sentences about quantities that came out the same in every configuration."""
        groups: dict[tuple[int, float], list[str]] = {}
        for name, estimate in self.items():
            if estimate.unvaried and name not in DIAGNOSTICS:
                groups.setdefault((estimate.n, estimate.n * estimate.ess), []).append(name)
        notes = []
        for (n, independent), names in groups.items():
            about = f" ({independent:,.0f} independent ones)" if independent < 0.99 * n else ""
            notes.append(
                f"no variation in {n:,} configurations{about} of {', '.join(names)}: whatever would change it has a "
                f"probability below {unseen_probability(independent):.1g}, with 95 % confidence"
            )
        return notes

    def __str__(self) -> str:
        lines = []
        for name, estimate in self.items():
            exact, shown = estimate.exact, estimate.shown_deviation
            beside = f"  exact {exact:.8g}" if isinstance(exact, float) else ""
            off = f"  {shown}" if shown and name not in DIAGNOSTICS else ""
            mark = "" if estimate.reliable else " (unreliable)"
            value = f"{estimate.value:.2f}{mark}" if name == "pareto_k" else str(estimate)
            lines.append(f"{name:26s} {value}{beside}{off}")
        return "\n".join(
            [*lines, *self.unvaried_notes, *self.remarks, *(f"WARNING: {reason}" for reason in self.warnings)]
        )

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


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


def _json(value: Any) -> Any:
    if value is None:
        return None
    if np.ndim(value):
        return [_json(v) for v in value]
    number = float(value)
    return number if math.isfinite(number) else None


def _number(value: Any) -> Value:
    """A number or an array from JSON, in which null stands for nan."""
    values = np.array(value, dtype=np.float64)
    return values if values.ndim else float(values)
