"""Configurations in text files: one in each row, with numbers separated by spaces, tabs, commas or semicolons."""

from __future__ import annotations

import io

import numpy as np

__all__ = ["read_text"]

_TO_SPACES = str.maketrans(",;\t", "   ")


def read_text(content: bytes, name: str) -> tuple[np.ndarray, bool]:
    """The numbers of a text, `(rows, columns)`, and whether its first line was left out as a header.

    Empty lines and what follows a `#` are ignored. The first line is a header if it has a word that is no number, or if
    it numbers the columns 0, 1, 2, ... as pandas does.

    Raises:
        ValueError: if the content is no text, or a line is no row of as many numbers as the first one has.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is neither HDF5, .npy, .npz nor text") from error
    lines = [line.split("#", 1)[0].translate(_TO_SPACES) for line in text.splitlines()]
    rows = [k for k, line in enumerate(lines) if line.strip()]
    if not rows:
        raise ValueError(f"{name} is empty")
    header = not _is_numeric(lines[rows[0]])
    rows = rows[header:]
    if not rows:
        raise ValueError(f"{name} has no row of numbers, only {lines[0].strip()[:40]!r}")
    try:
        numbers = np.loadtxt(io.StringIO("\n".join(lines[k] for k in rows)), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{name} is no table of numbers: {_fault(lines, rows)}") from error
    if not header and len(numbers) > 1 and _numbers_columns(numbers):
        return numbers[1:], True
    return numbers, header


def _is_numeric(line: str) -> bool:
    try:
        return bool([float(word) for word in line.split()])
    except ValueError:
        return False


def _numbers_columns(numbers: np.ndarray) -> bool:
    width = numbers.shape[1]
    return bool((numbers[0] == np.arange(width)).all() and width - 1 > numbers[1:].max())


def _fault(lines: list[str], rows: list[int]) -> str:
    """The first line that is not a row of as many numbers as the first row has."""
    width = len(lines[rows[0]].split())
    for k in rows:
        words = lines[k].split()
        if not _is_numeric(lines[k]):
            return f"line {k + 1} has {next(word for word in words if not _is_numeric(word))[:40]!r}"
        if len(words) != width:
            return f"line {k + 1} has {len(words)} numbers, line {rows[0] + 1} has {width}"
    return f"line {rows[0] + 1} cannot be read"
