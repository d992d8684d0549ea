"""Numbers with errors as text, and what a sample shows of something that never happened in it."""

from __future__ import annotations

import math

__all__ = ["ROUNDING", "unseen_probability", "with_error"]

ROUNDING = 1e-13
"""Errors below this fraction of a value are rounding errors: the value has not varied."""

CONFIDENCE = 0.95


def with_error(value: float, error: float) -> str:
    """A number with its error in brackets, in units of the last digit shown.

    The error has one digit, or two if its first digit is 1. A number without an error, or with one that is a rounding
    error, has no brackets. Numbers below 1e-4, and from 1e7 on, have a power of ten.

    Example:
        >>> with_error(-2.116364, 0.000041), with_error(12.3456, 1.23), with_error(1234.5, 40.0)
        ('-2.11636(4)', '12.3(1.2)', '1230(40)')
        >>> with_error(5.21e-27, 3e-28), with_error(1.0, 0.0)
        ('5.2(3)e-27', '1')
    """
    if not math.isfinite(value):
        return f"{value:g}"
    if not math.isfinite(error):
        return f"{value:.6g}({error:.2g})"
    if error <= ROUNDING * abs(value):
        return f"{value:.10g}"
    size = max(abs(value), error)
    if not 1e-4 <= size < 1e7:
        exponent = int(f"{size:e}".split("e")[1])
        return f"{with_error(_scaled(value, exponent), _scaled(error, exponent))}e{exponent}"
    leading, power = f"{error:.0e}".split("e")  # the leading digit after rounding: 0.0096 becomes 0.01
    decimals = (1 if leading == "1" else 0) - int(power)
    if decimals <= 0:
        return f"{round(value, decimals):.0f}({round(error, decimals):.0f})"
    if round(error, decimals) >= 1:
        return f"{value:.{decimals}f}({error:.{decimals}f})"
    return f"{value:.{decimals}f}({round(error * 10**decimals)})"


def unseen_probability(n: float) -> float:
    """Largest probability of an event that n independent configurations may all lack, with 95 % confidence.

    An event of probability p is missing in n configurations with probability `(1 - p)^n`; at the p returned here that
    is 5 %. For large n it is 3 / n, the rule of three.

    Example:
        >>> round(unseen_probability(1000), 6)
        0.002991
    """
    return -math.expm1(math.log(1 - CONFIDENCE) / max(n, 1.0))


def _scaled(value: float, exponent: int) -> float:
    """value / 10^exponent, also where 10^exponent is not a float."""
    digits, power = f"{value:.17e}".split("e")
    return float(f"{digits}e{int(power) - exponent}")
