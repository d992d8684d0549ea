"""The averages of a scan over instances as a table of text, with both of their errors."""

from __future__ import annotations

import math

from latticear.estimation.numbers import with_error
from latticear.tables import Table
from latticear.workflows.scan.table import N_INSTANCES, ScanTable, label_of

__all__ = ["averages_table"]

SHOWN = {
    "free_energy_per_site": "F/N",
    "energy_per_site": "E/N",
    "overlap_squared": "q^2",
    "overlap_binder_cumulant": "U_q",
    "glass_correlation_length": "xi_SG",
}
"""What is shown where it was measured, with its symbol."""


def averages_table(table: ScanTable) -> Table:
    """A row for each size and temperature: averages with the error over instances, and the thermal error.

    Args:
        table: the table of a scan over instances.
    """
    names = [name for name in SHOWN if name in table.columns]
    rows = [
        (
            label_of(shape),
            f"{t:g}",
            f"{table.columns[N_INSTANCES][i, k]:.0f}",
            *(_cell(table, name, i, k) for name in names),
            "" if math.isnan(ess := float(table.columns["ess"][i, k])) else f"{ess:.2f}",
        )
        for i, shape in enumerate(table.shapes)
        for k, t in enumerate(table.temperatures)
    ]
    notes = [
        "value(error), the error with the spread of the n instances; ± the thermal error, for these instances alone"
    ]
    bad = [f"{label_of(s)} T = {t:g}" for s, t in _untrusted(table)]
    warnings = [f"not trusted, since single instances are not: {', '.join(bad)}"] if bad else []
    headings = ("size", "T", "n", *(SHOWN[name] for name in names), "ESS")
    return Table("Averages over instances", headings, rows, [*notes, *warnings])


def _cell(table: ScanTable, name: str, i: int, k: int) -> str:
    value, error = (float(table.columns[column][i, k]) for column in (name, f"{name}_error"))
    if math.isnan(value) or math.isnan(error):
        return "none"
    thermal = table.columns.get(f"{name}_thermal_error")
    beside = math.nan if thermal is None else float(thermal[i, k])
    return with_error(value, error) + ("" if math.isnan(beside) else f" ± {beside:.1g}")


def _untrusted(table: ScanTable) -> list[tuple[tuple[int, int], float]]:
    reliable = table.columns["reliable"]
    return [
        (shape, t)
        for i, shape in enumerate(table.shapes)
        for k, t in enumerate(table.temperatures)
        if not reliable[i, k]
    ]
