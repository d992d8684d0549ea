"""Checks of numerical arguments, which raise ValueError with the name of the argument."""

from __future__ import annotations

import operator

__all__ = ["check_integer", "check_seed"]


def check_integer(name: str, value: int | None, *, least: int, default: int | None = None) -> int:
    """Return an argument (its default if it is None); raise ValueError unless it is an integer of at least `least`."""
    try:
        number = operator.index(default if value is None else value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"{name} must be an integer, got {value!r}") from error
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_seed(seed: int) -> None:
    """Raise ValueError unless the seed is an integer in [0, 2^64)."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be an integer in [0, 2^64), got {seed!r}")
