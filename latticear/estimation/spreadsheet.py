"""Estimates as rows of text: a CSV file for a spreadsheet, or for any other program.

temperature   T, in units of the coupling; empty for a likelihood, which has none
quantity      the name, as in estimates.json
index         of a quantity with several values, from 0 (`2`, or `2 0` where there are two); else empty
value, error  the estimate and its error bar, one standard deviation
exact         the exact value; empty if there is none
deviation     (value - exact) / error; empty if it is not known
verdict       trusted, unchecked or not trusted
n             number of configurations
labels        what the entry stands for, such as `ky=0 kx=0.785398`; only where there is such a quantity
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latticear.estimation.estimates import Estimates
from latticear.estimation.quantity import Estimate

__all__ = ["COLUMNS", "check_new", "csv_of", "csv_of_likelihood"]

COLUMNS = ("temperature", "quantity", "index", "value", "error", "exact", "deviation", "verdict", "n")


def csv_of(results: Iterable[Estimates]) -> bytes:
    """The rows of estimates at one or several temperatures, with a header.

    Example:
        >>> found = Estimates({"m": Estimate(0.5, 0.1, n=9, ess=1.0)}, temperature=2.0, n=9, diagnostics={})
        >>> print(csv_of([found]).decode().strip())
        temperature,quantity,index,value,error,exact,deviation,verdict,n
        2.0,m,,0.5,0.1,,,unchecked,9
    """
    return _written(row for result in results for name in result for row in _rows(name, result[name], result))


def csv_of_likelihood(content: Mapping[str, Any]) -> bytes:
    """The rows of a likelihood, as `likelihood_run` gives it."""
    return _written(
        {"quantity": name, "value": entry["value"], "error": entry["error"], "n": content["n"]}
        for name, entry in content.items()
        if isinstance(entry, dict) and "value" in entry
    )


def check_new(path: Path) -> None:
    """Check that a file can be written, before any work is done.

    Raises:
        FileExistsError: if it exists.
        FileNotFoundError: if its folder does not.
    """
    if path.exists():
        raise FileExistsError(f"{path} already exists; name another file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be made: there is no folder {path.parent}")


def _rows(name: str, estimate: Estimate, result: Estimates) -> Iterator[dict[str, Any]]:
    shape = np.shape(estimate.value)
    numbers = {key: getattr(estimate, key) for key in ("value", "error", "exact", "deviation")}
    full = {key: np.broadcast_to(math.nan if each is None else each, shape) for key, each in numbers.items()}
    about = {"temperature": result.temperature, "quantity": name}
    for place in np.ndindex(shape):
        row = about | {"index": " ".join(map(str, place))} | {key: float(each[place]) for key, each in full.items()}
        labels = " ".join(f"{name}={numbers[place]:.8g}" for name, numbers in (estimate.labels or {}).items())
        yield row | {"verdict": str(estimate.verdict), "n": estimate.n} | ({"labels": labels} if labels else {})


def _written(rows: Iterable[Mapping[str, Any]]) -> bytes:
    content = io.StringIO()
    rows = list(rows)
    more = ("labels",) if any("labels" in row for row in rows) else ()
    writer = csv.DictWriter(content, (*COLUMNS, *more), restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: "" if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        )
    return content.getvalue().encode()
