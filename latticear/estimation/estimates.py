"""Quantities with error bars by name, and whether they can be trusted."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from latticear.arguments import did_you_mean, needed_package
from latticear.estimation.numbers import unseen_probability, with_error
from latticear.estimation.quantity import MAX_DEVIATION, Estimate, as_json
from latticear.estimation.replicates import Replicates
from latticear.estimation.verdict import NOT_TRUSTED, TRUSTED, UNCHECKED, Verdict
from latticear.exact.result import ExactResult, spread_of
from latticear.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray

__all__ = [
    "DIAGNOSTICS",
    "JUDGED",
    "KEY",
    "MIN_EVENTS",
    "Estimates",
    "UnreliableEstimateWarning",
    "quiet",
    "with_error",
    "with_rarity",
]

MIN_EVENTS = 30
"""Smallest number of rare events on which a trusted error bar depends: if k of n configurations have an event whose
expected number is e, (k - e) / sqrt(k) lies below -3 in at most 3 of 1000 cases if k is at least 30, whatever e is."""
JUDGED = ("energy_per_site", "abs_magnetization")
"""Quantities whose errors decide about all others: if one of these errors cannot be trusted, all are unreliable."""
DIAGNOSTICS = ("ess", "pareto_k", "forward_ess")
"""Estimates that describe the sample rather than the system."""
KEY = ("log_z", *JUDGED)
"""Quantities that decide about the whole: if one of them is wrong, so may be all others."""


class UnreliableEstimateWarning(UserWarning):
    """The diagnostics of weights or chains show that error bars cannot be trusted."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context without warnings of estimates that are not trusted, for callers that show the reasons themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimateWarning)
        yield


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
        replicates: what the quantities would be without one block of the configurations, for `la.derived`; None for
            estimates that were read from a file.
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
        self.replicates: Replicates | None = None
        self.warnings: tuple[str, ...] = ()
        self.remarks = tuple(remarks)
        self.distrust(*reasons)

    def __missing__(self, name: str) -> Estimate:
        raise KeyError(f"there is no estimate {name!r}{did_you_mean(name, self) or f'; there are {list(self)}'}")

    @property
    def verdict(self) -> Verdict:
        """Whether to trust the estimates: "trusted", "unchecked" or "not trusted", with `reasons`.

        They are not trusted if `warnings` says why, or if ln Z, the energy or |m| is not trusted, since what is wrong
        there may be wrong everywhere; and trusted if those are, and no other quantity of the system is distrusted.
        Each quantity has its own verdict beside this one.
        """
        by_name = {name: estimate.verdict for name, estimate in self.items() if name not in DIAGNOSTICS}
        decisive = {name: verdict for name, verdict in by_name.items() if name in KEY} or by_name
        wrong = [f"{name}: {reason}" for name, v in decisive.items() if v == NOT_TRUSTED for reason in v.reasons]
        if self.warnings or wrong:
            return Verdict(NOT_TRUSTED, self.warnings or wrong)
        doubts = [_joined(names, word, reason) for (word, reason), names in _grouped(by_name, decisive).items()]
        evidence = [reason for verdict in decisive.values() if verdict == TRUSTED for reason in verdict.reasons]
        return Verdict.of(doubts=doubts, evidence=evidence)

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against the estimates as a whole; they may still be unchecked."""
        return self.verdict.reliable

    def check_collapse(self) -> None:
        """Add a warning if `forward_ess` is less than half the ESS of the model's own samples (0 if not computed)."""
        own, target = self.diagnostics.get("ess", 0.0), self["forward_ess"].value
        if target < own / 2:
            self.distrust(
                f"the model misses part of the distribution: ESS {own:.2g} on its own samples, {target:.2g} on "
                f"configurations of the target"
            )

    def distrust(self, *reasons: str) -> None:
        """Add reasons not to trust any of the error bars."""
        self.warnings = tuple(dict.fromkeys((*self.warnings, *reasons)))
        self.update({name: estimate.object_to(reasons) for name, estimate in self.items()})

    def doubt(self, *reasons: str) -> None:
        """Add reasons why evidence for any of the estimates does not count."""
        self.update({name: estimate.doubt(reasons) for name, estimate in self.items()})

    def warn(self) -> None:
        """Issue an `UnreliableEstimateWarning` if there is a reason for one."""
        if self.warnings:
            reasons = "; ".join(self.warnings)
            warnings.warn(f"these error bars cannot be trusted: {reasons}", UnreliableEstimateWarning, stacklevel=4)

    def compared_with(self, exact: ExactResult, n_sites: int) -> Self:
        """Put an exact result beside the estimates, and name its source if it has errors; returns the estimates.

        Raises:
            ValueError: for the result of another system or temperature, or one that is not exact.
        """
        values = exact.values_for(n_sites, self.temperature)
        self.update({k: replace(self[k], exact_error=exact.errors.get(k)) for k in self.keys() & values.keys()})
        if exact.errors:
            remark = f"exact values by {exact.source}: {'; '.join(exact.notes)}"
            self.remarks = tuple(dict.fromkeys((*self.remarks, remark)))
        return self.beside(values, n_sites)

    def beside(self, exact: Mapping[str, float], n_sites: int) -> Self:
        """Put exact values beside the estimates of the same names; returns the estimates.

        Args:
            exact: exact values by name; empty if there are none.
            n_sites: N.
        """
        for name in self.keys() & exact.keys():
            spread = spread_of(name, self[name].value, exact, n_sites, self.temperature)
            self[name] = replace(self[name], exact=exact[name], exact_spread=spread)
        off = {name: self[name].largest_deviation or 0.0 for name in KEY if name in exact and name in self}
        wrong = [name for name in off if off[name] > MAX_DEVIATION and not self[name].is_short_of_events]
        if wrong:
            size = ", ".join(f"{name} by {min(off[name], 1e6):.3g} errors" for name in wrong)
            self.distrust(f"the estimates differ from the exact values: {size}")
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
            "verdict": str(verdict := self.verdict),
            "reasons": list(verdict.reasons),
            "reliable": verdict.reliable,
            "warnings": list(self.warnings),
            "diagnostics": {key: as_json(value) for key, value in self.diagnostics.items()},
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

        The columns are value, error, exact, deviation, verdict, reliable, n, ess and tau_int; nan stands for what is
        not known.

        Raises:
            ImportError: if pandas is not installed; says how to install it.
        """
        pandas = needed_package("pandas", "to_dataframe")
        rows = {}
        for name, estimate in self.items():
            verdict = estimate.verdict
            shared: dict[str, Any] = {"verdict": str(verdict), "reliable": verdict.reliable}
            shared |= {"n": estimate.n, "ess": estimate.ess}
            shared["tau_int"] = math.nan if estimate.tau_int is None else estimate.tau_int
            columns = [estimate.value, estimate.error, estimate.exact, estimate.deviation]
            shape = np.shape(estimate.value)
            full = [np.broadcast_to(math.nan if column is None else column, shape) for column in columns]
            for place in np.ndindex(shape):
                label = name + (f"[{', '.join(map(str, place))}]" if place else "")
                numbers = (float(column[place]) for column in full)
                rows[label] = dict(zip(("value", "error", "exact", "deviation"), numbers, strict=True)) | shared
        return pandas.DataFrame.from_dict(rows, orient="index")

    def to_xarray(self) -> xarray.Dataset:
        """An xarray data set: NAME, NAME_error and NAME_exact for each quantity, nan where nothing is known.

        Arrays have the dimension `NAME_dim_0`; what their entries stand for, such as wave numbers, are coordinates
        `NAME_LABEL` along it. The temperature is a coordinate without a dimension, so that
        `xarray.concat(datasets, "temperature")` joins estimates at several temperatures. `reliable` and `verdict` of
        each quantity are attributes of its variable.

        Raises:
            ImportError: if xarray is not installed; says how to install it.
        """
        xarray = needed_package("xarray", "to_xarray")
        variables: dict[str, Any] = {}
        coordinates: dict[str, Any] = {"temperature": self.temperature}
        for name, estimate in self.items():
            shape, verdict = np.shape(estimate.value), estimate.verdict
            dims = tuple(f"{name}_dim_{k}" for k in range(len(shape)))
            about = {"verdict": str(verdict), "reliable": int(verdict.reliable), "n": estimate.n}
            for ending, number in (("", estimate.value), ("_error", estimate.error), ("_exact", estimate.exact)):
                full = np.broadcast_to(math.nan if number is None else number, shape).astype(float)
                variables[name + ending] = (dims, full, {} if ending else about)
            for label, numbers in (estimate.labels or {}).items():
                coordinates[f"{name}_{label}"] = (dims, numbers)
        about = {"n": self.n, "verdict": str(self.verdict), "method": self.method or ""}
        return xarray.Dataset(variables, coordinates, about)

    def table(self) -> Table:
        """The scalars as a table of text: value with error, exact value, deviation, and verdict."""
        rows, arrays = [], []
        for name, estimate in self.items():
            if np.ndim(estimate.value):
                arrays.append(f"{name} ({' x '.join(map(str, np.shape(estimate.value)))} values)")
                continue
            value = f"{estimate.value:.2f}" if name == "pareto_k" else estimate.bracketed
            exact = "" if estimate.exact is None else f"{estimate.exact:.8g}"
            shown = "" if name in DIAGNOSTICS else estimate.shown_deviation
            rows.append((name, value, exact, shown, str(estimate.verdict)))
        notes = [*([f"also: {', '.join(arrays)}"] if arrays else []), *self.unvaried_notes, *self.remarks]
        title = f"T = {self.temperature:g}, n = {self.n}"
        notes += self.verdict_notes
        return Table(title, ("quantity", "value", "exact", "deviation", "verdict"), rows, notes, self.warnings)

    @property
    def verdict_notes(self) -> list[str]:
        """What the verdict is on, and what single quantities lack, a line for each reason; empty with `warnings`."""
        verdict = self.verdict
        if self.warnings:
            return []
        if verdict == TRUSTED:
            notes = [f"{verdict}, in agreement with {' and '.join(verdict.reasons)}"]
        else:
            notes = [f"{verdict}: {reason}" for reason in verdict.reasons]
        return [*notes, *self._unchecked_notes]

    @property
    def _unchecked_notes(self) -> list[str]:
        """Sentences about quantities that are unchecked for reasons that are not those of the whole."""
        by_name = {name: estimate.verdict for name, estimate in self.items() if name not in DIAGNOSTICS}
        said = {reason for name, verdict in by_name.items() if name in KEY for reason in verdict.reasons}
        groups: dict[str, list[str]] = {}
        for name, verdict in by_name.items():
            if verdict == UNCHECKED and not said.intersection(verdict.reasons):
                groups.setdefault("; ".join(verdict.reasons), []).append(name)
        return [f"{UNCHECKED}: {', '.join(names)}: {reasons}" for reasons, names in groups.items()]

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
            mark = "" if estimate.reliable else f" ({NOT_TRUSTED})"
            value = f"{estimate.value:.2f}{mark}" if name == "pareto_k" else str(estimate)
            lines.append(f"{name:26s} {value}{beside}{off}")
        return "\n".join(
            [
                *(*lines, *self.unvaried_notes, *self.remarks, *self.verdict_notes),
                *(f"WARNING: {reason}" for reason in self.warnings),
            ]
        )

    def __repr__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()


def with_rarity(estimate: Estimate, events: float) -> Estimate:
    """An estimate with a doubt if its error depends on few rare events."""
    if events >= MIN_EVENTS:
        return estimate
    needed = estimate.n * MIN_EVENTS / max(1.0, events)
    return estimate.doubt(
        [f"the error depends on few rare events, about {events:.2g}: use {_rounded_up(needed)} configurations"]
    )


def _rounded_up(number: float) -> str:
    """A number rounded up to one digit."""
    size = 10.0 ** math.floor(math.log10(number))
    return f"{math.ceil(number / size) * size:,.0f}"


def _grouped(by_name: Mapping[str, Verdict], decisive: Mapping[str, Verdict]) -> dict[tuple[str, str], list[str]]:
    """The names of the quantities that keep the whole from being trusted, by word and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, verdict in by_name.items():
        if verdict == NOT_TRUSTED or (verdict == UNCHECKED and name in decisive):
            for reason in verdict.reasons:
                groups.setdefault((str(verdict), reason), []).append(name)
    return groups


def _joined(names: Iterable[str], word: str, reason: str) -> str:
    return f"{', '.join(names)}: {f'{word}, ' if word == NOT_TRUSTED else ''}{reason}"
