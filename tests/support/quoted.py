"""Numbers of the documentation: which of them the results of benchmarks hold."""

import re
from pathlib import Path

import numpy as np

__all__ = ["RESULTS", "cited", "missing"]

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

NUMBER = re.compile(r"(?<![\w.=])(?<!= )\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")

UNITS = (1.0, 1e-3, 1e-2)
"""Pages have milliseconds and per cent where results have seconds and fractions."""


def cited(page: str) -> list[Path]:
    """The files of results that a page names; `*` stands for anything."""
    names = re.findall(r"benchmarks/results/([\w*.-]*[\w*])", page)
    return sorted({file for name in names for file in RESULTS.glob(name)})


def missing(page: str, results: str) -> list[str]:
    """Decimal numbers of at least three digits in the tables of a page that no number of the results rounds to."""
    held = np.unique([float(number) for number in _numbers(results)])
    rows = [re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`]*`", "", line) for line in page.splitlines() if line.startswith("|")]
    numbers = [number for row in rows for number in _numbers(row) if "." in number and _digits(number) >= 3]
    return [number for number in numbers if not _held(number, held)]


def _numbers(text: str) -> list[str]:
    return [number.replace(",", "") for number in NUMBER.findall(text)]


def _digits(number: str) -> int:
    return len(number.partition("e")[0].replace(".", "").lstrip("0"))


def _held(number: str, held: np.ndarray) -> bool:
    mantissa, _, exponent = number.partition("e")
    half = 0.5001 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return any((np.abs(held - unit * float(number)) <= unit * half).any() for unit in UNITS)
