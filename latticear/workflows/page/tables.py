"""Tables of estimates beside exact values, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from latticear.estimation.estimates import with_error
from latticear.estimation.verdict import NOT_TRUSTED, TRUSTED
from latticear.exact.result import QUANTITIES
from latticear.workflows.page.diagnostics import deviation_of, diagnostics_of, overall
from latticear.workflows.page.html import Column, pill, table
from latticear.workflows.words import verdict_of

__all__ = ["diagnostics_table", "estimates_table", "points_table"]

Tree = Mapping[str, Any]

MEANINGS = {
    "free_energy_per_site": "F/N = -T ln Z / N",
    "energy_per_site": "average energy / N",
    "entropy_per_site": "(U - F) / (N T), in units of k_B",
    "heat_capacity_per_site": "variance of the energy / (N T²)",
    "abs_magnetization": "average of |m|, m = M/N",
    "magnetization_squared": "average of m²",
    "susceptibility": "N (⟨m²⟩ - ⟨|m|⟩²) / T",
    "binder_cumulant": "1 - ⟨m⁴⟩ / (3 ⟨m²⟩²)",
    "log_z": "ln Z, of the whole lattice",
    "nll_per_site": "negative log-likelihood / N, in nats",
    "bits_per_site": "the same in bits",
    "nll_per_component": "negative log-likelihood / (C N), in nats",
    "bits_per_component": "the same in bits",
}
"""What each quantity is; energies and temperatures are in the unit of the couplings."""

POINT = ("free_energy_per_site", "energy_per_site", "heat_capacity_per_site", "abs_magnetization", "susceptibility")
"""Quantities of the table of several temperatures."""

SHORT = {
    "free_energy_per_site": "F/N",
    "energy_per_site": "U/N",
    "heat_capacity_per_site": "C/N",
    "abs_magnetization": "⟨|m|⟩",
    "susceptibility": "χ",
}
"""Their symbols."""


def estimates_table(estimates: Tree) -> str:
    """A row for each quantity: its value with an error bar, the exact value, and the deviation in error bars."""
    names = [name for name in (*QUANTITIES, *MEANINGS) if isinstance(estimates.get(name), Mapping)]
    columns = [
        Column("quantity", "name"),
        *(Column(heading, "number") for heading in ("estimate", "exact", "deviation")),
        Column("what it is", "name"),
    ]
    rows = [_row(name, estimates[name]) for name in dict.fromkeys(names)]
    if all(not row[2] for row in rows):  # nothing is known exactly
        columns, rows = [*columns[:2], columns[4]], [[*row[:2], row[4]] for row in rows]
    return table(columns, rows)


def _row(name: str, entry: Tree) -> list[str]:
    return [escape(name), _value(entry), _exact(entry), _deviation(entry), escape(MEANINGS[name])]


def _value(entry: Tree) -> str:
    verdict = verdict_of(entry)
    judged = "verdict" in entry or not verdict.reliable
    mark = "" if verdict == TRUSTED or not judged else " " + pill("bad" if verdict == NOT_TRUSTED else "warn", verdict)
    return escape(with_error(entry["value"], entry["error"])) + mark


def _exact(entry: Tree) -> str:
    return "" if entry.get("exact") is None else f"{entry['exact']:.8g}"


def _deviation(entry: Tree) -> str:
    deviation = deviation_of(entry)
    if deviation is None:
        return ""
    return escape("differs" if abs(deviation) >= 1000 else f"{deviation:+.1f} sigma")


def points_table(points: Iterable[tuple[Sequence[str], Tree]], headings: Sequence[str]) -> str:
    """A row for each of several settings: a verdict, some quantities, the deviation of F, and the ESS.

    Args:
        points: for each setting, plain texts that say which it is, and its estimates.
        headings: headings of those texts.
    """
    columns = [Column(heading, "number") for heading in headings]
    columns += [Column("error bars"), Column(SHORT["free_energy_per_site"], "number"), Column("exact F/N", "number")]
    columns += [Column("deviation", "number"), *(Column(SHORT[name], "number") for name in POINT[1:])]
    columns += [Column("ESS", "number")]
    return table(columns, [[*map(escape, place), *_point(estimates)] for place, estimates in points])


def _point(estimates: Tree) -> list[str]:
    free = estimates[POINT[0]]
    cells = [_plain(free), _exact(free), _deviation(free), *(_plain(estimates[name]) for name in POINT[1:])]
    ess = estimates["ess"]["value"] if "ess" in estimates else estimates.get("diagnostics", {}).get("ess")
    return [pill(*overall(estimates)), *cells, "" if ess is None else f"{ess:.3f}"]


def _plain(entry: Tree) -> str:
    return escape(with_error(entry["value"], entry["error"]))


def diagnostics_table(estimates: Tree) -> str:
    """A row for each diagnostic: its value, the verdict, and what it means."""
    columns = [Column("diagnostic", "name"), Column("value", "name"), Column("verdict"), Column("meaning", "meaning")]
    rows = [[escape(d.name), escape(d.value), pill(d.verdict), escape(d.meaning)] for d in diagnostics_of(estimates)]
    return table(columns, rows, "scroll stack")
