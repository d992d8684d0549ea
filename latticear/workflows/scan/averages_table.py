"""The averages of a scan over instances as a table of text, with both of their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from latticear.estimation.numbers import with_error
from latticear.tables import Table
from latticear.workflows.scan.table import N_INSTANCES

__all__ = ["averages_table"]

SHOWN = {
    "free_energy_per_site": "F/N",
    "energy_per_site": "E/N",
    "overlap_squared": "q^2",
    "overlap_binder_cumulant": "U_q",
    "glass_correlation_length": "xi_SG",
}
"""What is shown where it was measured, with its symbol."""

NOTE = "value(error), the error with the spread of the n instances; ± the thermal error, for these instances alone"


def averages_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each size and temperature: averages with the error over instances, and the thermal error.

    Args:
        rows: the rows of the table of a scan over instances, `ScanTable.rows`.
    """
    shown = {name: label for name, label in SHOWN.items() if any(name in row for row in rows)}
    lines = [
        (
            str(row["size"]),
            f"{row['temperature']:g}",
            f"{row[N_INSTANCES]:.0f}",
            *(_cell(row, name) for name in shown),
            f"{ess:.2f}" if _is_known(ess := row.get("ess")) else "",
        )
        for row in rows
    ]
    bad = [f"{row['size']} T = {row['temperature']:g}" for row in rows if not row["reliable"]]
    notes = [NOTE, *([f"not trusted, since single instances are not: {', '.join(bad)}"] if bad else [])]
    return Table("Averages over instances", ("size", "T", "n", *shown.values(), "ESS"), lines, notes)


def _cell(row: Mapping[str, Any], name: str) -> str:
    value, error, thermal = (row.get(name + ending) for ending in ("", "_error", "_thermal_error"))
    if value is None or error is None or not (_is_known(value) and _is_known(error)):
        return "none"
    return with_error(value, error) + (f" ± {thermal:.1g}" if _is_known(thermal) else "")


def _is_known(number: float | None) -> bool:
    return number is not None and math.isfinite(number)
